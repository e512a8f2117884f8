"""두 분포를 떼어 놓기: KL, JS, W와 수송 계획이 거리에 따라 어떻게 달라지는지 보는 위젯.

    KL(p ‖ q) = Σ p log(p/q)      q가 0인 곳에 p가 있으면 ∞
    JSD       = ½KL(p‖m) + ½KL(q‖m), m = (p + q)/2. log 2를 넘지 않음
    W₁        = Σ |F − G|·h       너비 h인 칸에서 잰 두 누적분포함수의 차이

칸마다의 확률로 정확히 셈합니다. 가는 선은 p의 분위수와 q의 같은 분위수를 잇습니다(직선 위의 최적 수송 계획).
"""

import math
import threading

import numpy as np

from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

CELL, HALF = 0.025, 6.0
EDGES = np.arange(-HALF, HALF + CELL / 2, CELL)
MIDDLE = (EDGES[:-1] + EDGES[1:]) / 2
FAR, TICKS = 3.0, 120  # θ ∈ [−3, 3], 눈금 하나가 0.05
THETAS = np.linspace(-FAR, FAR, TICKS + 1).round(6)
LINES = 24  # 잇는 분위수의 수
LOG2 = math.log(2)


def _normal(x, mean, scale):
    return -0.5 * ((x - mean) / scale) ** 2


def _box(x, mean, width):
    return np.where(np.abs(x - mean) < width / 2, 0.0, -np.inf)


# 이름 → (log p, log q(θ)), 정규화 상수는 빼고
PAIRS = {
    "나란한 두 선(폭 0.1)": (lambda x: _box(x, 0, 0.1), lambda x, t: _box(x, t, 0.1)),
    "고른 분포 둘(폭 1)": (lambda x: _box(x, 0, 1.0), lambda x, t: _box(x, t, 1.0)),
    "정규분포 둘": (lambda x: _normal(x, 0, 0.5), lambda x, t: _normal(x, t, 0.5)),
    "봉우리 둘과 하나": (
        lambda x: np.logaddexp(_normal(x, -1, 0.3), _normal(x, 1, 0.3)),
        lambda x, t: _normal(x, t, 0.3),
    ),
}


