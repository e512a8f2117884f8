// 모델 비교표: 제목을 누르면 정렬하고, 필요한 것을 고르면 거릅니다.
// data = {columns: [{key, title, note, better}], rows: [{cells: [{text, value, best}], needs}], needs: [[이름, 설명]], start}
function courseSetup(root, data) {
  courseRoot(root);
  root.querySelector("img").style.display = "none";
  const box = courseElement(root, "div", "color:#22262b;background:#fff;font-size:14px");
  const chosen = new Set();
  let sorted = data.columns.findIndex((c) => c.key === data.start), reverse = false;

  const ask = courseElement(box, "p", "margin:0 0 4px;font-weight:600");
  ask.textContent = "무엇이 필요합니까?";
  const bar = courseElement(box, "div", "display:flex;flex-wrap:wrap;gap:6px;margin:0 0 8px",
    { role: "group", "aria-label": "필요한 것" });
  const paint = (b, on) => {
    b.setAttribute("aria-pressed", on);
    b.style.background = on ? "#0072B2" : "#fff";
    b.style.color = on ? "#fff" : "#0072B2";
  };
  for (const [need, note] of data.needs) {
    const b = courseElement(bar, "button",
      "min-height:44px;padding:4px 12px;font:inherit;border:1px solid #0072B2;border-radius:8px;cursor:pointer;" +
      "touch-action:manipulation", { type: "button", title: note });
    b.textContent = need;
    paint(b, false);
    b.addEventListener("click", () => {
      chosen.has(need) ? chosen.delete(need) : chosen.add(need);
      paint(b, chosen.has(need));
      show();
    });
  }
  const status = courseElement(box, "p", "margin:0 0 6px;min-height:1.4em;color:#5b6470", { role: "status" });

  const frame = courseElement(box, "div", "overflow-x:auto;max-width:100%;border:1px solid #c9ced6;border-radius:8px",
    { tabindex: "0", role: "region", "aria-label": "모델 비교표(옆으로 밀 수 있습니다)" });
  const table = courseElement(frame, "table", "border-collapse:collapse;margin:0;width:100%;font-variant-numeric:tabular-nums");
  const head = courseElement(courseElement(table, "thead", ""), "tr", "background:#F2F5F8");
  const stick = "position:sticky;left:0;z-index:1;";
  const titles = data.columns.map((column, i) => {
    const th = courseElement(head, "th", "padding:0;border:0;background:#F2F5F8;" + (i ? "" : stick), { scope: "col" });
    const b = courseElement(th, "button",
      "width:100%;min-height:44px;padding:4px 8px;font:inherit;font-weight:600;border:0;background:none;cursor:pointer;" +
      "white-space:nowrap;touch-action:manipulation;text-align:" + (i ? "right" : "left"),
      { type: "button", title: column.note });
    b.addEventListener("click", () => {
      reverse = sorted === i ? !reverse : column.better === "high";
      sorted = i;
      show();
    });
    return { th, b };
  });
  const body = courseElement(table, "tbody", "");
  const note = courseElement(box, "p", "margin:6px 0 0;color:#5b6470;min-height:1.4em");

  const show = () => {
    const kept = data.rows.filter((row) => [...chosen].every((need) => row.needs.includes(need)));
    const value = (row) => row.cells[sorted].value;
    const there = kept.filter((row) => value(row) !== null), missing = kept.filter((row) => value(row) === null);
    const less = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    there.sort((a, b) => (reverse ? less(b, a) : less(a, b)));
    titles.forEach(({ th, b }, i) => {
      const here = i === sorted;
      b.textContent = data.columns[i].title + (here ? (reverse ? " ▼" : " ▲") : "");
      b.style.color = here ? "#0072B2" : "#22262b";
      here ? th.setAttribute("aria-sort", reverse ? "descending" : "ascending") : th.removeAttribute("aria-sort");
    });
    body.replaceChildren();
    for (const row of [...there, ...missing]) {
      const tr = courseElement(body, "tr", "border-top:1px solid #E3E7EC;background:#fff");
      row.cells.forEach((cell, i) => {
        const td = courseElement(tr, i ? "td" : "th",
          "padding:7px 8px;white-space:nowrap;border:0;background:#fff;text-align:" + (i ? "right" : "left;") + (i ? "" : stick) +
          (cell.best || !i ? ";font-weight:600" : ";font-weight:400") + (cell.best ? ";color:#0072B2" : ""), i ? {} : { scope: "row" });
        td.textContent = cell.text;
      });
    }
    const names = kept.map((row) => row.cells[0].text);
    status.textContent = !chosen.size ? "모델 " + data.rows.length + "개. 제목을 누르면 정렬합니다."
      : names.length ? data.rows.length + "개 가운데 " + names.length + "개가 남았습니다: " + names.join(", ")
      : "모두 갖춘 모델은 이 표에 없습니다. 무엇을 내려놓을지 골라야 합니다.";
    note.textContent = data.columns[sorted].title + ": " + data.columns[sorted].note + ". 파란 값이 그 열에서 가장 좋습니다.";
  };
  show();
}
