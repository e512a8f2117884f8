"""비평자의 지형: 학습하는 동안 비평자 f와 생성자의 표본이 어떻게 움직이는지 앞뒤로 돌려 보는 위젯.

바탕색       f(x)의 높낮이. 그 순간의 최솟값과 최댓값 사이를 아홉 단계로 나누어 그 경계가 등고선입니다
점           진짜(검은색)와 생성자의 표본(주황색), 화살표는 표본이 움직일 방향 ∇f(x)(길이는 맞추어 그림)
오른쪽 위    진짜와 가짜를 잇는 선분 위에서 잰 기울기 ‖∇f‖의 분포(로그 눈금)
오른쪽 아래  비평자의 값 E f(x) − E f(G(z)). 그 순간의 최댓값으로 나눕니다
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.gan.gan import GAN
from course_lib.gan.wgan import critic_estimate, slopes
from course_lib.plots import DIVERGING, INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

CELLS, ARROWS, HALF = 64, 40, 3.0
BINS = np.linspace(-4, 2, 37)  # 기울기의 상용로그


class Shot(NamedTuple):
    """학습의 한순간."""

    step: int
    field: np.ndarray  # f(x), (CELLS, CELLS), 행이 x₂
    points: np.ndarray  # G(z), (N, 2)
    arrows: np.ndarray  # ∇f, (ARROWS, 2)
    slopes: np.ndarray  # 선분 위의 ‖∇f‖, (N,)
    value: float  # E f(x) − E f(G(z))


def grid() -> Tensor:
    """바탕을 재는 점 (CELLS², 2)."""
    axis = (torch.arange(CELLS) + 0.5) * (2 * HALF / CELLS) - HALF
    return torch.cartesian_prod(axis, axis).flip(1)


def shoot(gan: GAN, real: Tensor, z: Tensor, step: int) -> Shot:
    """지금의 비평자와 생성자를 그림에 필요한 수로 옮깁니다. real과 z는 수가 같은 (N, 2), (N, K)."""
    if len(real) != len(z):
        raise ValueError(f"진짜와 z의 수가 같아야 합니다: {len(real)}개와 {len(z)}개.")
    critic = gan.discriminator
    with torch.no_grad():
        fake = gan.generator(z)
        field = critic(grid()).reshape(CELLS, CELLS)
    share = torch.linspace(0, 1, len(z))[:, None]
    between = slopes(critic, share * real + (1 - share) * fake)
    x = fake[:ARROWS].clone().requires_grad_()
    with torch.enable_grad():
        (uphill,) = torch.autograd.grad(critic(x).sum(), x)
    value = critic_estimate(critic, real, fake)
    return Shot(step, field.numpy(), fake.numpy(), uphill.numpy(), between.numpy(), value)


class LandscapeStage:
    """왼쪽은 지형, 오른쪽은 기울기의 분포와 비평자의 값. ``draw(k)``가 k번째 순간의 PNG입니다."""

    def __init__(self, real: np.ndarray, dpi: float = 110):
        figure = blank_figure(7.4, 4.3)
        main = figure.add_axes([0.01, 0.04, 0.555, 0.89])
        main.set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), xticks=[], yticks=[], aspect="equal")
        main.grid(False)
        self._field = main.imshow(
            np.full((CELLS, CELLS), 0.5), cmap=DIVERGING, extent=(-HALF, HALF) * 2, alpha=0.65,
            origin="lower", vmin=-0.25, vmax=1.25, interpolation="nearest", animated=True
        )  # fmt: skip
        dots = {"ls": "none", "animated": True}
        self._real = main.plot(*real.T, ".", color=INK, ms=2.5, alpha=0.5, **dots)[0]
        self._fake = main.plot([], [], ".", color=PALETTE["orange"], ms=5, **dots)[0]
        self._arrows = main.plot([], [], color=INK, lw=1.1, animated=True)[0]
        top = figure.add_axes([0.63, 0.6, 0.35, 0.29])
        top.set(
            xlim=(BINS[0], BINS[-1]), ylim=(0, 1.05), yticks=[], xticks=[-4, -3, -2, -1, 0, 1, 2]
        )
        top.set_xticklabels(["0.0001", "", "0.01", "", "1", "", "100"])
        top.axvline(0, color=MUTED, lw=1, ls="--")
        top.set_title("선분 위의 기울기 ‖∇f‖", fontsize=11)
        self._bars = top.fill([0], [0], color=PALETTE["green"], alpha=0.6, animated=True)[0]
        low = figure.add_axes([0.63, 0.12, 0.35, 0.29])
        low.set(xlim=(0, 1), ylim=(-0.6, 1.08), xticks=[0, 1], yticks=[0])
        low.set_xticklabels(["처음", "끝"])
        low.set_title("비평자의 값(최댓값으로 나눔)", fontsize=11)
        self._curve = low.plot([], [], color=PALETTE["blue"], lw=1.8, animated=True)[0]
        self._mark = low.plot([], [], "o", color=PALETTE["blue"], ms=6, animated=True)[0]
        self._text = figure.text(0.015, 0.945, "", fontsize=11.5, color=INK, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            PALETTE["blue"], PALETTE["vermillion"], PALETTE["orange"], PALETTE["green"], INK, MUTED,
            steps=22,
        )  # fmt: skip
        self.name, self.shots = "", []

    def load(self, name: str, shots: Sequence[Shot]) -> None:
        """학습 한 번의 기록을 올립니다."""
        with self._stage.lock:
            self.name, self.shots = name, list(shots)
            values = np.array([s.value for s in self.shots])
            x = np.linspace(0, 1, max(len(values), 2))[: len(values)]
            self._path = x, (values / max(values.max(), 1e-12)).clip(-0.55, 1)
            self._curve.set_data(*self._path)

    def draw(self, k: int, level: int = 1) -> bytes:
        """k번째 순간의 PNG. 기록보다 뒤를 물으면 마지막 순간입니다."""
        with self._stage.lock:
            k = min(max(k, 0), len(self.shots) - 1)
            now = self.shots[k]
            low, high = now.field.min(), now.field.max()
            height = (now.field - low) / max(high - low, 1e-12)
            self._field.set_data((height * 9).astype(int).clip(0, 8) / 8)
            self._fake.set_data(*now.points.T)
            start = now.points[:ARROWS]
            length = np.linalg.norm(now.arrows, axis=1, keepdims=True)
            tips = start + 0.45 * now.arrows / np.maximum(length, 1e-12)
            lines = np.stack([start, tips, np.full_like(tips, np.nan)], 1)
            self._arrows.set_data(lines[..., 0].ravel(), lines[..., 1].ravel())
            counts, _ = np.histogram(np.log10(now.slopes + 1e-12).clip(-3.99, 1.99), BINS)
            tall = counts / max(counts.max(), 1)
            self._bars.set_xy(
                np.c_[np.r_[BINS[0], np.repeat(BINS, 2)[1:-1], BINS[-1]],
                      np.r_[0, np.repeat(tall, 2), 0]]
            )  # fmt: skip
            self._mark.set_data([self._path[0][k]], [self._path[1][k]])
            middle = float(np.median(now.slopes))
            self._text.set_text(
                f"{self.name}, {now.step}단계: f의 폭 {high - low:.2g}, 기울기 {middle:.2g}"
            )
            artists = [
                self._field, self._real, self._fake, self._arrows, self._bars, self._curve,
                self._mark, self._text,
            ]  # fmt: skip
            return self._stage.png(self._stage.pixels(artists), level)


def critic_landscape(runs: Mapping[str, Sequence[Shot]], real: Tensor) -> TriView:
    """학습의 기록들을 골라 돌려 보는 위젯. 셀의 마지막 줄에 쓰면 나타납니다.

    runs  ``{이름: [Shot, …]}``, 길이가 같아야 합니다        real  배경에 그릴 진짜 (N, 2)

    학습한 모델의 그림이 들어가므로 이 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    """
    import ipywidgets as widgets

    lengths = {len(shots) for shots in runs.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"학습마다 기록의 수가 같아야 합니다: {sorted(lengths)}.")
    (count,) = lengths
    background = real.detach().numpy()
    stage, small, lock = (
        LandscapeStage(background),
        LandscapeStage(background, 72),
        threading.Lock(),
    )
    picks = np.linspace(0, count - 1, min(count, 8)).round().astype(int)
    frames = {}
    for name, shots in runs.items():
        small.load(name, shots)
        frames[name] = [small.draw(int(k), level=9) for k in picks]
    first = next(iter(runs))
    stage.load(first, runs[first])
    menu = widgets.Dropdown(options=list(runs), layout=widgets.Layout(width="240px"))
    draw: Callable[[int], bytes] = stage.draw
    box, _, _, redraw = slider_view(
        draw, steps=count - 1, start=count // 2, label="학습", interval=150, extra=[menu]
    )

    def change(_) -> None:
        with lock:
            stage.load(menu.value, runs[menu.value])
            redraw()

    menu.observe(change, "value")
    labels = [f"{runs[first][k].step} / {runs[first][-1].step}단계" for k in picks]
    middle = len(picks) // 2
    html = player(frames, labels, alt="비평자의 지형과 표본", start=middle, budget=400_000)
    return TriView(box, html, frames[first][middle], "비평자의 지형")
