// Two pictures of a view under one divider, which a pointer drags and keys move.
(() => {
  "use strict";
  const root = document.getElementById("compare");
  if (!root) return;
  const views = [...root.querySelectorAll(".view")];
  const TALLEST = 640; // pixels, so that a whole picture is seen at once
  let place = 50;

  // Every view has its own layers; the divider's place is shared, so that views can be flipped.
  function divide(percent) {
    place = Math.min(100, Math.max(0, percent));
    for (const view of views) {
      const divider = view.querySelector(".divider");
      divider.style.left = `${place}%`;
      divider.setAttribute("aria-valuenow", String(Math.round(place)));
      for (const layer of view.querySelectorAll(".layer")) {
        const left = layer.classList.contains("left");
        layer.style.clipPath = left ? `inset(0 ${100 - place}% 0 0)` : "";
        if (layer.classList.contains("right")) layer.style.clipPath = `inset(0 0 0 ${place}%)`;
      }
    }
  }

  function pair(left, right) {
    for (const layer of root.querySelectorAll(".layer")) {
      layer.classList.toggle("left", layer.dataset.layer === left);
      layer.classList.toggle("right", layer.dataset.layer === right);
    }
    divide(place);
  }

  function choose(buttons, chosen) {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button === chosen)));
  }

  const pairs = [...root.querySelectorAll("[data-pair]")];
  for (const button of pairs) {
    button.addEventListener("click", () => {
      choose(pairs, button);
      pair(...button.dataset.pair.split(" "));
    });
  }

  const thumbnails = [...root.querySelectorAll(".thumbnails [data-view]")];
  for (const button of thumbnails) {
    button.addEventListener("click", () => {
      choose(thumbnails, button);
      for (const view of views) {
        const shown = view.dataset.view === button.dataset.view;
        view.classList.toggle("on", shown);
        view.classList.toggle("off", !shown);
      }
    });
  }

  for (const view of views) {
    const stage = view.querySelector(".stage");
    const picture = view.querySelector("img");
    stage.style.maxWidth = `${(TALLEST * picture.getAttribute("width")) / picture.getAttribute("height")}px`;
    const divider = view.querySelector(".divider");
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      divide((100 * (event.clientX - box.left)) / box.width);
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      divider.focus({ preventScroll: true });
      follow(event);
    });
    stage.addEventListener("pointermove", (event) => {
      if (stage.hasPointerCapture(event.pointerId)) follow(event);
    });
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 2;
      const to = {
        ArrowLeft: place - step, ArrowDown: place - step, ArrowRight: place + step,
        ArrowUp: place + step, Home: 0, End: 100,
      }[event.key];
      if (to === undefined) return;
      divide(to);
      event.preventDefault();
    });
  }
  pair(...pairs[0].dataset.pair.split(" "));
})();
