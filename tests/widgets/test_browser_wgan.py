"""09장의 재생기를 실제 Chromium에서: 360픽셀 화면, 목록과 슬라이더."""

import pytest
import torch
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401
from test_wgan_widgets import small_run

from course_lib.widgets.critic_landscape import critic_landscape
from course_lib.widgets.distance_explorer import PAIRS, distance_explorer

pytestmark = pytest.mark.browser


def test_distance_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, distance_explorer().html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for value in (0, 4, 8):
        move(page, value)
        seen.add(pixels(page, "img"))
    assert "θ = 3.00" in page.locator("body").inner_text()
    page.get_by_role("combobox").select_option(str(list(PAIRS).index("정규분포 둘")))
    seen.add(pixels(page, "img"))
    assert len(seen) == 4


def test_landscape_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    _, real, _, shots = small_run()
    view = critic_landscape({"자르기": shots, "벌점": small_run(1)[3]}, real)
    open_page(page, tmp_path, view.html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = {pixels(page, "img")}
    page.get_by_role("combobox").select_option("1")
    seen.add(pixels(page, "img"))
    assert len(seen) == 2
