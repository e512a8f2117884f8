"""재생기와 화판을 실제 Chromium에서 만져 봅니다: 마우스, 터치, 키보드, 360픽셀 화면."""

import io
import json
import os

import nbformat
import pytest
import torch
from PIL import Image
from small_flows import MODELS

from course_lib.autoregressive.pixel_rnn import RowLSTM
from course_lib.widgets.dependency_viewer import dependency_viewer
from course_lib.widgets.flow_warp import WarpStage, warp_html, warp_path
from course_lib.widgets.frame import decoder_player, player
from tests.notebooks import chromium as tools

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def window():
    from playwright.sync_api import sync_playwright

    path = tools.find_chromium()
    if path is None:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("Chromium이 없습니다. 설치하거나 환경 변수 CHROMIUM에 경로를 적어 주세요.")
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=path, args=tools.CHROMIUM_ARGUMENTS)
        yield instance
        instance.close()


@pytest.fixture
def page(window):
    """360픽셀 터치 화면. 바깥 요청과 스크립트 오류가 있으면 시험이 실패합니다."""
    context = window.new_context(viewport={"width": 360, "height": 780}, has_touch=True)
    tab = context.new_page()
    troubles = []
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on(
        "request", lambda r: r.url.startswith(("data:", "blob:", "file:")) or troubles.append(r.url)
    )
    yield tab
    context.close()
    assert troubles == []


def open_page(tab, tmp_path, *parts):
    file = tmp_path / "쪽.html"
    head = (
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    file.write_text(head + "<p>본문</p>" + "".join(parts), encoding="utf-8")
    tab.goto(file.as_uri())


def pixels(tab, selector, index=0):
    """화면에 보이는 그림의 지문."""
    return tab.locator(selector).nth(index).screenshot()


def move(tab, value, index=0):
    tab.locator("input[type=range]").nth(index).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )
    tab.wait_for_timeout(60)


def frames(count):
    for k in range(count):
        buffer = io.BytesIO()
        Image.new("RGB", (640, 320), (20 * k, 80, 120)).save(buffer, "png")
        yield buffer.getvalue()


def test_frame_players_twice_on_a_page_move_by_themselves(page, tmp_path):
    html = player(list(frames(10)), [f"{k}장" for k in range(10)], alt="색", seconds=0.5)
    other = player(
        {"가": list(frames(10))[::-1], "나": list(frames(10))}, list("0123456789"), alt="색"
    )
    open_page(page, tmp_path, html, html, other)
    assert page.locator("input[type=range]").count() == 3
    before = [pixels(page, "img", i) for i in range(3)]
    move(page, 7, 0)
    after = [pixels(page, "img", i) for i in range(3)]
    assert after[0] != before[0] and after[1:] == before[1:]
    assert "7장" in page.locator("body").inner_text()
    page.get_by_role("button", name="재생").nth(1).tap()
    page.wait_for_timeout(900)
    assert page.locator("input[type=range]").nth(1).input_value() == "9"
    page.get_by_role("combobox").select_option("1")
    assert pixels(page, "img", 2) != before[2]


