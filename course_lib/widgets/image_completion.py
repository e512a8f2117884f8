"""그림의 일부를 지우거나 직접 그리면 모델이 나머지를 채우는 위젯.

자기회귀 모델은 *래스터 순서*로만 채웁니다. 위쪽을 남기면 이어서 그리지만, 아래쪽을 남기고 위쪽을 지우면
위쪽을 그릴 때 아래쪽을 볼 수 없습니다. 두 경우를 직접 견주어 볼 수 있습니다.
"""

import threading

import numpy as np
import torch
from torch import Tensor

from course_lib.autoregressive.pixels import PixelModel
from course_lib.plots import PALETTE, blank_figure, png
from course_lib.widgets.frame import TriView, player
from course_lib.widgets.pad import Pad

DRAW, ERASE = "그린 데서 이어 그리기", "칠한 곳을 지우고 채우기"
UNKNOWN = "모름"


@torch.no_grad()
def class_posterior(model: PixelModel, x: Tensor, known: Tensor) -> Tensor:
    """p(y | 첫 빈칸보다 앞선 화소), (classes,). 모든 y의 확률이 같다고 보고 베이즈 정리를 씁니다.

    x (1, C, H, W), known (1, 1, H, W). 첫 빈칸 뒤의 화소는 쓰지 않습니다: 순서대로 곱한 앞부분만이 주변 확률입니다.
    """
    count = model.classes
    filled = torch.where(known, x, torch.zeros_like(x)).expand(count, *x.shape[1:])
    log_p = model.logits(filled, torch.arange(count)).log_softmax(1)
    chosen = log_p.gather(1, filled[:, None].long())[:, 0].sum(1)  # (classes, H, W)
    prefix = known[0, 0].flatten().long().cumprod(0).bool()
    return (chosen.flatten(1) * prefix).sum(1).softmax(0)


