"""빠르기의 경주: 같은 소리 하나를 만드는 세 방법이 시간이 흐르면서 어디까지 갔는지 파형으로 보여 줍니다.

시간의 눈금은 로그입니다. 학생이 끝나는 순간과 순진한 방법이 끝나는 순간이 수천 배 떨어져 있어, 보통의 눈금에서는 하나가
보이지 않습니다.
"""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.collections import LineCollection
from torch import Tensor

from course_lib.plots import INK, MUTED, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

TICKS, COLUMNS = 24, 120
COLORS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7")


def race_times(seconds: Mapping[str, float]) -> np.ndarray:
    """눈금마다의 시각(초). 가장 빠른 것의 1/3에서 가장 느린 것의 끝까지 로그로 나눕니다. 첫 눈금은 0초입니다."""
    if not seconds or min(seconds.values()) <= 0:
        raise ValueError("걸리는 시간을 {이름: 초}로, 모두 0보다 크게 넣으세요.")
    low, high = min(seconds.values()) / 3, max(seconds.values())
    return np.concatenate([[0.0], np.geomspace(low, high, TICKS)])


def shares(seconds: Mapping[str, float], passed: float, at_once: str = "") -> list[float]:
    """``passed``초가 지났을 때 만든 몫 0–1. ``at_once``는 다 끝나는 순간에 소리가 한꺼번에 나오는 방법입니다."""
    return [
        float(passed >= needed * (1 - 1e-9)) if name == at_once else min(1.0, passed / needed)
        for name, needed in seconds.items()
    ]


def said(passed: float) -> str:
    """흐른 시간을 사람이 읽는 단위로."""
    if passed == 0:
        return "0초"
    for size, unit, factor in ((1, "밀리초", 1e3), (60, "초", 1), (3600, "분", 1 / 60)):
        if passed < size:
            return f"{passed * factor:.3g}{unit}"
    return f"{passed / 3600:.3g}시간"


class SpeedStage:
    """방법마다 한 줄의 파형. ``draw(눈금)``이 그때까지 만든 데까지 칠한 PNG를 돌려줍니다."""

    def __init__(self, x: Tensor, seconds: Mapping[str, float], at_once: str, dpi: float = 110):
        self.seconds, self.at_once, self.times = dict(seconds), at_once, race_times(seconds)
        wave = x.detach().double().cpu().numpy()
        wave = wave / max(float(np.abs(wave).max()), 1e-9)
        # 파형을 세로줄 120개(그 구간의 최솟값에서 최댓값)로 줄입니다
        parts, rows = np.array_split(wave, min(COLUMNS, len(wave))), len(self.seconds)
        self._segments = np.array(
            [[[i, min(p.min(), -0.02)], [i, max(p.max(), 0.02)]] for i, p in enumerate(parts)]
        )
        figure = blank_figure(7.8, 0.5 + 1.05 * rows)
        self._parts = []
        for row, name in enumerate(self.seconds):
            height = 0.72 / rows
            axis = figure.add_axes([0.02, 1 - 0.1 - (row + 0.92) * 0.88 / rows, 0.96, height])
            axis.add_collection(LineCollection(self._segments, colors="#DADEE4", linewidths=2.5))
            axis.set(xlim=(-1, len(parts)), ylim=(-1.05, 1.05), xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            color = COLORS[row % len(COLORS)]
            line = LineCollection([], colors=color, linewidths=2.5, animated=True)
            axis.add_collection(line)
            label = axis.text(0, 1.04, "", transform=axis.transAxes, fontsize=12, color=INK, animated=True)  # fmt: skip
            self._parts.append((name, line, label))
        self._clock = figure.text(0.98, 0.965, "", ha="right", va="center", fontsize=12, color=MUTED, animated=True)  # fmt: skip
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(*COLORS[:rows], "#9AA3AF", "black", steps=16)

    def draw(self, tick: int, level: int = 1) -> bytes:
        passed = float(self.times[tick])
        done = shares(self.seconds, passed, self.at_once)
        with self._stage.lock:
            for (name, line, label), share in zip(self._parts, done, strict=True):
                line.set_segments(self._segments[: math.floor(share * len(self._segments))])
                ending = "  끝!" if share == 1 else ""
                label.set_text(f"{name}: {100 * share:.3g} %{ending}")
            self._clock.set_text(f"{said(passed)} 지남")
            artists = [part for parts in self._parts for part in parts[1:]]
            return self._stage.png(self._stage.pixels([*artists, self._clock]), level)


def speed_race(
    x: Tensor, seconds: Mapping[str, float], *, at_once: str = "", dpi: float = 110
) -> TriView:
    """경주 위젯. x (T,)는 만드는 소리, ``{방법: 그 소리 하나를 만드는 데 걸리는 초}``는 잰 값(또는 외삽한 값)입니다.

    at_once  한 표본씩이 아니라 끝나는 순간에 소리 전체가 나오는 방법의 이름
    """
    if at_once and at_once not in seconds:
        raise ValueError(f"at_once는 {', '.join(seconds)} 가운데 하나여야 합니다: {at_once!r}.")
    stage = SpeedStage(x, seconds, at_once, dpi)
    start = int(np.searchsorted(stage.times, min(seconds.values()) * (1 - 1e-9)))
    box, *_ = slider_view(stage.draw, steps=TICKS, start=start, label="시간(로그)", interval=200)
    small = SpeedStage(x, seconds, at_once, 74)
    frames = [small.draw(tick, level=9) for tick in range(TICKS + 1)]
    html = player(
        frames,
        [f"{said(float(t))} 지남" for t in stage.times],
        alt="같은 소리를 만드는 " + ", ".join(seconds) + "의 경주. 흐른 시간은 로그 눈금입니다",
        start=start,
        width=780,
    )
    return TriView(box, html, frames[start], "빠르기의 경주")
