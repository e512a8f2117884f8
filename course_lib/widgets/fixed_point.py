"""고정점 반복 보기: 걸음마다의 오차 곡선과, 그때까지 되찾은 그림.

곡선은 max|x_k − x*|(x*는 순차 역), 점선은 이론의 기울기 |1 − 1/α|^k입니다.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

FLOOR = 1e-16


class Run(NamedTuple):
    """반복 한 번의 기록: 나눗수 α, 오차 (K+1,), 그림 (K+1, H, W)."""

    alpha: float
    errors: np.ndarray
    pictures: np.ndarray


def make_run(alpha: float, steps: Sequence, truth) -> Run:
    """걸음마다의 x_k (H, W)들과 정답 x*로 ``Run``을 만듭니다. 발산하면 그 뒤의 오차는 큰 값에서 잘립니다."""
    truth = np.asarray(truth, dtype=float)
    pictures = np.stack([np.asarray(x, dtype=float) for x in steps])
    gaps = np.abs(pictures - truth).reshape(len(pictures), -1).max(1)
    return Run(alpha, np.nan_to_num(gaps, nan=1e6, posinf=1e6).clip(FLOOR, 1e6), pictures)


class FixedPointStage:
    """왼쪽은 걸음에 따른 오차(로그 축), 오른쪽은 x_k. ``draw(k)``가 PNG를 돌려줍니다."""

    def __init__(self, run: Run, truth, dpi: float = 110):
        self.run = run
        figure = blank_figure(7.2, 3.5)
        left = figure.add_axes([0.105, 0.17, 0.49, 0.7])
        middle, right = figure.add_axes([0.63, 0.3, 0.17, 0.42]), figure.add_axes([0.82, 0.3, 0.17, 0.42])  # fmt: skip
        count = np.arange(len(run.errors))
        left.semilogy(count, run.errors, color=PALETTE["purple"], lw=2)
        rate = abs(1 - 1 / run.alpha)
        line = np.maximum(run.errors[0] * rate**count, 1e-30)
        left.semilogy(count, line, color=MUTED, lw=1.2, ls=":")
        left.set(xlabel="걸음 k", xlim=(-0.5, count[-1] + 0.5), ylim=(FLOOR, 1e3))
        left.set_ylabel("최대 오차", labelpad=2)
        left.set_title(f"α = {run.alpha:g}  (점선: {rate:.2f}의 거듭제곱)", fontsize=11.5)
        left.tick_params(length=0)
        truth = np.asarray(truth, dtype=float)
        self._range = (float(truth.min()), float(truth.max()))
        style = {"cmap": "gray_r", "vmin": self._range[0], "vmax": self._range[1]}
        right.imshow(truth, **style)
        right.set_title("정답 x*", fontsize=11)
        middle.set_title("x_k", fontsize=11)
        for axis in (middle, right):
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        self._picture = middle.imshow(np.zeros_like(truth), animated=True, **style)
        self._dot = left.plot([], [], "o", color=PALETTE["vermillion"], ms=9, mew=0, animated=True)[
            0
        ]
        self._text = figure.text(0.81, 0.17, "", fontsize=11, ha="center", color=INK, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black", PALETTE["purple"], PALETTE["vermillion"], MUTED, steps=20
        )

    def draw(self, k: int, level: int = 1) -> bytes:
        """k번째 걸음의 PNG."""
        k = min(max(int(k), 0), len(self.run.errors) - 1)
        with self._stage.lock:
            self._dot.set_data([k], [self.run.errors[k]])
            shown = np.nan_to_num(self.run.pictures[k], nan=0.0, posinf=1e3, neginf=-1e3)
            self._picture.set_data(shown.clip(*self._range))
            self._text.set_text(f"k = {k}    오차 {self.run.errors[k]:.0e}".replace("-", "−"))
            artists = [self._dot, self._picture, self._text]
            return self._stage.png(self._stage.pixels(artists), level)


def fixed_point_view(runs: Mapping[str, Run], truth) -> TriView:
    """반복 보기: α를 고르고 슬라이더로 걸음을 옮깁니다. 걸음의 수는 모두 같아야 합니다.

    runs   ``{이름: Run}``      truth  정답 그림 (H, W)
    학습한 모델의 그림이면 셀에 ``nbval-ignore-output`` 꼬리표를 답니다. ValueError: 걸음의 수가 다를 때.
    """
    import ipywidgets as widgets

    lengths = {len(run.errors) for run in runs.values()}
    if len(lengths) != 1:
        raise ValueError(f"걸음의 수가 모두 같은 Run을 하나 이상 넣으세요: {sorted(lengths)}.")
    last = lengths.pop() - 1
    stages = {name: FixedPointStage(run, truth) for name, run in runs.items()}
    menu = widgets.Dropdown(options=list(runs), layout=widgets.Layout(width="240px"))
    box, _, _, redraw = slider_view(
        lambda k: stages[menu.value].draw(k), steps=last, start=3, label="걸음 k", extra=[menu]
    )
    menu.observe(lambda _: redraw(), "value")
    ticks = np.unique(np.r_[np.arange(min(9, last + 1)), np.linspace(8, last, 7).round()]).astype(
        int
    )
    ticks = ticks[ticks <= last]
    frames = {}
    for name, run in runs.items():
        small = FixedPointStage(run, truth, 60)
        frames[name] = [small.draw(int(t), level=9) for t in ticks]
    labels = [f"{t}걸음" for t in ticks]
    html = player(
        frames, labels, alt="걸음마다 줄어드는 오차와 되찾은 그림", start=min(3, len(ticks) - 1)
    )
    return TriView(box, html, next(iter(frames.values()))[min(3, len(ticks) - 1)], "고정점 반복")
