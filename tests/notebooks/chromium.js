// 출력 영역의 조작기를 찾아 움직이고 그림의 화소가 바뀌는지 봅니다. chromium.py가 씁니다.
() => {
  if (window.course) return;
  const C = window.course = {};
  const walk = function* (root) {
    for (const e of root.querySelectorAll('*')) {
      yield e;
      if (e.shadowRoot) yield* walk(e.shadowRoot);
    }
  };
  const areas = () => [...document.querySelectorAll('.jp-OutputArea')]
    .filter(a => !a.parentElement.closest('.jp-OutputArea'));
  const visible = e => e.getClientRects().length > 0 && !e.disabled;
  const all = test => areas().flatMap(a => [...walk(a)].filter(e => test(e) && visible(e)));
  const host = e => {
    while (e.getRootNode() instanceof ShadowRoot) e = e.getRootNode().host;
    return e;
  };
  const label = e => (e.getAttribute('aria-label') || e.title || host(e).closest('.jupyter-widgets')
    ?.querySelector('.widget-label')?.textContent || e.textContent || e.type || '').trim().slice(0, 40);
  const quiet = e => !!(e.closest('.course-quiet') || host(e).closest('.course-quiet'));
  const describe = e => ({label: label(e), quiet: quiet(e), tag: e.tagName});
  const isControl = e => e.matches('.noUi-handle, input[type=range], select');
  const isButton = e => e.matches('button') &&
    (/재생|▶|play/i.test(label(e) + e.textContent) || e.querySelector('.fa-play') ||
     e.matches('.course-safe') || e.closest('.course-safe'));
  C.find = () => { C.controls = all(isControl); C.buttons = all(isButton);
                   return {controls: C.controls.map(describe), buttons: C.buttons.map(describe)}; };
  C.focus = e => { C.area = areas().find(a => a.contains(host(e)));
                   e.scrollIntoView({block: 'center'}); e.focus(); };
  C.value = e => e.matches('.noUi-handle') ? e.getAttribute('aria-valuenow') : e.value;
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const hash = (picture, width, height) => {
    canvas.width = Math.min(width, 1600); canvas.height = Math.min(height, 1600);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const data = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    let h = 2166136261;
    for (const word of data) h = Math.imul(h ^ word, 16777619);
    return h >>> 0;
  };
  C.pictures = () => [...walk(C.area)].filter(e => e.matches('img, canvas') && visible(e)
                                              && e.getBoundingClientRect().width > 24);
  // 아직 다 풀리지 않은 그림이 있으면 null
  C.signature = () => {
    const found = C.pictures();
    if (found.some(e => e.tagName === 'IMG' && !(e.complete && e.naturalWidth))) return null;
    return found.map(e => e.tagName === 'IMG' ? hash(e, e.naturalWidth, e.naturalHeight)
                                              : hash(e, e.width, e.height)).join(',');
  };
  const frame = () => new Promise(done => setTimeout(done, 30));
  C.settled = async (still, limit) => {
    let last = C.signature(), since = performance.now();
    const start = since;
    while (performance.now() - since < still && performance.now() - start < limit) {
      await frame();
      const now = C.signature();
      if (now !== last || now === null) { last = now; since = performance.now(); }
    }
    return last;
  };
  C.changed = async (before, limit) => {
    const start = performance.now();
    while (performance.now() - start < limit) {
      const now = C.signature();
      if (now !== null && now !== before) return true;
      await frame();
    }
    return false;
  };
  const press = (e, key) => e.dispatchEvent(new KeyboardEvent('keydown',
    {key, code: key, bubbles: true, cancelable: true}));
  const fire = e => { for (const name of ['input', 'change'])
                        e.dispatchEvent(new Event(name, {bubbles: true})); };
  C.move = (e, place) => {
    if (e.matches('.noUi-handle')) {
      if (place === 'start') press(e, 'Home');
      else if (place === 'end') press(e, 'End');
      else for (let k = 0; k < 3; k++) press(e, 'ArrowRight');
    } else if (e.tagName === 'SELECT') {
      const n = e.options.length - 1;
      e.selectedIndex = {start: 0, middle: Math.ceil(n / 2), end: n}[place]; fire(e);
    } else {
      const low = +(e.min || 0), high = +(e.max || 100);
      e.value = {start: low, middle: (low + high) / 2, end: high}[place]; fire(e);
    }
  };
  // 고르는 목록은 슬라이더의 어떤 자리(예: 이동량 0)에서는 그림이 같을 수 있어, 자리를 바꿔 다시 봅니다
  C.drive = async (index, limit) => {
    let problems = await C.sweep(index, limit);
    const e = C.controls[index];
    if (e.tagName !== 'SELECT') return problems;
    const area = areas().find(a => a.contains(host(e)));
    const sliders = C.controls.filter(c => c.tagName !== 'SELECT' && area.contains(host(c)));
    for (const place of sliders.length ? ['start', 'end'] : []) {
      if (!problems.length) break;
      for (const slider of sliders) C.move(slider, place);
      problems = await C.sweep(index, limit);
    }
    return problems;
  };
  // 한 조작기를 처음, 중간, 끝으로 옮기며 생긴 문제의 목록
  C.sweep = async (index, limit) => {
    const e = C.controls[index], name = `${e.tagName} '${label(e)}'`, problems = [];
    C.focus(e);
    const initial = C.value(e);
    if (!C.pictures().length && !quiet(e)) return [`${name}: 출력에 그림이 없습니다.`];
    let moved = false;
    for (const place of ['start', 'middle', 'end']) {
      const before = await C.settled(250, limit), value = C.value(e);
      C.move(e, place);
      await frame();
      if (C.value(e) === value) continue;
      moved = true;
      if (!quiet(e) && !(await C.changed(before, limit)))
        problems.push(`${name}: ${value} → ${C.value(e)}에서 그림이 바뀌지 않습니다.`);
    }
    C.move(e, 'start');  // 끝에 두면 재생 단추가 할 일이 없습니다
    await C.settled(250, limit);
    if (!moved) problems.push(`${name}: 값이 움직이지 않습니다(${initial}).`);
    return problems;
  };
  C.press = async (index, limit) => {
    const e = C.buttons[index], name = `단추 '${label(e)}'`;
    C.focus(e);
    const before = await C.settled(250, 5000);
    e.click();
    const ok = await C.changed(before, limit);
    if (e.isConnected && /재생|▶|play|정지|멈춤|⏸|❚|pause/i.test(label(e) + e.innerHTML)) e.click();
    await C.settled(300, 5000);
    return ok ? [] : [`${name}: 눌러도 그림이 바뀌지 않습니다.`];
  };
}
