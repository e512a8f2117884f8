"""08장의 두 재생기를 실제 Chromium에서: 슬라이더, 목록, 360픽셀 화면."""

import pytest
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401
from test_conditional_gan_widgets import small_cgan, small_infogan

from course_lib.widgets.class_style_grid import class_style_grid
from course_lib.widgets.infogan_codes import infogan_codes

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["class_style_grid", "infogan_codes"])
def test_the_players_move_on_a_phone(page, tmp_path, name):  # noqa: F811
    if name == "class_style_grid":
        view = class_style_grid(small_cgan(), (8, 8))
    else:
        view = infogan_codes(small_infogan(), (8, 8))
    open_page(page, tmp_path, view.html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 3, 8):
        move(page, value)
        seen.add(pixels(page, "img"))
    page.get_by_role("combobox").select_option("1")
    seen.add(pixels(page, "img"))
    assert len(seen) == 4
