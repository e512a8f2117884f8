// 소리 카드: 파형과 스펙트로그램을 누르면 소리가 나고 세로줄이 따라갑니다.
// data = {names, wavs (base64), columns, rows, left, right, seconds, cell: [너비, 높이]}
function courseSetup(root, data) {
  courseRoot(root);
  const image = root.querySelector("img");
  const sheet = image.src;
  image.style.display = "none";
  const grid = courseElement(root, "div",
    "display:grid;gap:8px;grid-template-columns:repeat(auto-fill,minmax(min(100%,150px),1fr));max-width:" +
    (data.columns * data.cell[0] + 8 * (data.columns - 1)) + "px");
  // 글자 대신 그림: 화면 읽개는 단추의 이름만 읽습니다
  const icon = (mark, on) => {
    mark.innerHTML = '<svg width="14" height="14" viewBox="0 0 18 18" aria-hidden="true"><path d="' +
      (on ? "M4 4h10v10H4z" : "M4 2v14l12-7z") + '" fill="currentColor"/></svg>';
  };
  let current = null;
  const stop = () => {
    if (!current) return;
    current.audio.pause();
    current.audio.currentTime = 0;
    current.line.style.display = "none";
    icon(current.mark, false);
    current.button.setAttribute("aria-pressed", "false");
    current = null;
  };
  const share = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0) + "%";
  data.names.forEach((name, i) => {
    const column = i % data.columns, row = Math.floor(i / data.columns);
    const button = courseElement(grid, "button",
      "position:relative;padding:0;border:1px solid #c9ced6;border-radius:8px;overflow:hidden;cursor:pointer;" +
      "touch-action:manipulation;background:#fff;width:100%;aspect-ratio:" + data.cell[0] + "/" + data.cell[1],
      { type: "button", "aria-pressed": "false", "aria-label": name + " 듣기" });
    courseElement(button, "div",
      "position:absolute;inset:0;background-image:url(" + sheet + ");background-repeat:no-repeat;background-size:" +
      100 * data.columns + "% " + 100 * data.rows + "%;background-position:" +
      share(column, data.columns) + " " + share(row, data.rows));
    const line = courseElement(button, "div",
      "position:absolute;top:14%;bottom:4%;width:2px;background:#D55E00;display:none;pointer-events:none");
    const mark = courseElement(button, "span",
      "position:absolute;top:3px;right:6px;font-size:14px;line-height:1;color:#0072B2;pointer-events:none");
    icon(mark, false);
    const audio = courseElement(button, "audio", "display:none", { preload: "auto" });
    audio.src = "data:audio/wav;base64," + data.wavs[i];
    const me = { audio, line, mark, button };
    const follow = () => {
      if (current !== me || !button.isConnected) return;
      const t = Math.min(1, audio.currentTime / data.seconds[i]);
      line.style.left = 100 * (data.left + (data.right - data.left) * t) + "%";
      requestAnimationFrame(follow);
    };
    audio.addEventListener("ended", () => { if (current === me) stop(); });
    button.addEventListener("click", () => {
      const again = current === me;
      stop();
      if (again) return;
      current = me;
      line.style.display = "block";
      icon(mark, true);
      button.setAttribute("aria-pressed", "true");
      const started = audio.play();
      if (started) started.catch(() => { if (current === me) stop(); });
      follow();
    });
  });
}
