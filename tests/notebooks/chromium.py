"""실제 JupyterLab과 오프라인 HTML을 headless Chromium으로 열고 모든 조작기를 움직여 봅니다.

- 슬라이더(ipywidgets의 noUiSlider, `input[type=range]`)와 `select`를 처음, 중간, 끝으로 옮기고,
  값이 바뀔 때마다 그 출력 영역의 그림(img, canvas)의 화소가 달라지는지 봅니다.
- 이름에 '재생'이나 ▶가 있는 단추와 CSS 클래스 `course-safe`가 붙은 단추를 눌러 봅니다.
- 조작해도 그림이 바뀌지 않는 것이 옳은 조작기(다음 단추를 눌러야 쓰이는 값)에는 CSS 클래스
  `course-quiet`을 붙입니다. 그때는 값이 바뀌는지만 봅니다.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat

from course_lib.cli import kernel_environment

# 바깥 이름은 아예 풀리지 않게 하여, 요청이 있으면 실패하고 목록에도 남습니다
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

SCRIPT = Path(__file__).with_name("chromium.js").read_text(encoding="utf-8")


def find_chromium() -> str | None:
    """`CHROMIUM` 환경 변수, PATH, 흔한 설치 자리 순으로 찾습니다."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    places = [os.environ.get("CHROMIUM"), *map(shutil.which, names)]
    places += ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
    places += [r"C:\Program Files\Google\Chrome\Application\chrome.exe"]
    return next((place for place in places if place and Path(place).is_file()), None)


@contextlib.contextmanager
def jupyterlab(root: Path, settings: Path):
    """`root`를 여는 JupyterLab의 주소. 사용자의 설정을 읽지도 바꾸지도 않습니다."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}"]
    command += ["--ip=127.0.0.1", "--IdentityProvider.token=", "--ServerApp.password="]
    command += ["--ServerApp.allow_root=True", f"--ServerApp.root_dir={root}"]
    command += ["--expose-app-in-browser", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
    names += ["JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]
    environment = kernel_environment(**{name: str(settings / name) for name in names})
    log = settings / "server.log"
    quiet = settings / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}', encoding="utf-8"
    )
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=root)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            if server.poll() is not None:
                raise RuntimeError(log.read_text(encoding="utf-8", errors="replace")[-3000:])
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=1).close()
                break
            time.sleep(0.25)
        else:
            raise RuntimeError("JupyterLab이 60초 안에 켜지지 않았습니다.")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def opened(browser, address: str, width: int = 1280):
    """새 탭과, 그 탭이 보낸 바깥 요청과 스크립트 오류의 목록."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    troubles: list[str] = []
    inside = ("data:", "blob:", "about:", address.split("/lab/")[0])

    def outside(request):
        if not request.url.startswith(inside):
            troubles.append(f"바깥 요청: {request.url[:150]}")

    page.on("request", outside)
    page.on("pageerror", lambda error: troubles.append(f"스크립트 오류: {error}"[:300]))
    try:
        page.goto(address, wait_until="domcontentloaded")
        yield page, troubles
    finally:
        page.close()


def drive(page, limit_ms: int) -> tuple[list[str], int]:
    """모든 조작기를 움직이고 모든 안전한 단추를 누릅니다. (문제의 목록, 조작한 것의 수)."""
    page.evaluate(SCRIPT)
    found = page.evaluate("() => course.find()")
    problems = []
    for index in range(len(found["controls"])):
        problems += page.evaluate("([i, t]) => course.drive(i, t)", [index, limit_ms])
    for index in range(len(found["buttons"])):
        problems += page.evaluate("([i, t]) => course.press(i, t)", [index, 4 * limit_ms])
    return problems, len(found["controls"]) + len(found["buttons"])


NOTEBOOK = "window.jupyterapp.shell.currentWidget"
ALL_CODE = f"{NOTEBOOK}.content.widgets.filter(c => c.model.type === 'code')"
ERRORS = f"""() => {ALL_CODE}
  .filter(c => !(c.model.getMetadata('tags') || []).includes('raises-exception'))
  .flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error')
  .map(o => o.ename + ': ' + o.evalue)"""


def run_all(page, timeout: float) -> list[str]:
    """JupyterLab에 열린 노트북을 새 커널에서 끝까지 실행하고, 오류 출력의 목록을 돌려줍니다."""
    idle = f"{NOTEBOOK}.sessionContext.session?.kernel?.status === 'idle'"
    page.wait_for_function(
        f"() => window.jupyterapp && {NOTEBOOK}?.sessionContext?.isReady && {idle}", timeout=90_000
    )
    # 화면 밖의 셀도 그려야 조작기를 찾을 수 있습니다
    page.evaluate(
        f"""() => {{ const nb = {NOTEBOOK}.content;
        nb.notebookConfig = {{...nb.notebookConfig, windowingMode: 'none'}};
        window.ran = false;
        window.jupyterapp.commands.execute('notebook:run-all-cells')
          .then(() => window.ran = true); }}"""
    )
    page.wait_for_function(f"() => window.ran && {idle}", timeout=timeout * 1000)
    page.wait_for_timeout(1000)
    missing = page.evaluate(
        f"() => {ALL_CODE}.filter(c => c.model.sharedModel.getSource().trim()"
        " && c.model.executionCount === null).length"
    )
    return page.evaluate(ERRORS) + ([f"실행되지 않은 셀 {missing}개"] if missing else [])


