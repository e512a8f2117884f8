"""모델 비교표: 열을 눌러 정렬하고, 필요한 것을 골라 거릅니다.

    arrange   정렬과 거르기(순수 함수). comparison_table.js가 브라우저에서 같은 일을 합니다
    TableStage.draw(정렬할 열, 거꾸로, 필요한 것들) → PNG

살아 있는 위젯은 목록과 단추, 커널이 없는 곳에서는 진짜 <table>입니다. 열의 제목이 단추라서 키보드와 손가락으로도 정렬합니다.
"""

import threading
from collections.abc import Collection, Mapping, Sequence

from course_lib.comparison import COLUMNS, KIND_COLORS, NEED_NOTES, NEEDS, Column
from course_lib.plots import INK, MUTED, PALETTE, blank_figure, png
from course_lib.widgets.frame import TriView, self_contained

BEST = PALETTE["blue"]
KINDS = list(KIND_COLORS)
NAME = Column("name", "모델", "", 0, "가나다순")
ALL = (NAME, *COLUMNS)


def said(column: Column, value) -> str:
    """칸에 적는 글. 재지 않은 값은 –입니다."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else f"{value:,.{column.digits}f}"


def rank_value(column: Column, value):
    """정렬에 쓰는 값. 우도의 갈래는 정확, 하한, 없음의 순서입니다."""
    return KINDS.index(value) if column.key == "kind" else value


def arrange(
    rows: Sequence[Mapping], key: str = "frechet", reverse: bool = False, needs: Collection = ()
) -> list[Mapping]:
    """``needs``를 모두 갖춘 줄만 남겨 ``key``로 정렬합니다. 재지 않은 값은 언제나 맨 뒤입니다.

    ``ValueError``: 없는 열이나 없는 조건을 골랐을 때.
    """
    column = next((c for c in ALL if c.key == key), None)
    if column is None or not set(needs) <= set(NEEDS):
        raise ValueError(
            f"열은 {', '.join(c.key for c in ALL)}, 조건은 {', '.join(NEEDS)} 가운데에서 고르세요: "
            f"{key!r}, {list(needs)!r}."
        )
    kept = [row for row in rows if set(needs) <= set(row["needs"])]
    there = [row for row in kept if row[key] is not None]
    there.sort(key=lambda row: rank_value(column, row[key]), reverse=reverse)
    return there + [row for row in kept if row[key] is None]


def best_of(rows: Sequence[Mapping], column: Column):
    """열에서 가장 좋은 값. 좋은 쪽이 없는 열이면 None입니다."""
    values = [row[column.key] for row in rows if row[column.key] is not None]
    if not column.better or not values:
        return None
    return min(values) if column.better == "low" else max(values)


def summary(rows: Sequence[Mapping], kept: Sequence[Mapping], needs: Collection) -> str:
    """표 아래의 한 줄: 몇 개가 남았는가."""
    if not needs:
        return f"모델 {len(rows)}개. 필요한 것을 골라 보세요."
    if not kept:
        return "모두 갖춘 모델은 이 표에 없습니다. 무엇을 내려놓을지 골라야 합니다."
    return f"{len(rows)}개 가운데 {len(kept)}개가 남았습니다: " + ", ".join(
        row["name"] for row in kept
    )


class TableStage:
    """표를 그림으로. 같은 자리의 줄 높이를 지키려고 거른 뒤에도 그림의 크기는 그대로입니다."""

    WIDTH, LINE = 11.6, 0.33

    def __init__(self, rows: Sequence[Mapping]):
        self.rows, self._lock = list(rows), threading.RLock()
        wide = [1.15, *[0.42 + 0.115 * len(column.title) for column in COLUMNS]]
        edges = [sum(wide[: i + 1]) / sum(wide) for i in range(len(wide))]
        self._right = [0.01 + 0.975 * edge for edge in edges]

    def draw(self, key: str = "frechet", reverse: bool = False, needs: Collection = ()) -> bytes:
        """정렬하고 거른 표의 PNG."""
        kept = arrange(self.rows, key, reverse, needs)
        height = self.LINE * (len(self.rows) + 2.6)
        with self._lock:
            figure = blank_figure(self.WIDTH, height)

            def write(line: float, column: int, text: str, **style) -> None:
                x = 0.012 if column == 0 else self._right[column]
                figure.text(x, 1 - self.LINE * (line + 0.75) / height, text, fontsize=10.5,
                            ha="right" if column else "left", va="center", **style)  # fmt: skip

            for i, column in enumerate(ALL):
                chosen = column.key == key
                title = column.title + (" ▼" if reverse else " ▲") * chosen
                write(0, i, title, color=BEST if chosen else MUTED, weight="bold")
            for line, row in enumerate(kept, 1):
                for i, column in enumerate(ALL):
                    value = row[column.key]
                    top = value is not None and value == best_of(self.rows, column)
                    color = BEST if top else INK
                    weight = "bold" if top or i == 0 else "normal"
                    write(line, i, said(column, value), color=color, weight=weight)
            write(len(self.rows) + 1, 0, summary(self.rows, kept, needs), color=MUTED)
            return png(figure, sharp=1.4, budget=60_000)


def table_html(rows: Sequence[Mapping], poster: bytes) -> str:
    """커널 없이 정렬하고 거르는 <table>."""
    data = {
        "columns": [
            {"key": c.key, "title": c.title, "note": c.note, "better": c.better} for c in ALL
        ],
        "rows": [
            {
                "cells": [
                    {
                        "text": said(c, row[c.key]),
                        "value": None if row[c.key] is None else rank_value(c, row[c.key]),
                        "best": row[c.key] is not None and row[c.key] == best_of(rows, c),
                    }
                    for c in ALL
                ],
                "needs": row["needs"],
            }
            for row in rows
        ],
        "needs": [[need, NEED_NOTES[need]] for need in NEEDS],
        "start": "frechet",
    }
    names = ", ".join(row["name"] for row in rows)
    alt = f"{names}의 우도, 시간, 표본의 질을 견준 표. 프레셰 거리가 작은 것부터"
    return self_contained("comparison_table.js", data, poster, alt, 1040)


def comparison_table(rows: Sequence[Mapping]) -> TriView:
    """비교표 위젯. rows는 ``comparison.table_rows``가 만든 줄들입니다. 셀의 마지막 줄에 쓰면 나타납니다.

    ``ValueError``: 줄이 하나도 없을 때.
    """
    if not rows:
        raise ValueError("견줄 모델이 없습니다. comparison.table_rows(결과의 values)를 넣으세요.")
    import ipywidgets as widgets

    stage = TableStage(rows)
    picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="1040px"))
    order = widgets.Dropdown(
        options=[(c.title, c.key) for c in ALL], value="frechet", description="정렬"
    )
    turned = widgets.ToggleButton(False, description="거꾸로", layout=widgets.Layout(width="auto"))
    wanted = [
        widgets.ToggleButton(
            False, description=need, tooltip=NEED_NOTES[need], layout=widgets.Layout(width="auto")
        )
        for need in NEEDS
    ]

    def redraw(_=None) -> None:
        needs = [button.description for button in wanted if button.value]
        picture.value = stage.draw(order.value, turned.value, needs)

    for control in (order, turned, *wanted):
        control.observe(redraw, "value")
    redraw()
    wrap = widgets.Layout(flex_flow="row wrap")
    box = widgets.VBox(
        [widgets.HBox([order, turned], layout=wrap), widgets.HBox(wanted, layout=wrap), picture]
    )
    poster = TableStage(rows).draw()
    return TriView(box, table_html(rows, poster), poster, f"모델 {len(rows)}개의 비교표")