@torch.no_grad()
def fill(
    model: PixelModel, x: Tensor, known: Tensor, label: int | None, count: int, seed: int = 0
) -> Tensor:
    """``known``이 아닌 화소를 채운 그림 ``count``장 (count, C, H, W). 같은 시드면 같은 그림입니다.

    label  조건부 모델에 줄 숫자. None이면 남은 앞부분으로 짐작한 p(y|…)에서 그림마다 뽑습니다
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, *x.shape[1:], generator=generator)
    y = None
    if model.classes:
        if label is None:
            weights = class_posterior(model, x, known)
            y = torch.multinomial(weights, count, replacement=True, generator=generator)
        else:
            y = torch.full((count,), label)
    return model.complete(x.expand(count, *x.shape[1:]), known, y, noise)


def picture(x: Tensor, known: Tensor, filled: Tensor, levels: int, sharp: float = 1.1) -> bytes:
    """맨 왼쪽은 남긴 화소(모르는 칸은 하늘색), 오른쪽은 채운 그림들. PNG."""
    height, width = x.shape[-2:]
    ink = 1 - x[0, 0].numpy() / (levels - 1)
    first = np.repeat(ink[..., None], 3, 2)
    sky = np.array([int(PALETTE["sky"][k : k + 2], 16) / 255 for k in (1, 3, 5)])
    first[~known[0, 0].numpy()] = 0.45 * sky + 0.55
    tiles = [first] + [np.repeat(1 - f[0].numpy()[..., None] / (levels - 1), 3, 2) for f in filled]
    columns = 4
    rows = -(-len(filled) // columns)
    figure = blank_figure(7.2, 1.44 * rows + 0.3)
    for k, tile in enumerate(tiles):
        row, column = (0, 0) if k == 0 else (divmod(k - 1, columns)[0], 1 + (k - 1) % columns)
        box = [column / 5 + 0.01, 1 - (row + 1) * 0.92 / rows, 0.17, 0.8 / rows]
        axis = figure.add_axes(box)
        axis.imshow(tile, interpolation="nearest", vmin=0, vmax=1, aspect="equal")
        axis.set_xticks([]), axis.set_yticks([])
        axis.spines[:].set_visible(True)
        axis.spines[:].set_color(PALETTE["blue"] if k == 0 else "#9AA3AF")
        if k < 2:
            axis.set_title("남긴 것" if k == 0 else "모델이 채운 것", fontsize=11, pad=4)
    return png(figure, sharp=sharp, budget=40_000)


class Completer:
    """화판, 고르는 것들, 단추, 그림을 잇습니다. 셈은 모두 위의 순수 함수가 합니다."""

    def __init__(self, model: PixelModel, images: Tensor, count: int):
        import ipywidgets as widgets

        self.model, self.images, self.count = model, images, count
        self.levels, (_, self.height, self.width) = model.levels, model.event_shape
        self.lock, self.seed = threading.RLock(), 0
        wide = {"description_width": "auto"}
        names = [(f"그림 {k + 1}", k) for k in range(len(images))]
        self.mode = widgets.ToggleButtons(
            options=[ERASE, DRAW], value=ERASE, style={"button_width": "auto"}
        )
        self.which = widgets.Dropdown(options=names, value=0, description="그림", style=wide)
        self.rows = widgets.IntSlider(self.height // 2, 0, self.height, description="남길 줄",
                                      style=wide)  # fmt: skip
        self.label = widgets.Dropdown(
            options=[UNKNOWN, *range(model.classes)], value=UNKNOWN, description="숫자", style=wide
        )
        self.again = widgets.Button(description="다시 뽑기", icon="refresh",
                                    layout=widgets.Layout(height="42px"))  # fmt: skip
        self.pad = Pad(mode="image", shape=[self.height, self.width], width=260,
                       brush=max(0.6, self.width / 22), label="지우거나 그리는 화판")  # fmt: skip
        self.picture = widgets.Image(
            format="png", layout=widgets.Layout(width="100%", max_width="780px")
        )
        choices = [self.which, *([self.label] if model.classes else []), self.rows]
        side = widgets.VBox([*choices, self.again], layout=widgets.Layout(max_width="320px"))
        row = widgets.Layout(flex_flow="row wrap", grid_gap="8px 16px")
        self.box = widgets.VBox(
            [self.mode, widgets.HBox([self.pad, side], layout=row), self.picture]
        )
        for control in (self.which, self.rows, self.label):
            control.observe(self.refresh, "value")
        self.mode.observe(self._switch, "value")
        self.pad.observe(self.refresh, "pixels")
        self.again.on_click(self._again)
        self._switch()

    def _again(self, _) -> None:
        self.seed += 1
        self.refresh()

    def _switch(self, _=None) -> None:
        self.pad.clear()
        self.refresh()

    def state(self) -> tuple[Tensor, Tensor]:
        """지금 화면의 (x (1, 1, H, W), known (1, 1, H, W))."""
        painted = self.pad.image()[None, None]
        below = torch.arange(self.height)[:, None] < self.rows.value
        if self.mode.value == DRAW:
            x = (painted * (self.levels - 1)).round()
            return x, below.expand(1, 1, self.height, self.width)
        x = self.images[self.which.value][None]
        return x, (painted < 0.1) & below

    def refresh(self, _=None) -> None:
        with self.lock, torch.inference_mode():
            drawing = self.mode.value == DRAW
            shown = b"" if drawing else tile(self.images[self.which.value], self.levels)
            if self.pad.background != shown:
                self.pad.background = shown
            x, known = self.state()
            label = None if self.label.value == UNKNOWN else int(self.label.value)
            filled = fill(self.model, x, known, label, self.count, self.seed)
            self.picture.value = picture(x, known, filled, self.levels)


def tile(image: Tensor, levels: int) -> bytes:
    """화판 뒤에 까는 그림 (1, H, W) → 옅은 PNG. 칠한 곳(지울 곳)이 도드라지게 밝게 합니다."""
    from io import BytesIO

    from PIL import Image

    grey = (255 - 150 * image[0].numpy() / (levels - 1)).astype(np.uint8)
    buffer = BytesIO()
    large = np.kron(grey, np.ones((16, 16), dtype=np.uint8))
    Image.fromarray(large).save(buffer, "png")
    return buffer.getvalue()


def image_completion(
    model: PixelModel, images: Tensor, *, count: int = 4, examples: int = 3
) -> TriView:
    """그림 완성 위젯. 셀의 마지막 줄에 쓰면 나타납니다.

    model   흑백(C = 1) PixelModel. 조건부이면 숫자를 고르는 목록이 생깁니다
    images  지워 볼 그림 (N, 1, H, W), 값 0 … levels − 1
    count   채워 보일 그림의 수, examples 재생기에 담을 그림의 수

    커널이 없는 곳에는 위에서부터 남기는 줄 수를 바꾸어 보는 재생기가 나타납니다.
    ValueError: 그림의 모양이 모델과 다를 때.
    """
    if images.shape[1:] != model.event_shape or model.event_shape[0] != 1:
        raise ValueError(
            f"images는 (N, 1, H, W)이고 모델의 {tuple(model.event_shape)}와 맞아야 하는데 "
            f"{tuple(images.shape)}을 받았습니다."
        )
    model = _frozen(model)
    completer = Completer(model, images, count)
    height, width = model.event_shape[1:]
    kept = sorted({round(height * share) for share in (0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)})
    frames = {
        f"그림 {k + 1}": [_kept_rows(model, images[k][None], rows, count) for rows in kept]
        for k in range(min(examples, len(images)))
    }
    html = player(
        frames,
        [f"위 {rows}줄을 남김" for rows in kept],
        alt="위의 몇 줄만 남기고 나머지를 모델이 채운 그림들",
        start=len(kept) // 2,
        width=720,
    )
    poster = next(iter(frames.values()))[len(kept) // 2]
    return TriView(completer.box, html, poster, "그림 완성")


def _kept_rows(model: PixelModel, x: Tensor, rows: int, count: int) -> bytes:
    height, width = model.event_shape[1:]
    known = (torch.arange(height)[:, None] < rows).expand(1, 1, height, width)
    filled = fill(model, x, known, None, count)
    return picture(x, known, filled, model.levels, sharp=0.9)


def _frozen(model: PixelModel) -> PixelModel:
    """셀이 학습을 이어 가도 흔들리지 않는 eval 복사본."""
    import copy

    return copy.deepcopy(model).float().eval().requires_grad_(False)
