// A/B 듣기 시험: 어느 쪽이 A인지 섞어 들려주고, 끝까지 고른 다음에 결과를 밝힙니다.
// data = {names: [둘], question, titles, wavs: [[base64, base64], …]}
function courseSetup(root, data) {
  courseRoot(root);
  root.querySelector("img").style.display = "none";
  const box = courseElement(root, "div",
    "border:1px solid #c9ced6;border-radius:8px;padding:12px;max-width:560px;color:#22262b;background:#fff");
  const count = data.titles.length;
  let order, picks, now, heard, audios = [];

  const text = (parent, words, css) => {
    const line = courseElement(parent, "p", "margin:0 0 8px;" + (css || ""));
    line.textContent = words;
    return line;
  };
  const row = () => courseElement(box, "div", "display:flex;flex-wrap:wrap;gap:8px;margin:0 0 10px");
  const button = (parent, words, act, main, least = 130) => {
    const made = courseElement(parent, "button",
      "flex:1 1 " + least + "px;min-height:44px;padding:6px 12px;font:inherit;border-radius:8px;cursor:pointer;" +
      "touch-action:manipulation;border:1px solid #0072B2;" +
      (main ? "background:#0072B2;color:#fff" : "background:#fff;color:#0072B2"), { type: "button" });
    made.textContent = words;
    made.addEventListener("click", act);
    return made;
  };
  const quiet = () => { for (const a of audios) { a.pause(); a.currentTime = 0; } };
  const sound = (trial, side) => {
    const a = courseElement(box, "audio", "display:none", { preload: "auto" });
    a.src = "data:audio/wav;base64," + data.wavs[trial][side];
    audios.push(a);
    return () => { quiet(); const p = a.play(); if (p) p.catch(() => {}); };
  };
  const clear = () => { quiet(); audios = []; box.replaceChildren(); };

  // 둘을 전혀 가리지 못할 때 n번 가운데 k번 이상(또는 n − k번 이하) 한쪽을 고를 확률
  const chance = (k, n) => {
    let term = 1, tail = 0;
    const least = Math.max(k, n - k);
    for (let i = 0; i <= n; i++) {
      if (i >= least) tail += term;
      term = (term * (n - i)) / (i + 1);
    }
    return Math.min(1, (2 * tail) / 2 ** n);
  };

  const ask = () => {
    clear();
    text(box, now + 1 + " / " + count + "번째 문제", "font-weight:600");
    text(box, data.question);
    const first = order[now];  // A가 names[first]입니다
    const play = [sound(now, first), sound(now, 1 - first)];
    const listen = row(), choose = row();
    const choices = [];
    const open = () => { for (const c of choices) { c.disabled = !(heard[0] && heard[1]); c.style.opacity = c.disabled ? 0.45 : 1; } };
    ["A", "B"].forEach((name, i) =>
      button(listen, name + " 듣기", () => { heard[i] = true; play[i](); open(); }, true));
    const pick = (value) => { picks.push(value); now += 1; heard = [false, false]; now < count ? ask() : show(); };
    choices.push(button(choose, "A를 고릅니다", () => pick(first)));
    choices.push(button(choose, "B를 고릅니다", () => pick(1 - first)));
    choices.push(button(choose, "가리지 못하겠습니다", () => pick(null)));
    open();
    text(box, "둘 다 들어야 고를 수 있습니다. 몇 번이고 다시 들어도 됩니다.", "font-size:0.9em;color:#5b6470");
    listen.firstChild.focus({ preventScroll: true });
  };

  const show = () => {
    clear();
    const wins = [0, 1].map((side) => picks.filter((p) => p === side).length);
    const tied = picks.length - wins[0] - wins[1];
    const result = text(box, data.names[0] + " " + wins[0] + "번, " + data.names[1] + " " + wins[1] +
      "번, 가리지 못함 " + tied + "번", "font-weight:600");
    result.setAttribute("role", "status");
    const n = wins[0] + wins[1];
    text(box, n ? "둘을 전혀 가리지 못하는 사람도 이만큼 한쪽을 고를 확률은 " + chance(wins[0], n).toFixed(2) +
      "입니다." + (chance(wins[0], n) > 0.05 ? " 우연이 아니라고 말하기에는 모자랍니다." : " 우연으로 보기 어렵습니다.")
      : "한 번도 고르지 않았습니다.");
    data.titles.forEach((title, i) => {
      const line = row();
      text(line, title + " → " + (picks[i] === null ? "가리지 못함" : data.names[picks[i]]),
        "flex:1 1 110px;align-self:center;margin:0");
      [0, 1].forEach((side) => button(line, data.names[side] + " 듣기", sound(i, side), false, 84));
    });
    button(row(), "처음부터 다시", start, true);
  };

  const start = () => {
    order = data.titles.map(() => (Math.random() < 0.5 ? 0 : 1));
    picks = [];
    now = 0;
    heard = [false, false];
    ask();
  };
  // 쪽을 열자마자 초점을 빼앗지 않도록 단추를 누른 다음에 시작합니다
  text(box, "A/B 듣기 시험: " + count + "문제. 이어폰을 끼고 조용한 곳에서 해 보세요.", "font-weight:600");
  text(box, "문제마다 어느 쪽이 A인지 새로 섞고, 다 고른 다음에 밝힙니다.");
  button(row(), "시험 시작", start, true);
}
