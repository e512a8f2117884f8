// 슬라이더를 옮기면 그림과 소리가 함께 바뀌는 실험대. 계산도 WAV도 브라우저에서 만듭니다.
// data = {kind: "grid", names, labels, slider, sounds[이름][눈금] (int16 base64), start, rate}
//      또는 {kind: "quantise", sound (int16 base64), rate, level, bits, span}
const labInk = "#22262b", labBlue = "#0072B2", labOrange = "#D55E00", labGrey = "#9aa3af";
const labScale = 2, labWide = 780, labTall = 330;

function labSamples(text) {
  const bytes = courseBytes(text);
  return Float32Array.from(new Int16Array(bytes.buffer), (v) => v / 32767);
}

function labWav(x, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * x.length));
  const word = (at, text) => { for (let i = 0; i < 4; i++) view.setUint8(at + i, text.charCodeAt(i)); };
  word(0, "RIFF"); view.setUint32(4, 36 + 2 * x.length, true); word(8, "WAVE"); word(12, "fmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  word(36, "data"); view.setUint32(40, 2 * x.length, true);
  x.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, v))), true));
  return URL.createObjectURL(new Blob([view], { type: "audio/wav" }));
}

// μ-law와 고른 칸: course_lib/autoregressive/wavenet.py의 quantise_mu_law, quantise_linear와 같습니다
function labQuantise(v, law, levels) {
  const mu = 255, near = (u) => 2 * Math.round(((u + 1) * (levels - 1)) / 2) / (levels - 1) - 1;
  if (law === 1) return near(v);
  const w = near((Math.sign(v) * Math.log1p(mu * Math.abs(v))) / Math.log1p(mu));
  return (Math.sign(w) * Math.expm1(Math.abs(w) * Math.log1p(mu))) / mu;
}

function labSnr(x, gain, law, levels) {
  let signal = 0, noise = 0;
  for (const v of x) {
    const s = v * gain, e = s - labQuantise(s, law, levels);
    signal += s * s;
    noise += e * e;
  }
  return 10 * Math.log10(signal / noise);
}

function labLine(pen, xs, ys, color, width) {
  pen.strokeStyle = color; pen.lineWidth = width; pen.beginPath();
  xs.forEach((x, i) => (i ? pen.lineTo(x, ys[i]) : pen.moveTo(x, ys[i])));
  pen.stroke();
}

function labSpectrogram(pen, x, box) {  // 한 창, 256점, 가장 큰 칸에서 −60 dB까지
  const n = 256, hop = Math.max(32, Math.round(x.length / 90)), half = n / 2;
  const cos = Float32Array.from({ length: n }, (_, i) => Math.cos((2 * Math.PI * i) / n));
  const frames = [];
  let top = 1e-12;
  for (let at = 0; at + n <= x.length; at += hop) {
    const w = Float32Array.from({ length: n }, (_, i) => x[at + i] * (0.5 - 0.5 * cos[i]));
    const row = new Float32Array(half);
    for (let k = 0; k < half; k++) {
      let re = 0, im = 0;
      for (let i = 0; i < n; i++) { const a = (k * i) % n; re += w[i] * cos[a]; im += w[i] * cos[(a + n / 4) % n]; }
      row[k] = re * re + im * im;
      if (row[k] > top) top = row[k];
    }
    frames.push(row);
  }
  const w = box[2] / frames.length, h = box[3] / half;
  frames.forEach((row, m) => row.forEach((p, k) => {
    const t = Math.max(0, 1 + Math.log10(p / top + 1e-12) / 6);
    if (t <= 0) return;
    pen.fillStyle = "rgb(" + [255 - 255 * t, 255 - 175 * t, 255 - 105 * t * t].map(Math.round).join(",") + ")";
    pen.fillRect(box[0] + m * w, box[1] + box[3] - (k + 1) * h, w + 0.6, h + 0.6);
  }));
  pen.strokeStyle = labGrey; pen.lineWidth = 1; pen.strokeRect(...box);
}

