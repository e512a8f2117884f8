"""팽창 합성곱의 나무: 출력 하나가 어느 표본을, 어느 길로 보는지.

    맨 아래  입력 x_t(한 칸 밀기 전),  위로 갈수록 층,  맨 위  x_t를 예측하는 출력
    파랑     출력이 보는 값과 그 길,   주황  예측할 표본,   회색  보지 않는 값

팽창을 끄면 모든 층의 팽창이 1이라서 수용 영역이 층마다 k − 1칸씩만 늘어납니다.
"""

from functools import cache

import numpy as np
from matplotlib.collections import LineCollection

from course_lib.plots import INK, PALETTE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

LENGTH, DEEPEST = 40, 5
NOW = LENGTH - 1  # 예측할 표본의 자리


def dilations(layers: int, dilated: bool) -> list[int]:
    """층마다의 팽창: 1, 2, 4, … 또는 모두 1."""
    return [2**i if dilated else 1 for i in range(layers)]


def receptive_field(layers: int, kernel: int, dilated: bool) -> int:
    """R = 1 + (k − 1) Σ d. ``WaveNet.receptive_field``와 같은 식입니다(stacks = 1)."""
    return 1 + (kernel - 1) * sum(dilations(layers, dilated))


@cache
def tree(layers: int, kernel: int, dilated: bool, now: int = NOW):
    """x_now를 예측하는 출력이 보는 칸과 선.

    (nodes, edges): nodes[ℓ]은 층 ℓ에서 쓰이는 자리의 집합(0층은 한 칸 민 입력이므로 자리 s에 x_{s−1}이 있습니다),
    edges는 (아래층, 아래 자리, 위 자리)의 목록. 신호가 시작하기 전(자리 < 1)은 그리지 않습니다.
    """
    nodes = [set() for _ in range(layers + 1)]
    nodes[layers] = {now}
    edges = []
    for level in range(layers, 0, -1):
        d = dilations(layers, dilated)[level - 1]
        for at in sorted(nodes[level]):
            for tap in range(kernel):
                below = at - tap * d
                if below >= 1:
                    nodes[level - 1].add(below)
                    edges.append((level - 1, below, at))
    return nodes, edges


class TreeStage:
    """``draw(층 수, 커널, 팽창)``이 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.8, 3.9)
        axis = figure.add_axes([0.085, 0.12, 0.905, 0.76])
        axis.set(xlim=(-0.8, LENGTH - 0.2), ylim=(-1.55, DEEPEST + 0.5), xticks=[], yticks=[])
        axis.set_yticks(
            [-1, *range(DEEPEST + 1)], ["$x_t$", "입력", *(f"{i}층" for i in range(1, DEEPEST + 1))]
        )
        axis.tick_params(length=0, labelsize=10)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        animated = {"animated": True}
        self._lines = LineCollection([], colors=PALETTE["blue"], linewidths=1.1, **animated)
        self._shift = LineCollection([], colors="#9AA3AF", linewidths=0.8, **animated)
        axis.add_collection(self._shift)
        axis.add_collection(self._lines)
        style = {"ls": "", "marker": "o", "mew": 0, **animated}
        self._idle = axis.plot([], [], color="#CBD2DA", ms=4, **style)[0]
        self._used = axis.plot([], [], color=PALETTE["blue"], ms=5.5, **style)[0]
        self._next = axis.plot([], [], color=PALETTE["vermillion"], ms=7.5, **style)[0]
        self._text = figure.text(0.5, 0.975, "", ha="center", va="top", fontsize=12, color=INK, **animated)  # fmt: skip
        self._note = figure.text(0.5, 0.03, "", ha="center", fontsize=10, color=INK, **animated)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black", INK, PALETTE["blue"], PALETTE["vermillion"], "#CBD2DA", "#9AA3AF", steps=14
        )

    def draw(self, layers: float, kernel: float, dilated: float, level: int = 1) -> bytes:
        """층 수 1…5, 커널 2 또는 3, 팽창 0(모두 1) 또는 1(1, 2, 4, …)의 PNG."""
        layers, kernel, on = round(layers), round(kernel), bool(round(dilated))
        nodes, edges = tree(layers, kernel, on)
        field = receptive_field(layers, kernel, on)
        with self._stage.lock:
            self._lines.set_segments([[(a, low), (b, low + 1)] for low, a, b in edges])
            self._shift.set_segments([[(s - 1, -1), (s, 0)] for s in nodes[0]])
            every = [(s, row) for row in range(-1, layers + 1) for s in range(LENGTH)]
            used = [(s, row) for row, places in enumerate(nodes) for s in places]
            used += [(s - 1, -1) for s in nodes[0]]
            self._idle.set_data(*np.array(every).T)
            self._used.set_data(*np.array(used).T)
            self._next.set_data([NOW], [-1])
            steps = ", ".join(map(str, dilations(layers, on)))
            self._text.set_text(f"팽창 {steps}, 커널 {kernel}  →  수용 영역 {field}표본")
            hidden = field - len(nodes[0])
            note = f"과거 {NOW}표본 가운데 {len(nodes[0])}개를 봅니다"
            self._note.set_text(note + (f"(나머지 {hidden}개는 그림 밖)" if hidden else ""))
            artists = [
                self._shift, self._lines, self._idle, self._used, self._next, self._text, self._note
            ]  # fmt: skip
            return self._stage.png(self._stage.pixels(artists), level)


def dilation_tree(dpi: float = 110) -> TriView:
    """팽창 합성곱의 나무 보기. 슬라이더는 층 수, 커널의 길이, 팽창(1이면 두 배씩, 0이면 모두 1)입니다.

    커널이 없는 곳에는 층을 하나씩 쌓는 재생기가 나타납니다.
    """
    stage = TreeStage(dpi)
    box, _, _ = controls_view(
        lambda **v: stage.draw(v["층 수"], v["커널"], v["팽창"]),
        {
            "층 수": Knob(1, DEEPEST, 1, 4),
            "커널": Knob(2, 3, 1, 2),
            "팽창": Knob(0, 1, 1, 1),
        },
    )
    small = TreeStage(80)
    depths = range(1, DEEPEST + 1)
    kinds = {
        "팽창 1, 2, 4, …, 커널 2": (2, 1),
        "팽창 1, 2, 4, …, 커널 3": (3, 1),
        "팽창 없음, 커널 2": (2, 0),
        "팽창 없음, 커널 3": (3, 0),
    }
    frames = {
        name: [small.draw(depth, *kind, level=9) for depth in depths]
        for name, kind in kinds.items()
    }
    html = player(
        frames,
        [f"{depth}층" for depth in depths],
        alt="출력 하나에서 아래로 갈라지는 나무. 팽창이 두 배씩 커지면 네 층으로 표본 16개를 봅니다",
        start=3,
        width=780,
    )
    return TriView(box, html, next(iter(frames.values()))[3], "팽창 합성곱의 나무")
