"""모델 비교표를 실제 Chromium에서, 휴대전화 너비로: 누르고, 키보드로 정렬하고, 거릅니다."""

import pytest
from test_browser_widgets import open_page, page, window  # noqa: F401
from test_comparison_table import ROWS

from course_lib.widgets.comparison_table import TableStage, table_html

pytestmark = pytest.mark.browser


def order(tab):
    return tab.locator("tbody th").all_inner_texts()


def test_sorting_and_filtering_by_touch_and_keyboard(page, tmp_path):  # noqa: F811
    open_page(page, tmp_path, table_html(ROWS, TableStage(ROWS).draw()))
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert order(page) == ["나", "다", "가"]
    assert page.locator("th[aria-sort=ascending]").count() == 1
    page.get_by_role("button", name="덮은 비율").tap()  # 큰 쪽이 좋은 열은 큰 것부터
    assert order(page) == ["다", "나", "가"]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("덮은 비율")
    page.get_by_role("button", name="차원당 비트").focus()
    page.keyboard.press("Enter")
    assert order(page) == ["가", "다", "나"]
    page.keyboard.press("Space")
    assert order(page) == ["다", "가", "나"]  # 재지 않은 것은 여전히 맨 뒤
    quick = page.get_by_role("button", name="표본 하나를 1 ms 안에")
    quick.tap()
    assert quick.get_attribute("aria-pressed") == "true" and order(page) == ["다", "나"]
    assert page.get_by_role("status").inner_text().startswith("3개 가운데 2개가 남았습니다")
    page.get_by_role("button", name="정확한 우도").tap()
    assert order(page) == [] and "없습니다" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="정확한 우도").tap()
    quick.tap()
    assert len(order(page)) == 3
    for button in page.get_by_role("button").all():
        assert button.bounding_box()["height"] >= 44


def test_two_tables_on_one_page_keep_their_own_state(page, tmp_path):  # noqa: F811
    html = table_html(ROWS, TableStage(ROWS).draw())
    open_page(page, tmp_path, html, html)
    page.get_by_role("button", name="정확한 우도").first.tap()
    assert order(page) == ["가", "나", "다", "가"]
