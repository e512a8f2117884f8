"""08b장의 재생기를 실제 Chromium에서: 슬라이더와 예시 고르기, 360픽셀 화면."""

import pytest
import torch
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401

from course_lib.checks import randomise_
from course_lib.gan.pix2pix import PatchGAN, Pix2Pix, UNet
from course_lib.widgets.draw_and_translate import draw_and_translate

pytestmark = pytest.mark.browser


def test_translation_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    model = randomise_(Pix2Pix(UNet(1, 3, (4, 6, 8)), PatchGAN(4, 4, 0)), 0.3)
    open_page(page, tmp_path, draw_and_translate({"모델": model}, count=2, frames=4).html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.get_by_role("combobox").select_option("1")
    seen = set()
    for value in (0, 1, 3):
        move(page, value)
        seen.add(pixels(page, "img"))
    page.get_by_role("combobox").select_option("2")
    seen.add(pixels(page, "img"))
    assert len(seen) == 4
