"""에너지의 지형: 2차원 에너지 위를 걷는 랑주뱅 입자를 앞뒤로 돌려 보는 위젯.

바탕색       exp(−E(x)/T)를 최댓값으로 나눈 것의 제곱근(짙을수록 골짜기). 온도를 올리면 퍼집니다
점과 꼬리    입자와 지난 몇 걸음
오른쪽 위    입자의 평균 에너지와, 격자에서 적분한 정답 E_p[E](점선). 점선에 닿지 않으면 아직 p의 표본이 아닙니다
오른쪽 아래  입자의 히스토그램(x₁)과 정확한 주변 밀도

입자는 **잡음에서**(재생 없음) 또는 **주어진 자리에서**(재생 버퍼나 데이터) 출발합니다.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.energy.ebm import Energy, grid, langevin
from course_lib.plots import DENSITY, INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

FRAMES, EVERY, PARTICLES, CELLS, TAIL = 40, 5, 160, 96, 3
STEP_SIZES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
TEMPERATURES = (0.1, 0.3, 1.0, 3.0)
NOISE = "잡음에서(재생 없음)"


class Walk(NamedTuple):
    """걸음의 기록. path (FRAMES+1, N, 2), energies (FRAMES+1,), density (CELLS, CELLS; 행이 x₂), mean E_p[E]."""

    path: np.ndarray
    energies: np.ndarray
    density: np.ndarray
    mean: float


def walk(
    energy: Energy,
    start: Tensor,
    box: Sequence[float],
    step_size: float = 0.02,
    temperature: float = 1.0,
    seed: int = 0,
    frames: int = FRAMES,
) -> Walk:
    """start (N, 2)에서 frames·EVERY걸음을 걷고, 같은 온도의 정확한 밀도를 격자에서 잽니다. 순수 함수입니다.

    상자를 크게 벗어난 입자(발산)는 상자 밖 가장자리에 세워 둡니다.
    """
    random = torch.Generator().manual_seed(seed)
    margin = max(box[1] - box[0], box[3] - box[2])
    edge = max(abs(v) for v in box) + margin
    path = langevin(
        energy, start, frames * EVERY, step_size, temperature=temperature,
        box=(-edge, edge), generator=random, every=EVERY,
    )  # fmt: skip
    points, log_cell = grid(box, CELLS, start.dtype)
    with torch.no_grad():
        energies = torch.stack([energy(at).mean() for at in path])
        level = energy(points)
        log_p = (-level.double() / temperature).log_softmax(0) - log_cell
        mean = float((log_p.exp() * math.exp(log_cell) * level.double()).sum())
    density = log_p.exp().reshape(CELLS, CELLS).T  # 격자의 첫 축이 x₁이므로 뒤집어 행을 x₂로
    return Walk(path.numpy(), energies.double().numpy(), density.numpy(), mean)


class LandscapeStage:
    """왼쪽은 지형과 입자, 오른쪽은 평균 에너지와 x₁의 분포. ``draw(k)``가 k번째 순간의 PNG입니다."""

    def __init__(self, box: Sequence[float], dpi: float = 110, shades: int = 22):
        self.box = tuple(float(v) for v in box)
        figure = blank_figure(7.4, 4.1)
        main = figure.add_axes([0.01, 0.04, 0.535, 0.88])
        main.set(xlim=self.box[:2], ylim=self.box[2:], xticks=[], yticks=[])
        main.grid(False)
        self._field = main.imshow(
            np.zeros((CELLS, CELLS)), cmap=DENSITY, extent=self.box, origin="lower", vmin=0,
            vmax=1.25, aspect="auto", interpolation="nearest", animated=True,
        )  # fmt: skip
        color = PALETTE["vermillion"]
        self._tails = main.plot([], [], color=color, lw=0.8, alpha=0.5, animated=True)[0]
        self._dots = main.plot([], [], "o", color=color, ms=3.6, mew=0, animated=True)[0]
        top = figure.add_axes([0.645, 0.58, 0.335, 0.31])
        top.set_title("입자의 평균 에너지", fontsize=11)
        top.set(xlim=(0, 1), ylim=(-0.08, 1.08), xticks=[], yticks=[])
        self._level = top.plot([], [], color=INK, ls=(0, (4, 3)), lw=1.2, animated=True)[0]
        self._curve = top.plot([], [], color=color, lw=2, animated=True)[0]
        self._mark = top.plot([], [], "o", color=color, ms=6, animated=True)[0]
        low = figure.add_axes([0.645, 0.1, 0.335, 0.31])
        low.set_title("x₁의 분포: 입자(막대)와 정답(선)", fontsize=11)
        low.set(xlim=self.box[:2], ylim=(0, 1.15), yticks=[])
        low.locator_params(axis="x", nbins=5)
        self._bars = low.fill([0], [0], color=color, alpha=0.45, animated=True)[0]
        self._exact = low.plot([], [], color=INK, lw=1.4, animated=True)[0]
        self._text = figure.text(0.015, 0.945, "", fontsize=11.5, color=INK, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            PALETTE["blue"], "#06325A", color, INK, MUTED, steps=shades
        )
        self.words, self.walk = "", None

    def load(self, words: str, record: Walk) -> None:
        """걸음의 기록 하나를 올립니다."""
        with self._stage.lock:
            self.words, self.walk = words, record
            shade = np.sqrt(record.density / max(record.density.max(), 1e-300))
            self._field.set_data((shade * 10).astype(int).clip(0, 9) / 9)
            values = np.append(record.energies, record.mean)
            bottom, top = values.min(), values.max()
            scale = lambda v: (np.asarray(v) - bottom) / max(top - bottom, 1e-9)  # noqa: E731
            self._x = np.linspace(0, 1, len(record.energies))
            self._y = scale(record.energies)
            self._level.set_data([0, 1], [scale(record.mean)] * 2)
            marginal = record.density.sum(0)
            centres = self.box[0] + (np.arange(CELLS) + 0.5) * (self.box[1] - self.box[0]) / CELLS
            self._cell = (self.box[3] - self.box[2]) / CELLS
            self._peak = max(1.6 * marginal.max() * self._cell, 1e-12)
            self._exact.set_data(centres, marginal * self._cell / self._peak)

    def draw(self, k: int, level: int = 1) -> bytes:
        """k번째 순간의 PNG. 기록보다 뒤를 물으면 마지막 순간입니다."""
        with self._stage.lock:
            path = self.walk.path
            k = min(max(k, 0), len(path) - 1)
            self._dots.set_data(*path[k].T)
            recent = path[max(0, k - TAIL) : k + 1]  # (≤ TAIL+1, N, 2)
            gap = np.full((1, recent.shape[1], 2), np.nan)
            tails = np.concatenate([recent, gap]).transpose(1, 0, 2).reshape(-1, 2)
            self._tails.set_data(*(tails if level < 9 else tails[:0]).T)  # 재생기에는 점만
            self._curve.set_data(self._x[: k + 1], self._y[: k + 1])
            self._mark.set_data(self._x[k : k + 1], self._y[k : k + 1])
            edges = np.linspace(*self.box[:2], 25)
            counts, _ = np.histogram(path[k][:, 0], edges)
            tall = counts / (len(path[k]) * (edges[1] - edges[0])) / self._peak
            self._bars.set_xy(
                np.c_[np.r_[edges[0], np.repeat(edges, 2)[1:-1], edges[-1]],
                      np.r_[0, np.repeat(tall.clip(max=1.12), 2), 0]]
            )  # fmt: skip
            mean = self.walk.energies[k]
            self._text.set_text(
                f"{self.words}: {k * EVERY}걸음, 평균 에너지 {mean:.2f} (정답 {self.walk.mean:.2f})"
                .replace("-", "−")
            )  # fmt: skip
            artists = [
                self._field, self._tails, self._dots, self._level, self._curve, self._mark,
                self._bars, self._exact, self._text,
            ]  # fmt: skip
            return self._stage.png(self._stage.pixels(artists), level)


def noise_start(box: Sequence[float], n: int = PARTICLES, seed: int = 0) -> Tensor:
    """상자에 고르게 뿌린 출발점 (n, 2)."""
    u = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
    low, high = torch.tensor([box[0], box[2]]), torch.tensor([box[1], box[3]])
    return low + (high - low) * u


def energy_landscape(
    energies: Mapping[str, Energy],
    box: Sequence[float],
    starts: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> TriView:
    """에너지의 지형 위를 걷는 입자. 셀의 마지막 줄에 쓰면 나타납니다.

    energies  ``{이름: 에너지}``. nn.Module은 eval() 상태의 복사본을 씁니다
    box       (x₁ 최소, 최대, x₂ 최소, 최대)
    starts    ``{에너지 이름: {출발 이름: (N, 2)}}``. 잡음에서 출발하는 것은 늘 들어 있습니다

    살아 있는 위젯에서는 에너지, 출발점, 걸음 크기, 온도를 고르고 시간을 돌려 봅니다. 커널이 없는 곳에는 에너지마다
    η = 0.02, T = 1인 재생기가 나타납니다. 배운 에너지를 넣은 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    ValueError: 에너지가 없거나 상자가 네 수가 아닐 때.
    """
    import copy

    import ipywidgets as widgets

    if not energies or len(box) != 4:
        raise ValueError(f"에너지가 하나 이상, 상자는 네 수여야 합니다: {list(energies)}, {box}.")
    frozen = {
        name: copy.deepcopy(e).eval().requires_grad_(False) if isinstance(e, torch.nn.Module) else e
        for name, e in energies.items()
    }
    noise, starts = noise_start(box), dict(starts or {})
    stage, lock = LandscapeStage(box), threading.RLock()

    def options(name: str) -> dict[str, Tensor]:
        return {NOISE: noise, **{k: v[:PARTICLES] for k, v in starts.get(name, {}).items()}}

    style = {"style": {"description_width": "auto"}}
    menu = widgets.Dropdown(options=list(frozen), description="에너지", **style)
    start = widgets.Dropdown(options=list(options(menu.value)), description="출발", **style)
    wide = {**style, "layout": widgets.Layout(width="330px")}
    step = widgets.SelectionSlider(
        options=STEP_SIZES, value=0.02, description="걸음 크기 η", **wide
    )
    heat = widgets.SelectionSlider(options=TEMPERATURES, value=1.0, description="온도 T", **wide)

    def load() -> None:
        words = f"η = {step.value:g}, T = {heat.value:g}"
        points = options(menu.value)[start.value]
        stage.load(words, walk(frozen[menu.value], points, box, step.value, heat.value))

    load()
    row = widgets.HBox(
        [menu, *([start] if starts else []), step, heat],
        layout=widgets.Layout(flex_flow="row wrap", grid_gap="4px 14px"),
    )
    live, _, _, redraw = slider_view(
        stage.draw, steps=FRAMES, start=FRAMES // 2, label="시간", interval=100, extra=[row]
    )

    def change(_) -> None:
        with lock:
            load()
            redraw()

    def change_energy(_) -> None:
        with lock:
            names = list(options(menu.value))
            if tuple(names) != tuple(start.options):
                start.options = names  # 첫 것(잡음)으로 돌아가며 change가 불립니다
            change(None)

    menu.observe(change_energy, "value")
    for control in (start, step, heat):
        control.observe(change, "value")

    picks = [0, 1, 2, 4, 8, 18, FRAMES]
    small, frames = LandscapeStage(box, 68, shades=7), {}
    for name, e in frozen.items():
        for words, points in options(name).items():
            small.load("η = 0.02, T = 1", walk(e, points, box))
            frames[f"{name}, {words}"] = [small.draw(k, level=9) for k in picks]
    labels = [f"{k * EVERY} / {FRAMES * EVERY}걸음" for k in picks]
    middle = 4
    html = player(
        frames, labels, alt="에너지의 지형 위를 걷는 랑주뱅 입자", start=middle, seconds=5
    )
    return TriView(live, html, next(iter(frames.values()))[middle], "에너지의 지형")


def expert_product(first: Energy, second: Energy, box: Sequence[float], ticks: int = 20) -> TriView:
    """전문가의 곱 exp(−E₁ − w E₂): 무게 w를 0부터 2까지 옮기면 두 조건이 겹칩니다.

    왼쪽부터 p₁, p₂, 곱을 다시 정규화한 것입니다. 상자 안의 격자에서 계산하며, 순수 함수 ``product``를 씁니다.
    """
    points, _ = grid(box, CELLS, torch.float32)
    with torch.no_grad():
        levels = [e(points).double().reshape(CELLS, CELLS).T.numpy() for e in (first, second)]
    one, two = (product(*levels, w) for w in ((1, 0), (0, 1)))
    stage, small = ProductStage(box, one, two), ProductStage(box, one, two, 66)

    def draw(on: ProductStage, k: int, level: int = 1) -> bytes:
        w = 2 * min(max(k, 0), ticks) / ticks
        return on.draw(product(*levels, (1, w)), w, level)

    live, *_ = slider_view(
        lambda k: draw(stage, k), steps=ticks, start=ticks // 2, label="무게 w", interval=120
    )
    picks = np.linspace(0, ticks, 9).round().astype(int)
    frames = [draw(small, int(k), 9) for k in picks]
    labels = [f"w = {2 * k / ticks:.2f}" for k in picks]
    html = player(frames, labels, alt="두 밀도와 그 곱", start=4, seconds=4)
    return TriView(live, html, frames[4], "전문가의 곱")


def product(first: np.ndarray, second: np.ndarray, weights: tuple[float, float]) -> np.ndarray:
    """격자의 에너지 둘 → exp(−w₁E₁ − w₂E₂)를 칸의 합이 1이 되게 나눈 것."""
    total = weights[0] * first + weights[1] * second
    p = np.exp(total.min() - total)
    return p / p.sum()


class ProductStage:
    """p₁, p₂와 그 곱. ``draw(밀도, w)``가 PNG입니다."""

    def __init__(self, box, one: np.ndarray, two: np.ndarray, dpi: float = 110):
        figure = blank_figure(7.4, 2.7)
        for k, (field, name) in enumerate(((one, "p₁"), (two, "p₂"), (None, None))):
            axis = figure.add_axes([0.01 + 0.333 * k, 0.03, 0.313, 0.84])
            axis.set(xlim=box[:2], ylim=box[2:], xticks=[], yticks=[])
            axis.grid(False)
            shown = np.zeros((CELLS, CELLS)) if field is None else np.sqrt(field / field.max())
            image = axis.imshow(
                shown, cmap=DENSITY, extent=tuple(box), origin="lower", vmin=0, vmax=1.15,
                aspect="auto", interpolation="nearest", animated=field is None,
            )  # fmt: skip
            if name:
                axis.set_title(name, fontsize=12)
        self._image = image
        self._title = figure.text(
            0.833, 0.9, "", ha="center", fontsize=12, color=INK, animated=True
        )
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(PALETTE["blue"], "#06325A", INK, steps=16)

    def draw(self, density: np.ndarray, w: float, level: int = 1) -> bytes:
        with self._stage.lock:
            self._image.set_data(np.sqrt(density / density.max()))
            self._title.set_text(f"곱 $p_1 p_2^w$, w = {w:.1f}")
            return self._stage.png(self._stage.pixels([self._image, self._title]), level)
