// K-means와 EM을 브라우저 안에서 돌리는 재생기. 계산은 kmeans_em.py와 같습니다.
// data = {points, starts, limits, steps, floor, colors, methods}
function courseSetup(root, data) {
  courseRoot(root);
  const image = root.querySelector("img");
  image.style.display = "none";
  const P = data.points, N = P.length, K = data.starts.length, [X0, X1, Y0, Y1] = data.limits;
  let starts = data.starts.map((p) => [...p]), method = 0, t = 0, path = null, selected = 0, focused = false, held = null;

  const square = (p, c) => (p[0] - c[0]) ** 2 + (p[1] - c[1]) ** 2;
  const nearest = (p, centres) => {
    let best = 0;
    for (let k = 1; k < K; k++) if (square(p, centres[k]) < square(p, centres[best])) best = k;
    return best;
  };
  const kmeans = () => {
    let centres = starts.map((c) => [...c]);
    const out = [];
    for (let step = 0; step <= data.steps; step++) {
      const shares = [], sums = centres.map(() => [0, 0, 0]);
      let cost = 0;
      for (const p of P) {
        const k = nearest(p, centres), s = sums[k];
        shares.push(centres.map((_, j) => (j === k ? 1 : 0)));
        cost += square(p, centres[k]);
        s[0] += p[0]; s[1] += p[1]; s[2] += 1;
      }
      out.push({ centres, shares, value: cost });
      centres = centres.map((c, k) => (sums[k][2] ? [sums[k][0] / sums[k][2], sums[k][1] / sums[k][2]] : c));
    }
    return out;
  };
  // 공분산은 [σ_xx, σ_xy, σ_yy]
  const em = () => {
    let mean = starts.map((c) => [...c]), weight = mean.map(() => 1 / K), spread = 0;
    for (const p of P) spread += square(p, mean[nearest(p, mean)]);
    spread /= 2 * N;
    let cov = mean.map(() => [spread, 0, spread]);
    const out = [];
    for (let step = 0; step <= data.steps; step++) {
      const shares = [];
      let total = 0;
      const parts = cov.map(([a, b, c], k) => {
        const det = a * c - b * b;
        return [c / det, -b / det, a / det, Math.log(weight[k]) - 0.5 * Math.log(det) - Math.log(2 * Math.PI)];
      });
      for (const p of P) {
        const log = parts.map(([a, b, c, base], k) => {
          const u = p[0] - mean[k][0], v = p[1] - mean[k][1];
          return base - 0.5 * (a * u * u + 2 * b * u * v + c * v * v);
        });
        const top = Math.max(...log), sum = log.reduce((s, l) => s + Math.exp(l - top), 0);
        total += top + Math.log(sum);
        shares.push(log.map((l) => Math.exp(l - top) / sum));
      }
      out.push({ centres: mean, shares, covariances: cov, value: total / N });
      const count = mean.map((_, k) => shares.reduce((s, r) => s + r[k], 0));
      if (Math.min(...count) <= 2.3e-14) break;         // 빈 성분: 여기서 멈춥니다
      weight = count.map((n) => n / N);
      mean = count.map((n, k) => [0, 1].map((d) => P.reduce((s, p, i) => s + shares[i][k] * p[d], 0) / n));
      cov = count.map((n, k) => {
        const s = [0, 0, 0];
        P.forEach((p, i) => {
          const u = p[0] - mean[k][0], v = p[1] - mean[k][1], r = shares[i][k] / n;
          s[0] += r * u * u; s[1] += r * u * v; s[2] += r * v * v;
        });
        return [s[0] + data.floor, s[1], s[2] + data.floor];
      });
    }
    while (out.length <= data.steps) out.push(out[out.length - 1]);
    return out;
  };
  root.courseRun = (which, from) => {
    const keep = [starts, method];
    starts = from; method = which;
    const found = method ? em() : kmeans();
    [starts, method] = keep;
    return found;
  };

  const top = courseElement(root, "div", "");
  courseSelect(top, data.methods, (m) => { method = m; path = null; draw(); }).setAttribute("aria-label", "방법 고르기");
  const W = 1280, H = Math.round((W * (Y1 - Y0)) / (X1 - X0));
  const canvas = courseElement(root, "canvas",
    "display:block;width:100%;height:auto;background:#fff;border:1px solid #9aa3af;border-radius:6px;box-sizing:border-box;" +
    "touch-action:none;cursor:grab;outline-offset:2px",
    { width: W, height: H, tabindex: 0, role: "application",
      "aria-label": "출발점 옮기기: 방향키로 옮기고 스페이스로 다음 출발점을 고릅니다" });
  const c = canvas.getContext("2d");
  const caption = courseElement(root, "div",
    "font-variant-numeric:tabular-nums;line-height:1.5;min-height:1.5em;margin-top:4px", { "aria-live": "polite" });
  const rgb = data.colors.map((h) => [1, 3, 5].map((i) => parseInt(h.slice(i, i + 2), 16)));
  const px = (x) => ((x - X0) / (X1 - X0)) * W, py = (y) => ((Y1 - y) / (Y1 - Y0)) * H;

  const dot = (x, y, r, fill) => { c.beginPath(); c.arc(x, y, r, 0, 6.2832); c.fillStyle = fill; c.fill(); };
  const draw = () => {
    path = path || (method ? em() : kmeans());
    const state = path[t];
    c.fillStyle = "#fff"; c.fillRect(0, 0, W, H);
    c.globalAlpha = 0.8;
    P.forEach((p, i) => {
      const mix = [0, 1, 2].map((d) => Math.round(state.shares[i].reduce((s, r, k) => s + r * rgb[k][d], 0)));
      dot(px(p[0]), py(p[1]), 7, `rgb(${mix})`);
    });
    c.globalAlpha = 1;
    (state.covariances || []).forEach(([a, b, d], k) => {
      const l11 = Math.sqrt(a), l21 = b / l11, l22 = Math.sqrt(d - l21 * l21), [mx, my] = state.centres[k];
      for (const [sigmas, width] of [[1, 5], [2, 3]]) {
        c.beginPath();
        for (let i = 0; i <= 60; i++) {
          const u = sigmas * Math.cos((i * Math.PI) / 30), v = sigmas * Math.sin((i * Math.PI) / 30);
          c.lineTo(px(mx + l11 * u), py(my + l21 * u + l22 * v));
        }
        c.strokeStyle = data.colors[k]; c.lineWidth = width; c.stroke();
      }
    });
    for (let k = 0; k < K; k++) {
      c.beginPath(); c.strokeStyle = "#22262B"; c.lineWidth = 2;
      for (let s = 0; s <= t; s++) c.lineTo(px(path[s].centres[k][0]), py(path[s].centres[k][1]));
      c.stroke();
      for (let s = 0; s <= t; s++) dot(px(path[s].centres[k][0]), py(path[s].centres[k][1]), 4, "#22262B");
      const [u, v] = [px(state.centres[k][0]), py(state.centres[k][1])];
      c.save(); c.translate(u, v); c.rotate(Math.PI / 4);
      c.fillStyle = data.colors[k]; c.strokeStyle = "#22262B"; c.lineWidth = 2.5;
      c.beginPath();
      for (const [x, y] of [[-14, -5], [-5, -5], [-5, -14], [5, -14], [5, -5], [14, -5], [14, 5], [5, 5], [5, 14], [-5, 14], [-5, 5], [-14, 5]]) c.lineTo(x, y);
      c.closePath(); c.fill(); c.stroke(); c.restore();
    }
    starts.forEach((p, k) => {
      dot(px(p[0]), py(p[1]), 20, k === selected && focused ? "#D55E00" : "#0072B2");
      c.strokeStyle = "#fff"; c.lineWidth = 4; c.stroke();
    });
    c.fillStyle = "#6B7280"; c.font = "28px sans-serif"; c.textAlign = "left";
    c.fillText(`${t} / ${data.steps}`, 18, H - 18);
    caption.textContent = (method
      ? `EM ${t}걸음 · 평균 로그우도 ${state.value.toFixed(3)} nats`
      : `K-means ${t}걸음 · 거리의 제곱합 J = ${state.value.toFixed(1)}`).replace("-", "−").replace("K−", "K-");
  };

  const put = (k, x, y) => {
    const round = (v) => Math.round(v * 1e3) / 1e3;
    starts[k] = [round(Math.max(X0, Math.min(X1, x))), round(Math.max(Y0, Math.min(Y1, y)))];
    path = null; draw();
  };
  const where = (event) => {
    const r = canvas.getBoundingClientRect();
    return [X0 + ((event.clientX - r.left) / r.width) * (X1 - X0), Y1 - ((event.clientY - r.top) / r.height) * (Y1 - Y0), r.width];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || held !== null) return;
    const [x, y, width] = where(event), scale = width / (X1 - X0);
    const gaps = starts.map((p) => scale * Math.hypot(p[0] - x, p[1] - y)), best = gaps.indexOf(Math.min(...gaps));
    canvas.focus({ preventScroll: true });
    if (gaps[best] > (event.pointerType === "touch" ? 44 : 26)) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    selected = best; held = event.pointerId; draw();
  });
  canvas.addEventListener("pointermove", (event) => { if (event.pointerId === held) put(selected, ...where(event)); });
  for (const type of ["pointerup", "pointercancel"])
    canvas.addEventListener(type, (event) => { if (event.pointerId === held) held = null; });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const size = (event.shiftKey ? 0.1 : 0.02) * (X1 - X0);
    if (move) put(selected, starts[selected][0] + size * move[0], starts[selected][1] + size * move[1]);
    else if (event.key === " " || event.key === "Enter") { selected = (selected + 1) % K; draw(); }
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", () => { focused = true; draw(); });
  canvas.addEventListener("blur", () => { focused = false; draw(); });
  const bottom = courseElement(root, "div", "");
  courseControls(bottom, { max: data.steps, step: 1, value: 0, duration: 6000, onInput: (v) => { t = Math.round(v); draw(); } });
  draw();
}
