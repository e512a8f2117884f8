"""클래스 × 스타일: 줄마다 z 하나, 칸마다 클래스 하나. 조건부 GAN이 둘을 따로 다루는지 눈으로 봅니다."""

import copy

import numpy as np
import torch
from torch import Tensor

from course_lib.gan.gan import GAN
from course_lib.plots import INK, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

PACKS, TICKS = 6, 8  # 스타일 묶음의 수, 재생기에서 t의 눈금 수


class GridStage:
    """그림 (R, C, H, W)를 이름표가 붙은 격자로 그립니다. 이름표는 한 번만 그립니다."""

    def __init__(
        self, shape: tuple[int, int, int, int], rows, columns, title: str, dpi: float = 110
    ):
        _, _, height, width = shape
        self.shape, self._gap = shape, max(1, width // 8)
        canvas = self._canvas(np.zeros(shape))
        inches = 6.4 * canvas.shape[0] / canvas.shape[1]
        figure = blank_figure(7.2, inches + 0.75)
        axis = figure.add_axes([0.09, 0.02, 0.9, inches / (inches + 0.75)])
        self._image = axis.imshow(canvas, cmap="gray_r", vmin=0, vmax=1, animated=True)
        axis.set_xticks(np.arange(shape[1]) * (width + self._gap) + width / 2 - 0.5, columns)
        axis.set_yticks(np.arange(shape[0]) * (height + self._gap) + height / 2 - 0.5, rows)
        axis.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=11)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        figure.text(0.54, 0.99, title, ha="center", va="top", fontsize=12, color=INK)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.gray_and(INK)

    def _canvas(self, images: np.ndarray) -> np.ndarray:
        """(R, C, H, W) → 사이를 NaN(흰색)으로 띄운 한 장."""
        rows, columns, height, width = images.shape
        gap = self._gap
        padded = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=np.nan)
        joined = padded.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap))
        return joined[:-gap, :-gap]

    def draw(self, images: Tensor, level: int = 1) -> bytes:
        """격자의 PNG. images (R, C, H, W), 화소 [0, 1]. ``ValueError``: 모양이 다르거나 NaN이 있을 때."""
        if tuple(images.shape) != tuple(self.shape) or not images.isfinite().all():
            raise ValueError(
                f"그림은 유한한 {tuple(self.shape)}이어야 하는데 {tuple(images.shape)}을 받았습니다. "
                "모델의 학습과 shape를 확인하세요."
            )
        with self._stage.lock:
            self._image.set_data(self._canvas(images.numpy()))
            return self._stage.png(self._stage.pixels([self._image]), level)


def styles(gan: GAN, rows: int, pack: int, seed: int) -> tuple[Tensor, Tensor]:
    """묶음 하나의 두 끝 z (rows, K)와 (rows, K). 같은 번호면 늘 같습니다."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * seed + pack)
        return gan.latent(rows), gan.latent(rows)


@torch.no_grad()
def class_style(
    gan: GAN, shape: tuple[int, int], classes: int, rows: int, pack: int, t: float, seed: int = 0
) -> Tensor:
    """G(z_줄 | y_칸) (rows, classes, H, W). z_줄은 묶음의 두 끝을 곧게 잇는 길의 t ∈ [0, 1]입니다."""
    first, last = styles(gan, rows, pack, seed)
    z = torch.lerp(first, last, t)
    y = torch.arange(classes).repeat(rows)
    return gan.generator(z.repeat_interleave(classes, 0), y).reshape(rows, classes, *shape)


def class_style_grid(
    gan: GAN, shape: tuple[int, int], *, classes: int = 10, rows: int = 4, seed: int = 0
) -> TriView:
    """클래스 × 스타일 격자. 셀의 마지막 줄에 쓰면 나타납니다. 화소는 [0, 1]입니다.

    줄마다 z가 하나, 칸마다 클래스가 하나입니다. 슬라이더는 모든 줄의 z를 함께 옮깁니다. 얼린 복사본을 쓰며, 학습한
    모델의 그림이 HTML에 들어가므로 이 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    """
    frozen = copy.deepcopy(gan).eval().requires_grad_(False)
    size = (rows, classes, *shape)
    names = [f"z{k + 1}" for k in range(rows)], [str(k) for k in range(classes)]
    stage = GridStage(size, *names, "칸마다 클래스 y, 줄마다 스타일 z")

    def draw(**values) -> bytes:
        pack, t = int(values["스타일 묶음"]) - 1, float(values["t"])
        return stage.draw(class_style(frozen, shape, classes, rows, pack, t, seed))

    knobs = {"스타일 묶음": Knob(1, PACKS, 1, 1), "t": Knob(0.0, 1.0, 0.05, 0.0)}
    live, *_ = controls_view(draw, knobs, max_width="720px")
    still = GridStage(size, *names, "칸마다 클래스 y, 줄마다 스타일 z", dpi=80)
    frames = {
        f"스타일 묶음 {pack + 1}": [
            still.draw(class_style(frozen, shape, classes, rows, pack, k / TICKS, seed), level=9)
            for k in range(TICKS + 1)
        ]
        for pack in range(3)
    }
    labels = [f"t = {k / TICKS:.2f}" for k in range(TICKS + 1)]
    alt = "클래스마다 한 칸, 스타일마다 한 줄인 생성 그림의 격자"
    html = player(frames, labels, alt=alt, width=576)
    return TriView(live, html, frames["스타일 묶음 1"][0], "클래스와 스타일의 격자")
