// 미리 그린 PNG를 넘겨 보는 재생기. data = {names, groups: [{labels, frames}], start, duration}
function courseSetup(root, data) {
  courseRoot(root);
  const image = root.querySelector("img");
  let group = 0, index = data.start;
  const poster = image.src;
  const source = (g, i) => { const f = data.groups[g].frames[i]; return f ? "data:image/png;base64," + f : poster; };
  const controls = document.createElement("div");
  if (data.names.length > 1) courseSelect(controls, data.names, (g) => { group = g; show(index); });
  image.after(controls);
  const caption = courseElement(controls, "div",
    "font-variant-numeric:tabular-nums;line-height:1.5;min-height:1.5em;margin-top:4px", { "aria-live": "polite" });
  const show = (i) => {
    index = i;
    image.src = source(group, i);
    caption.textContent = data.groups[group].labels[i];
  };
  const count = data.groups[0].frames.length;
  courseControls(controls, { max: count - 1, step: 1, value: index, duration: data.duration, onInput: show });
  controls.insertBefore(caption, null);
  show(index);
}