def masses(pair: str, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """칸마다의 log p와 log q (480,), 합이 1이 되게. 없는 칸은 −∞."""
    log_p, log_q = PAIRS[pair][0](MIDDLE), PAIRS[pair][1](MIDDLE, theta)
    return tuple(v - np.logaddexp.reduce(v) for v in (log_p, log_q))


def divergences(log_p: np.ndarray, log_q: np.ndarray) -> tuple[float, float, float]:
    """(KL(p‖q), JSD, W₁). KL은 무한대일 수 있습니다."""
    p, q = np.exp(log_p), np.exp(log_q)
    log_m = np.logaddexp(log_p, log_q) - LOG2

    def kl(mass, log_a, log_b):
        with np.errstate(invalid="ignore"):  # 0 · (−∞ − b)는 0으로 셉니다
            terms = np.where(mass > 0, mass * (log_a - log_b), 0.0)
        return float(terms.sum())

    jsd = 0.5 * (kl(p, log_p, log_m) + kl(q, log_q, log_m))
    return kl(p, log_p, log_q), jsd, float(np.abs(np.cumsum(p - q)).sum() * CELL)


def quantiles(log_p: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """누적확률이 levels인 자리(칸 안에서는 곧게)."""
    cumulative = np.concatenate([[0.0], np.cumsum(np.exp(log_p))])
    grows = np.diff(cumulative) > 1e-15
    keep = np.concatenate([grows, [False]]) | np.concatenate([[False], grows])  # 칸의 두 끝
    return np.interp(levels, cumulative[keep], EDGES[keep])


class DistanceStage:
    """왼쪽 위는 두 분포와 수송, 오른쪽 위는 수송 계획, 아래는 θ의 함수로 그린 KL, JS, W. ``draw(눈금)``."""

    def __init__(self, pair: str, dpi: float = 110):
        figure, self._pair = blank_figure(7.2, 4.9), pair
        main = figure.add_axes([0.03, 0.5, 0.6, 0.46])
        plan = figure.add_axes([0.7, 0.5, 0.28, 0.41])
        main.set(xlim=(-4, 4), ylim=(-1.15, 2.15), yticks=[])
        main.set_xlabel("x", labelpad=1)
        main.grid(False)
        plan.set(xlim=(-4, 4), ylim=(-4, 4), xticks=[-3, 0, 3], yticks=[-3, 0, 3])
        plan.set_title("수송 계획: p의 x → q의 y", fontsize=10.5)
        plan.plot([-4, 4], [-4, 4], color=MUTED, lw=0.8, ls=":")
        main.text(-3.9, 1.8, "p", color=PALETTE["blue"], fontsize=13)
        main.text(-3.9, -0.9, "q", color=PALETTE["orange"], fontsize=13)
        blue, orange = PALETTE["blue"], PALETTE["orange"]
        fill = {"lw": 1.2, "alpha": 0.75, "animated": True}
        self._fills = [main.fill([0], [0], color=c, **fill)[0] for c in (blue, orange)]
        self._lines = main.plot([], [], color=INK, lw=0.7, alpha=0.6, animated=True)[0]
        self._plan = plan.plot([], [], color=INK, lw=0, marker="s", ms=2.6, animated=True)[0]
        self._levels = (np.arange(LINES) + 0.5) / LINES
        self._fine = (np.arange(160) + 0.5) / 160

        values = np.array([divergences(*masses(pair, t)) for t in THETAS])
        self._values = values
        finite = values[np.isfinite(values)]
        split = bool(np.isinf(values).any())  # KL이 무한대가 되는 쌍
        tops = (1.0 if split else min(20.0, finite.max()), 0.8, max(1.0, values[:, 2].max()))
        names = ("KL(p‖q)", "JSD", "W₁")
        colors = (PALETTE["vermillion"], PALETTE["purple"], PALETTE["green"])
        self._marks, self._numbers, self._tops = [], [], tops
        for k, (name, top, color) in enumerate(zip(names, tops, colors, strict=True)):
            left = 0.055 + 0.325 * k
            axis = figure.add_axes([left, 0.1, 0.265, 0.24])
            axis.set(xlim=(-FAR, FAR), ylim=(-0.04 * top, 1.08 * top), xticks=[-3, 0, 3])
            axis.set_xlabel("거리 θ", labelpad=1, fontsize=10)
            axis.set_title(name, fontsize=11, loc="left")
            axis.locator_params(axis="y", nbins=4)
            curve = np.minimum(values[:, k], 2 * top)
            if k == 0 and split:  # θ = 0에서만 유한합니다
                curve = np.where(np.isinf(values[:, 0]), top, np.nan)
                axis.plot([0], [0], ".", color=color, ms=8)
                axis.set_yticks([0, top], ["0", "∞"])
            axis.plot(THETAS, curve, color=color, lw=2)
            if k == 1:
                axis.axhline(LOG2, color=MUTED, lw=1, ls="--")
                axis.set_yticks([0, LOG2], ["0", "log 2"])
            self._marks.append(axis.plot([], [], "o", color=INK, ms=6, animated=True)[0])
            style = {"ha": "right", "fontsize": 11, "animated": True}
            self._numbers.append(figure.text(left + 0.265, 0.358, "", **style))
        for axis in figure.axes:
            axis.tick_params(length=0, labelsize=9)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps("black", blue, orange, *colors, MUTED, steps=8)

    def draw(self, tick: int, level: int = 1) -> bytes:
        """q의 자리가 THETAS[tick]일 때의 PNG."""
        logs = masses(self._pair, THETAS[tick])
        with self._stage.lock:
            # 두 밀도를 그림 높이 1에 맞추어 위(p)와 아래(q)에 그립니다
            for fill, log_mass, base, sign in zip(self._fills, logs, (1, 0), (1, -1), strict=True):
                tall = np.exp(log_mass - log_mass.max())
                fill.set_xy(np.c_[np.r_[-HALF, MIDDLE, HALF], base + sign * np.r_[0, tall, 0]])
            starts, ends = (quantiles(v, self._levels) for v in logs)
            gap = np.full(LINES, np.nan)
            self._lines.set_data(
                np.stack([starts, ends, gap], 1).ravel(),
                np.stack([np.ones(LINES), np.zeros(LINES), gap], 1).ravel(),
            )
            self._plan.set_data(*(quantiles(v, self._fine) for v in logs))
            for k, (mark, number) in enumerate(zip(self._marks, self._numbers, strict=True)):
                value = self._values[tick, k]
                mark.set_data([THETAS[tick]], [min(value, self._tops[k])])
                number.set_text("∞" if math.isinf(value) else f"{value:.2f}")
            artists = [*self._fills, self._lines, self._plan, *self._marks, *self._numbers]
            return self._stage.png(self._stage.pixels(artists), level)


def distance_explorer() -> TriView:
    """두 분포를 떼어 놓으며 KL, JS, W와 수송 계획을 봅니다. 셀의 마지막 줄에 쓰면 나타납니다."""
    import ipywidgets as widgets

    stages, lock = {}, threading.Lock()
    menu = widgets.Dropdown(options=list(PAIRS), layout=widgets.Layout(width="280px"))

    def stage() -> DistanceStage:
        with lock:
            if menu.value not in stages:
                stages[menu.value] = DistanceStage(menu.value)
            return stages[menu.value]

    box, _, _, redraw = slider_view(
        lambda tick: stage().draw(tick), steps=TICKS, start=84, label="거리 θ", extra=[menu]
    )
    menu.observe(lambda _: redraw(), "value")
    ticks = np.linspace(0, TICKS, 9).round().astype(int)
    frames = {}
    for pair in PAIRS:
        small = DistanceStage(pair, 56)
        frames[pair] = [small.draw(int(t), level=9) for t in ticks]
    labels = [f"θ = {THETAS[t]:.2f}".replace("-", "−") for t in ticks]
    html = player(frames, labels, alt="두 분포와 그 사이의 KL, JSD, W₁", start=5)
    return TriView(box, html, frames[next(iter(PAIRS))][5], "두 분포를 떼어 놓기")
