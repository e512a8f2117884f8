"""GAN 경기장: 2차원 점 위에서 두 신경망이 겨루는 모습을 앞뒤로 돌려 보는 위젯.

    바탕색   판별자가 진짜라고 보는 정도 D(x) = σ(s(x))
    점       진짜(검은색)와 생성자의 표본(주황색)
    화살표   표본마다 생성자의 손실을 줄이는 방향 −∂ℓ(s(x))/∂x. 짧으면 생성자가 배울 것이 없습니다

손실이나 학습률을 바꾸면 그 자리에서 몇 초 동안 다시 학습합니다. 학습은 다른 스레드에서 하고 난수도 따로 씁니다.
"""

import copy
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.datasets.toy2d import Grid25, Ring8, Toy2D
from course_lib.evaluation import mode_coverage
from course_lib.gan import losses
from course_lib.gan.gan import GAN, players, toy_gan
from course_lib.plots import DIVERGING, INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

FRAMES, STEPS, CELLS, ARROWS = 24, 600, 64, 40
LOSSES = {
    "non-saturating": losses.non_saturating,
    "minimax": losses.minimax,
    "hinge": losses.hinge,
}
RATES = {"0.0003": 3e-4, "0.001": 1e-3, "0.003": 3e-3, "0.01": 1e-2, "0.03": 3e-2}
DATA: dict[str, Toy2D] = {"8 고리": Ring8(radius=2.0, sd=0.1), "25 격자": Grid25(1.0, 0.05)}
RADIUS = 4  # 봉우리에서 표준편차의 몇 배까지 덮었다고 볼지
HALF = 3.0  # 그림의 범위 [−3, 3]²


class Setting(NamedTuple):
    """한 판의 설정. r1은 R1 벌점의 무게입니다."""

    loss: str = "non-saturating"
    rate: float = 3e-3
    r1: float = 0.0
    data: str = "8 고리"


class Snapshot(NamedTuple):
    """학습의 한순간."""

    step: int
    field: np.ndarray  # D(x), (CELLS, CELLS), 행이 x₂
    points: np.ndarray  # G(z), (N, 2)
    arrows: np.ndarray  # (ARROWS, 2)
    real: float  # 진짜 위의 D의 평균
    fake: float  # 가짜 위의 D의 평균
    covered: int  # 덮은 봉우리의 수


class OwnNoise(GAN):
    """z를 자기 난수로 뽑는 GAN. 다른 스레드에서 학습해도 노트북의 난수를 건드리지 않습니다."""

    def latent(self, n: int) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=self.random)


