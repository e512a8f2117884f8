// 재생기마다 키보드와 터치로 다룰 수 있는지, 이름표가 있는지 봅니다. test_site.py가 씁니다.
// 쪽의 스크립트보다 먼저 실행해 어느 요소가 누르기와 끌기를 듣는지 적어 둡니다.
(() => {
  const heard = new Map();
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (this instanceof Element) {
      if (!heard.has(this)) heard.set(this, new Set());
      heard.get(this).add(type);
    }
    return add.call(this, type, ...rest);
  };
  const native = "button, input, select, textarea, a[href], audio[controls], summary";
  const name = (e) => (e.getAttribute("aria-label") || e.closest("label")?.innerText ||
    (e.id && document.querySelector(`label[for="${e.id}"]`)?.innerText) ||
    (e.matches("button, a, summary") && e.innerText) || e.title || e.alt || "").trim();
  const describe = (e) => `${e.tagName.toLowerCase()} '${name(e)}'`;
  const frame = () => new Promise((done) => setTimeout(done, 60));
  const picture = (root) => [...root.querySelectorAll("img, canvas")].map((e) =>
    e.tagName === "IMG" ? e.src.length + e.src.slice(-200) : e.toDataURL()).join() + root.innerText +
    [...root.querySelectorAll("svg")].map((e) => e.outerHTML).join() +
    [...root.querySelectorAll("input, select")].map((e) => e.value).join();
  const shown = (e) => e.getClientRects().length > 0 && !e.disabled;
  window.accessibility = async () => {
    const problems = [];
    let controls = 0;
    for (const [number, root] of document.querySelectorAll("[data-course-player]").entries()) {
      const say = (text) => problems.push(`재생기 ${number + 1}: ${text}`);
      const handles = [...root.querySelectorAll("*")].filter((e) => {
        const types = heard.get(e) || new Set();
        const mouse = ["mousedown", "mousemove"].some((t) => types.has(t));
        const touch = ["pointerdown", "pointermove", "touchstart"].some((t) => types.has(t));
        if (mouse && !touch) say(`${describe(e)}은(는) 터치로 끌 수 없습니다.`);
        return mouse || touch || types.has("click");
      });
      const all = [...new Set([...root.querySelectorAll(native + ", [tabindex]"), ...handles])].filter(shown);
      controls += all.length;
      if (!all.length) say("조작기가 없습니다.");
      for (const e of all) {
        if (!name(e)) say(`${describe(e)}에 이름표(aria-label)가 없습니다.`);
        if (e.tabIndex < 0) { say(`${describe(e)}에 Tab으로 갈 수 없습니다.`); continue; }
        e.focus({ preventScroll: true });
        if (document.activeElement !== e) { say(`${describe(e)}에 초점이 가지 않습니다.`); continue; }
        if (e.matches(":focus-visible") && getComputedStyle(e).outlineStyle === "none")
          say(`${describe(e)}의 초점이 보이지 않습니다.`);
        const rolls = e.matches('[role="region"]') && getComputedStyle(e).overflowX === "auto";
        if (e.matches(native) || rolls) continue;  // 키보드는 브라우저가 맡습니다
        let moved = false;
        for (const key of ["ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "Enter", " "]) {
          const before = picture(root);
          e.dispatchEvent(new KeyboardEvent("keydown", { key, code: key, bubbles: true, cancelable: true }));
          await frame();
          if ((moved = picture(root) !== before)) break;
        }
        if (!moved) say(`${describe(e)}은(는) 키보드로 움직이지 않습니다.`);
      }
    }
    return [problems, controls];
  };
})();
