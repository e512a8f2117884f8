"""분위수 보기: 확률 u 하나를 사이에 두고 x의 CDF와 정규분포의 CDF를 잇습니다.

    x → u = F(x) → z = Φ⁻¹(u)    가우스화(왼쪽에서 오른쪽으로)
    z → u = Φ(z) → x = F⁻¹(u)    역 CDF로 표본 뽑기(오른쪽에서 왼쪽으로)

아래 두 칸의 칠한 넓이는 늘 u로 같습니다.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from course_lib.plots import INK, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

TICKS = 60
EDGE = 0.004  # 눈금의 끝에서 u는 0.004와 0.996입니다


class Law(NamedTuple):
    """연속 분포 하나: 밀도, CDF, 분위수 함수와 그릴 범위. 모두 numpy 배열을 받습니다."""

    pdf: Callable
    cdf: Callable
    ppf: Callable
    limits: tuple[float, float]


def tabulated(x: np.ndarray, density: np.ndarray) -> Law:
    """표로 준 밀도. 격자점 사이를 곧게 잇고 사다리꼴로 더해 CDF를 만듭니다."""
    step = 0.5 * (density[1:] + density[:-1]) * np.diff(x)
    cdf = np.concatenate([[0.0], np.cumsum(step)])
    density, cdf = density / cdf[-1], cdf / cdf[-1]
    return Law(
        lambda v: np.interp(v, x, density, left=0, right=0),
        lambda v: np.interp(v, x, cdf),
        lambda u: np.interp(u, cdf, x),
        (float(x[0]), float(x[-1])),
    )


def _known(law, low: float, high: float) -> Law:
    return Law(law.pdf, law.cdf, law.ppf, (low, high))


_GRID = np.linspace(-3.5, 3.5, 1401)
LAWS = {
    "지수분포": _known(stats.expon, -0.4, 6.0),
    "로지스틱 분포": _known(stats.logistic, -7.0, 7.0),
    "봉우리 둘(표)": tabulated(
        _GRID, 0.65 * stats.norm.pdf(_GRID, -1.6, 0.45) + 0.35 * stats.norm.pdf(_GRID, 1.5, 0.6)
    ),
    "균등분포": _known(stats.uniform(-1, 2), -1.5, 1.5),
}


def u_at(tick: int) -> float:
    """눈금 0…TICKS의 확률 u. z로 고르게 나누어 꼬리에서도 천천히 움직입니다."""
    edge = stats.norm.ppf(EDGE)
    return float(stats.norm.cdf(edge + (-2 * edge) * tick / TICKS))


class QuantileStage:
    """왼쪽 위 F, 오른쪽 위 Φ, 왼쪽 아래 p(x), 오른쪽 아래 φ(z). ``draw(눈금)``이 PNG를 돌려줍니다."""

    def __init__(self, law: Law, dpi: float = 110):
        self.law = law
        figure = blank_figure(7.2, 4.8)
        boxes = [[0.08, 0.46, 0.42, 0.43], [0.55, 0.46, 0.42, 0.43],
                 [0.08, 0.11, 0.42, 0.27], [0.55, 0.11, 0.42, 0.27]]  # fmt: skip
        up, up_z, down, down_z = (figure.add_axes(box) for box in boxes)
        x, z = np.linspace(*law.limits, 600), np.linspace(-3.4, 3.4, 400)
        blue, orange = PALETTE["blue"], PALETTE["orange"]
        for axis, at, curve, color in (
            (up, x, law.cdf(x), blue),
            (up_z, z, stats.norm.cdf(z), orange),
            (down, x, law.pdf(x), blue),
            (down_z, z, stats.norm.pdf(z), orange),
        ):
            axis.plot(at, curve, color=color, lw=2)
            axis.set_xlim(at[0], at[-1])
            axis.tick_params(length=0)
            axis.locator_params(nbins=5)
        for axis in (up, up_z):
            axis.set(ylim=(0, 1), xticklabels=[])
        up_z.set_yticklabels([])
        for axis, curve in ((down, law.pdf(x)), (down_z, stats.norm.pdf(z))):
            axis.set(ylim=(0, 1.15 * curve.max()), yticks=[])
        up.set_ylabel("u")
        down.set(xlabel="x", ylabel="p(x)")
        down_z.set(xlabel="z", ylabel="φ(z)")
        up.set_title("u = F(x)", fontsize=12)
        up_z.set_title("u = Φ(z)", fontsize=12)
        style = {"animated": True}
        self._areas = [
            axis.fill([0], [0], color=color, alpha=0.35, lw=0, **style)[0]
            for axis, color in ((down, blue), (down_z, orange))
        ]
        line = {"color": INK, "lw": 1.4, "ls": (0, (4, 3)), **style}
        self._lines = [axis.plot([], [], **line)[0] for axis in (up, up_z)]
        self._drops = [axis.plot([], [], **line)[0] for axis in (down, down_z)]
        self._dots = [
            axis.plot([], [], "o", color=PALETTE["vermillion"], ms=8, mew=0, **style)[0]
            for axis in (up, up_z)
        ]
        self._text = figure.text(0.5, 0.985, "", fontsize=13, ha="center", va="top", **style)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black", blue, orange, PALETTE["vermillion"], INK, steps=14
        )

    def point(self, tick: int) -> tuple[float, float, float]:
        """눈금의 (x, u, z)."""
        u = u_at(tick)
        return float(self.law.ppf(u)), u, float(stats.norm.ppf(u))

    def draw(self, tick: int, level: int = 1) -> bytes:
        """눈금 0…TICKS의 PNG."""
        x, u, z = self.point(tick)
        low, high = self.law.limits
        with self._stage.lock:
            self._lines[0].set_data([x, x, high], [0, u, u])
            self._lines[1].set_data([-3.4, z, z], [u, u, 0])
            for drop, v, pdf in zip(
                self._drops, (x, z), (self.law.pdf, stats.norm.pdf), strict=True
            ):
                drop.set_data([v, v], [float(pdf(v)), 10])
            for dot, v in zip(self._dots, (x, z), strict=True):
                dot.set_data([v], [u])
            for area, start, end, pdf in (
                (self._areas[0], low, x, self.law.pdf),
                (self._areas[1], -3.4, z, stats.norm.pdf),
            ):
                inside = np.linspace(start, end, 120)
                heights = pdf(inside)
                area.set_xy(np.c_[np.r_[start, inside, end], np.r_[0, heights, 0]])
            text = f"x = {x:.2f}  ↔  u = {u:.3f}  ↔  z = {z:.2f}"
            self._text.set_text(text.replace("-", "−"))
            artists = [*self._areas, *self._lines, *self._drops, *self._dots, self._text]
            return self._stage.png(self._stage.pixels(artists), level)


def quantile_viewer() -> TriView:
    """분위수 보기: 분포를 고르고 슬라이더로 점을 옮깁니다."""
    import ipywidgets as widgets

    stages, lock = {}, threading.Lock()
    menu = widgets.Dropdown(options=list(LAWS), layout=widgets.Layout(width="240px"))

    def stage() -> QuantileStage:
        with lock:  # 배경은 처음 고를 때 한 번 그립니다
            if menu.value not in stages:
                stages[menu.value] = QuantileStage(LAWS[menu.value])
            return stages[menu.value]

    box, _, _, redraw = slider_view(
        lambda tick: stage().draw(tick), steps=TICKS, start=TICKS // 3, label="점", extra=[menu]
    )
    menu.observe(lambda _: redraw(), "value")
    ticks = np.linspace(0, TICKS, 8).round().astype(int)
    frames = {}
    for name, law in LAWS.items():
        small = QuantileStage(law, 64)
        frames[name] = [small.draw(int(t), level=9) for t in ticks]
    labels = [f"u = {u_at(int(t)):.3f}" for t in ticks]
    html = player(frames, labels, alt="x의 CDF와 정규분포의 CDF를 확률 u로 이은 그림", start=2)
    return TriView(box, html, next(iter(frames.values()))[2], "분위수 보기")