def new_gan(seed: int = 0) -> OwnNoise:
    """은닉층 32×2의 작은 GAN. 전역 난수는 그대로 둡니다."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        small = toy_gan(2, (32, 32))
    gan = OwnNoise(small.generator, small.discriminator, 2)
    gan.random = torch.Generator().manual_seed(seed)
    return gan


def grid() -> Tensor:
    """바탕을 재는 점 (CELLS², 2)."""
    axis = (torch.arange(CELLS) + 0.5) * (2 * HALF / CELLS) - HALF
    return torch.cartesian_prod(axis, axis).flip(1)


def arrows(gan: GAN, loss: losses.AdversarialLoss, points: Tensor) -> Tensor:
    """점마다 −∂ℓ/∂x, (N, 2). ℓ은 표본 하나의 생성자 손실입니다."""
    with torch.enable_grad():
        x = points.detach().clone().requires_grad_()
        scores = gan.discriminator(x)
        (slope,) = torch.autograd.grad(len(x) * loss.generator(scores), x)
    return -slope


def snapshot(gan: OwnNoise, setting: Setting, z: Tensor, real: Tensor, step: int) -> Snapshot:
    """지금의 GAN을 그림에 필요한 수로 옮깁니다. z (N, K), real (M, 2)."""
    toy = DATA[setting.data]
    with torch.no_grad():
        points = gan.generator(z)
        field = gan.discriminator(grid()).sigmoid().reshape(CELLS, CELLS)
        real_mean = float(gan.discriminator(real).sigmoid().mean())
        fake_mean = float(gan.discriminator(points).sigmoid().mean())
    found = mode_coverage(points, toy.modes, RADIUS * toy.sd, least=3)
    directions = arrows(gan, LOSSES[setting.loss], points[:ARROWS])
    return Snapshot(
        step, field.numpy(), points.numpy(), directions.numpy(), real_mean, fake_mean, found.covered
    )


def train(
    setting: Setting, gan: OwnNoise, steps: int = STEPS, frames: int | None = None
) -> Iterator[Snapshot]:
    """학습하며 처음과 그 뒤 ``frames``번의 Snapshot을 내놓습니다. 발산하면 거기서 멈춥니다."""
    from course_lib.training import TrainingDiverged, fit_gan

    frames = frames or FRAMES
    toy, random = DATA[setting.data], torch.Generator().manual_seed(1)
    z, real = torch.randn(400, gan.latent_dim, generator=random), toy.sample(400, random)
    yield snapshot(gan, setting, z, real, 0)
    training = fit_gan(
        gan,
        *players(LOSSES[setting.loss], setting.r1),
        lambda generator: toy.sample(128, generator),
        steps=steps,
        lr=setting.rate,
    )
    every = max(1, steps // frames)
    try:
        for metrics in training:
            if metrics["step"] % every == 0 and metrics["step"] // every <= frames:
                yield snapshot(gan, setting, z, real, metrics["step"])
    except TrainingDiverged:
        return


class ArenaStage:
    """왼쪽은 경기장, 오른쪽은 D의 평균과 덮은 봉우리의 곡선. ``draw(k)``가 k번째 순간의 PNG입니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.4, 4.3)
        main = figure.add_axes([0.01, 0.04, 0.555, 0.89])
        main.set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), xticks=[], yticks=[], aspect="equal")
        main.grid(False)
        # D = 0, 1이 색표의 1/6, 5/6(파랑, 주홍)에 오게 합니다
        style = {"origin": "lower", "vmin": -0.25, "vmax": 1.25, "interpolation": "nearest"}
        self._field = main.imshow(
            np.full((CELLS, CELLS), 0.5), cmap=DIVERGING, extent=(-HALF, HALF) * 2, alpha=0.65,
            animated=True, **style
        )  # fmt: skip
        dots = {"ls": "none", "animated": True}
        self._real = main.plot([], [], ".", color=INK, ms=2.5, alpha=0.5, **dots)[0]
        self._fake = main.plot([], [], ".", color=PALETTE["orange"], ms=5, **dots)[0]
        self._arrows = main.plot([], [], color=INK, lw=1.1, animated=True)[0]
        top = figure.add_axes([0.64, 0.56, 0.34, 0.33])
        top.set(xlim=(0, 1), ylim=(-0.03, 1.03), xticks=[], yticks=[0, 0.5, 1])
        top.set_title("D의 평균", fontsize=11)
        low = figure.add_axes([0.64, 0.12, 0.34, 0.3])
        low.set(xlim=(0, 1), ylim=(-0.05, 1.08), xticks=[0, 1], yticks=[0, 1])
        low.set_xticklabels(["처음", "끝"])
        low.set_yticklabels(["0", "모두"])
        low.set_title("덮은 봉우리", fontsize=11)
        colors = (INK, PALETTE["orange"], PALETTE["green"])
        axes = (top, top, low)
        self._curves = [
            a.plot([], [], color=c, lw=1.8, animated=True)[0]
            for a, c in zip(axes, colors, strict=True)
        ]
        self._marks = [
            a.plot([], [], "o", color=c, ms=6, animated=True)[0]
            for a, c in zip(axes, colors, strict=True)
        ]
        top.text(0.98, 0.93, "진짜", color=INK, ha="right", va="top", fontsize=10)
        top.text(0.98, 0.07, "가짜", color=PALETTE["orange"], ha="right", fontsize=10)
        self._text = figure.text(0.015, 0.945, "", fontsize=11.5, color=INK, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            PALETTE["blue"], PALETTE["vermillion"], PALETTE["orange"], PALETTE["green"], INK, MUTED,
            steps=22,
        )  # fmt: skip
        self.setting, self.snapshots = Setting(), []

    def load(self, setting: Setting, snapshots: list[Snapshot]) -> None:
        """한 판의 기록을 올립니다."""
        with self._stage.lock:
            self.setting, self.snapshots = setting, list(snapshots)
            real = DATA[setting.data].sample(400, torch.Generator().manual_seed(2))
            self._real.set_data(*real.numpy().T)
            modes = len(DATA[setting.data].modes)
            x = np.linspace(0, 1, max(len(snapshots), 2))[: len(snapshots)]
            rows = ("real", "fake", "covered")
            self._paths = [
                (x, np.array([getattr(s, row) for s in snapshots]) / (modes if i == 2 else 1))
                for i, row in enumerate(rows)
            ]
            for curve, path in zip(self._curves, self._paths, strict=True):
                curve.set_data(*path)

    def draw(self, k: int, level: int = 1) -> bytes:
        """k번째 순간의 PNG. 기록보다 뒤를 물으면 마지막 순간입니다."""
        with self._stage.lock:
            k = min(max(k, 0), len(self.snapshots) - 1)
            now = self.snapshots[k]
            # 아홉 단계로 끊으면 경계가 또렷하고 PNG가 작습니다
            self._field.set_data((now.field * 9).astype(int).clip(0, 8) / 8)
            self._fake.set_data(*now.points.T)
            self._arrows.set_data(*_segments(now.points[:ARROWS], now.arrows))
            for mark, (x, y) in zip(self._marks, self._paths, strict=True):
                mark.set_data([x[k]], [y[k]])
            modes = len(DATA[self.setting.data].modes)
            self._text.set_text(
                f"{self.setting.loss}, {now.step}단계: 봉우리 {now.covered}/{modes}"
            )
            artists = [
                self._field, self._real, self._fake, self._arrows, *self._curves, *self._marks,
                self._text,
            ]  # fmt: skip
            return self._stage.png(self._stage.pixels(artists), level)


