"""2×2 행렬이 단위원을 타원으로 옮기는 모습과, 가장 긴 반지름을 찾아가는 거듭제곱법.

타원의 긴 반지름 = σ₁ = ‖A‖₂,  짧은 반지름 = σ₂,  v ← AᵀAv/‖AᵀAv‖ 는 σ₁의 방향 v₁로 갑니다
한 걸음에 tan∠(v, v₁)이 (σ₂/σ₁)²배가 됩니다
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from course_lib.plots import MUTED, PALETTE, RULE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

CIRCLE = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 181)), np.sin(t)], 1)
NAMES = ("a", "b", "c", "d")
STEPS, PLAYED = 10, 6  # 걸음의 최댓값(위젯, 재생기)
NEAR, HALF = 1.35, 2.7  # 왼쪽과 오른쪽 그림의 범위 ±
START, ANGLE = (1.6, 0.7, 0.2, 0.9), 115.0
PRESETS = {
    "보통": START,
    "길쭉하게": (1.9, 0.6, 0.3, 0.3),
    "거의 둥글게": (1.3, 0.3, -0.3, 1.15),
    "납작하게": (1.2, 0.8, 0.9, 0.6),
    "돌리기만": (0.8, -0.6, 0.6, 0.8),
}


class Shape(NamedTuple):
    """A의 특잇값 분해. sigma (2,) 큰 것부터, left와 right의 열이 u₁, u₂와 v₁, v₂."""

    sigma: np.ndarray
    left: np.ndarray
    right: np.ndarray


def shape(matrix: Sequence[float]) -> Shape:
    """(a, b, c, d) → A = [[a, b], [c, d]]의 특잇값 분해."""
    left, sigma, right = np.linalg.svd(np.array(matrix, dtype=float).reshape(2, 2))
    return Shape(sigma, left, right.T)


def arrows(matrix: Sequence[float], degrees: float, steps: int) -> np.ndarray:
    """거듭제곱법의 자취 v₀, …, v_k (k+1, 2). v₀은 각도가 degrees인 단위벡터입니다.

    AᵀAv = 0이면 갈 곳이 없으므로 그 자리에 머뭅니다.
    """
    a = np.array(matrix, dtype=float).reshape(2, 2)
    path = [np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])]
    for _ in range(steps):
        moved = a.T @ (a @ path[-1])
        length = np.linalg.norm(moved)
        path.append(moved / length if length > 1e-12 else path[-1])
    return np.array(path)


def angle(matrix: Sequence[float], v: np.ndarray) -> float:
    """v와 v₁이 이루는 각(도), 0부터 90까지. σ₁ = σ₂이면 모든 방향이 답이므로 0입니다."""
    found = shape(matrix)
    if found.sigma[0] - found.sigma[1] < 1e-9:
        return 0.0
    across, along = abs(found.right[:, 1] @ v), abs(found.right[:, 0] @ v)
    return math.degrees(math.atan2(across, along))


class EllipseStage:
    """왼쪽은 단위원과 v₀ … v_k, 오른쪽은 타원과 Av_k. ``draw``가 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.2, 4.0)
        axes = [figure.add_axes([left, 0.2, 0.45, 0.72]) for left in (0.03, 0.52)]
        for axis, name, half in zip(
            axes, ("단위원 위의 $v$", "타원 위의 $Av$"), (NEAR, HALF), strict=True
        ):
            axis.set(xlim=(-half, half), ylim=(-half * 0.93, half * 0.93), aspect="equal")
            axis.set_xticks(range(-2, 3), [])
            axis.set_yticks(range(-2, 3), [])
            axis.axhline(0, color=MUTED, lw=0.7)
            axis.axvline(0, color=MUTED, lw=0.7)
            axis.set_title(name, fontsize=12)
            axis.tick_params(length=0)
            axis.grid(color=RULE)
            axis.plot(*CIRCLE.T, color=MUTED, lw=1.2)
        blue, orange, green = (PALETTE[c] for c in ("blue", "orange", "green"))
        style = {"animated": True}
        self._goal = axes[0].plot([], [], "--", color=green, lw=1.6, **style)[0]
        self._trail = [
            axes[0].plot([], [], color=orange, lw=1.3, alpha=0.35, marker="o", ms=4, markevery=[1],
                         **style)[0]
            for _ in range(STEPS)
        ]  # fmt: skip
        self._now = axes[0].plot([], [], color=orange, lw=2.8, marker="o", markevery=[1], **style)[
            0
        ]
        self._ellipse = axes[1].fill([], [], color=blue, alpha=0.18, lw=0, **style)[0]
        self._edge = axes[1].plot([], [], color=blue, lw=2, **style)[0]
        self._axes = axes[1].plot([], [], "--", color=green, lw=1.6, **style)[0]
        self._image = axes[1].plot(
            [], [], color=orange, lw=2.8, marker="o", markevery=[1], **style
        )[0]
        self._text = [figure.text(0.04, y, "", fontsize=12, **style) for y in (0.1, 0.03)]
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps("black", blue, orange, green, MUTED, steps=22)

    def draw(
        self, a: float, b: float, c: float, d: float, degrees: float, k: float, level: int = 1
    ) -> bytes:
        """A = [[a, b], [c, d]], 처음 각도 degrees에서 k걸음 뒤의 PNG."""
        matrix, k = (a, b, c, d), round(k)
        found, path = shape(matrix), arrows(matrix, degrees, k)
        image = path[-1] @ np.array(matrix).reshape(2, 2).T
        with self._stage.lock:
            edge = CIRCLE @ np.array(matrix).reshape(2, 2).T
            self._ellipse.set_xy(edge)
            self._edge.set_data(*edge.T)
            best, long = found.right[:, 0] * HALF, found.left[:, 0] * found.sigma[0]
            self._goal.set_data([-best[0], best[0]], [-best[1], best[1]])
            self._axes.set_data([-long[0], long[0]], [-long[1], long[1]])
            for j, line in enumerate(self._trail):
                v = path[j] if j < k else np.full(2, np.nan)
                line.set_data([0, v[0]], [0, v[1]])
            self._now.set_data([0, path[-1][0]], [0, path[-1][1]])
            self._image.set_data([0, image[0]], [0, image[1]])
            length, (top, low) = np.linalg.norm(image), found.sigma
            ratio = f"{low / top:.2f}" if top > 1e-9 else "없음"
            self._text[0].set_text(
                f"{k}걸음: ‖Av‖ = {length:.3f}    σ₁ = {top:.3f}, σ₂ = {low:.3f}"
            )
            self._text[1].set_text(
                f"v₁과의 각 {angle(matrix, path[-1]):.1f}°    σ₂/σ₁ = {ratio} (제곱만큼 줄어듭니다)"
            )
            artists = [
                self._goal, *self._trail, self._now, self._ellipse, self._edge, self._axes,
                self._image, *self._text,
            ]  # fmt: skip
            return self._stage.png(self._stage.pixels(artists), level)


