"""01장의 재생기를 실제 Chromium에서: 파이썬과 같은 계산, 끌기, 터치, 키보드, 360픽셀 화면."""

import numpy as np
import pytest
import torch
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401

from course_lib.widgets import kmeans_em as ke
from course_lib.widgets.kde_bandwidth import kde_bandwidth

pytestmark = pytest.mark.browser


def test_kmeans_and_em_in_the_browser_equal_python(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, ke.kmeans_em().html)
    elsewhere = [[0.5, -3.0], [2.2, 1.0], [2.2, 1.1]]
    for method, run in enumerate((ke.kmeans_path, ke.em_path)):
        for starts in (ke.STARTS, elsewhere):
            mine = page.evaluate(
                "([m, s]) => document.querySelector('[data-course-player]').courseRun(m, s)",
                [method, starts],
            )
            path = run(ke.demo_points(), starts, ke.STEPS)
            assert len(mine) == len(path)
            for a, b in zip(mine, path, strict=True):
                assert a["value"] == pytest.approx(b.value, rel=1e-9)
                assert np.allclose(a["centres"], b.centres, atol=1e-7)
                assert np.allclose(a["shares"], b.shares, atol=1e-6)
                if method:
                    flat = b.covariances.reshape(-1, 4)[:, [0, 1, 3]]
                    assert np.allclose(a["covariances"], flat, atol=1e-7)


def test_starts_are_dragged_by_mouse_touch_and_keyboard_on_a_phone(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, ke.kmeans_em().html)
    page.evaluate(
        "() => { window.leaked = 0; document.addEventListener('keydown', () => window.leaked++); }"
    )
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()

    def spot(x, y):
        x0, x1, y0, y1 = ke.LIMITS
        u, v = (x - x0) / (x1 - x0), (y1 - y) / (y1 - y0)
        return box["x"] + u * box["width"], box["y"] + v * box["height"]

    seen = [pixels(page, "canvas")]
    page.mouse.move(*spot(*ke.STARTS[0]))
    page.mouse.down()
    page.mouse.move(*spot(-4, -3), steps=5)
    page.mouse.up()
    seen.append(pixels(page, "canvas"))
    session = page.context.new_cdp_session(page)
    for kind, place in (("Start", ke.STARTS[2]), ("Move", (4.0, 0.0)), ("End", None)):
        points = [] if place is None else [dict(zip("xy", spot(*place), strict=True), id=1)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    page.wait_for_timeout(100)
    seen.append(pixels(page, "canvas"))
    canvas.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    seen.append(pixels(page, "canvas"))
    page.get_by_role("combobox").select_option("1")
    seen.append(pixels(page, "canvas"))
    move(page, ke.STEPS)
    seen.append(pixels(page, "canvas"))
    assert len(set(seen)) == len(seen)
    assert f"EM {ke.STEPS}걸음" in page.locator("body").inner_text()
    assert page.evaluate("() => window.leaked") == 0


def test_kde_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    open_page(page, tmp_path, kde_bandwidth(torch.randn(60), torch.randn(40)).html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 5, 14):
        move(page, value)
        seen.add(pixels(page, "img"))
    assert len(seen) == 3