function labSlider(parent, name, low, high, step, value, text, onInput) {
  const row = courseElement(parent, "label", "display:flex;align-items:center;gap:10px;margin:2px 0;max-width:100%");
  courseElement(row, "span", "flex:none;min-width:3.2em").textContent = name;
  const range = courseElement(row, "input",
    "flex:1 1 auto;min-width:0;height:44px;margin:0;accent-color:#0072B2;touch-action:pan-y;cursor:pointer",
    { type: "range", min: low, max: high, step, value, "aria-label": name });
  range.value = value;
  const shown = courseElement(row, "span", "flex:none;min-width:5em;text-align:right;font-variant-numeric:tabular-nums");
  const show = () => { shown.textContent = text(+range.value); };
  range.addEventListener("input", () => { show(); onInput(); });
  show();
  return range;
}

function courseSetup(root, data) {
  courseRoot(root);
  const image = root.querySelector("img");
  image.style.display = "none";
  const canvas = courseElement(root, "canvas", "width:100%;height:auto;display:block;background:#fff",
    { role: "img", "aria-label": image.alt });
  canvas.width = labScale * labWide; canvas.height = labScale * labTall;
  const pen = canvas.getContext("2d");
  const panel = courseElement(root, "div", "margin-top:4px");
  const caption = courseElement(panel, "div",
    "font-variant-numeric:tabular-nums;line-height:1.5;min-height:1.5em", { "aria-live": "polite" });
  const audio = courseElement(root, "audio", "display:none");
  let sound = null, address = "";
  const hear = courseElement(panel, "button",
    "min-width:88px;height:44px;border:0;border-radius:22px;background:#0072B2;color:#fff;font:inherit;cursor:pointer;" +
    "touch-action:manipulation;margin:4px 8px 4px 0;padding:0 18px", { type: "button" });
  hear.textContent = "듣기";
  hear.addEventListener("click", () => {
    audio.pause();
    if (address) URL.revokeObjectURL(address);
    address = labWav(sound, data.rate);
    audio.src = address;
    const started = audio.play();
    if (started) started.catch(() => {});
  });
  const narrow = root.clientWidth > 0 && root.clientWidth < 520;  // 휴대전화에서는 글자를 키웁니다
  const clear = () => {
    pen.setTransform(labScale, 0, 0, labScale, 0, 0);
    pen.fillStyle = "#fff"; pen.fillRect(0, 0, labWide, labTall);
    pen.font = (narrow ? 24 : 14) + "px sans-serif"; pen.textAlign = "left";
  };
  const write = (text, x, y, color, align) => {
    pen.fillStyle = color || labInk; pen.textAlign = align || "left"; pen.fillText(text, x, y);
  };

  if (data.kind === "grid") {
    let name = 0;
    const draw = () => {
      const tick = +range.value, x = (sound = labSamples(data.sounds[name][tick]));
      clear();
      const left = 44, wide = labWide - left - 8, shown = Math.min(x.length, 1600);
      const ys = Array.from(x.subarray(0, shown), (v) => 66 - 50 * v);
      labLine(pen, ys.map((_, i) => left + (wide * i) / shown), ys, labInk, 1);
      write("처음 " + (shown / data.rate).toFixed(1) + "초", labWide - 8, narrow ? 20 : 12, labGrey, "right");
      labSpectrogram(pen, x, [left, 128, wide, 176]);
      write((data.rate / 2000).toFixed(0) + "k", 6, 140); write("0 Hz", 6, 304);
      write("0", left, 322); write((x.length / data.rate).toFixed(1) + "초", labWide - 8, 322, labInk, "right");
      caption.textContent = data.names[name] + " · " + data.slider + " " + data.labels[tick];
    };
    const select = courseSelect(panel, data.names, (g) => { name = g; draw(); });
    select.setAttribute("aria-label", "조건 고르기");
    const range = labSlider(panel, data.slider, 0, data.labels.length - 1, 1, data.start, (v) => data.labels[v], draw);
    panel.append(hear, caption);
    draw();
    return;
  }

  const minus = (v) => String(v).replace("-", "−");
  const x = labSamples(data.sound), laws = ["μ-law", "고른 칸", "원음"];
  let law = 0;
  const curve = (kind, levels) => {  // 크기마다의 신호 대 잡음비. 빠르도록 표본을 다섯에 하나만 씁니다
    const thin = x.filter((_, i) => i % 5 === 0), out = [];
    for (let db = data.span[0]; db <= data.span[1]; db += 2) out.push([db, labSnr(thin, 10 ** (db / 20), kind, levels)]);
    return out;
  };
  let curves = [], drawn = 0;
  const draw = () => {
    const db = +loud.value, levels = 2 ** +bits.value, gain = 10 ** (db / 20);
    if (drawn !== levels) { curves = [0, 1].map((kind) => curve(kind, levels)); drawn = levels; }
    const s = x.map((v) => v * gain), q = law === 2 ? s : s.map((v) => labQuantise(v, law, levels));
    const peak = s.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    sound = q.map((v) => (0.9 * v) / peak);
    clear();
    const count = 100, wide = 350, from = Math.floor(x.length / 2);
    const place = (v) => 160 - Math.max(-145, Math.min(145, (110 * v) / peak));
    const px = Array.from({ length: count }, (_, i) => 10 + (wide * i) / (count - 1));
    labLine(pen, px, Array.from(s.subarray(from, from + count), place), labGrey, 3);
    const stairs = [[], []];
    px.forEach((at, i) => { stairs[0].push(at, at + wide / count); stairs[1].push(place(q[from + i]), place(q[from + i])); });
    labLine(pen, ...stairs, labBlue, 1.5);
    write(narrow ? "회색 원래, 파랑 칸에 맞춘 값" : "회색 원래 파형, 파랑 칸에 맞춘 값(세로는 크기에 맞춰 늘림)", 10, 324, labInk);
    const box = [430, 22, 335, 258], low = -10, high = 60;
    const at = (d, r) => [box[0] + (box[2] * (d - data.span[0])) / (data.span[1] - data.span[0]),
      box[1] + box[3] * (1 - (Math.max(low, Math.min(high, r)) - low) / (high - low))];
    for (let r = 0; r <= 60; r += 20) {
      labLine(pen, [box[0], box[0] + box[2]], [at(0, r)[1], at(0, r)[1]], "#e3e6ea", 1);
      write(r + " dB", box[0] - 6, at(0, r)[1] + 5, labInk, "right");
    }
    for (let d = data.span[0]; d <= data.span[1]; d += 20) write(minus(d) + (narrow ? "" : " dB"), at(d, 0)[0], 302, labInk, d ? "center" : "right");
    write(narrow ? "크기(dB)" : "소리의 크기", box[0] + box[2] / 2, 324, labInk, "center");
    write(narrow ? "SNR" : "신호 대 잡음비", box[0], narrow ? 18 : 14);
    write("μ-law", labWide - 90, narrow ? 18 : 14, labBlue, "right"); write("고른 칸", labWide - 6, narrow ? 18 : 14, labOrange, "right");
    curves.forEach((points, kind) => {
      const spots = points.map(([d, r]) => at(d, r));
      labLine(pen, spots.map((p) => p[0]), spots.map((p) => p[1]), kind ? labOrange : labBlue, 2);
    });
    if (law < 2) {
      const [cx, cy] = at(db, labSnr(x, gain, law, levels));
      pen.fillStyle = law ? labOrange : labBlue; pen.beginPath(); pen.arc(cx, cy, 6, 0, 7); pen.fill();
    }
    const snr = [0, 1].map((kind) => labSnr(x, gain, kind, levels).toFixed(1).replace("-", "−"));
    caption.textContent = "신호 대 잡음비: μ-law " + snr[0] + " dB, 고른 칸 " + snr[1] + " dB";
  };
  const select = courseSelect(panel, laws, (g) => { law = g; draw(); });
  select.setAttribute("aria-label", "칸을 나누는 법");
  const loud = labSlider(panel, "크기", ...data.span, 1, data.level, (v) => minus(v) + " dB", draw);
  const bits = labSlider(panel, "비트", 4, 12, 1, data.bits, (v) => v + " bit", draw);
  panel.append(hear, caption);
  draw();
}
