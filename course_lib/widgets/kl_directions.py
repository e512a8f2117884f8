"""KL의 두 방향: 봉우리가 둘인 p에 정규분포 q 하나를 맞출 때 무엇이 달라지는지 보는 위젯.

    앞 방향  KL(p ‖ q) = E_p[log p − log q]   p가 있는 곳을 빠뜨리면 큰 벌(최대우도추정)
    뒤 방향  KL(q ‖ p) = E_q[log q − log p]   p가 없는 곳에 놓이면 큰 벌(변분 추론)

앞 방향의 최솟값은 평균과 분산이 p와 같은 q입니다(적률 일치). 뒤 방향은 봉우리 하나를 고릅니다.
"""

import math

import numpy as np

from course_lib.plots import MUTED, PALETTE, blank_figure
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import Palette, Stage, TriView, player

GRID = np.linspace(-14.0, 14.0, 5601)
WIDTH, SHARE = 0.5, 0.6  # 봉우리의 표준편차와 왼쪽 봉우리의 무게
CAP = 8.0  # 막대에 그리는 KL의 위 끝


def _log_normal(value, mean, scale):
    return -0.5 * ((value - mean) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)


def log_target(z, half: float):
    """log p(z) = log[0.6 N(−half, 0.5²) + 0.4 N(half, 0.5²)], nats."""
    left = math.log(SHARE) + _log_normal(z, -half, WIDTH)
    right = math.log(1 - SHARE) + _log_normal(z, half, WIDTH)
    return np.logaddexp(left, right)


def kl_both(half: float, mu: float, sigma: float) -> tuple[float, float]:
    """(KL(p‖q), KL(q‖p)), q = N(μ, σ²), 격자 적분, nats."""
    log_p, log_q = log_target(GRID, half), _log_normal(GRID, mu, sigma)
    forward = np.trapezoid(np.exp(log_p) * (log_p - log_q), GRID)
    own = mu + sigma * GRID * 8 / GRID[-1]  # 좁은 q도 놓치지 않는 격자 μ ± 8σ
    log_q = _log_normal(own, mu, sigma)
    reverse = np.trapezoid(np.exp(log_q) * (log_q - log_target(own, half)), own)
    return float(forward), float(reverse)


def forward_best(half: float) -> tuple[float, float]:
    """앞 방향의 최솟값 (μ, σ): p의 평균과 표준편차."""
    mean = (1 - 2 * SHARE) * half
    return mean, math.sqrt(WIDTH**2 + half**2 - mean**2)


def reverse_best(half: float, start: float, steps: int = 80) -> np.ndarray:
    """μ = start, σ = 1에서 뒤 방향 KL을 따라 내려가는 길 (steps+1, 2): (μ, log σ)."""
    return _descend(lambda m, s: kl_both(half, m, s)[1], start, steps)


def _descend(loss, start: float, steps: int) -> np.ndarray:
    point, h, path = np.array([start, 0.0]), 1e-4, []
    for _ in range(steps + 1):
        path.append(point.copy())
        mu, log_sigma = point
        slope = np.array([
            loss(mu + h, math.exp(log_sigma)) - loss(mu - h, math.exp(log_sigma)),
            loss(mu, math.exp(log_sigma + h)) - loss(mu, math.exp(log_sigma - h)),
        ]) / (2 * h)  # fmt: skip
        step = 0.1 * slope
        point = point - step / max(1.0, float(np.linalg.norm(step)) / 0.15)
    return np.array(path)


