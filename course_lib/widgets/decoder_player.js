// 디코더(MLP)를 브라우저에서 직접 계산하는 재생기.
// data = {layers: [{weight, bias, scale, biasScale, in, out, act}], shape, limits, range, start, names, presets, background}
function courseSetup(root, data) {
  courseRoot(root);
  const image = root.querySelector("img");
  image.style.display = "none";
  const numbers = (text, scale) => Float32Array.from(new Int16Array(courseBytes(text).buffer), (v) => (v / 32767) * scale);
  const layers = data.layers.map((l) => ({ ...l, weight: numbers(l.weight, l.scale), bias: numbers(l.bias, l.biasScale) }));
  const acts = {
    linear: (v) => v, relu: (v) => (v > 0 ? v : 0), tanh: Math.tanh, sigmoid: (v) => 1 / (1 + Math.exp(-v)),
    silu: (v) => v / (1 + Math.exp(-v)),
  };
  const decode = (z) => {
    let x = Float32Array.from(z);
    for (const l of layers) {
      const y = new Float32Array(l.out), f = acts[l.act];
      for (let o = 0; o < l.out; o++) {
        let s = l.bias[o];
        for (let i = 0, at = o * l.in; i < l.in; i++) s += l.weight[at + i] * x[i];
        y[o] = f(s);
      }
      x = y;
    }
    return x;
  };
  root.courseDecode = decode;                           // 시험이 파이썬과 견줍니다

  const z = [...data.start], [H, W] = data.shape, [low, high] = data.limits, [r0, r1] = data.range;
  const row = courseElement(root, "div", "display:flex;flex-wrap:wrap;gap:12px 24px;align-items:flex-start");
  const small = document.createElement("canvas");
  small.width = W; small.height = H;
  const paint = small.getContext("2d"), pixels = paint.createImageData(W, H);
  const plane = z.length === 2 ? courseElement(row, "canvas",
    "flex:0 1 260px;min-width:0;width:min(260px,100%);aspect-ratio:1;border:1px solid #9aa3af;border-radius:6px;touch-action:none;cursor:crosshair;background:#fff",
    { width: 520, height: 520, tabindex: 0, role: "slider", "aria-label": "잠재 평면: 끌거나 방향키로 움직입니다", "aria-valuenow": 0 }) : null;
  const view = courseElement(row, "canvas",
    "flex:0 1 260px;min-width:0;width:min(260px,100%);image-rendering:pixelated;border:1px solid #9aa3af;border-radius:6px;background:#fff",
    { width: W, height: H, role: "img", "aria-label": "디코더의 출력" });
  view.style.aspectRatio = `${W} / ${H}`;
  const side = courseElement(row, "div", "flex:1 1 240px;min-width:200px");
  const ranges = plane ? [] : z.map((value, i) => {
    const line = courseElement(side, "label", "display:flex;gap:8px;align-items:center;min-height:36px;font-variant-numeric:tabular-nums");
    const name = courseElement(line, "span", "flex:none;min-width:2.2em"); name.textContent = data.names[i];
    const range = courseElement(line, "input", "flex:1;min-width:0;height:36px;accent-color:#0072B2;touch-action:pan-y",
      { type: "range", min: r0, max: r1, step: 0.05, value });
    range.value = value;
    const show = courseElement(line, "span", "flex:none;min-width:3.4em;text-align:right");
    range.addEventListener("input", () => { z[i] = +range.value; draw(); });
    return { range, show };
  });
  const caption = plane ? courseElement(side, "div", "font-variant-numeric:tabular-nums;line-height:1.6") : null;
  const presets = courseElement(side, "div", "display:flex;flex-wrap:wrap;gap:6px;margin-top:8px");
  for (const [name, value] of data.presets) {
    const button = courseElement(presets, "button",
      "font:inherit;min-height:40px;min-width:44px;padding:2px 12px;border:1px solid #9aa3af;border-radius:8px;background:#fff;color:#22262b;cursor:pointer",
      { type: "button" });
    button.textContent = name;
    button.addEventListener("click", () => { value.forEach((v, i) => (z[i] = v)); draw(); });
  }
  let map = null;
  if (plane && data.background) { map = new Image(); map.onload = () => draw(); map.src = "data:image/png;base64," + data.background; }

  const text = (v) => (v < 0 ? "−" : "") + Math.abs(v).toFixed(2);
  const draw = () => {
    const x = decode(z);
    for (let i = 0; i < H * W; i++) {
      const g = 255 * (1 - Math.max(0, Math.min(1, (x[i] - low) / (high - low))));
      pixels.data.set([g, g, g, 255], 4 * i);
    }
    paint.putImageData(pixels, 0, 0);
    view.getContext("2d").drawImage(small, 0, 0);
    ranges.forEach(({ range, show }, i) => { range.value = z[i]; show.textContent = text(z[i]); });
    if (plane) {
      const c = plane.getContext("2d"), S = 520, at = (v) => ((v - r0) / (r1 - r0)) * S;
      c.fillStyle = "#fff"; c.fillRect(0, 0, S, S);
      if (map && map.complete) c.drawImage(map, 0, 0, S, S);
      c.strokeStyle = "#9aa3af"; c.lineWidth = 1.5; c.beginPath();
      c.moveTo(at(0), 0); c.lineTo(at(0), S); c.moveTo(0, S - at(0)); c.lineTo(S, S - at(0)); c.stroke();
      c.beginPath(); c.arc(at(z[0]), S - at(z[1]), 15, 0, 7); c.fillStyle = "#D55E00"; c.fill();
      c.strokeStyle = "#fff"; c.lineWidth = 4; c.stroke();
      caption.textContent = `${data.names[0]} = ${text(z[0])},  ${data.names[1]} = ${text(z[1])}`;
      plane.setAttribute("aria-valuetext", caption.textContent);
    }
  };
  if (plane) {
    const clip = (v) => Math.max(r0, Math.min(r1, v));
    const move = (event) => {
      const b = plane.getBoundingClientRect();
      z[0] = clip(r0 + ((event.clientX - b.left) / b.width) * (r1 - r0));
      z[1] = clip(r1 - ((event.clientY - b.top) / b.height) * (r1 - r0));
      draw();
    };
    plane.addEventListener("pointerdown", (event) => { event.preventDefault(); plane.focus({ preventScroll: true }); plane.setPointerCapture(event.pointerId); move(event); });
    plane.addEventListener("pointermove", (event) => { if (plane.hasPointerCapture(event.pointerId)) move(event); });
    plane.addEventListener("keydown", (event) => {
      const d = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!d) return;
      event.preventDefault();
      z[0] = clip(z[0] + d[0] * (r1 - r0) / 60); z[1] = clip(z[1] + d[1] * (r1 - r0) / 60); draw();
    });
  }
  draw();
}