def _segments(points: np.ndarray, directions: np.ndarray, longest: float = 0.7) -> tuple:
    """화살표를 NaN으로 끊은 선 하나로 잇습니다. 길이는 ``longest``에서 자릅니다."""
    length = np.linalg.norm(directions, axis=1, keepdims=True) + 1e-9
    tips = points + 0.5 * directions * np.minimum(1, longest / (0.5 * length))
    lines = np.stack([points, tips, np.full_like(tips, np.nan)], 1)  # (N, 3, 2)
    return lines[..., 0].ravel(), lines[..., 1].ravel()


PLAYER_SETTINGS = {
    "non-saturating": Setting(),
    "minimax": Setting("minimax"),
    "학습률이 너무 클 때(0.03)": Setting(rate=3e-2),
}


def gan_arena(steps: int = STEPS, seed: int = 0) -> TriView:
    """GAN 경기장. 셀의 마지막 줄에 쓰면 나타납니다.

    살아 있는 위젯에서는 데이터, 손실, 학습률, R1 벌점을 고르면 몇 초 만에 다시 학습합니다. 커널이 없는 곳에는
    미리 학습해 둔 세 판의 재생기가 나타납니다. 학습한 모델의 그림이 들어가므로 이 셀에는 ``nbval-ignore-output``
    꼬리표를 답니다.
    """
    untrained, small = new_gan(seed), ArenaStage(56)
    frames, first = {}, None
    picks = np.linspace(0, FRAMES, 7).round().astype(int)
    for name, setting in PLAYER_SETTINGS.items():
        shots = list(train(setting, _copy(untrained), steps))
        first = shots if first is None else first
        small.load(setting, shots)
        frames[name] = [small.draw(int(k), level=9) for k in picks]
    labels = [f"{round(int(k) * steps / FRAMES)} / {steps}단계" for k in picks]
    html = player(frames, labels, alt="GAN 경기장: 판별자의 바탕색과 생성자의 표본", start=3)
    view = ArenaView(untrained, steps, first)
    return TriView(view.box, html, frames["non-saturating"][3], "GAN 경기장")


