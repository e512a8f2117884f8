// 화소 하나를 누르면 모델마다 그 화소가 무엇을 보는지 칠합니다.
// data = {names, shape: [H, W], levels: [모델마다 (n·n) 바이트, 0은 영향 없음], start, duration}
function courseSetup(root, data) {
  courseRoot(root);
  root.querySelector("img").style.display = "none";
  const [H, W] = data.shape, n = H * W, levels = data.levels.map(courseBytes);
  const INK = "#22262b", HIDDEN = "#e6e8eb", BLIND = "#fbe3d3", WARN = "#D55E00", LEAK = "#b00020";
  let index = data.start;
  const row = courseElement(root, "div", "display:flex;flex-wrap:wrap;gap:10px 18px;align-items:flex-start");
  const panels = data.names.map((name) => {
    const box = courseElement(row, "div", "flex:1 1 150px;min-width:0;max-width:250px");
    const title = courseElement(box, "div", "font-weight:600;line-height:1.5");
    title.textContent = name;
    const canvas = courseElement(box, "canvas",
      "display:block;width:100%;border:1px solid #9aa3af;border-radius:6px;touch-action:manipulation;cursor:pointer;background:#fff",
      { width: 40 * W, height: 40 * H, tabindex: 0, role: "application",
        "aria-label": name + ": 화소를 누르거나 방향키로 고릅니다" });
    const note = courseElement(box, "div", "font-variant-numeric:tabular-nums;line-height:1.5;font-size:90%");
    return { canvas, note };
  });
  const caption = courseElement(root, "div", "font-variant-numeric:tabular-nums;line-height:1.6;margin-top:6px", { "aria-live": "polite" });
  const legend = courseElement(root, "div", "display:flex;flex-wrap:wrap;gap:4px 14px;font-size:90%;line-height:1.6");
  for (const [color, text] of [["#7cc0e8", "봅니다(짙을수록 크게)"], [BLIND, "앞선 화소인데 못 봅니다"], [HIDDEN, "아직 그리지 않은 화소"]]) {
    const item = courseElement(legend, "span", "display:inline-flex;align-items:center;gap:5px");
    courseElement(item, "span", "width:14px;height:14px;border:1px solid #9aa3af;background:" + color);
    item.append(text);
  }
  const shade = (level) => {                            // 흰색 → 하늘색 → 남색
    const s = level / 255, mix = (a, b, t) => a.map((v, k) => Math.round(v + (b[k] - v) * t));
    const c = s < 0.5 ? mix([214, 234, 246], [86, 170, 220], 2 * s) : mix([86, 170, 220], [3, 60, 110], 2 * s - 1);
    return `rgb(${c})`;
  };
  const kind = (m, j) => {                              // 시험이 파이썬과 견줍니다
    const level = levels[m][index * n + j];
    if (j === index) return level ? "leak" : "self";
    if (j > index) return level ? "leak" : "future";
    return level ? "seen" : "blind";
  };
  root.courseKind = (m, i, j) => { const keep = index; index = i; const k = kind(m, j); index = keep; return k; };
  const draw = () => {
    panels.forEach(({ canvas, note }, m) => {
      const c = canvas.getContext("2d"), s = 40, count = { seen: 0, blind: 0, future: 0, self: 0, leak: 0 };
      for (let j = 0; j < n; j++) {
        const k = kind(m, j), x = (j % W) * s, y = Math.floor(j / W) * s;
        count[k]++;
        c.fillStyle = k === "seen" ? shade(levels[m][index * n + j]) : k === "blind" ? BLIND : k === "leak" ? LEAK : k === "self" ? "#fff" : HIDDEN;
        c.fillRect(x, y, s, s);
        c.strokeStyle = "#fff"; c.lineWidth = 2; c.strokeRect(x, y, s, s);
        if (k === "blind") {
          c.strokeStyle = WARN; c.lineWidth = 3;
          c.beginPath(); c.moveTo(x + 13, y + 13); c.lineTo(x + 27, y + 27); c.moveTo(x + 27, y + 13); c.lineTo(x + 13, y + 27); c.stroke();
        }
      }
      c.strokeStyle = WARN; c.lineWidth = 5;
      c.strokeRect((index % W) * s + 3, Math.floor(index / W) * s + 3, s - 6, s - 6);
      note.textContent = `봄 ${count.seen} · 못 봄 ${count.blind}` + (count.leak ? ` · 누출 ${count.leak}` : "");
      note.style.color = count.leak ? LEAK : INK;
    });
    caption.textContent = `화소 (${Math.floor(index / W)}, ${index % W}): 래스터 순서로 ${index + 1}번째, 앞선 화소 ${index}개`;
    controls.range.value = index;
  };
  const choose = (i) => { index = Math.max(0, Math.min(n - 1, i)); draw(); };
  const controls = courseControls(root, { max: n - 1, step: 1, value: index, duration: data.duration, onInput: choose });
  for (const { canvas } of panels) {
    canvas.addEventListener("pointerdown", (event) => {
      const b = canvas.getBoundingClientRect();
      const j = Math.floor(((event.clientX - b.left) / b.width) * W), i = Math.floor(((event.clientY - b.top) / b.height) * H);
      controls.stop();
      choose(Math.max(0, Math.min(H - 1, i)) * W + Math.max(0, Math.min(W - 1, j)));
    });
    canvas.addEventListener("keydown", (event) => {
      const d = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -W, ArrowDown: W }[event.key];
      if (!d || index + d < 0 || index + d >= n) return;
      event.preventDefault();
      controls.stop();
      choose(index + d);
    });
  }
  draw();
}
