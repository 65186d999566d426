// A reading of all curves at one step: under the pointer, or where the arrow keys have moved it.
(() => {
  "use strict";
  const root = document.getElementById("curves");
  if (!root) return;
  const lines = JSON.parse(document.getElementById("curves-data").textContent);
  const last = Number(root.dataset.last);
  const steps = [...new Set(lines.flat().map(([step]) => step))].sort((a, b) => a - b);
  const names = [...document.querySelectorAll("#curves ~ details thead th")].slice(1);
  const strokes = [...root.querySelector(".plot").querySelectorAll(".line")];
  const reading = root.querySelector(".reading");
  let place = -1;

  function show(index) {
    place = Math.min(steps.length - 1, Math.max(0, index));
    const step = steps[place];
    for (const plot of root.querySelectorAll(".plot")) {
      const [left, right] = [Number(plot.dataset.left), Number(plot.dataset.right)];
      const cursor = plot.querySelector(".cursor");
      cursor.setAttribute("transform", `translate(${left + ((right - left) * step) / last})`);
      cursor.setAttribute("visibility", "visible");
    }
    reading.replaceChildren(row("step", step.toLocaleString("en")));
    lines.forEach((line, i) => {
      const found = line.find(([at]) => at === step);
      if (found) {
        const entry = row(names[i].textContent, `${found[1].toFixed(2)} dB`);
        const dot = document.createElement("span");
        dot.className = `dot ${[...strokes[i].classList].find((name) => name.startsWith("m-"))}`;
        entry.firstChild.prepend(dot);
        reading.append(entry);
      }
    });
    reading.hidden = false;
    const plot = [...root.querySelectorAll(".plot")].find((one) => one.clientWidth);
    const [left, right] = [Number(plot.dataset.left), Number(plot.dataset.right)];
    const width = root.clientWidth;
    const x = ((left + ((right - left) * step) / last) * width) / plot.viewBox.baseVal.width;
    const own = reading.offsetWidth;
    const wanted = x + 14 + own > width ? x - 14 - own : x + 14;
    reading.style.left = `${Math.min(width - own, Math.max(0, wanted))}px`;
  }

  function row(name, value) {
    const entry = document.createElement("div");
    for (const text of [name, value]) {
      const part = document.createElement("span");
      part.textContent = text;
      entry.append(part);
    }
    return entry;
  }

  function hide() {
    reading.hidden = true;
    root.querySelectorAll(".cursor").forEach((cursor) => cursor.setAttribute("visibility", "hidden"));
  }

  const follow = (event) => {
    const plot = event.target.closest(".plot");
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    const at = ((event.clientX - box.left) * plot.viewBox.baseVal.width) / box.width;
    const [left, right] = [Number(plot.dataset.left), Number(plot.dataset.right)];
    const step = (last * (at - left)) / (right - left);
    const off = steps.map((one) => Math.abs(one - step));
    show(off.indexOf(Math.min(...off)));
  };
  root.addEventListener("pointermove", follow);
  root.addEventListener("pointerdown", follow);
  root.addEventListener("pointerleave", hide);
  root.addEventListener("blur", hide);
  root.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (by === undefined) return;
    show(place + by);
    event.preventDefault();
  });
})();
