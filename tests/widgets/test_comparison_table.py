"""모델 비교표: 정렬과 거르기, 그림과 HTML이 같은 값을 말하는지."""

import json
import re

import pytest

from course_lib.comparison import COLUMNS, NEEDS
from course_lib.widgets import comparison_table as table

BASE = {"bits": None, "density_passes": None, "latent": None, "modes": None, "steps": 10.0}
ROWS = [
    {"name": "가", "kind": "정확", "ms_1": 20.0, "ms_100": 1.0, "sample_passes": 64.0, "frechet": 9.0,
     "sharp": 1.0, "coverage": 0.5, "needs": ["정확한 우도"]} | (BASE | {"bits": 1.9}),
    {"name": "나", "kind": "없음", "ms_1": 0.2, "ms_100": 0.1, "sample_passes": 1.0, "frechet": 3.5,
     "sharp": 1.1, "coverage": 0.7, "needs": ["표본 하나를 1 ms 안에"]} | BASE,
    {"name": "다", "kind": "하한", "ms_1": 0.1, "ms_100": 0.1, "sample_passes": 1.0, "frechet": 8.0,
     "sharp": 0.6, "coverage": 0.9, "needs": ["표본 하나를 1 ms 안에", "고른 표본"]}
    | (BASE | {"bits": 2.6}),
]  # fmt: skip


def names(*args, **how):
    return [row["name"] for row in table.arrange(ROWS, *args, **how)]


def test_sorting_and_filtering():
    assert names() == ["나", "다", "가"]
    assert names("coverage", True) == ["다", "나", "가"]
    assert names("kind") == ["가", "다", "나"]
    # 재지 않은 값은 거꾸로 정렬해도 맨 뒤입니다
    assert names("bits") == ["가", "다", "나"] and names("bits", True) == ["다", "가", "나"]
    assert names(needs=["표본 하나를 1 ms 안에"]) == ["나", "다"]
    assert names(needs=["정확한 우도", "고른 표본"]) == []
    with pytest.raises(ValueError, match="가운데에서"):
        names("없는 열")
    with pytest.raises(ValueError, match="가운데에서"):
        names(needs=["없는 조건"])
    with pytest.raises(ValueError, match="table_rows"):
        table.comparison_table([])


def test_the_best_value_follows_the_direction_of_the_column():
    columns = {c.key: c for c in COLUMNS}
    assert table.best_of(ROWS, columns["frechet"]) == 3.5
    assert table.best_of(ROWS, columns["coverage"]) == 0.9
    assert table.best_of(ROWS, columns["sharp"]) is None
    assert table.best_of(ROWS, columns["modes"]) is None


def test_summary_tells_what_is_left():
    assert "3개" in table.summary(ROWS, ROWS, [])
    assert table.summary(ROWS, ROWS[1:], ["고른 표본"]).endswith("나, 다")
    assert "없습니다" in table.summary(ROWS, [], ["고른 표본"])


def test_pictures_at_first_and_last_setting_differ():
    stage = table.TableStage(ROWS)
    start = stage.draw()
    assert start[:4] == b"\x89PNG" and stage.draw() == start
    others = {stage.draw(c.key) for c in table.ALL}
    assert len(others) == len(table.ALL)
    assert stage.draw("frechet", True) != start
    assert stage.draw(needs=list(NEEDS)) != start


def test_html_holds_every_cell_and_no_address():
    html = table.table_html(ROWS, table.TableStage(ROWS).draw())
    data = json.loads(re.search(r"const data = (\{.*\});\n", html)[1])
    assert [c["title"] for c in data["columns"]] == ["모델", *[c.title for c in COLUMNS]]
    assert data["rows"][0]["cells"][2] == {"text": "1.90", "value": 1.9, "best": True}
    assert data["rows"][1]["cells"][2] == {"text": "–", "value": None, "best": False}
    assert [need for need, _ in data["needs"]] == list(NEEDS)
    assert len(html) < 300_000 and "http" not in re.sub(r"w3\.org", "", html).replace(
        "http://www.", ""
    )


def test_live_controls_redraw_the_picture():
    view = table.comparison_table(ROWS)
    (order, turned), wanted, picture = (
        view.live.children[0].children,
        view.live.children[1].children,
        view.live.children[2],
    )
    seen = [picture.value]
    order.value = "bits"
    seen.append(picture.value)
    turned.value = True
    seen.append(picture.value)
    for button in wanted:
        button.value = True
    seen.append(picture.value)
    assert len(set(seen)) == 4 and repr(view) == "<위젯: 모델 3개의 비교표>"