def test_players_fit_a_phone_and_keep_their_keys_to_themselves(page, tmp_path, bent):
    path = warp_path(bent, torch.randn(50, 2))
    paths = {"삼각": path, "RealNVP": warp_path(MODELS["RealNVP"]())}
    open_page(page, tmp_path, warp_html(paths, WarpStage(path, dpi=60).draw(2)))
    page.evaluate(
        "() => { window.leaked = 0; document.addEventListener('keydown', () => window.leaked++); }"
    )
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 0.5, 1.0, 2.0):
        move(page, value)
        seen.add(pixels(page, "canvas", 0) + pixels(page, "canvas", 1))
    assert len(seen) == 4
    page.locator("input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("input[type=range]").input_value() == "1.95"
    assert page.evaluate("() => window.leaked") == 0
    page.get_by_role("combobox").select_option("1")
    assert "t = 3.90 / 4" in page.locator("body").inner_text()
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box["width"] >= 40 and box["height"] >= 40  # 손가락으로 누를 수 있는 크기


def test_warp_player_paints_density_where_python_says_it_is(page, tmp_path):
    model = MODELS["아핀"]()
    path = warp_path(model)
    open_page(page, tmp_path, warp_html({"": path}, WarpStage(path, dpi=60).draw(1)))
    move(page, 1)
    dark = page.evaluate(
        """() => { const c = document.querySelectorAll('canvas')[1];
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let sx = 0, sy = 0, sum = 0;
        for (let j = 0; j < c.height; j++) for (let i = 0; i < c.width; i++) {
          const o = 4 * (j * c.width + i), ink = d[o] < 60 && d[o + 2] > 60 ? 1 : 0;
          sx += ink * i; sy += ink * j; sum += ink; }
        return [sx / sum / c.width, sy / sum / c.height, sum]; }"""
    )
    half = path.limits[1]
    assert dark[2] > 100
    assert (2 * dark[0] - 1) * half == pytest.approx(0.3, abs=0.1)  # 정규분포의 중심 (0.3, −0.2)
    assert (1 - 2 * dark[1]) * half == pytest.approx(-0.2, abs=0.1)


def test_decoder_in_the_browser_computes_what_torch_computes(page, tmp_path, small_decoder):
    html = decoder_player(small_decoder, (4, 5), next(frames(1)), start=[0.5, -1.0],
                          presets={"가": [2.0, 2.0]})  # fmt: skip
    open_page(page, tmp_path, html)
    z = torch.randn(20, 2) * 2
    mine = page.evaluate(
        "zs => zs.map(z => [...document.querySelector('[data-course-player]').courseDecode(z)])",
        z.tolist(),
    )
    with torch.no_grad():
        assert (torch.tensor(mine) - small_decoder(z)).abs().max() < 1e-3
    before = pixels(page, "canvas", 1)
    box = page.locator("canvas").first.bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])
    touched = pixels(page, "canvas", 1)
    page.get_by_role("button", name="가").tap()
    assert len({before, touched, pixels(page, "canvas", 1)}) == 3
    page.locator("canvas").first.focus()
    page.keyboard.press("ArrowLeft")
    assert "z₁ = 1.90" in page.locator("body").inner_text()


