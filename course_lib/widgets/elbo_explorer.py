"""q(z)를 손으로 움직이며 ELBO + KL = log p(x)를 보는 위젯.

1차원 모델 z ~ N(0, 1), x|z ~ N(f(z), s²)의 사후분포 위에 q = N(μ, σ²)를 놓습니다. f가 직선이면
사후분포도 정규분포라서 KL을 0까지 줄일 수 있고, 굽은 f이면 아무리 옮겨도 KL이 남습니다.

    ELBO = E_q[log p(x, z) − log q(z)]        가우스–에르미트 구적법
    KL   = E_q[log q(z) − log p(z|x)]         격자 적분
    log p(x) = log ∫ p(z) p(x|z) dz           격자 적분

ELBO와 KL은 서로 다른 방법으로 따로 적분합니다. 그래서 둘의 합이 log p(x)와 같은지는 계산의 검산입니다.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

GRID = np.linspace(-8.0, 8.0, 4001)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
FLOOR = 6.0  # 막대에 그리는 ELBO의 아래 끝: log p(x) − FLOOR


def _log_normal(value, mean, scale):
    return -0.5 * ((value - mean) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Toy:
    """1차원 잠재 변수 모델 하나: x|z ~ N(f(z), s²), 관측한 x는 ``x``."""

    name: str
    f: Callable
    s: float
    x: float

    def log_joint(self, z):
        """log p(x, z), nats."""
        return _log_normal(z, 0.0, 1.0) + _log_normal(self.x, self.f(z), self.s)

    def log_evidence(self) -> float:
        """log p(x), nats."""
        joint = self.log_joint(GRID)
        peak = joint.max()
        return float(peak + np.log(np.trapezoid(np.exp(joint - peak), GRID)))

    def log_posterior(self, z):
        """log p(z|x) = log p(x, z) − log p(x)."""
        return self.log_joint(z) - self.log_evidence()


TOYS = {
    "선형": Toy("선형", lambda z: 1.5 * z, 1.0, 1.6),
    "굽은": Toy("굽은", lambda z: z**2 - 0.5 * z, 0.7, 1.3),
}


def elbo(toy: Toy, mu: float, sigma: float) -> float:
    """E_q[log p(x, z)] + H(q), 구적점 80개. q = N(μ, σ²), nats."""
    inside = float(WEIGHTS @ toy.log_joint(mu + sigma * NODES))
    return inside + 0.5 * math.log(2 * math.pi * math.e * sigma**2)


def kl(toy: Toy, mu: float, sigma: float) -> float:
    """KL(q ‖ p(z|x))의 격자 적분, nats. 격자는 q를 따라 μ ± 8σ에 놓습니다."""
    z = mu + sigma * GRID
    log_q = _log_normal(z, mu, sigma)
    return float(np.trapezoid(np.exp(log_q) * (log_q - toy.log_posterior(z)), z))


def best(toy: Toy, mu: float = 0.5, sigma: float = 0.7, steps: int = 60) -> np.ndarray:
    """(μ, log σ)에서 시작해 ELBO를 따라 오르는 길 (steps+1, 2). 기울기는 중앙 차분입니다."""
    point, h = np.array([mu, math.log(sigma)]), 1e-4
    path = [point.copy()]
    for _ in range(steps):
        up = [
            elbo(toy, point[0] + h, math.exp(point[1])),
            elbo(toy, point[0], math.exp(point[1] + h)),
        ]
        down = [
            elbo(toy, point[0] - h, math.exp(point[1])),
            elbo(toy, point[0], math.exp(point[1] - h)),
        ]
        step = 0.08 * (np.array(up) - np.array(down)) / (2 * h)
        point = point + step / max(1.0, float(np.linalg.norm(step)) / 0.3)
        path.append(point.copy())
    return np.array(path)


class ElboStage:
    """왼쪽은 사후분포와 q, 오른쪽은 log p(x)까지의 막대. ``draw(μ, log σ)``가 PNG를 돌려줍니다."""

    def __init__(self, toy: Toy, dpi: float = 110):
        self.toy, self.evidence = toy, toy.log_evidence()
        figure = blank_figure(7.2, 4.1)
        left = figure.add_axes([0.05, 0.42, 0.92, 0.5])
        z = np.linspace(-3.5, 3.5, 400)
        self._z = z
        left.fill_between(z, np.exp(toy.log_posterior(z)), color=MUTED, alpha=0.45, lw=0,
                          label="사후분포 $p(z|x)$")  # fmt: skip
        left.plot(z, np.exp(_log_normal(z, 0, 1)), color=MUTED, ls=(0, (2, 2)), lw=1.2,
                  label="사전분포 $p(z)$")  # fmt: skip
        left.plot([], [], color=PALETTE["purple"], lw=2.4, label="$q(z)$")
        left.legend(loc="upper left", fontsize=10)
        left.set(xlim=(-3.5, 3.5), ylim=(0, 1.55), yticks=[])
        self._q = left.plot([], [], color=PALETTE["purple"], lw=2.4, animated=True)[0]
        low = self.evidence - FLOOR
        bar = figure.add_axes([0.05, 0.12, 0.92, 0.13])
        bar.set(xlim=(low, self.evidence + 0.9), ylim=(0, 1), yticks=[])
        bar.grid(False)
        bar.axvline(self.evidence, color=INK, lw=2)
        bar.text(self.evidence + 0.08, 0.5, "log p(x)", va="center", fontsize=11, color=INK)
        bar.set_xlabel("nats", fontsize=11)
        self._low = low
        self._elbo = bar.barh([0.5], [0], left=low, height=0.6, color=PALETTE["blue"])[0]
        self._kl = bar.barh([0.5], [0], left=low, height=0.6, color=PALETTE["vermillion"])[0]
        for patch in (self._elbo, self._kl):
            patch.set_animated(True)
        self._text = figure.text(0.05, 0.285, "", fontsize=12, animated=True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(
            "black", PALETTE["purple"], PALETTE["blue"], PALETTE["vermillion"], MUTED, steps=20
        )

    def draw(self, mu: float, log_sigma: float, level: int = 1) -> bytes:
        """q = N(μ, exp(2 log σ))일 때의 PNG."""
        sigma = math.exp(log_sigma)
        bound, gap = elbo(self.toy, mu, sigma), kl(self.toy, mu, sigma)
        with self._stage.lock:
            self._q.set_data(self._z, np.exp(_log_normal(self._z, mu, sigma)))
            start = max(bound, self._low)
            self._elbo.set_width(start - self._low)
            self._kl.set(x=start, width=self.evidence - start)
            self._text.set_text(
                f"ELBO {_number(bound)}  +  KL {_number(gap)}  =  {_number(bound + gap)} nats"
                f"      (log p(x) = {_number(self.evidence)})"
            )
            pixels = self._stage.pixels([self._q, self._elbo, self._kl, self._text])
            return self._stage.png(pixels, level)


def _height(toy: str, point) -> float:
    return elbo(TOYS[toy], point[0], math.exp(point[1]))


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def elbo_explorer(toy: str = "굽은", dpi: float = 110) -> TriView:
    """ELBO 탐색기. ``toy``는 TOYS의 이름("선형" 또는 "굽은")입니다. 셀의 마지막 줄에 씁니다.

    살아 있는 위젯에는 μ와 log σ 슬라이더와 '가장 나은 q' 단추가, 커널이 없는 곳에는 μ를 쓸어 가는 그림,
    σ를 바꾸는 그림, ELBO를 따라 오르는 그림을 고르는 재생기가 나타납니다.
    ``KeyError``: 모르는 이름일 때.
    """
    if toy not in TOYS:
        raise KeyError(f"모르는 모델입니다: {toy!r}. {', '.join(TOYS)} 가운데에서 고르세요.")
    stage = ElboStage(TOYS[toy], dpi)
    climb = max(
        (best(TOYS[toy], mu) for mu in (-0.5, 0.5)), key=lambda path: _height(toy, path[-1])
    )
    top = climb[-1]
    knobs = {"μ": Knob(-3, 3, 0.05, -1.0), "log σ": Knob(-2.5, 1.0, 0.05, -0.4)}
    box, _, _ = controls_view(
        lambda **v: stage.draw(v["μ"], v["log σ"]),
        knobs,
        presets={"ELBO를 가장 크게": {"μ": round(top[0], 2), "log σ": round(top[1], 2)}},
    )
    sweep = np.linspace(0, 1, 13)
    paths = {
        "μ를 옮기기": [(-2.6 + 5.2 * t, -0.5) for t in sweep],
        "σ를 바꾸기": [(top[0], -2.2 + 3.0 * t) for t in sweep],
        "ELBO를 따라 오르기": [tuple(climb[round(t * (len(climb) - 1))]) for t in sweep],
    }
    small = ElboStage(TOYS[toy], 66)
    frames = {name: [small.draw(*point, level=9) for point in path] for name, path in paths.items()}
    labels = [f"{i + 1} / {len(sweep)}" for i in range(len(sweep))]
    html = player(frames, labels, alt="사후분포 위의 q와 ELBO + KL = log p(x) 막대", start=4)
    return TriView(box, html, frames["μ를 옮기기"][4], "ELBO 탐색기")
