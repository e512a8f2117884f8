// flow 변형 재생기. 층마다의 격자점과 표본 자리를 받아 층 사이를 직접 이어 그립니다.
// data = {models: [{name, layers, n, count, scale, points, moved, quadrants, mass, limit, data}], ramp, colors, duration}
function courseSetup(root, data) {
  courseRoot(root);
  const image = root.querySelector("img");
  image.style.display = "none";
  const top = courseElement(root, "div", "display:flex;flex-wrap:wrap;align-items:center;gap:4px 14px");
  const panels = courseElement(root, "div", "display:flex;flex-wrap:wrap;gap:6px 16px;max-width:100%");
  const SIZE = 640;
  const panel = (title) => {
    const box = courseElement(panels, "div", "flex:1 1 260px;min-width:0;max-width:420px");
    const head = courseElement(box, "div", "font-weight:600;text-align:center;line-height:1.7");
    head.textContent = title;
    const canvas = courseElement(box, "canvas", "width:100%;display:block;background:#fff;border-radius:4px",
      { width: SIZE, height: SIZE, role: "img", "aria-label": title });
    return canvas.getContext("2d");
  };
  const left = panel("격자와 표본"), right = panel("밀도 p(xₜ)");
  const bottom = courseElement(root, "div", "");
  const ramp = courseBytes(data.ramp), cells = document.createElement("canvas");
  const R = 320;                                       // 밀도는 절반 해상도로 칠해 부드럽게 늘립니다.
  cells.width = cells.height = R;
  const cellContext = cells.getContext("2d"), pixels = cellContext.createImageData(R, R);

  // int16 점들을 실수로: 층 k에서 바뀐 좌표만 들어 있습니다.
  const load = (m) => {
    if (m.stages) return m;
    const raw = new Int16Array(courseBytes(m.points).buffer), total = m.count;
    const unit = m.scale / 32767;
    let at = 0, x = null, y = null;
    const take = () => { const v = new Float32Array(total); for (let i = 0; i < total; i++) v[i] = raw[at++] * unit; return v; };
    m.stages = m.moved.map(([mx, my]) => { if (mx) x = take(); if (my) y = take(); return [x, y]; });
    m.mass = new Float32Array(courseBytes(m.mass).buffer);
    if (m.data) m.data = new Int16Array(courseBytes(m.data).buffer);
    return m;
  };

  let model = load(data.models[0]), t = model.layers;
  const x = new Float32Array(20000), y = new Float32Array(20000);
  const px = (v) => ((v / model.limit) * 0.5 + 0.5) * SIZE, py = (v) => (0.5 - (v / model.limit) * 0.5) * SIZE;

  const place = () => {
    const k = Math.min(Math.floor(t), model.layers - 1), tau = t - k;
    const [ax, ay] = model.stages[k], [bx, by] = model.stages[k + 1];
    for (let i = 0; i < model.count; i++) {
      x[i] = px(ax[i] + tau * (bx[i] - ax[i]));
      y[i] = py(ay[i] + tau * (by[i] - ay[i]));
    }
  };

  const axes = (c) => {
    c.clearRect(0, 0, SIZE, SIZE);
    c.fillStyle = "#fff"; c.fillRect(0, 0, SIZE, SIZE);
    c.font = "20px sans-serif"; c.fillStyle = "#6b7280"; c.strokeStyle = "#e3e6ea"; c.lineWidth = 1.5;
    const step = model.limit > 7 ? 4 : model.limit > 3.6 ? 2 : 1;
    for (let v = -Math.floor(model.limit / step) * step; v <= model.limit; v += step) {
      c.beginPath(); c.moveTo(px(v), 0); c.lineTo(px(v), SIZE); c.moveTo(0, py(v)); c.lineTo(SIZE, py(v)); c.stroke();
      const name = String(v).replace("-", "−");
      if (Math.abs(px(v) - SIZE / 2) < SIZE * 0.47) {
        c.textAlign = "center"; c.fillText(name, px(v), SIZE - 6);
        c.textAlign = "left"; if (v) c.fillText(name, 5, py(v) + 7);
      }
    }
  };

  const curve = (start, stride, n) => {                 // 격자점을 지나는 매끈한 곡선(Catmull–Rom)
    const c = left, id = (i) => start + stride * Math.min(Math.max(i, 0), n - 1);
    c.moveTo(x[id(0)], y[id(0)]);
    for (let i = 0; i < n - 1; i++) {
      const a = id(i - 1), b = id(i), d = id(i + 1), e = id(i + 2);
      c.bezierCurveTo(x[b] + (x[d] - x[a]) / 6, y[b] + (y[d] - y[a]) / 6,
                      x[d] - (x[e] - x[b]) / 6, y[d] - (y[e] - y[b]) / 6, x[d], y[d]);
    }
  };

  const dots = (c, size, from, to, color, alpha) => {
    c.fillStyle = color; c.globalAlpha = alpha; c.beginPath();
    for (let i = from; i < to; i++) { c.moveTo(x[i] + size, y[i]); c.arc(x[i], y[i], size, 0, 6.2832); }
    c.fill(); c.globalAlpha = 1;
  };

  const drawLeft = () => {
    const n = model.n, c = left, middle = (n - 1) / 2;
    axes(c);
    if (model.data) {
      c.fillStyle = "#6b7280"; c.globalAlpha = 0.3; c.beginPath();
      for (let i = 0; i < model.data.length; i += 2) {
        const u = px((model.data[i] * model.scale) / 32767), v = py((model.data[i + 1] * model.scale) / 32767);
        c.moveTo(u + 3.4, v); c.arc(u, v, 3.4, 0, 6.2832);
      }
      c.fill(); c.globalAlpha = 1;
    }
    c.strokeStyle = "#6b7280"; c.globalAlpha = 0.8;
    const skip = model.margin;                            // 격자선은 z = ±3 안쪽만 그립니다.
    for (let i = skip; i < n - skip; i += 2) {
      c.lineWidth = i === middle ? 3 : 1.1; c.beginPath();
      curve(i * n + skip, 1, n - 2 * skip); curve(skip * n + i, n, n - 2 * skip); c.stroke();
    }
    c.globalAlpha = 1;
    let at = n * n;
    model.quadrants.forEach((many, q) => { dots(c, 4.4, at, at + many, data.colors[q], 0.85); at += many; });
  };

  // 칸의 확률은 z에서 정해져 변하지 않으므로 밀도 = 확률 / 넓이입니다.
  const mesh = new Float32Array(20000), bulk = new Float32Array(20000);
  const drawRight = () => {
    const n = model.n, unit = (2 * model.limit / SIZE) ** 2;
    mesh.fill(0); bulk.fill(0);
    let entropy = 0, sum = 0;
    for (let r = 0; r < n - 1; r++) for (let q = 0; q < n - 1; q++) {
      const a = r * n + q, b = a + 1, d = a + n + 1, e = a + n;
      const area = Math.max(Math.abs((x[d] - x[a]) * (y[e] - y[b]) - (x[e] - x[b]) * (y[d] - y[a])) * 0.5 * unit, 1e-12);
      const m = model.mass[r * (n - 1) + q];
      for (const i of [a, b, d, e]) { mesh[i] += m; bulk[i] += area; }
      if (m > 0) { entropy -= m * Math.log(m / area); sum += m; }
    }
    const peak = Math.exp(1 - entropy / sum);
    for (let i = 0; i < n * n; i++) mesh[i] = Math.min(Math.sqrt(mesh[i] / bulk[i] / peak), 2);
    const p = pixels.data; p.fill(255);
    for (let r = 0; r < n - 1; r++) for (let q = 0; q < n - 1; q++) {
      const a = r * n + q;
      triangle(p, a, a + 1, a + n); triangle(p, a + 1, a + n + 1, a + n);
    }
    cellContext.putImageData(pixels, 0, 0);
    axes(right);
    right.imageSmoothingQuality = "high";
    right.globalCompositeOperation = "multiply";
    right.drawImage(cells, 0, 0, SIZE, SIZE);
    right.globalCompositeOperation = "source-over";
    if (model.data) {
      right.fillStyle = "#D55E00"; right.globalAlpha = 0.4; right.beginPath();
      for (let i = 0; i < model.data.length; i += 2) {
        const u = px((model.data[i] * model.scale) / 32767), v = py((model.data[i + 1] * model.scale) / 32767);
        right.moveTo(u + 2.6, v); right.arc(u, v, 2.6, 0, 6.2832);
      }
      right.fill(); right.globalAlpha = 1;
    }
  };

  const triangle = (p, a, b, c) => {                    // 세 꼭짓점의 농도를 이어 칠합니다.
    const s = R / SIZE, x0 = x[a] * s, y0 = y[a] * s, x1 = x[b] * s, y1 = y[b] * s, x2 = x[c] * s, y2 = y[c] * s;
    const area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
    if (Math.abs(area) < 1e-9) return;
    const top = Math.max(0, Math.ceil(Math.min(y0, y1, y2) - 0.5)), end = Math.min(R - 1, Math.floor(Math.max(y0, y1, y2) - 0.5));
    for (let j = top; j <= end; j++) {
      const yy = j + 0.5;
      let lo = Infinity, hi = -Infinity;
      for (const [ux, uy, vx, vy] of [[x0, y0, x1, y1], [x1, y1, x2, y2], [x2, y2, x0, y0]]) {
        if ((uy <= yy) !== (vy <= yy)) { const h = ux + ((yy - uy) / (vy - uy)) * (vx - ux); lo = Math.min(lo, h); hi = Math.max(hi, h); }
      }
      const from = Math.max(0, Math.ceil(lo - 0.5)), to = Math.min(R - 1, Math.floor(hi - 0.5));
      for (let i = from; i <= to; i++) {
        const xx = i + 0.5;
        const w1 = ((xx - x0) * (y2 - y0) - (x2 - x0) * (yy - y0)) / area, w2 = ((x1 - x0) * (yy - y0) - (xx - x0) * (y1 - y0)) / area;
        const shade = mesh[a] + w1 * (mesh[b] - mesh[a]) + w2 * (mesh[c] - mesh[a]);
        const color = Math.max(0, Math.min(255, Math.round(shade * 204))) * 3, o = (j * R + i) * 4;
        p[o] = ramp[color]; p[o + 1] = ramp[color + 1]; p[o + 2] = ramp[color + 2];
      }
    }
  };

  const draw = (value) => {
    t = value;
    place(); drawLeft(); drawRight();
    const k = Math.min(Math.floor(t), model.layers - 1) + 1;
    caption.textContent = `t = ${t.toFixed(2)} / ${model.layers} · ` +
      (t === 0 ? "기저분포 z" : t === model.layers ? "데이터 공간 x" : `${k}번째 층`);
  };
  if (data.models.length > 1)
    courseSelect(top, data.models.map((m) => m.name), (i) => {
      const share = t / model.layers;
      model = load(data.models[i]);
      controls.range.max = model.layers;
      controls.range.value = share * model.layers;
      draw(+controls.range.value);
    });
  const caption = courseElement(top, "div", "font-variant-numeric:tabular-nums;font-weight:600;line-height:1.7");
  const controls = courseControls(bottom, { max: model.layers, step: 0.05, smooth: true, value: t, duration: data.duration, onInput: draw });
  draw(t);
}