def test_dependency_viewer_by_touch_keyboard_and_slider(page, tmp_path):
    """브라우저가 칠한 처지가 파이썬과 같고, 누르기와 방향키와 막대가 같은 화소를 고릅니다."""
    torch.manual_seed(0)
    model = RowLSTM((1, 4, 9), 2, 8, 1, 16)
    models = {"Row LSTM": model, "새는 함수": lambda x: x.flip(3)}
    open_page(page, tmp_path, dependency_viewer(models, (1, 4, 9), start=20).html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    for index in (0, 20, 35):
        got = page.evaluate(
            "i => [...Array(36).keys()].map(j => document.querySelector('[data-course-player]').courseKind(0, i, j))",
            index,
        )
        assert [k == "seen" for k in got] == model.sees(index // 9, index % 9).flatten().tolist()
    before = [pixels(page, "canvas", k) for k in (0, 1)]
    box = page.locator("canvas").first.bounding_box()
    page.touchscreen.tap(box["x"] + 8.5 / 9 * box["width"], box["y"] + 3.5 / 4 * box["height"])
    assert "화소 (3, 8)" in page.locator("body").inner_text()
    assert all(pixels(page, "canvas", k) != before[k] for k in (0, 1))
    page.locator("canvas").nth(1).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert "화소 (2, 7)" in page.locator("body").inner_text()
    assert page.locator("input[type=range]").input_value() == "25"
    move(page, 0)
    text = page.locator("body").inner_text()
    assert "화소 (0, 0)" in text and "봄 0 · 못 봄 0" in text and "누출 1" in text


PAD = """
from course_lib.widgets.pad import Pad
points, digit = Pad(label="점"), Pad(mode="image", shape=[8, 8], brush=0.7, width=200)
handles = Pad(mode="handles", points=[[0.0, 0.0], [1.0, 1.0]], width=250)
from IPython.display import display
display(points, digit, handles)
"""


def test_pad_draws_by_mouse_touch_and_keyboard_in_jupyterlab(window, tmp_path, monkeypatch):
    root = tmp_path / "강의"
    root.mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PAD)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    (root / "pad.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    with tools.jupyterlab(root, tmp_path / "settings") as address:
        context = window.new_context(viewport={"width": 1280, "height": 900}, has_touch=True)
        tab = context.new_page()
        tab.goto(f"{address}/lab/tree/pad.ipynb?reset", wait_until="domcontentloaded")
        tools.run_all(tab, 120)
        assert tab.evaluate(tools.ERRORS) == []

        def ask(code):
            """커널에서 식의 값을 읽습니다."""
            text = tab.evaluate(
                """async code => { const k = window.jupyterapp.shell.currentWidget.sessionContext
                .session.kernel, f = k.requestExecute({code, store_history: false}); let out = '';
                f.onIOPub = m => { out += m.content.text || m.content.evalue || ''; };
                await f.done; return out; }""",
                f"import json; print(json.dumps({code}))",
            )
            return json.loads(text)

        def stroke(canvas, path, touch=False):
            canvas.scroll_into_view_if_needed()
            box = canvas.bounding_box()
            spots = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in path]
            if touch:
                session = context.new_cdp_session(tab)
                for k, (x, y) in enumerate(spots):
                    kind = "touchStart" if k == 0 else "touchMove"
                    touches = [{"x": x, "y": y, "id": 1}]
                    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
                session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            else:
                tab.mouse.move(*spots[0])
                tab.mouse.down()
                for spot in spots[1:]:
                    tab.mouse.move(*spot, steps=8)
                tab.mouse.up()
            tab.wait_for_timeout(500)

        pads = tab.locator("canvas[role=application]")
        pads.nth(2).wait_for()
        points, digit, handles = (pads.nth(k) for k in range(3))

        stroke(points, [(0.5, 0.5), (0.9, 0.5)])
        drawn = ask("points.points")
        assert len(drawn) > 10 and drawn[0] == pytest.approx([0, 0], abs=0.05)
        assert drawn[-1][0] > 2 and abs(drawn[-1][1]) < 0.05
        stroke(points, [(0.2, 0.9), (0.2, 0.7), (0.2, 0.5)], touch=True)
        touched = ask("points.points")
        assert len(touched) > len(drawn) + 5 and touched[-1][0] < -1.5
        tab.keyboard.press("ArrowLeft")
        tab.keyboard.press("Space")
        tab.wait_for_timeout(400)
        assert len(ask("points.points")) == len(touched) + 1
        tab.get_by_role("button", name="되돌리기").first.click()
        tab.wait_for_timeout(400)
        assert ask("points.points") == touched
        tab.get_by_role("button", name="지우기").first.click()
        tab.wait_for_timeout(400)
        assert ask("points.points") == []
        ask("setattr(points, 'points', [[0.0, 0.0]])")
        tab.wait_for_function("() => document.body.innerText.includes('점 1개')")

        stroke(digit, [(0.5, 0.1), (0.5, 0.9)], touch=True)
        image = torch.tensor(ask("digit.image().tolist()"))
        assert image.shape == (8, 8) and image[1:7, 3:5].min() > 0.5 and image[:, :2].max() == 0

        stroke(handles, [(0.5, 0.5), (0.25, 0.25)])
        moved = ask("handles.points")
        assert moved[0] == pytest.approx([-1.5, 1.5], abs=0.1) and moved[1] == [1.0, 1.0]
        context.close()
