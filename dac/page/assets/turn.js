// The partition in space: an own projector on a canvas, painter's order for the cameras, a depth
// buffer for the points. The data are `turning.py`'s: coordinates in units of the points' reach.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const stage = document.getElementById("turnable");
  if (!stage) return;
  const data = JSON.parse(document.getElementById("turn-data").textContent);
  const canvas = stage.querySelector("canvas");
  const paper = canvas.getContext("2d");
  const layer = document.createElement("canvas");
  const dots = layer.getContext("2d");

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const places = (text) => Float32Array.from(new Int16Array(bytes(text).buffer), (v) => v / 32767);
  const cameras = places(data.cameras);
  const points = places(data.points);
  const groups = new Uint16Array(bytes(data.groups).buffer);
  const light = bytes(data.light);
  const hidden = new Set();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const START = { azimuth: -1.08, elevation: 0.62, nearness: 1 };
  const view = { ...START };
  const EYE = 3.2; // the viewer's distance, in units of what fills the canvas
  let tints = new Uint32Array(0);
  let wanted = 0;

  const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const colour = (group) => data.colours[group][dark.matches ? 1 : 0];

  // Each point's colour: its group's, by its own brightness, fading towards the horizon.
  function tint() {
    const palette = data.colours.map((_, group) => rgb(colour(group)));
    tints = Uint32Array.from(groups, (group, i) => {
      const bright = light[i] / 255;
      const [red, green, blue] = palette[group].map((part) =>
        bright < 0.5 ? part * (0.7 + 0.6 * bright) : 255 - (255 - part) * (1.3 - 0.6 * bright));
      const far = Math.hypot(points[3 * i], points[3 * i + 1], points[3 * i + 2]);
      const alpha = 235 * Math.min(1, Math.max(0.06, (1 - far) * 3));
      return (alpha << 24) | (blue << 16) | (green << 8) | red;
    });
  }

  // Picture coordinates of a place, and its nearness to the viewer.
  function projector(width, height) {
    const [sa, ca] = [Math.sin(view.azimuth), Math.cos(view.azimuth)];
    const [se, ce] = [Math.sin(view.elevation), Math.cos(view.elevation)];
    const size = (0.41 * Math.min(width, 1.1 * height) * view.nearness) / data.extent;
    const eye = EYE * data.extent;
    const middle = (data.ground === null ? 0.5 : 0.57) * height; // An object is seen from above.
    return (x, y, z) => {
      const depth = ce * (ca * x + sa * y) + se * z;
      const scale = (size * eye) / Math.max(0.05 * eye, eye - depth);
      return [
        width / 2 + scale * (ca * y - sa * x),
        middle - scale * (ce * z - se * (ca * x + sa * y)),
        depth,
      ];
    };
  }

  function drawPoints(project, width, height, ratio) {
    const image = dots.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const nearest = new Float32Array(width * height).fill(-Infinity);
    const side = Math.max(1, Math.round((groups.length > 6000 ? 1.5 : 2) * ratio));
    for (let i = 0; i < groups.length; i++) {
      if (hidden.has(groups[i])) continue;
      const [x, y, depth] = project(points[3 * i], points[3 * i + 1], points[3 * i + 2]);
      const left = Math.round(x - side / 2);
      const top = Math.round(y - side / 2);
      if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
      for (let row = top; row < top + side; row++) {
        for (let at = row * width + left; at < row * width + left + side; at++) {
          if (depth > nearest[at]) {
            nearest[at] = depth;
            pixels[at] = tints[i];
          }
        }
      }
    }
    dots.putImageData(image, 0, 0);
    paper.drawImage(layer, 0, 0);
  }

  function pyramids(project) {
    const found = [];
    data.owners.forEach((group, i) => {
      if (hidden.has(group)) return;
      const corners = [0, 1, 2, 3, 4].map((k) => {
        const at = 15 * i + 3 * k;
        return project(cameras[at], cameras[at + 1], cameras[at + 2]);
      });
      found.push({ group, corners, depth: corners[0][2] });
    });
    return found.sort((a, b) => a.depth - b.depth);
  }

  function drawPyramid({ group, corners }, opacity, ratio) {
    const [apex, ...image] = corners;
    paper.strokeStyle = paper.fillStyle = colour(group);
    paper.lineWidth = 0.9 * ratio;
    paper.beginPath();
    image.forEach(([x, y], i) => (i ? paper.lineTo(x, y) : paper.moveTo(x, y)));
    paper.closePath();
    paper.globalAlpha = opacity;
    paper.fill();
    for (const [x, y] of image) {
      paper.moveTo(apex[0], apex[1]);
      paper.lineTo(x, y);
    }
    paper.globalAlpha = Math.min(1, opacity + 0.4);
    paper.stroke();
    paper.globalAlpha = 1;
  }

  // Circles on the ground, which tell up from down.
  function drawGround(project, ratio) {
    if (data.ground === null) return;
    paper.strokeStyle = dark.matches ? "#3a3d43" : "#d9d5cb";
    paper.lineWidth = ratio;
    for (const radius of [1 / 3, 2 / 3, 1]) {
      paper.beginPath();
      for (let i = 0; i <= 72; i++) {
        const angle = (i * Math.PI) / 36;
        const reach = radius * data.extent;
        const [x, y] = project(reach * Math.cos(angle), reach * Math.sin(angle), data.ground);
        i ? paper.lineTo(x, y) : paper.moveTo(x, y);
      }
      paper.stroke();
    }
  }

  function draw() {
    wanted = 0;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height, layer.width, layer.height] = [width, height, width, height];
    }
    paper.clearRect(0, 0, width, height);
    const project = projector(width, height);
    drawGround(project, ratio);
    const sorted = pyramids(project);
    const behind = sorted.filter((one) => one.depth < 0);
    behind.forEach((one) => drawPyramid(one, 0.4, ratio));
    drawPoints(project, width, height, ratio);
    // Cameras in front are lighter, to let the scene show through.
    sorted.slice(behind.length).forEach((one) => drawPyramid(one, 0.22, ratio));
  }

  const redraw = () => (wanted = wanted || requestAnimationFrame(draw));

  function turn(across, up, nearer = 1) {
    view.azimuth += across;
    view.elevation = Math.min(1.55, Math.max(-0.6, view.elevation + up));
    view.nearness = Math.min(6, Math.max(0.5, view.nearness * nearer));
    touched = true;
    redraw();
  }

  const MOVES = {
    left: [-0.15, 0], right: [0.15, 0], up: [0, 0.12], down: [0, -0.12],
    nearer: [0, 0, 1.2], farther: [0, 0, 1 / 1.2],
  };
  const KEYS = {
    ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
    "+": "nearer", "=": "nearer", "-": "farther",
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Home") {
      Object.assign(view, START);
      turn(0, 0);
    } else if (KEYS[event.key] && !event.ctrlKey && !event.metaKey) {
      turn(...MOVES[KEYS[event.key]]);
    } else return;
    event.preventDefault();
  });
  stage.querySelectorAll("[data-do]").forEach((button) =>
    button.addEventListener("click", () => turn(...MOVES[button.dataset.do])));

  let touched = false;
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    held = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [x, y] = [event.clientX, event.clientY];
    turn((held[0] - x) * 0.008, (y - held[1]) * 0.006);
    held = [x, y];
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => (held = null));
  }

  document.querySelectorAll("[data-group]").forEach((button) =>
    button.addEventListener("click", () => {
      const group = Number(button.dataset.group);
      const wasShown = !hidden.delete(group);
      if (wasShown) hidden.add(group);
      button.setAttribute("aria-pressed", String(!wasShown));
      redraw();
    }));

  // Seen for the first time it turns by itself, once and for three seconds, to show that it can.
  const SWEEP = 1.1;
  const LASTS = 3000;
  function sweep(began, from) {
    requestAnimationFrame((now) => {
      if (touched) return;
      const share = Math.min(1, Math.max(0, now - began) / LASTS);
      view.azimuth = from + SWEEP * (1 - (1 - share) ** 3);
      draw();
      if (share < 1) sweep(began, from);
    });
  }
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    if (!still.matches) sweep(performance.now(), view.azimuth - SWEEP);
  }, { threshold: 0.4 }).observe(canvas);

  new ResizeObserver(redraw).observe(canvas);
  dark.addEventListener("change", () => { tint(); redraw(); });
  tint();
  redraw();
})();