class ArenaView:
    """살아 있는 위젯: 설정을 바꾸면 스레드에서 다시 학습하고, 슬라이더로 학습을 앞뒤로 돌립니다."""

    def __init__(self, untrained: OwnNoise, steps: int, shots: list[Snapshot]):
        import ipywidgets as widgets

        self._untrained, self._steps, self._stage = untrained, steps, ArenaStage()
        self._stage.load(Setting(), shots)
        narrow = widgets.Layout(width="190px")
        style = {"description_width": "auto"}
        common = {"layout": narrow, "style": style}
        self.data = widgets.Dropdown(options=list(DATA), description="데이터", **common)
        self.loss = widgets.Dropdown(options=list(LOSSES), description="손실", **common)
        self.rate = widgets.Dropdown(options=RATES, value=3e-3, description="학습률", **common)
        self.r1 = widgets.Dropdown(
            options={"없음": 0.0, "0.1": 0.1, "1": 1.0}, description="R1 벌점", **common
        )
        self.progress = widgets.IntProgress(FRAMES, 0, FRAMES, layout=narrow)
        self.message = widgets.HTML("설정을 바꾸면 다시 학습합니다.")
        menus = (self.data, self.loss, self.rate, self.r1)
        row = widgets.HBox(
            [*menus, self.progress, self.message],
            layout=widgets.Layout(flex_flow="row wrap", grid_gap="4px 12px"),
        )
        self.box, self.slider, self.picture, self._redraw = slider_view(
            self._stage.draw,
            steps=FRAMES,
            start=FRAMES // 2,
            label="학습",
            interval=120,
            extra=[row],
        )
        self._version, self.thread = 0, None
        for menu in menus:
            menu.observe(self._change, "value")

    def _change(self, _) -> None:
        self._version += 1
        setting = Setting(self.loss.value, self.rate.value, self.r1.value, self.data.value)
        arguments = (setting, self._version)
        self.thread = threading.Thread(target=self._train, args=arguments, daemon=True)
        self.thread.start()

    def _train(self, setting: Setting, version: int) -> None:
        shots: list[Snapshot] = []
        try:
            for shot in train(setting, _copy(self._untrained), self._steps):
                if version != self._version:
                    return  # 그 사이에 설정이 또 바뀌었습니다
                shots.append(shot)
                self.progress.value = len(shots) - 1
                self.message.value = f"학습하는 중: {shot.step} / {self._steps}단계"
                if len(shots) % 4 == 1:
                    self._stage.load(setting, shots)
                    self.picture.value = self._stage.draw(len(shots) - 1)
            self._stage.load(setting, shots)
            self._redraw()
            done = len(shots) == FRAMES + 1
            self.message.value = "다 배웠습니다. 슬라이더를 움직여 보세요." if done else (
                f"{shots[-1].step}단계 뒤에 발산했습니다. 학습률을 줄여 보세요."
            )  # fmt: skip
        except Exception as error:  # 스레드의 오류는 셀에 나타나지 않으므로 위젯에 적습니다
            self.message.value = str(error)


def _copy(gan: OwnNoise) -> OwnNoise:
    """같은 처음 가중치와 난수에서 출발하는 복사본."""
    random, gan.random = gan.random, None
    try:
        other = copy.deepcopy(gan)
    finally:
        gan.random = random
    other.random = torch.Generator()
    other.random.set_state(random.get_state())
    return other