class KlStage:
    """위는 p와 q, 아래는 두 KL의 막대. ``draw(half, μ, log σ)``가 PNG를 돌려줍니다."""

    def __init__(self, dpi: float = 110):
        figure = blank_figure(7.2, 4.1)
        top = figure.add_axes([0.05, 0.42, 0.92, 0.52])
        self._z = np.linspace(-5, 5, 500)
        top.plot([], [], color=MUTED, lw=6, alpha=0.5, label="목표 $p(z)$")
        top.plot([], [], color=PALETTE["purple"], lw=2.4, label="$q(z)$")
        top.legend(loc="upper right", fontsize=10)
        top.set(xlim=(-5, 5), ylim=(0, 1.0), yticks=[])
        self._p = top.plot([], [], color=MUTED, lw=6, alpha=0.5, animated=True)[0]
        self._q = top.plot([], [], color=PALETTE["purple"], lw=2.4, animated=True)[0]
        low = figure.add_axes([0.2, 0.13, 0.77, 0.2])
        low.set(xlim=(0, CAP + 1.2), ylim=(-0.6, 1.6))
        low.set_yticks([1, 0], ["앞 방향 KL(p‖q)", "뒤 방향 KL(q‖p)"])
        low.set_xlabel("nats", fontsize=11)
        low.grid(axis="y", visible=False)
        low.tick_params(axis="y", length=0)
        colors = (PALETTE["blue"], PALETTE["vermillion"])
        self._bars = [
            low.barh([1 - i], [0], height=0.7, color=color)[0] for i, color in enumerate(colors)
        ]
        self._numbers = [low.text(0, 1 - i, "", va="center", fontsize=11) for i in range(2)]
        for artist in (*self._bars, *self._numbers):
            artist.set_animated(True)
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps("black", PALETTE["purple"], *colors, MUTED, steps=20)

    def draw(self, half: float, mu: float, log_sigma: float, level: int = 1) -> bytes:
        """봉우리가 ±half에 있고 q = N(μ, σ²)일 때의 PNG."""
        sigma = math.exp(log_sigma)
        values = kl_both(half, mu, sigma)
        with self._stage.lock:
            self._p.set_data(self._z, np.exp(log_target(self._z, half)))
            self._q.set_data(self._z, np.exp(_log_normal(self._z, mu, sigma)))
            for bar, number, value in zip(self._bars, self._numbers, values, strict=True):
                bar.set_width(min(value, CAP))
                number.set_x(min(value, CAP) + 0.1)
                number.set_text(f"{value:.2f}")
            artists = [self._p, self._q, *self._bars, *self._numbers]
            return self._stage.png(self._stage.pixels(artists), level)


def kl_directions() -> TriView:
    """KL의 두 방향을 견주는 위젯. 셀의 마지막 줄에 쓰면 나타납니다.

    슬라이더는 봉우리 사이의 거리와 q의 μ, log σ이고, 단추는 거리 2의 목표에서 두 방향의 최솟값으로 갑니다.
    커널이 없는 곳에는 두 방향의 KL을 따라 내려가는 길을 보여 주는 재생기가 나타납니다.
    """
    stage, half = KlStage(), 2.0
    mean, sigma = forward_best(half)
    left, right = reverse_best(half, -1.0), reverse_best(half, 1.0)

    def place(point, log_sigma):
        return {"거리": half, "μ": round(float(point), 2), "log σ": round(float(log_sigma), 2)}

    box, _, _ = controls_view(
        lambda **v: stage.draw(v["거리"], v["μ"], v["log σ"]),
        {
            "거리": Knob(0.0, 3.0, 0.05, half),
            "μ": Knob(-4.0, 4.0, 0.05, 0.0),
            "log σ": Knob(-2.0, 1.5, 0.05, 0.0),
        },
        presets={
            "앞 방향 최소": place(mean, math.log(sigma)),
            "뒤 방향 최소(왼쪽)": place(*left[-1]),
            "뒤 방향 최소(오른쪽)": place(*right[-1]),
        },
    )
    forward = _descend(lambda m, s: kl_both(half, m, s)[0], 1.0, 80)
    small, picks = KlStage(66), np.linspace(0, 80, 13).round().astype(int)
    paths = {
        "앞 방향을 줄이기": forward,
        "뒤 방향을 줄이기(오른쪽에서 출발)": right,
        "뒤 방향을 줄이기(왼쪽에서 출발)": left,
    }
    frames = {
        name: [small.draw(half, *path[k], level=9) for k in picks] for name, path in paths.items()
    }
    labels = [f"{k} / 80단계" for k in picks]
    html = player(frames, labels, alt="봉우리가 둘인 p와 정규분포 q, 두 방향의 KL", start=12)
    return TriView(box, html, frames["앞 방향을 줄이기"][12], "KL의 두 방향")
