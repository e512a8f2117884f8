"""층을 쌓을 때 화소 하나가 보는 범위: PixelCNN의 맹점과, 두 묶음으로 그것을 없앤 Gated PixelCNN.

    파랑        볼 수 있는 과거의 화소
    옅은 주황   과거이지만 얕아서 아직 보지 못하는 화소,  짙은 주황  맹점
    회색        아직 그리지 않은 화소. 검은 칸이 지금 그릴 화소입니다

맹점은 아무리 깊어도 보이지 않는 칸이므로, 그림을 덮고도 남는 깊이에서 본 것과 견주어 색을 나눕니다.
"""

from functools import cache

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN
from course_lib.autoregressive.pixel_cnn import PixelCNN
from course_lib.plots import INK, PALETTE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

HEIGHT, WIDTH, DEEPEST = 9, 13, 12
FIRST, KERNEL = 3, 3
MODELS = {"PixelCNN": PixelCNN, "Gated PixelCNN": GatedPixelCNN}
COLORS = {
    "미래": "#E3E6EA",
    "아직": "#F3D9B8",
    "맹점": PALETTE["vermillion"],
    "봄": PALETTE["sky"],
    "지금": PALETTE["black"],
}


@cache
def seen(name: str, layers: int, i: int, j: int) -> np.ndarray:
    """``layers``층일 때 (i, j)가 볼 수 있는 칸 (H, W), bool."""
    model = MODELS[name]((1, HEIGHT, WIDTH), 2, width=1, layers=layers, first=FIRST, kernel=KERNEL)
    return model.sees(i, j).numpy()


def view(name: str, layers: int, i: int, j: int) -> np.ndarray:
    """칸마다의 상태 (H, W): "미래", "아직"(더 쌓으면 보임), "맹점"(끝내 보이지 않음), "봄", "지금"."""
    past = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) < i * WIDTH + j
    state = np.where(past, "아직", "미래")
    state[past & ~seen(name, HEIGHT + WIDTH, i, j)] = "맹점"
    state[seen(name, layers, i, j)] = "봄"
    state[i, j] = "지금"
    return state


class FieldStage:
    """왼쪽은 PixelCNN, 오른쪽은 Gated PixelCNN. ``draw(층 수, i, j)``가 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.8, 3.9)
        self._images, self._texts, self._lines = [], [], []
        for k, name in enumerate(MODELS):
            axis = figure.add_axes([0.02 + 0.5 * k, 0.21, 0.46, 0.69])
            axis.set_title(name, fontsize=13, pad=5)
            blank = np.ones((HEIGHT, WIDTH, 3))
            self._images.append(axis.imshow(blank, interpolation="nearest", animated=True))
            axis.set_axis_off()
            edges = np.arange(max(HEIGHT, WIDTH) + 1) - 0.5
            style = {"colors": "white", "lw": 1.4, "animated": True}
            self._lines.append(axis.vlines(edges[: WIDTH + 1], -0.5, HEIGHT - 0.5, **style))
            self._lines.append(axis.hlines(edges[: HEIGHT + 1], -0.5, WIDTH - 0.5, **style))
            place = {"ha": "center", "fontsize": 11, "color": INK, "animated": True}
            self._texts.append(figure.text(0.25 + 0.5 * k, 0.14, "", **place))
        names = {
            "봄": "보는 화소",
            "아직": "더 쌓으면 보일 화소",
            "맹점": "맹점",
            "지금": "지금 그릴 화소",
        }
        handles = [Patch(color=COLORS[key], label=label) for key, label in names.items()]
        figure.legend(handles=handles, loc="lower center", ncols=4, fontsize=10, handlelength=1)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(*COLORS.values(), "black", steps=16)

    def draw(self, layers: float, i: float, j: float, level: int = 1) -> bytes:
        """층이 ``layers``개일 때 (i, j)가 보는 칸의 PNG."""
        layers, i, j = round(layers), round(i), round(j)
        with self._stage.lock:
            for image, text, name in zip(self._images, self._texts, MODELS, strict=True):
                state = view(name, layers, i, j)
                image.set_data(np.array([[to_rgb(COLORS[c]) for c in row] for row in state]))
                blind, waiting = (state == "맹점").sum(), (state == "아직").sum()
                text.set_text(f"{layers}층: 맹점 {blind}칸, 아직 못 본 칸 {waiting}")
            pixels = self._stage.pixels([*self._images, *self._lines, *self._texts])
            return self._stage.png(pixels, level)


def receptive_field(dpi: float = 110) -> TriView:
    """수용 영역 보기. 셀의 마지막 줄에 쓰면 나타납니다.

    슬라이더는 층 수와 지금 그릴 화소의 줄·칸입니다. 커널은 첫 층과 나머지 층 모두 3×3입니다.
    커널이 없는 곳에는 자리 셋에서 층을 하나씩 쌓아 가는 재생기가 나타납니다.
    """
    stage, middle = FieldStage(dpi), (HEIGHT - 2, WIDTH // 2)
    box, _, _ = controls_view(
        lambda **v: stage.draw(v["층 수"], v["줄"], v["칸"]),
        {
            "층 수": Knob(1, DEEPEST, 1, 4),
            "줄": Knob(0, HEIGHT - 1, 1, middle[0]),
            "칸": Knob(0, WIDTH - 1, 1, middle[1]),
        },
    )
    small = FieldStage(78)
    places = {"가운데": middle, "왼쪽 끝": (HEIGHT - 2, 0), "오른쪽 끝": (HEIGHT - 2, WIDTH - 1)}
    depths = range(1, DEEPEST + 1)
    frames = {
        name: [small.draw(depth, *place, level=9) for depth in depths]
        for name, place in places.items()
    }
    html = player(
        frames,
        [f"{depth}층" for depth in depths],
        alt="층을 쌓을 때 PixelCNN과 Gated PixelCNN이 보는 화소. PixelCNN에는 오른쪽 위에 맹점이 남습니다",
        start=3,
        width=780,
    )
    return TriView(box, html, frames["가운데"][3], "수용 영역 보기")
