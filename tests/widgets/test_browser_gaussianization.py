"""15장의 재생기를 실제 Chromium에서: 360픽셀 화면에서 움직입니다."""

import pytest
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401
from test_gaussianization_widgets import runs

from course_lib.widgets.fixed_point import fixed_point_view
from course_lib.widgets.quantile import quantile_viewer

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("make", [quantile_viewer, lambda: fixed_point_view(*runs())])
def test_the_players_move_on_a_phone(page, tmp_path, make):  # noqa: F811
    open_page(page, tmp_path, make().html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 4, 7):
        move(page, value)
        seen.add(pixels(page, "img"))
    page.get_by_role("combobox").select_option("1")
    seen.add(pixels(page, "img"))
    assert len(seen) == 4
