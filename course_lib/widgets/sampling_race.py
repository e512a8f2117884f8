"""MAF와 IAF의 경주: 같은 일을 몇 걸음에 끝내는가.

한 줄이 한 층, 한 칸이 변수 하나입니다. 한 걸음은 신경망을 한 번 계산하는 것입니다. 정해진 변수는 칠해지고, 이번 걸음에
정해진 칸은 짙게 칠해집니다. 층마다 변수의 순서를 뒤집으므로 칸이 채워지는 방향도 층마다 바뀝니다.

              표본 추출 z → x     밀도 계산 x → z
    MAF       층마다 D걸음        층마다 1걸음
    IAF       층마다 1걸음        층마다 D걸음
"""

import numpy as np
from matplotlib.colors import to_rgb

from course_lib.plots import INK, blank_figure, model_color
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

DIM, LAYERS = 8, 3
MODELS = ("MAF", "IAF")
TASKS = {"sample": "표본 추출 z → x", "density": "밀도 계산 x → z"}
SEQUENTIAL = {("MAF", "sample"), ("IAF", "density")}
STEPS = DIM * LAYERS
EMPTY = "#E3E6EA"


def steps_needed(model: str, task: str) -> int:
    """일을 끝내는 데 드는 걸음 수(신경망을 차례로 계산하는 횟수)."""
    return STEPS if (model, task) in SEQUENTIAL else LAYERS


def step_of(model: str, task: str) -> np.ndarray:
    """칸마다 몇 번째 걸음에 정해지는지 (층, 변수), 1부터. 줄은 일이 지나는 순서입니다."""
    layer = np.arange(LAYERS)[:, None]
    if (model, task) not in SEQUENTIAL:
        return np.broadcast_to(layer + 1, (LAYERS, DIM)).copy()
    # flows.maf.masked_stack처럼 x에 닿은 층이 자연 순서이고, 거기서부터 번갈아 뒤집습니다
    from_x = LAYERS - 1 - layer if task == "sample" else layer
    rank = np.arange(DIM)[None, :]
    return layer * DIM + np.where(from_x % 2 == 0, rank, DIM - 1 - rank) + 1


class RaceStage:
    """네 칸: 위는 MAF, 아래는 IAF, 왼쪽은 표본 추출, 오른쪽은 밀도 계산. ``draw(걸음)``이 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.8, 4.1)
        self._parts = []
        for row, model in enumerate(MODELS):
            for column, (task, title) in enumerate(TASKS.items()):
                axis = figure.add_axes([0.1 + 0.46 * column, 0.55 - 0.46 * row, 0.42, 0.28])
                image = axis.imshow(np.ones((LAYERS, DIM, 3)), aspect="auto", animated=True)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
                if row == 0:
                    axis.set_title(title, fontsize=13, pad=26)
                if column == 0:
                    axis.set_ylabel(model, rotation=0, ha="right", va="center", fontsize=14)
                style = {"colors": "white", "lw": 2.5, "animated": True}
                lines = [
                    axis.vlines(np.arange(DIM + 1) - 0.5, -0.5, LAYERS - 0.5, **style),
                    axis.hlines(np.arange(LAYERS + 1) - 0.5, -0.5, DIM - 0.5, **style),
                ]
                text = axis.text(
                    0, 1.05, "", transform=axis.transAxes, fontsize=11, color=INK, animated=True
                )
                self._parts.append((model, task, image, lines, text))
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(*map(model_color, MODELS), EMPTY, "black", steps=16)

    def draw(self, tick: int, level: int = 1) -> bytes:
        """0 ≤ tick ≤ STEPS 걸음을 마친 때의 PNG."""
        artists = []
        with self._stage.lock:
            for model, task, image, lines, text in self._parts:
                image.set_data(colors(model, task, tick))
                done, needed = min(tick, steps_needed(model, task)), steps_needed(model, task)
                text.set_text(f"{done} / {needed}걸음" + ("  끝!" if done == needed else ""))
                artists += [image, *lines, text]
            return self._stage.png(self._stage.pixels(artists), level)


def colors(model: str, task: str, tick: int) -> np.ndarray:
    """칸의 색 (층, 변수, 3): 아직 모르는 칸은 회색, 정해진 칸은 모델의 옅은 색, 방금 정해진 칸은 짙은 색."""
    when = step_of(model, task)[..., None]
    strong = np.array(to_rgb(model_color(model)))
    soft = 0.55 + 0.45 * strong
    return np.where(when == tick, strong, np.where(when < tick, soft, to_rgb(EMPTY)))


def sampling_race(dpi: float = 110) -> TriView:
    """경주 위젯. 셀의 마지막 줄에 쓰면 나타납니다. 슬라이더가 걸음 수입니다."""
    stage = RaceStage(dpi)
    box, *_ = slider_view(stage.draw, steps=STEPS, start=LAYERS, label="걸음", interval=350)
    small = RaceStage(78)
    frames = [small.draw(tick, level=9) for tick in range(STEPS + 1)]
    html = player(
        frames,
        [f"{tick}걸음" for tick in range(STEPS + 1)],
        alt="MAF와 IAF가 표본 추출과 밀도 계산을 끝내는 데 드는 걸음 수의 경주",
        start=LAYERS,
        width=780,
    )
    return TriView(box, html, frames[LAYERS], "MAF와 IAF의 경주")
