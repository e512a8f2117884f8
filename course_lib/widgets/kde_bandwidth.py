"""커널 밀도 추정의 대역폭을 끌어 보는 위젯: 위는 밀도, 아래는 학습·검증 로그우도.

    p_h(x) = (1/N) Σ_i N(x; x_i, h²)

h가 0에 가까우면 학습 점마다 뾰족한 산이 서서 학습 로그우도는 끝없이 커지고 검증 로그우도는 곤두박질합니다. h가 크면
봉우리가 뭉개집니다. 검증 로그우도의 꼭대기가 그 사이의 h를 고릅니다.
"""

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from course_lib.plots import MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

WIDTHS = np.geomspace(0.02, 2.5, 29)  # 고를 수 있는 대역폭 h


def log_kde(train: np.ndarray, x: np.ndarray, width: float) -> np.ndarray:
    """log p_h(x), nats, (M,). train (N,), x (M,)."""
    terms = -0.5 * ((x[:, None] - train) / width) ** 2
    top = terms.max(1)
    inside = np.log(np.exp(terms - top[:, None]).sum(1))
    return top + inside - math.log(len(train) * width * math.sqrt(2 * math.pi))


class KdeStage:
    """``draw(눈금)``이 대역폭 WIDTHS[눈금]의 PNG를 돌려줍니다.

    train (N,), validation (M,)은 1차원 데이터, density는 (n,) → 참밀도 (n,)이거나 None입니다.
    """

    def __init__(self, train, validation, density: Callable | None = None, dpi: float = 110):
        self.train, self.validation = (np.asarray(v, float).ravel() for v in (train, validation))
        every = np.concatenate([self.train, self.validation])
        margin = 0.15 * np.ptp(every)
        low, high = every.min() - margin, every.max() + margin
        self._x = np.linspace(low, high, 600)
        # curves[0]은 학습, curves[1]은 검증 로그우도의 평균
        self.curves = np.array([
            [log_kde(self.train, v, h).mean() for h in WIDTHS] for v in (self.train, self.validation)
        ])  # fmt: skip
        self.best = int(self.curves[1].argmax())

        figure = blank_figure(6.8, 4.7)
        top = figure.add_axes([0.08, 0.5, 0.9, 0.44])
        middle = log_kde(self.train, self._x, WIDTHS[self.best])
        peak = np.exp(middle).max() if density is None else density(self._x).max()
        top.set(xlim=(low, high), ylim=(-0.09 * peak, 2.2 * peak), ylabel="밀도")
        if density is not None:
            top.fill_between(
                self._x, density(self._x), color=MUTED, alpha=0.3, lw=0, label="참밀도"
            )
        for value, place, color, name in (
            (self.train, -0.02, "blue", "학습 점"),
            (self.validation, -0.065, "vermillion", "검증 점"),
        ):
            top.plot(value, np.full(len(value), place * peak), "|", ms=6, mew=1, color=PALETTE[color],
                     alpha=0.7, label=name)  # fmt: skip
        top.plot([], [], color=PALETTE["black"], lw=2, label="추정한 밀도")
        top.legend(loc="upper right", ncols=2, fontsize=10)
        self._curve = top.plot([], [], color=PALETTE["black"], lw=2, animated=True)[0]
        low_axis = figure.add_axes([0.08, 0.12, 0.9, 0.26])
        floor = self.curves[1].max() - 1.6
        low_axis.set(xscale="log", xlim=(WIDTHS[0] / 1.1, WIDTHS[-1] * 1.1), ylim=(floor, floor + 2.6),
                     xlabel="대역폭 h", ylabel="nats")  # fmt: skip
        for curve, color, name in zip(self.curves, ("blue", "vermillion"), ("학습", "검증"), strict=True):  # fmt: skip
            low_axis.plot(WIDTHS, curve, color=PALETTE[color], lw=2, label=f"{name} 로그우도")
        low_axis.set_xticks([0.03, 0.1, 0.3, 1.0], ["0.03", "0.1", "0.3", "1"])
        low_axis.minorticks_off()
        low_axis.legend(loc="upper right", ncols=2, fontsize=10)
        self._line = low_axis.axvline(1.0, color=PALETTE["black"], lw=1.5, animated=True)
        self._text = figure.text(0.09, 0.955, "", fontsize=12, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps("black", PALETTE["blue"], PALETTE["vermillion"], MUTED, steps=20)  # fmt: skip

    def describe(self, tick: int) -> str:
        """눈금의 한 줄 설명."""
        train, held = self.curves[:, tick]
        text = f"h = {WIDTHS[tick]:.3f} · 학습 {train:.3f} · 검증 {held:.3f} nats"
        return text.replace("-", "−") + ("  ← 검증이 가장 높음" if tick == self.best else "")

    def draw(self, tick: int, level: int = 1) -> bytes:
        """0 ≤ tick < len(WIDTHS)."""
        with self._stage.lock:
            self._curve.set_data(self._x, np.exp(log_kde(self.train, self._x, WIDTHS[tick])))
            self._line.set_xdata([WIDTHS[tick]] * 2)
            self._text.set_text(self.describe(tick))
            return self._stage.png(self._stage.pixels([self._curve, self._line, self._text]), level)


def kde_bandwidth(train: Tensor, validation: Tensor, density: Callable | None = None) -> TriView:
    """대역폭을 끄는 위젯. 셀의 마지막 줄에 씁니다. 처음에는 너무 좁은 대역폭에 놓여 있습니다.

    ``ValueError``: 학습이나 검증 데이터가 비었거나 1차원이 아닐 때.
    """
    if train.ndim != 1 or validation.ndim != 1 or not len(train) or not len(validation):
        raise ValueError(
            f"1차원 데이터 (N,)과 (M,)이 필요한데 {tuple(train.shape)}과 {tuple(validation.shape)}을 받았습니다."
        )
    stage, last, start = KdeStage(train, validation, density), len(WIDTHS) - 1, 4
    box, *_ = slider_view(stage.draw, steps=last, start=start, label="대역폭 h", interval=150,
                          max_width="680px")  # fmt: skip
    small = KdeStage(train, validation, density, dpi=80)
    picks = range(
        stage.best % 2, last + 1, 2
    )  # 재생기는 한 눈금씩 건너뜁니다. 가장 좋은 h는 남깁니다
    frames = [small.draw(tick, level=9) for tick in picks]
    labels = [stage.describe(tick) for tick in picks]
    alt = "대역폭에 따라 바뀌는 커널 밀도 추정과 학습, 검증 로그우도"
    html = player(frames, labels, alt=alt, start=start // 2, width=640)
    return TriView(box, html, frames[start // 2], "KDE의 대역폭")
