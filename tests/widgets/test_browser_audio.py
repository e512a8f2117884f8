"""소리 재생기를 실제 Chromium에서: WAV가 읽히는지, 누르면 세로줄이 가는지, 한 번에 하나만 나는지."""

import pytest
import torch
from test_browser_widgets import open_page, page, pixels, window  # noqa: F401

from course_lib.widgets.audio_player import audio_player

pytestmark = pytest.mark.browser


def test_sounds_play_one_at_a_time_on_a_phone(page, tmp_path):  # noqa: F811
    t = torch.arange(8192) / 8000
    signals = {f"음 {k}": 0.5 * torch.sin(2 * torch.pi * 300 * k * t) for k in (1, 2, 3)}
    open_page(page, tmp_path, audio_player(signals, alt="세 음").html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    cards = page.get_by_role("button")
    assert [cards.nth(i).get_attribute("aria-label") for i in range(3)] == [
        f"{n} 듣기" for n in signals
    ]
    assert len({pixels(page, "button", i) for i in range(3)}) == 3  # 카드마다 자기 그림
    page.wait_for_function(
        "() => [...document.querySelectorAll('audio')].every((a) => a.readyState >= 2)"
    )
    seconds = page.evaluate("() => [...document.querySelectorAll('audio')].map((a) => a.duration)")
    assert seconds == pytest.approx([1.024] * 3, abs=1e-3)
    playing = "() => [...document.querySelectorAll('audio')].map((a) => !a.paused)"
    before = pixels(page, "button", 0)
    cards.nth(0).tap()
    page.wait_for_timeout(400)
    assert page.evaluate(playing) == [True, False, False]
    assert cards.nth(0).get_attribute("aria-pressed") == "true"
    assert pixels(page, "button", 0) != before  # 세로줄
    cards.nth(2).focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert page.evaluate(playing) == [False, False, True]
    cards.nth(2).tap()
    assert page.evaluate(playing) == [False] * 3
    assert page.locator("button > div:nth-of-type(2):visible").count() == 0  # 세로줄이 사라집니다
    cards.nth(1).tap()
    page.wait_for_timeout(2500)  # 끝나면 스스로 멈춥니다
    assert page.evaluate(playing) == [False] * 3
    assert cards.nth(1).get_attribute("aria-pressed") == "false"
