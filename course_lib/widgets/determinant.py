"""행렬식 탐색기: 단위 정사각형이 평행사변형이 되는 모습과 그 넓이.

x = M z,   M = [[a, b], [c, d]],   넓이의 배율 = |det M| = |ad − bc|,   부호 = 방향(뒤집혔는가)
"""

from collections.abc import Sequence

import numpy as np

from course_lib.plots import INK, MUTED, PALETTE, RULE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

# 정사각형 안의 글자 ㄱ: 거울에 비추면 다른 모양이 되므로 방향이 보입니다
LETTER = np.array([[0.2, 0.8], [0.8, 0.8], [0.8, 0.2], [0.62, 0.2], [0.62, 0.64], [0.2, 0.64]])
SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
START = (1.2, 0.5, 0.3, 1.4)
PRESETS = {
    "늘이기": (2.0, 0.0, 0.0, 1.5),
    "밀기": (1.0, 1.2, 0.0, 1.0),
    "돌리기": (0.77, -0.64, 0.64, 0.77),
    "뒤집기": (0.0, 1.0, 1.0, 0.0),
    "납작하게": (1.0, 0.8, 1.0, 0.8),
}


def area(matrix: Sequence[float]) -> float:
    """옮긴 정사각형의 부호 있는 넓이를 꼭짓점에서 구합니다(신발끈 공식). ad − bc와 같아야 합니다."""
    x, y = _moved(SQUARE, matrix).T
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _moved(points: np.ndarray, matrix: Sequence[float]) -> np.ndarray:
    """점 (n, 2)마다 M z."""
    return points @ np.array(matrix, dtype=float).reshape(2, 2).T


class DeterminantStage:
    """왼쪽은 z의 단위 정사각형, 오른쪽은 x = M z. ``draw(a, b, c, d)``가 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.2, 3.9)
        axes = [
            figure.add_axes([0.04, 0.17, 0.44, 0.76]),
            figure.add_axes([0.54, 0.17, 0.44, 0.76]),
        ]
        for axis, name in zip(axes, ("z", "x = M z"), strict=True):
            axis.set(xlim=(-3.1, 3.1), ylim=(-3.0, 3.0), aspect="equal")
            axis.set_xticks(range(-3, 4), [])
            axis.set_yticks(range(-3, 4), [])
            axis.axhline(0, color=MUTED, lw=0.8)
            axis.axvline(0, color=MUTED, lw=0.8)
            axis.set_title(name, fontsize=12)
            axis.tick_params(length=0)
            axis.grid(color=RULE)
        axes[0].fill(*SQUARE.T, color=PALETTE["blue"], alpha=0.25, lw=0)
        axes[0].fill(*LETTER.T, color=INK, lw=0)
        axes[0].text(1.05, 1.05, "넓이 1", fontsize=11)
        style = {"animated": True}
        self._shape = axes[1].fill(*SQUARE.T, color=PALETTE["blue"], alpha=0.3, lw=0, **style)[0]
        self._letter = axes[1].fill(*LETTER.T, color=INK, lw=0, **style)[0]
        self._arrows = [
            axes[1].plot([], [], color=PALETTE[c], lw=2.4, marker="o", markevery=[1], **style)[0]
            for c in ("green", "orange")
        ]
        self._text = figure.text(0.04, 0.035, "", fontsize=12, **style)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black",
            *(PALETTE[c] for c in ("blue", "vermillion", "green", "orange")),
            MUTED,
            steps=20,
        )

    def draw(self, a: float, b: float, c: float, d: float, level: int = 1) -> bytes:
        """M = [[a, b], [c, d]]일 때의 PNG. 뒤집히면 색이 바뀝니다."""
        matrix, signed = (a, b, c, d), area((a, b, c, d))
        with self._stage.lock:
            for patch, points in ((self._shape, SQUARE), (self._letter, LETTER)):
                moved = _moved(points, matrix)
                patch.set_xy(np.concatenate([moved, moved[:1]]))
            self._shape.set_color(PALETTE["blue" if signed >= 0 else "vermillion"])
            for arrow, end in zip(self._arrows, _moved(np.eye(2), matrix), strict=True):
                arrow.set_data([0, end[0]], [0, end[1]])
            how = "뒤집혔습니다" if signed < -1e-9 else "그대로입니다"
            how = "되돌릴 수 없습니다" if abs(signed) < 1e-9 else f"방향은 {how}"
            text = (
                f"ad − bc = ({a:.2f})({d:.2f}) − ({b:.2f})({c:.2f}) = {signed:.2f}    "
                f"넓이 {abs(signed):.2f}배, {how}"
            )
            self._text.set_text(text.replace("-", "−"))
            artists = [self._shape, self._letter, *self._arrows, self._text]
            return self._stage.png(self._stage.pixels(artists), level)


def determinant_explorer() -> TriView:
    """행렬식 탐색기. 슬라이더 넷이 행렬의 성분이고, 단추는 이름난 변환입니다."""
    stage, small = DeterminantStage(), DeterminantStage(66)
    names = ("a", "b", "c", "d")
    box, _, _ = controls_view(
        lambda **v: stage.draw(*(v[n] for n in names)),
        {n: Knob(-2.0, 2.0, 0.05, s) for n, s in zip(names, START, strict=True)},
        presets={key: dict(zip(names, value, strict=True)) for key, value in PRESETS.items()},
    )
    ticks = np.linspace(0, 1, 13)
    identity = np.array([1.0, 0.0, 0.0, 1.0])
    frames = {}
    for key, value in PRESETS.items():
        path = [(1 - t) * identity + t * np.array(value) for t in ticks]
        if key == "돌리기":  # 곧게 이으면 도중에 줄어들므로 각도를 나눕니다
            angle = np.arctan2(value[2], value[0]) * ticks
            path = [(np.cos(s), -np.sin(s), np.sin(s), np.cos(s)) for s in angle]
        frames[key] = [small.draw(*m, level=9) for m in path]
    labels = [f"{i} / {len(ticks) - 1}" for i in range(len(ticks))]
    html = player(frames, labels, alt="단위 정사각형이 평행사변형이 되는 모습", start=12)
    return TriView(box, html, frames["늘이기"][12], "행렬식 탐색기")
