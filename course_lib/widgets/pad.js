// 손가락, 마우스, 키보드로 점과 획을 그리고 손잡이를 끄는 화판. 상태는 모두 model의 trait에 있습니다.
const INK = "#22262B", BLUE = "#0072B2", RULE = "#E3E6EA", MUTED = "#6B7280";

function add(parent, tag, css, text) {
  const element = document.createElement(tag);
  element.style.cssText = css || "";
  if (text) element.textContent = text;
  parent.appendChild(element);
  return element;
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const mode = get("mode"), [X0, X1, Y0, Y1] = get("limits"), [H, W] = get("shape");
  const ratio = mode === "image" ? H / W : (Y1 - Y0) / (X1 - X0);
  const box = add(el, "div", `max-width:${get("width")}px;margin:0`);
  box.setAttribute("data-lm-suppress-shortcuts", "true");
  const canvas = add(box, "canvas",
    "display:block;width:100%;touch-action:none;cursor:crosshair;border:1px solid #9aa3af;border-radius:6px;" +
    "background:#fff;box-sizing:border-box;outline-offset:2px");
  canvas.style.aspectRatio = `1 / ${ratio}`;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", get("label") + ": 방향키로 움직이고 스페이스로 그립니다");
  const bar = add(box, "div", "display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin-top:6px");
  const style = "font:inherit;min-height:40px;padding:4px 14px;border:1px solid #9aa3af;border-radius:8px;" +
    "background:#fff;color:#22262b;cursor:pointer;touch-action:manipulation";
  const undo = mode === "handles" ? null : add(bar, "button", style, "되돌리기");
  const clear = mode === "handles" ? null : add(bar, "button", style, "지우기");
  const note = add(bar, "span", "font-variant-numeric:tabular-nums;opacity:.8");
  note.setAttribute("aria-live", "polite");
  const context = canvas.getContext("2d");

  let points = [...get("points")], cells = null, background = null;
  let cursor = mode === "handles" ? null : [0.5, 0.5], selected = 0, focused = false, active = null, timer = 0;
  const history = [];

  const readCells = () => {
    const values = get("pixels");
    cells = new Uint8ClampedArray(H * W);
    if (values.length === H * W) cells.set(values);
  };
  if (mode === "image") readCells();

  // 화면 비율 (u, v ∈ [0, 1], v는 아래로) ↔ 데이터 좌표
  const toData = ([u, v]) => [X0 + u * (X1 - X0), Y1 - v * (Y1 - Y0)];
  const toView = ([x, y]) => [(x - X0) / (X1 - X0), (Y1 - y) / (Y1 - Y0)];

  let sent = 0;
  const send = (now) => {                               // 손잡이는 끄는 동안에도 60 ms마다, 획은 손이 쉴 때 보냅니다.
    if (now || mode !== "handles") { clearTimeout(timer); timer = 0; }
    const push = () => {
      timer = 0; sent = performance.now();
      if (mode === "image") model.set("pixels", [...cells]);
      else model.set("points", points.map(([x, y]) => [+x.toFixed(5), +y.toFixed(5)]));
      model.save_changes();
    };
    if (now) push();
    else if (!timer) timer = setTimeout(push, mode === "handles" ? Math.max(0, 60 - performance.now() + sent) : 100);
  };

  const draw = () => {
    const width = canvas.clientWidth || get("width"), height = width * ratio, dpr = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dpr); canvas.height = Math.round(height * dpr);
    const c = context;
    c.setTransform(canvas.width, 0, 0, canvas.height, 0, 0);
    c.fillStyle = "#fff"; c.fillRect(0, 0, 1, 1);
    c.setTransform(dpr, 0, 0, dpr, 0, 0);
    if (background) c.drawImage(background, 0, 0, width, height);
    if (mode === "image") {
      const sx = width / W, sy = height / H;
      for (let i = 0; i < H * W; i++) if (cells[i]) {
        const g = 255 - cells[i];
        c.fillStyle = `rgb(${g},${g},${g})`;
        c.fillRect((i % W) * sx, Math.floor(i / W) * sy, sx + 0.5, sy + 0.5);
      }
    } else if (!background) {
      c.strokeStyle = RULE; c.lineWidth = 1; c.fillStyle = MUTED; c.font = "12px sans-serif";
      const step = Math.pow(2, Math.round(Math.log2((X1 - X0) / 6)));
      for (let x = Math.ceil(X0 / step) * step; x < X1; x += step) {
        const u = toView([x, 0])[0] * width;
        c.beginPath(); c.moveTo(u, 0); c.lineTo(u, height); c.stroke();
        c.textAlign = "center"; if (u > 12 && u < width - 12) c.fillText(String(x).replace("-", "−"), u, height - 5);
      }
      for (let y = Math.ceil(Y0 / step) * step; y < Y1; y += step) {
        const v = toView([0, y])[1] * height;
        c.beginPath(); c.moveTo(0, v); c.lineTo(width, v); c.stroke();
        c.textAlign = "left"; if (y && v < height - 24 && v > 12) c.fillText(String(y).replace("-", "−"), 4, v + 4);
      }
    }
    if (mode !== "image") points.forEach((point, i) => {
      const [u, v] = toView(point), big = mode === "handles";
      c.beginPath(); c.arc(u * width, v * height, big ? 10 : 3.6, 0, 7);
      c.fillStyle = big && i === selected && focused ? "#D55E00" : BLUE;
      c.globalAlpha = big ? 0.95 : 0.75; c.fill(); c.globalAlpha = 1;
      if (big) { c.strokeStyle = "#fff"; c.lineWidth = 2; c.stroke(); }
    });
    if (focused && cursor && active === null) {
      const [u, v] = [cursor[0] * width, cursor[1] * height];
      c.strokeStyle = "#D55E00"; c.lineWidth = 1.5; c.beginPath();
      c.moveTo(u - 9, v); c.lineTo(u + 9, v); c.moveTo(u, v - 9); c.lineTo(u, v + 9); c.stroke();
    }
    note.textContent = mode === "points" ? `점 ${points.length}개` : "";
  };

  const remember = () => { history.push(mode === "image" ? cells.slice() : points.slice()); if (history.length > 50) history.shift(); };
  const room = () => points.length < get("max_points");

  const stroke = (from, to) => {                        // 선분에서의 거리로 붓 자국의 진하기를 정합니다.
    const radius = get("brush"), [ax, ay] = [from[0] * W, from[1] * H], [bx, by] = [to[0] * W, to[1] * H];
    const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
    for (let i = 0; i < H; i++) for (let j = 0; j < W; j++) {
      const px = j + 0.5, py = i + 0.5;
      const s = length ? Math.max(0, Math.min(1, ((px - ax) * dx + (py - ay) * dy) / length)) : 0;
      const gap = Math.hypot(px - ax - s * dx, py - ay - s * dy);
      const ink = 255 * Math.max(0, Math.min(1, radius + 0.5 - gap));
      if (ink > cells[i * W + j]) cells[i * W + j] = ink;
    }
  };

  const where = (event) => {
    const r = canvas.getBoundingClientRect(), clip = (v) => Math.max(0, Math.min(1, v));
    return [clip((event.clientX - r.left) / r.width), clip((event.clientY - r.top) / r.height)];
  };
  const far = (a, b) => Math.hypot((a[0] - b[0]) * canvas.clientWidth, (a[1] - b[1]) * canvas.clientHeight);

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || active !== null) return;
    event.preventDefault(); event.stopPropagation();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const at = where(event);
    if (mode === "handles") {
      const reach = event.pointerType === "touch" ? 44 : 24;
      const gaps = points.map((p) => far(toView(p), at)), best = gaps.indexOf(Math.min(...gaps));
      if (best < 0 || gaps[best] > reach) return;
      selected = best;
    } else remember();
    active = { id: event.pointerId, last: at };
    if (mode === "points" && room()) points.push(toData(at));
    if (mode === "image") { stroke(at, at); cursor = at; }
    draw(); send(false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!active || event.pointerId !== active.id) return;
    event.preventDefault();
    const steps = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const e of steps.length ? steps : [event]) {
      const at = where(e);
      if (mode === "handles") points[selected] = toData(at);
      else if (mode === "image") { stroke(active.last, at); active.last = at; }
      else while (far(active.last, at) > 9 && room()) {  // 끄는 길을 따라 9 px마다 점 하나
        const s = 9 / far(active.last, at);
        active.last = [active.last[0] + s * (at[0] - active.last[0]), active.last[1] + s * (at[1] - active.last[1])];
        points.push(toData(active.last));
      }
      if (mode !== "handles") cursor = at;
    }
    draw(); send(false);
  });
  const finish = (event) => { if (active && event.pointerId === active.id) { active = null; draw(); send(true); } };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);

  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    event.stopPropagation();
    const clip = (v) => Math.max(0, Math.min(1, v));
    if (moves[event.key]) {
      const size = mode === "image" ? [1 / W, 1 / H] : event.shiftKey ? [0.1, 0.1] : [0.02, 0.02];
      const d = moves[event.key];
      if (mode === "handles") {
        if (!points.length) return;
        const [u, v] = toView(points[selected]);
        points[selected] = toData([clip(u + d[0] * size[0]), clip(v + d[1] * size[1])]);
        send(false);
      } else cursor = [clip(cursor[0] + d[0] * size[0]), clip(cursor[1] + d[1] * size[1])];
    } else if (event.key === " " || event.key === "Enter") {
      if (mode === "handles") selected = (selected + 1) % Math.max(points.length, 1);
      else { remember(); if (mode === "points" && room()) points.push(toData(cursor)); else if (mode === "image") stroke(cursor, cursor); send(true); }
    } else if (event.key === "Backspace" || event.key === "Delete") back();
    else return;
    event.preventDefault(); draw();
  });
  canvas.addEventListener("focus", () => { focused = true; draw(); });
  canvas.addEventListener("blur", () => { focused = false; draw(); });

  const back = () => {
    if (mode === "handles" || !history.length) return;
    if (mode === "image") cells = history.pop(); else points = history.pop();
    draw(); send(true);
  };
  if (undo) undo.addEventListener("click", back);
  if (clear) clear.addEventListener("click", () => {
    remember();
    if (mode === "image") cells.fill(0); else points = [];
    draw(); send(true);
  });

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const onPoints = () => { if (active === null && !same(get("points"), points)) { points = [...get("points")]; draw(); } };
  const onPixels = () => { if (active === null) { readCells(); draw(); } };
  const onBackground = () => {
    const view = get("background");
    if (!view || !view.byteLength) { background = null; return draw(); }
    const url = URL.createObjectURL(new Blob([view], { type: "image/png" })), image = new Image();
    image.onload = () => { background = image; URL.revokeObjectURL(url); draw(); };
    image.src = url;
  };
  model.on("change:points", onPoints);
  model.on("change:pixels", onPixels);
  model.on("change:background", onBackground);
  const watch = new ResizeObserver(draw);
  watch.observe(canvas.parentElement);
  onBackground();
  return () => {
    watch.disconnect(); clearTimeout(timer);
    model.off("change:points", onPoints); model.off("change:pixels", onPixels); model.off("change:background", onBackground);
  };
}

export default { render };