def ellipse() -> TriView:
    """타원과 거듭제곱법. 슬라이더는 행렬의 성분, 처음 각도, 걸음 수이고 단추는 이름난 모양입니다.

    커널이 없는 곳에는 행렬 네 개에서 한 걸음씩 넘겨 보는 재생기가 나타납니다.
    """
    stage, small = EllipseStage(), EllipseStage(66)
    knobs = {n: Knob(-2.0, 2.0, 0.05, s) for n, s in zip(NAMES, START, strict=True)}
    knobs |= {"처음 각도": Knob(0.0, 175.0, 5.0, ANGLE), "걸음": Knob(0, STEPS, 1, 2)}
    box, _, _ = controls_view(
        lambda **v: stage.draw(*(v[n] for n in NAMES), v["처음 각도"], v["걸음"]),
        knobs,
        presets={key: dict(zip(NAMES, value, strict=True)) for key, value in PRESETS.items()},
    )
    shown = [key for key in PRESETS if key != "납작하게"]  # 재생기가 무겁지 않도록
    frames = {
        key: [small.draw(*PRESETS[key], ANGLE, k, level=9) for k in range(PLAYED + 1)]
        for key in shown
    }
    labels = [f"{k}걸음" for k in range(PLAYED + 1)]
    html = player(
        frames, labels, alt="단위원이 타원이 되고 화살표가 긴 축을 찾아가는 모습", start=2
    )
    return TriView(box, html, frames["보통"][2], "타원과 거듭제곱법")
