"""10장의 재생기를 실제 Chromium에서: 360픽셀 화면에서 슬라이더와 고르는 목록이 그림을 바꿉니다."""

import pytest
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401

from course_lib.widgets import ellipse as el

pytestmark = pytest.mark.browser


def test_ellipse_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, el.ellipse().html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 1, el.PLAYED):
        move(page, value)
        seen.add(pixels(page, "img"))
    page.get_by_role("combobox").select_option("1")
    page.wait_for_timeout(60)
    seen.add(pixels(page, "img"))
    slider = page.locator("input[type=range]").first
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(60)
    seen.add(pixels(page, "img"))
    slider.tap()
    page.wait_for_timeout(60)
    seen.add(pixels(page, "img"))
    assert len(seen) == 6
