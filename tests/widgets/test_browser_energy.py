"""A1장의 재생기를 실제 Chromium에서: 360픽셀 화면에서 움직입니다."""

import pytest
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401
from test_energy_widgets import BOX, bowl, model

from course_lib.widgets.energy_landscape import energy_landscape

pytestmark = pytest.mark.browser


def test_the_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, energy_landscape({"그릇": bowl, "배운 것": model()}, BOX).html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 3, 6):
        move(page, value)
        seen.add(pixels(page, "img"))
    page.get_by_role("combobox").select_option("1")
    seen.add(pixels(page, "img"))
    assert len(seen) == 4
