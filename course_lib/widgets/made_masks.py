"""MADE의 마스크를 들여다보는 위젯: 출력 하나를 고르면 거기에 닿는 길과 입력이 켜집니다.

왼쪽은 신경망입니다. 동그라미 안의 수가 뉴런의 번호 m이고, 선은 마스크가 남긴 연결입니다. 오른쪽은 마스크를
모두 곱한 행렬, 곧 입력 j에서 출력 d까지 이어진 길의 수입니다. 순서에 맞으면 0이 아닌 칸은 순번이 앞선 입력뿐입니다.
"""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.collections import LineCollection

from course_lib.autoregressive.made import MaskedMLP
from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view, subscript

DIM, HIDDEN = 6, (7, 7)
LEAK = "틀린 마스크(≥)"


class Structure(NamedTuple):
    """층마다의 뉴런 번호 degrees(입력, 은닉…, 출력의 순번)와 마스크 masks[l] (위, 아래), 참·거짓."""

    degrees: list[np.ndarray]
    masks: list[np.ndarray]

    @property
    def paths(self) -> np.ndarray:
        """입력 j에서 출력 d까지 길의 수 (D, D): 마스크를 차례로 곱한 값."""
        product = np.eye(DIM, dtype=int)
        for mask in self.masks:
            product = mask.astype(int) @ product
        return product

    def leads_to(self, output: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """출력에 닿는 (연결들, 뉴런들). 층마다 masks, degrees와 같은 모양의 참·거짓입니다."""
        nodes, edges = [np.arange(DIM) == output], []
        for mask in reversed(self.masks):
            edges.insert(0, mask & nodes[0][:, None])
            nodes.insert(0, edges[0].any(0))
        return edges, nodes


def structure(order="natural", degrees: str = "even", seed: int = 0, strict=True) -> Structure:
    """입력 6개, 은닉 7개 두 층인 MADE의 구조. strict=False이면 출력 마스크의 >를 ≥로 잘못 적은 것입니다."""
    net = MaskedMLP(DIM, HIDDEN, order=order, degrees=degrees, seed=seed)
    rank = (net.order[0] + 1).numpy()
    # 길이 덜 엉키도록 은닉 뉴런을 번호순으로 세웁니다
    numbers = [rank, np.sort(net.degrees0[0].numpy()), np.sort(net.degrees1[0].numpy()), rank]
    masks = [above[:, None] >= below for below, above in zip(numbers, numbers[1:-1])]
    last = rank[:, None]
    masks.append(last > numbers[-2] if strict else last >= numbers[-2])
    return Structure(numbers, masks)


def structures() -> dict[str, Structure]:
    """위젯에서 고를 수 있는 구조들."""
    backwards = torch.arange(DIM).flip(0)
    return {
        "차례대로": structure(),
        "거꾸로": structure(backwards),
        "섞은 순서": structure("random", seed=4),
        "차례대로, 번호는 무작위": structure(degrees="random", seed=1),
        LEAK: structure(strict=False),
    }


def sentence(what: Structure, output: int) -> str:
    """고른 출력이 무엇을 보는지 적은 한 줄."""
    seen = [f"x{subscript(j + 1)}" for j in range(DIM) if what.paths[output, j]]
    rank, bad = what.degrees[0], f"x{subscript(output + 1)}" in seen
    text = f"x{subscript(output + 1)}의 순번은 {rank[output]}, 보는 입력: {', '.join(seen) or '없음(편향뿐)'}"
    missing = rank[output] - 1 - (len(seen) - bad)
    text += f", 놓치는 입력 {missing}개" if missing else ""
    return text + (" ← 자기 자신을 봅니다" if bad else "")


class MaskStage:
    """왼쪽은 신경망, 오른쪽은 길의 수. ``draw(구조, 출력)``이 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.2, 4.0)
        net = figure.add_axes([0.0, 0.0, 0.6, 1.0])
        net.set(xlim=(-0.5, 3.5), ylim=(-0.55, 7.9), xticks=[], yticks=[])
        net.grid(False)
        net.spines[:].set_visible(False)
        self._spots = [self._column(level, n) for level, n in enumerate((DIM, *HIDDEN, DIM))]
        for level, name in enumerate(("입력", "은닉층 1", "은닉층 2", "출력")):
            net.text(level, 7.55, name, ha="center", fontsize=11, color=INK)
        for d in range(DIM):
            for level, side, gap in ((0, "right", -0.17), (3, "left", 0.17)):
                x, y = self._spots[level][d]
                net.text(x + gap, y, f"$x_{d + 1}$", ha=side, va="center", fontsize=12)
        self._idle = net.add_collection(LineCollection([], colors="#D5D9DE", linewidths=0.8))
        self._live = net.add_collection(
            LineCollection([], colors=PALETTE["blue"], linewidths=1.6, zorder=2)
        )
        self._dots = net.scatter(*np.concatenate(self._spots).T, s=270, zorder=3, linewidths=1.3)
        self._numbers = [
            net.text(x, y, "", ha="center", va="center", fontsize=10.5, zorder=4)
            for x, y in np.concatenate(self._spots)
        ]
        grid = figure.add_axes([0.67, 0.17, 0.31, 0.62])
        grid.set(
            xlim=(-0.5, DIM - 0.5), ylim=(DIM - 0.5, -0.5), xlabel="입력 $j$", ylabel="출력 $d$"
        )
        grid.set_xticks(range(DIM), range(1, DIM + 1))
        grid.set_yticks(range(DIM), range(1, DIM + 1))
        grid.tick_params(length=0)
        grid.grid(False)
        grid.set_title("길의 수(마스크의 곱)", fontsize=11)
        self._image = grid.imshow(np.zeros((DIM, DIM, 3)), interpolation="nearest")
        self._counts = [
            grid.text(j, d, "", ha="center", va="center", fontsize=10)
            for d in range(DIM)
            for j in range(DIM)
        ]
        self._frame = grid.plot([], [], color=INK, lw=2)[0]
        self._artists = [
            self._idle, self._live, self._dots, *self._numbers, self._image, *self._counts, self._frame,
        ]  # fmt: skip
        for artist in self._artists:
            artist.set_animated(True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black", PALETTE["blue"], PALETTE["vermillion"], MUTED, steps=8
        )

    @staticmethod
    def _column(level: int, count: int) -> np.ndarray:
        return np.stack([np.full(count, float(level)), np.linspace(6.9, 0, count)], 1)

    def draw(self, what: Structure, output: int, level: int = 1) -> bytes:
        """``output``(0부터)에 닿는 길을 켠 PNG."""
        edges, nodes = what.leads_to(output)
        with self._stage.lock:
            self._idle.set_segments(self._lines(what.masks))
            self._live.set_segments(self._lines(edges))
            on = np.concatenate(nodes)
            chosen = np.zeros(len(on), dtype=bool)
            chosen[len(on) - DIM + output] = True
            own = nodes[0] & (np.arange(DIM) == output)  # 자기 자신을 보면 새는 것입니다
            leak = np.concatenate([own, np.zeros(len(on) - DIM, dtype=bool)])
            fill = np.where(on, "#CFE6F5", "white").astype(object)
            fill[chosen], fill[leak] = PALETTE["blue"], PALETTE["vermillion"]
            self._dots.set_facecolor(list(fill))
            self._dots.set_edgecolor([PALETTE["blue"] if k else MUTED for k in on])
            for text, number, dark in zip(
                self._numbers, np.concatenate(what.degrees), chosen | leak, strict=True
            ):
                text.set_text(str(number))
                text.set_color("white" if dark else INK)
            paths = what.paths
            self._image.set_data(self._colors(paths, what.degrees[0]))
            for text, count in zip(self._counts, paths.flat, strict=True):
                text.set_text(str(count) if count else "")
            self._frame.set_data(
                [-0.5, DIM - 0.5, DIM - 0.5, -0.5, -0.5],
                [output - 0.5, output - 0.5, output + 0.5, output + 0.5, output - 0.5],
            )
            return self._stage.png(self._stage.pixels(self._artists), level)

    def _lines(self, masks) -> list:
        return [
            (self._spots[level][j], self._spots[level + 1][i])
            for level, mask in enumerate(masks)
            for i, j in zip(*np.nonzero(mask), strict=True)
        ]

    @staticmethod
    def _colors(paths: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """길이 있으면 하늘색, 있어서는 안 될 길이면 주황색, 없으면 흰색 (D, D, 3)."""
        from matplotlib.colors import to_rgb

        allowed = rank[None, :] < rank[:, None]
        picture = np.ones((DIM, DIM, 3))
        picture[(paths > 0) & allowed] = to_rgb("#CFE6F5")
        picture[(paths > 0) & ~allowed] = to_rgb(PALETTE["vermillion"])
        return picture


def made_masks() -> TriView:
    """MADE 마스크 탐색기. 셀의 마지막 줄에 쓰면 나타납니다.

    순서를 고르고 슬라이더로 출력을 고릅니다. 커널이 없는 곳에서는 같은 그림을 미리 그려 둔 재생기가 나타납니다.
    """
    import ipywidgets as widgets

    choices, stage, start = structures(), MaskStage(), 3
    names = list(choices)
    pick = widgets.Dropdown(options=names, value=names[0], description="순서")
    line = widgets.Label(sentence(choices[names[0]], start))

    def draw(output: int) -> bytes:
        return stage.draw(choices[pick.value], output)

    box, slider, _, redraw = slider_view(
        draw, steps=DIM - 1, start=start, label="출력", interval=900, extra=[pick, line]
    )

    def speak(_) -> None:
        line.value = sentence(choices[pick.value], slider.value)

    pick.observe(lambda _: redraw(), "value")
    pick.observe(speak, "value")
    slider.observe(speak, "value")
    small = MaskStage(68)
    frames = {
        name: [small.draw(what, d, level=9) for d in range(DIM)] for name, what in choices.items()
    }
    labels = [f"출력 x{subscript(d + 1)}" for d in range(DIM)]
    alt = "MADE의 신경망: 고른 출력에 닿는 길과 입력이 켜져 있습니다"
    html = player(frames, labels, alt=alt, start=start, seconds=5.4, budget=600_000)
    return TriView(box, html, frames[names[0]][start], "MADE의 마스크")
