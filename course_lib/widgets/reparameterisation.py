"""재매개변수화: 고정한 잡음 ε에 z = μ + σ ε이 어떻게 딸려 움직이는지 보는 위젯.

E_q[f(z)]를 μ로 미분하는 두 추정량을 같은 표본에서 나란히 계산합니다. q = N(μ, σ²)입니다.

    재매개변수화  f′(μ + σ ε)                  (경로를 따라 미분)
    점수함수      f(z) · (z − μ)/σ²            (log q의 기울기에 f를 곱함)
"""

import math

import numpy as np

from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

EPS = np.array([-1.9, -1.3, -0.85, -0.5, -0.2, 0.1, 0.4, 0.75, 1.2, 1.8])
LIMIT = 4.0


def f(z):
    """예로 쓰는 함수 f(z) = −½ (z − 1.5)²: log p(x, z)처럼 한 곳에서 가장 큽니다."""
    return -0.5 * (z - 1.5) ** 2


def slope(z):
    """f′(z)"""
    return 1.5 - z


def two_estimates(mu: float, sigma: float, eps=EPS) -> tuple[np.ndarray, np.ndarray]:
    """표본마다의 (재매개변수화 f′(z), 점수함수 f(z)(z − μ)/σ²)."""
    z = mu + sigma * eps
    return slope(z), f(z) * eps / sigma


def exact_variances(mu: float, sigma: float) -> tuple[float, float]:
    """표본 하나의 두 추정량의 분산. 구적점 40개의 가우스–에르미트 적분이며 다항식이라 정확합니다."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    out = []
    for value in two_estimates(mu, sigma, nodes):
        out.append(float(weights @ value**2 - (weights @ value) ** 2))
    return out[0], out[1]


class ReparameterisationStage:
    """위는 고정된 ε, 가운데는 z, 아래는 f와 기울기. ``draw(μ, log σ)``가 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.2, 4.5)
        axis = figure.add_axes([0.05, 0.2, 0.92, 0.75])
        axis.set(xlim=(-LIMIT, LIMIT), ylim=(-9, 7.2))
        axis.set_yticks([6, 2.5], ["ε", "z"])
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        axis.axhline(6, color=MUTED, lw=0.8)
        axis.axhline(2.5, color=MUTED, lw=0.8)
        z = np.linspace(-LIMIT, LIMIT, 200)
        axis.plot(z, f(z), color=INK, lw=1.6)
        axis.text(3.0, f(3.0) + 0.5, "f(z)", fontsize=12)
        axis.plot(EPS, np.full_like(EPS, 6), "o", color=PALETTE["orange"], ms=7)
        style = {"animated": True}
        self._threads = [
            axis.plot([], [], color=PALETTE["orange"], lw=0.9, alpha=0.7, **style)[0] for _ in EPS
        ]
        self._z = axis.plot([], [], "o", color=PALETTE["purple"], ms=7, **style)[0]
        self._slopes = [axis.plot([], [], color=PALETTE["blue"], lw=2.6, **style)[0] for _ in EPS]
        self._text = figure.text(0.05, 0.03, "", fontsize=11.5, linespacing=1.5, **style)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black", PALETTE["purple"], PALETTE["blue"], PALETTE["orange"], MUTED, steps=20
        )

    def draw(self, mu: float, log_sigma: float, level: int = 1) -> bytes:
        """q = N(μ, σ²)일 때의 PNG."""
        sigma = math.exp(log_sigma)
        z = mu + sigma * EPS
        path, score = exact_variances(mu, sigma)
        with self._stage.lock:
            self._z.set_data(z, np.full_like(z, 2.5))
            for thread, tangent, e, value in zip(self._threads, self._slopes, EPS, z, strict=True):
                thread.set_data([e, value], [6, 2.5])
                half = 0.55 / math.hypot(1, slope(value) / 2)
                tangent.set_data(
                    [value - half, value + half],
                    [f(value) - half * slope(value), f(value) + half * slope(value)],
                )
            self._text.set_text(
                f"참 기울기 d/dμ E[f(z)] = {1.5 - mu:.2f}      z = {mu:.2f} + {sigma:.2f} ε\n"
                f"표본 하나의 분산:  재매개변수화 {path:.2f}    점수함수 {score:.2f}".replace(
                    "-", "−"
                )
            )
            artists = [*self._threads, *self._slopes, self._z, self._text]
            return self._stage.png(self._stage.pixels(artists), level)


def reparameterisation() -> TriView:
    """재매개변수화 보기. 슬라이더 μ, log σ를 움직이면 ε은 그대로이고 z만 딸려 움직입니다."""
    stage, small = ReparameterisationStage(), ReparameterisationStage(66)
    box, _, _ = controls_view(
        lambda **v: stage.draw(v["μ"], v["log σ"]),
        {"μ": Knob(-2.0, 2.0, 0.05, -0.5), "log σ": Knob(-2.0, 0.5, 0.05, -0.5)},
    )
    sweep = np.linspace(0, 1, 13)
    frames = {
        "μ를 옮기기": [small.draw(-2 + 4 * t, -0.5, level=9) for t in sweep],
        "σ를 바꾸기": [small.draw(-0.5, -2 + 2.5 * t, level=9) for t in sweep],
    }
    labels = [f"{i + 1} / {len(sweep)}" for i in range(len(sweep))]
    html = player(frames, labels, alt="고정된 ε과 따라 움직이는 z = μ + σε", start=6)
    return TriView(box, html, frames["μ를 옮기기"][6], "재매개변수화 보기")
