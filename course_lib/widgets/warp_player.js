// flow 변형 재생기. 층마다의 격자점과 표본 자리를 받아 층 사이를 직접 이어 그립니다.
// data = {models: [{name, layers, n, count, scale, points, moved, quadrants, logBase, logDet, limit, data}], ramp, colors, duration}
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
    m.logBase = new Float32Array(courseBytes(m.logBase).buffer);
    const nodes = m.n * m.n, dets = new Int16Array(courseBytes(m.logDet).buffer);
    const rest = new Int16Array(courseBytes(m.excess).buffer);
    let used = 0;
    m.before = [new Float32Array(nodes)];                // 앞 층까지의 Σ log|det J|
    m.det = []; m.excessOf = [];
    for (let k = 0; k < m.layers; k++) {
      const det = new Float32Array(nodes), sum = new Float32Array(nodes), extra = m.general[k] ? new Float32Array(nodes) : null;
      for (let i = 0; i < nodes; i++) {
        const log = (dets[k * nodes + i] / 32767) * 12;
        det[i] = Math.exp(log) * (m.flips[k] ? -1 : 1);
        sum[i] = m.before[k][i] + log;
        if (extra) extra[i] = (rest[used++] / 32767) * 8;
      }
      m.det.push(det); m.before.push(sum); m.excessOf.push(extra);
    }
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
        c.textAlign = "left"; if (v && py(v) < SIZE - 40) c.fillText(name, 5, py(v) + 7);
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

  const mesh = new Float32Array(model.n ** 2);
  const [fineX, fineY, shade] = [0, 1, 2].map(() => new Float32Array((2 * model.n - 1) ** 2));
  const drawRight = () => {
    const n = model.n, k = Math.min(Math.floor(t), model.layers - 1), tau = t - k;
    const det = model.det[k], extra = model.excessOf[k];
    let entropy = 0, sum = 0;
    for (let i = 0; i < n * n; i++) {                     // 식 (3), (4)
      const trace = 1 + det[i] + (extra ? extra[i] : 0);
      const here = (1 - tau) ** 2 + tau * (1 - tau) * trace + tau * tau * det[i];
      mesh[i] = model.logBase[i] - model.before[k][i] - Math.log(Math.abs(here) + 1e-30);
      const w = Math.exp(model.logBase[i]);
      entropy -= w * mesh[i]; sum += w;
    }
    const peak = 1 - entropy / sum;
    // 칸을 둘로 나누어(3차 보간) 심하게 휜 곳에서도 삼각형이 겹치지 않게 합니다.
    refine(x, n, fineX); refine(y, n, fineY); refine(mesh, n, shade);
    const m = 2 * n - 1, s = R / SIZE;
    for (let i = 0; i < m * m; i++) {
      shade[i] = 204 * Math.exp(Math.min(shade[i] - peak, 2) / 2); fineX[i] *= s; fineY[i] *= s;
    }
    const p = pixels.data; p.fill(255);
    for (let r = 0; r < m - 1; r++) for (let q = 0; q < m - 1; q++) {
      const a = r * m + q;
      triangle(p, a, a + 1, a + m); triangle(p, a + 1, a + m + 1, a + m);
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

  const refine = (from, n, to) => {
    const m = 2 * n - 1;
    const middle = (v, at, step, i) => i === 0 || i === n - 2
      ? (v[at] + v[at + step]) / 2
      : (9 * (v[at] + v[at + step]) - v[at - step] - v[at + 2 * step]) / 16;
    for (let r = 0; r < n; r++) for (let q = 0; q < n; q++) {
      const at = r * n + q, o = 2 * r * m + 2 * q;
      to[o] = from[at];
      if (q < n - 1) to[o + 1] = middle(from, at, 1, q);
    }
    for (let r = 0; r < n - 1; r++) for (let q = 0; q < m; q++)
      to[(2 * r + 1) * m + q] = middle(to, 2 * r * m + q, 2 * m, r);
  };

  const triangle = (p, a, b, c) => {                    // 세 꼭짓점의 농도를 이어 칠합니다.
    const x0 = fineX[a], y0 = fineY[a], x1 = fineX[b], y1 = fineY[b], x2 = fineX[c], y2 = fineY[c];
    const area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
    if (Math.abs(area) < 1e-9) return;
    if (shade[a] < 1 && shade[b] < 1 && shade[c] < 1) return;
    const top = Math.max(0, Math.ceil(Math.min(y0, y1, y2) - 0.5)), end = Math.min(R - 1, Math.floor(Math.max(y0, y1, y2) - 0.5));
    const g1 = ((shade[b] - shade[a]) * (y2 - y0) - (shade[c] - shade[a]) * (y1 - y0)) / area;
    const g2 = ((shade[c] - shade[a]) * (x1 - x0) - (shade[b] - shade[a]) * (x2 - x0)) / area;
    for (let j = top; j <= end; j++) {
      const yy = j + 0.5;
      let lo = 1e9, hi = -1e9, h;
      if ((y0 <= yy) !== (y1 <= yy)) { h = x0 + ((yy - y0) / (y1 - y0)) * (x1 - x0); if (h < lo) lo = h; if (h > hi) hi = h; }
      if ((y1 <= yy) !== (y2 <= yy)) { h = x1 + ((yy - y1) / (y2 - y1)) * (x2 - x1); if (h < lo) lo = h; if (h > hi) hi = h; }
      if ((y2 <= yy) !== (y0 <= yy)) { h = x2 + ((yy - y2) / (y0 - y2)) * (x0 - x2); if (h < lo) lo = h; if (h > hi) hi = h; }
      const from = Math.max(0, Math.ceil(lo - 0.5)), to = Math.min(R - 1, Math.ceil(hi - 0.5) - 1);
      let value = shade[a] + g1 * (from + 0.5 - x0) + g2 * (yy - y0), o = (j * R + from) * 4;
      for (let i = from; i <= to; i++, o += 4, value += g1) {
        const color = 3 * (value < 0 ? 0 : value > 255 ? 255 : value | 0);
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
