"""위젯이 잘 동작하는지 확인하는 가장 작은 위젯: 종 모양 둘을 섞는 비율."""

import math

import numpy as np

from course_lib.plots import MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

STEPS = 20


def mixture_density(x: np.ndarray, share: float) -> np.ndarray:
    """p(x) = (1 − share) N(x; −1.5, 0.8²) + share N(x; 1.5, 0.8²)."""

    def bell(center: float) -> np.ndarray:
        return np.exp(-0.5 * ((x - center) / 0.8) ** 2) / (0.8 * math.sqrt(2 * math.pi))

    return (1 - share) * bell(-1.5) + share * bell(1.5)


class MixtureStage:
    """``draw(share)``가 섞은 밀도의 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(5.6, 2.4)
        axis = figure.add_axes([0.06, 0.16, 0.91, 0.8])
        axis.set(xlim=(-4.5, 4.5), ylim=(0, 0.55), yticks=[])
        self._x = np.linspace(-4.5, 4.5, 400)
        self._curve = axis.plot([], [], color=PALETTE["blue"], lw=3, animated=True)[0]
        self._parts = [axis.plot([], [], color=MUTED, lw=1.5, animated=True)[0] for _ in range(2)]
        self._text = axis.text(0, 0.5, "", ha="center", va="top", fontsize=12, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps("black", PALETTE["blue"], MUTED, steps=20)

    def draw(self, share: float, level: int = 1) -> bytes:
        """오른쪽 종의 비율이 share ∈ [0, 1]일 때의 PNG."""
        with self._stage.lock:
            self._curve.set_data(self._x, mixture_density(self._x, share))
            left, right = mixture_density(self._x, 0), mixture_density(self._x, 1)
            self._parts[0].set_data(self._x, (1 - share) * left)
            self._parts[1].set_data(self._x, share * right)
            self._text.set_text(f"왼쪽 {1 - share:.0%}   오른쪽 {share:.0%}")
            artists = [*self._parts, self._curve, self._text]
            return self._stage.png(self._stage.pixels(artists), level)


def mixture_slider() -> TriView:
    """두 종을 섞는 비율을 끄는 위젯. 셀의 마지막 줄에 쓰면 나타납니다."""
    stage = MixtureStage()
    box, *_ = slider_view(
        lambda tick: stage.draw(tick / STEPS), steps=STEPS, start=6, label="비율", max_width="560px"
    )
    frames = [stage.draw(k / STEPS, level=9) for k in range(STEPS + 1)]
    labels = [f"오른쪽 {k / STEPS:.0%}" for k in range(STEPS + 1)]
    html = player(frames, labels, alt="종 모양 둘을 섞은 밀도", start=6, width=560)
    return TriView(box, html, frames[6], "위젯 점검")
