"""17장의 재생기를 실제 Chromium에서: 360픽셀 화면에서 움직입니다."""

import pytest
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401
from test_distillation_widgets import recorded

from course_lib.widgets.distillation_scrubber import distillation_scrubber

pytestmark = pytest.mark.browser


def test_the_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    view = distillation_scrubber({"하나": recorded(seed=0)[0], "둘": recorded(seed=1)[0]})
    open_page(page, tmp_path, view.html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 2, 4):
        move(page, value)
        seen.add(pixels(page, "img"))
    page.get_by_role("combobox").select_option("1")
    seen.add(pixels(page, "img"))
    assert len(seen) == 4
