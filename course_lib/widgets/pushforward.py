"""1차원 변수 변환: z의 가는 띠 하나가 x의 어느 띠로 가고, 높이가 어떻게 바뀌는지.

    p_X(x) |dx| = p_Z(z) |dz|   →   p_X(x) = Σ_{f(z) = x} p_Z(z) / |f′(z)|

띠의 넓이(확률)는 옮겨 가도 그대로이고, 넓어지면 낮아지고 좁아지면 높아집니다.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

WIDTH = 0.22  # z의 띠의 너비
TICKS = 60


class Map(NamedTuple):
    """1차원 변환 하나. 모두 numpy 배열을 받는 함수입니다.

    f, slope  f(z)와 f′(z)       base  p_Z(z)       branches  x → f(z) = x인 z들의 목록(없으면 NaN)
    z, x      그릴 범위            start, stop  띠의 왼쪽 끝이 움직이는 범위
    """

    f: Callable
    slope: Callable
    base: Callable
    branches: Callable
    z: tuple[float, float]
    x: tuple[float, float]
    start: float
    stop: float


def _normal(z):
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _where(ok, value):
    return np.where(ok, value, np.nan)


MAPS = {
    "x = 2z + 1,  z는 U(0, 1)": Map(
        lambda z: 2 * z + 1, lambda z: np.full_like(z, 2.0),
        lambda z: ((z >= 0) & (z <= 1)).astype(float),
        lambda x: [(x - 1) / 2], (-0.4, 1.6), (0.2, 4.2), 0.0, 1 - WIDTH,
    ),
    "x = exp z,  z는 N(0, 1)": Map(
        np.exp, np.exp, _normal,
        lambda x: [np.log(_where(x > 0, np.maximum(x, 1e-9)))], (-3.0, 3.0), (-0.4, 6.0), -2.4, 1.5,
    ),
    "x = −log z,  z는 지수분포": Map(
        lambda z: -np.log(np.maximum(z, 1e-9)), lambda z: -1 / np.maximum(z, 1e-9),
        lambda z: np.where(z > 0, np.exp(-z), 0.0),
        lambda x: [np.exp(-x)], (-0.3, 4.5), (-2.0, 5.0), 0.02, 4.0,
    ),
    "x = z²,  z는 N(0, 1)": Map(
        np.square, lambda z: 2 * z, _normal,
        lambda x: [s * np.sqrt(_where(x > 0, np.maximum(x, 0))) for s in (1, -1)],
        (-3.0, 3.0), (-0.4, 6.0), 0.02, 2.1,
    ),
}  # fmt: skip


def density(which: Map, x: np.ndarray) -> np.ndarray:
    """p_X(x) = Σ p_Z(z)/|f′(z)|: f(z) = x가 되는 모든 z를 더합니다."""
    total = np.zeros_like(x)
    for z in which.branches(x):
        with np.errstate(divide="ignore", invalid="ignore"):
            total += np.nan_to_num(which.base(z) / np.abs(which.slope(z)), nan=0.0, posinf=0.0)
    return total


def strips(which: Map, left: float) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """z의 띠들과 그것이 가는 x의 띠. 두 z가 한 x로 가면 z의 띠는 둘입니다."""
    ends = np.sort(which.f(np.array([left, left + WIDTH])))
    pairs = [np.sort(z) for z in which.branches(ends)]
    return [(float(a), float(b)) for a, b in pairs], (float(ends[0]), float(ends[1]))


class PushforwardStage:
    """가운데는 x = f(z), 아래는 p_Z, 왼쪽은 p_X. ``draw(눈금)``이 PNG를 돌려줍니다."""

    def __init__(self, which: Map, dpi: float = 110):
        self.map = which
        figure = blank_figure(7.2, 5.0)
        graph = figure.add_axes([0.36, 0.42, 0.6, 0.54])
        below = figure.add_axes([0.36, 0.1, 0.6, 0.26])
        side = figure.add_axes([0.08, 0.42, 0.22, 0.54])
        z, x = np.linspace(*which.z, 800), np.linspace(*which.x, 800)
        inside = (which.base(z) > 0) | (which.z[0] < -2)
        graph.plot(z, np.where(inside, which.f(z), np.nan), color=INK, lw=2)
        graph.set(xlim=which.z, ylim=which.x, xticklabels=[], yticklabels=[])
        self._p, self._q = which.base(z), density(which, x)
        tall = min(1.15 * self._q.max(), 1.6)
        below.plot(z, self._p, color=PALETTE["orange"], lw=2)
        below.set(xlim=which.z, ylim=(0, 1.15 * self._p.max()), xlabel="z", ylabel="p(z)")
        side.plot(self._q, x, color=PALETTE["blue"], lw=2)
        side.set(xlim=(tall, 0), ylim=which.x, xlabel="p(x)", ylabel="x")
        for axis in (graph, below, side):
            axis.tick_params(length=0)
            axis.locator_params(nbins=5)
        style = {"animated": True, "lw": 0}
        orange, blue = PALETTE["orange"], PALETTE["blue"]
        self._bars_z = [below.fill([0], [0], color=orange, alpha=0.5, **style)[0] for _ in range(2)]
        self._bar_x = side.fill([0], [0], color=blue, alpha=0.5, **style)[0]
        self._bands = [graph.fill([0], [0], color=orange, alpha=0.22, **style)[0] for _ in range(2)]
        self._band_x = graph.fill([0], [0], color=blue, alpha=0.22, **style)[0]
        self._text = figure.text(0.035, 0.2, "", fontsize=11, linespacing=1.5, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps("black", orange, blue, MUTED, steps=12)

    def draw(self, tick: int, level: int = 1) -> bytes:
        """띠가 ``tick``/TICKS만큼 왔을 때의 PNG."""
        which = self.map
        left = which.start + (which.stop - which.start) * tick / TICKS
        sources, (low, high) = strips(which, left)
        mass = 0.0
        with self._stage.lock:
            for k, (bar, band) in enumerate(zip(self._bars_z, self._bands, strict=True)):
                a, b = sources[k] if k < len(sources) else (0.0, 0.0)
                inside = np.linspace(a, b, 40)
                heights = which.base(inside)
                mass += float(np.trapezoid(heights, inside))
                bar.set_xy(np.c_[np.r_[a, inside, b], np.r_[0, heights, 0]])
                band.set_xy([[a, which.x[0]], [a, high], [b, high], [b, which.x[0]]])
            inside = np.linspace(low, high, 40)
            heights = np.minimum(density(which, inside), 10.0)
            self._bar_x.set_xy(np.c_[np.r_[0, heights, 0], np.r_[low, inside, high]])
            right = max(b for _, b in sources)
            self._band_x.set_xy(
                [[which.z[0], low], [right, low], [right, high], [which.z[0], high]]
            )
            self._text.set_text(
                f"dz = {WIDTH * len(sources):.2f}\ndx = {high - low:.2f}\n확률 = {mass:.3f}".replace(
                    "-", "−"
                )
            )
            artists = [*self._bands, self._band_x, *self._bars_z, self._bar_x, self._text]
            return self._stage.png(self._stage.pixels(artists), level)


def pushforward() -> TriView:
    """1차원 변수 변환 보기: 변환을 고르고 슬라이더로 z의 띠를 옮깁니다."""
    import ipywidgets as widgets

    stages, lock = {}, threading.Lock()
    menu = widgets.Dropdown(options=list(MAPS), layout=widgets.Layout(width="280px"))

    def stage() -> PushforwardStage:
        with lock:  # 배경은 처음 고를 때 한 번 그립니다
            if menu.value not in stages:
                stages[menu.value] = PushforwardStage(MAPS[menu.value])
            return stages[menu.value]

    box, _, _, redraw = slider_view(
        lambda tick: stage().draw(tick), steps=TICKS, start=TICKS // 3, label="z의 띠", extra=[menu]
    )
    menu.observe(lambda _: redraw(), "value")
    ticks = np.linspace(0, TICKS, 10).round().astype(int)
    frames = {}
    for name, which in MAPS.items():
        small = PushforwardStage(which, 58)
        frames[name] = [small.draw(int(t), level=9) for t in ticks]
    labels = [f"띠 {i + 1} / {len(ticks)}" for i in range(len(ticks))]
    html = player(frames, labels, alt="z의 띠와 그 띠가 옮겨 간 x의 띠. 넓이가 같습니다", start=4)
    return TriView(box, html, next(iter(frames.values()))[4], "1차원 변수 변환")
