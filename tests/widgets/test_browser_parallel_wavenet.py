"""A/B 듣기 시험을 실제 Chromium에서, 휴대전화 너비로: 듣고, 고르고, 결과를 봅니다."""

import pytest
import torch
from scipy.stats import binomtest
from test_browser_widgets import open_page, page, pixels, window  # noqa: F401

from course_lib.widgets.audio_player import listening_test
from course_lib.widgets.speed_race import speed_race

pytestmark = pytest.mark.browser


def test_the_reader_takes_the_test_and_sees_the_result(page, tmp_path):  # noqa: F811
    t = torch.arange(1600) / 8000
    trials = {f"문제 {k}": (torch.sin(2000 * k * t), torch.randn(1600)) for k in (1, 2, 3, 4)}
    page.add_init_script("let turn = 0; Math.random = () => (turn++ % 2 ? 0.9 : 0.1);")
    open_page(page, tmp_path, listening_test(trials, ("교사", "학생"), alt="시험").html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="시험 시작").tap()
    # 홀수 번째 문제는 A가 교사, 짝수 번째는 B가 교사입니다
    for number, choice in enumerate(("A를", "B를", "A를", "가리지"), 1):
        assert f"{number} / 4번째" in page.locator("[data-course-player] p").first.inner_text()
        chosen = page.get_by_role("button", name=choice)
        assert chosen.is_disabled()  # 아직 듣지 않았습니다
        page.get_by_role("button", name="A 듣기").tap()
        assert chosen.is_disabled() and "교사" not in page.locator("body").inner_text()
        page.get_by_role("button", name="B 듣기").focus()
        page.keyboard.press("Enter")
        assert chosen.is_enabled()
        playing = page.evaluate("() => [...document.querySelectorAll('audio')].filter((a) => !a.paused).length")  # fmt: skip
        assert playing <= 1
        chosen.tap()
    result = page.get_by_role("status").inner_text()
    assert result == "교사 3번, 학생 0번, 가리지 못함 1번"
    chance = binomtest(3, 3).pvalue
    assert f"확률은 {chance:.2f}입니다" in page.locator("body").inner_text()
    assert page.get_by_role("button", name="교사 듣기").count() == 4
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="학생 듣기").last.tap()
    page.get_by_role("button", name="처음부터 다시").tap()
    assert "1 / 4번째" in page.locator("[data-course-player] p").first.inner_text()


def test_chance_is_the_two_sided_sign_test(page, tmp_path):  # noqa: F811
    trials = {f"문제 {k}": (torch.randn(800), torch.randn(800)) for k in range(8)}
    page.add_init_script("Math.random = () => 0.1;")
    open_page(page, tmp_path, listening_test(trials, ("교사", "학생"), alt="시험").html)
    page.get_by_role("button", name="시험 시작").tap()
    for k in range(8):
        page.get_by_role("button", name="A 듣기").tap()
        page.get_by_role("button", name="B 듣기").tap()
        page.get_by_role("button", name="A를" if k < 2 else "B를").tap()
    assert f"확률은 {binomtest(2, 8).pvalue:.2f}입니다" in page.locator("body").inner_text()


def test_race_player_moves_on_a_phone(page, tmp_path):  # noqa: F811
    x = torch.sin(torch.arange(800) / 5)
    view = speed_race(x, {"순진하게": 100.0, "캐시": 4.0, "학생": 0.01}, at_once="학생")
    open_page(page, tmp_path, view.html)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    before = pixels(page, "img")
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.wait_for_timeout(150)
    assert pixels(page, "img") != before and "1.67분" in page.locator("body").inner_text()
