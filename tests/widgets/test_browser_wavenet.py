"""소리 실험대와 나무를 실제 Chromium에서: 브라우저의 셈이 파이썬과 같은지, 소리가 나는지, 휴대전화에 맞는지."""

import re

import pytest
import torch
from test_browser_widgets import move, open_page, page, pixels, window  # noqa: F401

from course_lib.datasets.vowels import make_vowels
from course_lib.widgets.dilation_tree import dilation_tree
from course_lib.widgets.sound_lab import mu_law_lab, snr_db, sound_grid

pytestmark = pytest.mark.browser
PLAYING = "() => [...document.querySelectorAll('audio')].map((a) => !!a.src && a.readyState >= 2)"


def vowel():
    return make_vowels(1, 3000, generator=torch.Generator().manual_seed(0)).x[0] / 0.9


def test_mu_law_lab_computes_what_python_computes(page, tmp_path):  # noqa: F811
    x = vowel()
    open_page(page, tmp_path, mu_law_lab(x).html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    seen = set()
    for level, bits in ((-60, 8), (-40, 8), (0, 8), (-20, 4), (-20, 12)):
        move(page, level, 0)
        move(page, bits, 1)
        text = page.locator("body").inner_text().replace("−", "-")
        shown = [float(v) for v in re.findall(r"(-?\d+\.\d) dB", text)]
        want = [snr_db(x, level, law, bits) for law in ("μ-law", "고른 칸")]
        assert shown == pytest.approx(want, abs=0.15)
        seen.add(pixels(page, "canvas"))
    for law in ("0", "1", "2"):
        page.get_by_role("combobox").select_option(law)
        seen.add(pixels(page, "canvas"))
    assert len(seen) >= 7
    page.get_by_role("button", name="듣기").tap()
    page.wait_for_function(PLAYING.replace("map(", "every("))
    seconds = page.evaluate("() => document.querySelector('audio').duration")
    assert seconds == pytest.approx(3000 / 8000, abs=1e-3)


def test_sound_grid_moves_and_sounds(page, tmp_path):  # noqa: F811
    x = vowel()
    rows = {"아": [x, 0.5 * x, 0.1 * x], "이": [x.flip(0), -x, x.roll(400) * 0.3]}
    open_page(page, tmp_path, sound_grid(rows, ["0", "0.5", "1"], alt="두 모음").html)
    seen = set()
    for name in ("0", "1"):
        page.get_by_role("combobox").select_option(name)
        for tick in range(3):
            move(page, tick)
            seen.add(pixels(page, "canvas"))
    assert len(seen) == 6 and "이 · 온도 1" in page.locator("body").inner_text()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    button = page.get_by_role("button", name="듣기")
    assert button.bounding_box()["height"] >= 40
    button.tap()
    page.wait_for_function(PLAYING.replace("map(", "every("))


def test_tree_player_fits_a_phone(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, dilation_tree(60).html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    before = pixels(page, "img")
    move(page, 0)
    assert pixels(page, "img") != before
