// 재생기가 함께 쓰는 조각. 밖의 것을 아무것도 부르지 않으며 모든 요소는 root 안에 만듭니다.
function courseElement(parent, tag, css, attributes) {
  const element = document.createElement(tag);
  element.style.cssText = css || "";
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  parent.appendChild(element);
  return element;
}

function courseBytes(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

function courseRoot(root) {
  // 방향키와 손가락 끌기를 슬라이드(reveal)나 JupyterLab이 가로채지 않게 합니다.
  root.setAttribute("data-prevent-swipe", "");
  for (const type of ["keydown", "keyup", "keypress", "touchstart", "touchmove", "touchend"])
    root.addEventListener(type, (event) => event.stopPropagation(), { passive: true });
}

function courseSelect(parent, names, onChange) {
  const select = courseElement(parent, "select",
    "font:inherit;min-height:36px;padding:2px 8px;margin:0 0 6px;border:1px solid #9aa3af;" +
    "border-radius:6px;background:#fff;color:#22262b;max-width:100%", { "aria-label": "모델 고르기" });
  names.forEach((name, i) => { const o = courseElement(select, "option", "", { value: i }); o.textContent = name; });
  select.addEventListener("change", () => onChange(+select.value));
  return select;
}

function courseControls(parent, { max, step, value, duration, smooth, onInput }) {
  const row = courseElement(parent, "div", "display:flex;align-items:center;gap:10px;margin:6px 0 0;max-width:100%");
  const button = courseElement(row, "button",
    "flex:none;width:44px;height:44px;border:0;border-radius:50%;background:#0072B2;color:#fff;cursor:pointer;" +
    "display:flex;align-items:center;justify-content:center;touch-action:manipulation;padding:0",
    { type: "button" });
  const range = courseElement(row, "input",
    "flex:1 1 auto;min-width:0;height:44px;margin:0;accent-color:#0072B2;touch-action:pan-y;cursor:pointer",
    { type: "range", min: 0, max, step, value, "aria-label": "단계" });
  range.value = value;
  const icon = (paused) => {
    button.innerHTML = paused
      ? '<svg width="18" height="18" viewBox="0 0 18 18"><path d="M5 2.5v13l10.5-6.5z" fill="currentColor"/></svg>'
      : '<svg width="18" height="18" viewBox="0 0 18 18"><path d="M4 3h3.6v12H4zm6.4 0H14v12h-3.6z" fill="currentColor"/></svg>';
    button.setAttribute("aria-label", paused ? "재생" : "멈춤");
  };
  let playing = 0, last = 0, position = +value;
  const tick = (now) => {
    if (!playing || !row.isConnected) return stop();
    const end = +range.max;
    position = Math.min(end, position + (end * Math.max(0, now - last)) / duration);
    last = now;
    range.value = position;
    onInput(smooth ? position : +range.value);
    if (position >= end) return stop();
    playing = requestAnimationFrame(tick);
  };
  const stop = () => { cancelAnimationFrame(playing); playing = 0; icon(true); };
  button.addEventListener("click", () => {
    if (playing) return stop();
    position = +range.value >= +range.max ? 0 : +range.value;
    last = performance.now();
    icon(false);
    playing = requestAnimationFrame(tick);
  });
  range.addEventListener("input", () => { stop(); onInput(+range.value); });
  icon(true);
  return { range, stop };
}
