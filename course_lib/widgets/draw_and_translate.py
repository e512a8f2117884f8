"""윤곽선을 그리면 그림으로 옮겨 주는 위젯: 같은 선을 L1만 배운 신경망과 L1 + GAN으로 배운 신경망이 나란히 칠합니다."""

import copy
import math
import threading
from collections.abc import Mapping

import torch
from torch import Tensor

from course_lib.datasets.shapes import SHAPES, Outlines, draw_edges
from course_lib.gan.pix2pix import Pix2Pix
from course_lib.plots import PALETTE, blank_figure, png
from course_lib.widgets.frame import TriView, player
from course_lib.widgets.pad import Pad

EMPTY = "빈 화판"
EXAMPLES = (*SHAPES, "두 원")
SMALL, LARGE = 20, 40  # 크기 슬라이더의 범위: 반지름/한 변, %
TILT = math.radians(15)  # 예시의 기울기


def example_ink(name: str, percent: float, size: int) -> Tensor:
    """예시의 윤곽선 (size, size), 0(흰 종이)~1(검은 잉크). percent는 반지름을 한 변으로 나눈 값(%)입니다."""
    if name not in EXAMPLES:
        raise ValueError(f"모르는 예시입니다: {name!r}. {', '.join(EXAMPLES)} 가운데에서 고르세요.")
    two, radius = name == "두 원", size * percent / 100
    offset = 0.6 * radius * torch.tensor([[math.cos(TILT), math.sin(TILT)]])
    centre = size / 2 + (torch.cat([offset, -offset]) if two else torch.zeros(1, 2))
    kind = torch.zeros(2, dtype=torch.long) if two else torch.tensor([SHAPES.index(name)])
    ones = torch.ones(len(kind))
    shapes = Outlines(kind, centre, radius * (0.55 if two else 1.0) * ones, TILT * ones, size)
    return ((1 - draw_edges(shapes)[:, 0]) / 2).amax(0)


def translate(models: Mapping[str, Pix2Pix], ink: Tensor, count: int, seed: int = 0) -> dict:
    """{모델 이름: 그림 (count, 3, H, W)}. 한 선을 dropout을 바꾸어 ``count``번 옮깁니다. 같은 시드면 같은 그림입니다."""
    x = (1 - 2 * ink)[None, None].expand(count, 1, *ink.shape)
    results = {}
    with torch.random.fork_rng(devices=[]):
        for name, model in models.items():
            torch.manual_seed(seed)
            results[name] = model.translate(x)
    return results


def picture(ink: Tensor, results: Mapping[str, Tensor], sharp: float = 1.1) -> bytes:
    """왼쪽은 주어진 선, 오른쪽은 모델마다 한 줄씩 옮긴 그림. PNG."""
    rows, count = len(results), len(next(iter(results.values())))
    figure = blank_figure(1.45 * (count + 1) + 0.2, 1.62 * rows + 0.05)
    side, tall = 1 / (count + 1), 1 / rows
    for row, (name, made) in enumerate(results.items()):
        tiles = [(1 - ink)[None].expand(3, -1, -1), *((made + 1) / 2)]
        for column, tile in enumerate(tiles):
            if column == 0 and row:
                continue
            box = [
                column * side + 0.01,
                1 - (row + 1) * tall + 0.02 * tall,
                side - 0.02,
                0.82 * tall,
            ]
            axis = figure.add_axes(box)
            axis.imshow(tile.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set_xticks([]), axis.set_yticks([])
            axis.spines[:].set_visible(True)
            axis.spines[:].set_color(PALETTE["blue"] if column == 0 else "#9AA3AF")
            if column < 2:
                axis.set_title(name if column else "그린 선", fontsize=11, pad=4, loc="left")
    return png(figure, sharp=sharp, budget=30_000)


class Translator:
    """화판, 예시, 크기, 단추, 그림을 잇습니다. 셈은 모두 위의 순수 함수가 합니다."""

    def __init__(self, models: Mapping[str, Pix2Pix], size: int, count: int):
        import ipywidgets as widgets

        self.models, self.size, self.count = models, size, count
        self.lock, self.seed, self.drawing = threading.RLock(), 0, False
        wide = {"description_width": "auto"}
        self.pad = Pad(mode="image", shape=[size, size], width=270, brush=0.9, label="윤곽선을 그리는 화판")  # fmt: skip
        self.example = widgets.Dropdown(
            options=[*EXAMPLES, EMPTY], value=EXAMPLES[0], description="예시", style=wide
        )
        self.scale = widgets.IntSlider(36, SMALL, LARGE, 2, description="크기(%)", style=wide)
        self.again = widgets.Button(description="다시 뽑기", icon="refresh",
                                    layout=widgets.Layout(height="42px"))  # fmt: skip
        self.picture = widgets.Image(
            format="png", layout=widgets.Layout(width="100%", max_width="640px")
        )
        side = widgets.VBox([self.example, self.scale, self.again],
                            layout=widgets.Layout(max_width="320px"))  # fmt: skip
        row = widgets.Layout(flex_flow="row wrap", grid_gap="8px 16px")
        self.box = widgets.VBox([widgets.HBox([self.pad, side], layout=row), self.picture])
        self.example.observe(self._load, "value")
        self.scale.observe(self._load, "value")
        self.pad.observe(self.refresh, "pixels")
        self.again.on_click(self._again)
        self._load()

    def _again(self, _) -> None:
        self.seed += 1
        self.refresh()

    def _load(self, _=None) -> None:
        with self.lock:
            if self.example.value == EMPTY:
                self.pad.pixels = []
            else:
                ink = example_ink(self.example.value, self.scale.value, self.size)
                self.pad.pixels = (255 * ink).round().int().flatten().tolist()
            self.refresh()

    def refresh(self, _=None) -> None:
        with self.lock, torch.inference_mode():
            ink = self.pad.image()
            self.picture.value = picture(ink, translate(self.models, ink, self.count, self.seed))


def draw_and_translate(
    models: Mapping[str, Pix2Pix], *, size: int = 32, count: int = 3, frames: int = 6
) -> TriView:
    """윤곽선을 그려 옮기는 위젯. 셀의 마지막 줄에 쓰면 나타납니다.

    models  {이름: 흑백 윤곽선 (1, size, size)을 색 그림으로 옮기는 Pix2Pix}
    count   같은 선을 몇 번 옮겨 보일지      frames  재생기에 담을 크기의 수

    커널이 없는 곳에는 예시의 크기를 바꾸어 가며 미리 옮긴 그림들이 나타납니다.
    ValueError: 모델이 없거나 size × size의 윤곽선을 받지 못할 때.
    """
    models = {name: copy.deepcopy(m).float().eval().requires_grad_(False) for name, m in models.items()}  # fmt: skip
    if not models:
        raise ValueError("models에 {이름: Pix2Pix}를 하나 이상 주세요.")
    translator = Translator(models, size, count)
    scales = [round(SMALL + k * (LARGE - SMALL) / (frames - 1)) for k in range(frames)]
    drawn = {}
    for name in EXAMPLES:
        inks = [example_ink(name, percent, size) for percent in scales]
        drawn[name] = [picture(ink, translate(models, ink, count), sharp=0.7) for ink in inks]
    html = player(
        drawn, [f"크기 {percent} %" for percent in scales], width=620, start=frames - 1,
        alt="윤곽선 하나를 두 신경망이 칠한 그림들. L1만 배운 쪽은 흐리고 한 가지 색입니다",
    )  # fmt: skip
    return TriView(translator.box, html, drawn[EXAMPLES[0]][-1], "그려서 옮기기")