def check_in_lab(
    browser, address: str, name: str, shots: Path | None = None, timeout=600, limit=15_000
):
    """JupyterLab에서 실행하고 조작합니다. (문제의 목록, 조작한 것의 수)."""
    with opened(browser, f"{address}/lab/tree/{name}?reset") as (page, troubles):
        problems = run_all(page, timeout)
        moved = 0
        if not problems:
            more, moved = drive(page, limit)
            problems += more + page.evaluate(ERRORS)
        if shots:
            shoot_lab(page, shots, Path(name).stem)
        page.evaluate(f"() => {NOTEBOOK}.sessionContext.shutdown()")
        return problems + troubles, moved


def shoot_lab(page, shots: Path, stem: str) -> None:
    """그림이나 위젯이 있는 출력마다 한 장씩 찍습니다."""
    areas = page.locator(".jp-Notebook .jp-Cell:has(.jp-OutputArea :is(img, canvas))")
    for index in range(areas.count()):
        areas.nth(index).screenshot(path=shots / f"{stem}-lab-{index:02d}.png")


def check_html(browser, file: Path, shots: Path | None = None, limit=5_000):
    """오프라인 HTML을 열고 조작합니다. (문제의 목록, 조작한 것의 수)."""
    with opened(browser, file.resolve().as_uri()) as (page, troubles):
        page.wait_for_function("() => MathJax.startup.promise.then(() => true)")
        problems, moved = drive(page, limit)
        problems += [
            f"수식 오류: {text}"
            for text in page.evaluate(
                "() => [...document.querySelectorAll('[data-mjx-error]')]"
                ".map(e => e.getAttribute('data-mjx-error'))"
            )
        ]
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(200)
            wide = page.evaluate("() => document.documentElement.scrollWidth")
            if wide > width:
                problems.append(f"너비 {width}에서 쪽이 {wide}만큼 넓어 옆으로 밀립니다.")
            if shots:
                page.screenshot(path=shots / f"{file.stem}-html-{width}.png", full_page=True)
        return problems + troubles, moved


def without_skipped(nb) -> nbformat.NotebookNode:
    """`nbval-skip` 셀을 뺀 사본."""
    nb = nbformat.from_dict(nb)
    nb.cells = [c for c in nb.cells if "nbval-skip" not in c.metadata.get("tags", [])]
    return nb


def check_slides(browser, file: Path, shots: Path | None = None, limit=5_000):
    """슬라이드를 끝까지 넘기며, 너무 긴 장(한 화면 반까지)과 움직이지 않는 조작기를 찾습니다.

    (문제의 목록, 조작한 것의 수)를 돌려줍니다.
    """
    with opened(browser, file.resolve().as_uri()) as (page, troubles):
        page.wait_for_function("() => window.__deck_ready")
        page.evaluate(SCRIPT)
        problems, driven = [], 0
        for number in range(500):
            screens, wide, start = page.evaluate(
                "() => { const s = Reveal.getCurrentSlide(); fitSlide(s);"
                " const wide = [...s.querySelectorAll('.highlight pre')].some(tooWide);"
                " return [s.scrollHeight / s.clientHeight, wide, s.innerText.trim().slice(0, 30)]; }"
            )
            if wide:
                problems.append(f"코드가 슬라이드의 오른쪽을 벗어납니다: {start!r}")
            if screens > 1.5:
                problems.append(
                    f"가장 작게 줄여도 {screens:.1f}화면입니다. subslide로 나누세요: {start!r}"
                )
            if shots:
                page.screenshot(path=shots / f"{file.stem}-{number:02d}.png")
            here = page.evaluate(
                "() => { course.find(); const s = Reveal.getCurrentSlide();"
                " return [...course.controls.keys()]"
                ".filter(i => s.contains(course.controls[i]) && !s.dataset.driven); }"
            )
            for index in here:
                problems += page.evaluate("([i, t]) => course.drive(i, t)", [index, limit])
            driven += len(here)
            page.evaluate("() => { Reveal.getCurrentSlide().dataset.driven = true }")
            if page.evaluate("() => Reveal.isLastSlide() && !Reveal.availableFragments().next"):
                break
            page.evaluate("() => Reveal.next()")
        return sorted(set(problems)) + troubles, driven
