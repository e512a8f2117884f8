"""K-means와 EM을 한 걸음씩: 출발점을 끌어 옮기며 같은 데이터에서 두 알고리즘을 견주는 위젯.

    K-means  가장 가까운 중심에 배정하고, 무리의 평균으로 중심을 옮깁니다. J = Σ_i min_k ‖x_i − μ_k‖²
    EM       책임도 r_ik를 구하고, r로 무게를 준 평균과 공분산으로 옮깁니다(``unsupervised/gmm.py``)

둘 다 출발점 말고는 난수를 쓰지 않습니다. 재생기는 같은 계산을 브라우저 안에서 하므로(kmeans_em_player.js) 커널이
없어도 출발점을 끌 수 있습니다.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.plots import INK, MUTED, PALETTE, blank_figure
from course_lib.unsupervised.gmm import GMM, Collapsed, em
from course_lib.widgets.frame import Palette, Stage, TriView, self_contained

METHODS = ("K-means", "EM")
LIMITS = (-6.0, 6.0, -4.0, 4.0)
STARTS = [[-3.7, 1.1], [2.2, -2.2], [3.8, -1.7]]
STEPS = 30
FLOOR = 1e-3  # 점 하나로 오그라드는 것을 막으려고 공분산에 더합니다
COLORS = [PALETTE[key] for key in ("green", "purple", "orange", "sky", "yellow", "black")]
ANGLES = np.linspace(0, 2 * np.pi, 61)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)])  # (2, 61)


@dataclass(frozen=True)
class State:
    """한 걸음의 상태: 중심 (K, 2), 색의 무게 (N, K), 목적함수의 값, EM이면 공분산 (K, 2, 2)."""

    centres: np.ndarray
    shares: np.ndarray
    value: float
    covariances: np.ndarray | None = None


def demo_points() -> Tensor:
    """크기와 모양이 다른 세 무리의 점 (260, 2), float64. 늘 같은 점입니다."""
    random = np.random.default_rng(4)
    wide = random.normal(size=(120, 2)) @ np.array([[1.5, 0.0], [1.1, 0.35]]) + [-1.6, -0.6]
    small = 0.45 * random.normal(size=(60, 2)) + [2.0, 1.6]
    round_ = 0.75 * random.normal(size=(80, 2)) + [3.2, -1.5]
    return torch.from_numpy(np.concatenate([wide, small, round_]).round(3))


def kmeans_path(x: Tensor, starts, steps: int) -> list[State]:
    """Lloyd의 K-means. 상태 steps + 1개. 점을 하나도 얻지 못한 중심은 제자리에 남습니다."""
    centres = torch.as_tensor(starts, dtype=x.dtype).clone()
    path = []
    for _ in range(steps + 1):
        square = (x[:, None] - centres).square().sum(-1)  # (N, K)
        nearest = torch.nn.functional.one_hot(square.argmin(1), len(centres)).to(x.dtype)
        cost = float(square.amin(1).sum())
        path.append(State(centres.numpy().copy(), nearest.numpy(), cost))
        count = nearest.sum(0)
        means = nearest.T @ x / count.clamp(min=1)[:, None]
        centres = torch.where(count[:, None] > 0, means, centres)
    return path


def em_path(x: Tensor, starts, steps: int, floor: float = FLOOR) -> list[State]:
    """``GMM.around``에서 시작한 EM. 성분이 비면 거기서 멈추고 마지막 상태를 되풀이합니다."""
    path = []
    try:
        model = GMM.around(x, torch.as_tensor(starts, dtype=x.dtype))
        for state in em(model, x, steps=steps, floor=floor):
            with torch.no_grad():
                shares, covariances = model.responsibilities(x).numpy(), model.covariances.numpy()
                centres = model.means.numpy().copy()
            path.append(State(centres, shares, state["log_likelihood"], covariances))
    except Collapsed:
        pass
    return path + path[-1:] * (steps + 1 - len(path))


def ellipse(mean: np.ndarray, covariance: np.ndarray, sigmas: float) -> np.ndarray:
    """(x − μ)ᵀΣ⁻¹(x − μ) = sigmas²인 타원 위의 점 (2, 61)."""
    return mean[:, None] + sigmas * np.linalg.cholesky(covariance) @ CIRCLE


def describe(method: str, step: int, value: float) -> str:
    """한 줄 설명. 재생기의 문구와 같습니다."""
    if method == "K-means":
        return f"{method} {step}걸음 · 거리의 제곱합 J = {value:.1f}"
    return f"{method} {step}걸음 · 평균 로그우도 {value:.3f} nats".replace("-", "−")


class KmeansEmStage:
    """``draw(방법, 출발점, 걸음)``이 PNG를 돌려줍니다. 그림은 축 없이 ``limits``를 꽉 채웁니다."""

    def __init__(self, x: Tensor, components: int, limits=LIMITS, dpi: float = 110):
        self.x, self._points, self._known = x, x.numpy(), {}
        width = 6.2
        figure = blank_figure(width, width * (limits[3] - limits[2]) / (limits[1] - limits[0]))
        axis = figure.add_axes([0, 0, 1, 1])
        axis.set(xlim=limits[:2], ylim=limits[2:], xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        self._dots = axis.scatter(*self._points.T, s=18, linewidths=0, alpha=0.8, animated=True)
        self._lines, self._trails = [], []
        for k in range(components):
            color = COLORS[k % len(COLORS)]
            self._lines.append(
                [axis.plot([], [], color=color, lw=w, animated=True)[0] for w in (2.2, 1.2)]
            )
            trail = {"color": INK, "lw": 1.0, "marker": ".", "ms": 4, "animated": True}
            self._trails.append(axis.plot([], [], **trail)[0])
        self._crosses = axis.scatter(np.zeros(components), np.zeros(components), s=150, marker="X",
                                     c=[COLORS[k % len(COLORS)] for k in range(components)],
                                     edgecolors=INK, linewidths=1.3, animated=True)  # fmt: skip
        box = {"fc": "white", "alpha": 0.85, "lw": 0, "pad": 3}
        self._text = axis.text(0.015, 0.02, "", transform=axis.transAxes, fontsize=12, bbox=box,
                               animated=True)  # fmt: skip
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.ramps(*COLORS[:components], INK, MUTED, steps=36)

    def path(self, method: str, starts) -> list[State]:
        """방법과 출발점이 같으면 다시 계산하지 않습니다."""
        key = (method, tuple(map(tuple, starts)))
        if key not in self._known:
            run = kmeans_path if method == "K-means" else em_path
            self._known = {key: run(self.x, starts, STEPS)}
        return self._known[key]

    def draw(self, method: str, starts, step: int, level: int = 1) -> bytes:
        """METHODS의 ``method``를 ``starts`` (K, 2)에서 ``step`` ≤ STEPS 걸음 돌린 그림의 PNG."""
        with self._stage.lock:
            path = self.path(method, starts)
            state = path[step]
            base = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLORS])
            every = base[np.arange(state.shares.shape[1]) % len(base)]
            self._dots.set_facecolors(np.clip(state.shares @ every, 0, 1))
            self._crosses.set_offsets(state.centres)
            artists = [self._dots]
            for k, (lines, trail) in enumerate(zip(self._lines, self._trails, strict=True)):
                if state.covariances is not None:
                    for line, sigmas in zip(lines, (1, 2), strict=True):
                        line.set_data(*ellipse(state.centres[k], state.covariances[k], sigmas))
                    artists += lines
                trail.set_data(*np.array([s.centres[k] for s in path[: step + 1]]).T)
                artists.append(trail)
            self._text.set_text(describe(method, step, state.value))
            return self._stage.png(self._stage.pixels([*artists, self._crosses, self._text]), level)


def kmeans_em(x: Tensor | None = None, starts=STARTS, limits=LIMITS) -> TriView:
    """K-means와 EM을 한 걸음씩 보는 위젯. 셀의 마지막 줄에 쓰면 나타납니다.

    x (N, 2)는 데이터(생략하면 ``demo_points``), starts (K, 2)는 처음 출발점입니다. 파란 손잡이를 누르고 끌거나, 화판을
    고른 뒤 방향키로 옮기고 스페이스로 다음 손잡이를 고릅니다.
    ``ValueError``: x나 starts의 모양이 다르거나 출발점이 6개보다 많을 때.
    """
    x = demo_points() if x is None else x.double()
    starts = [[float(v) for v in row] for row in starts]
    if x.ndim != 2 or x.shape[1] != 2 or not 1 <= len(starts) <= len(COLORS):
        raise ValueError(
            f"x는 (N, 2), 출발점은 1개에서 {len(COLORS)}개여야 합니다. "
            f"받은 값: x {tuple(x.shape)}, 출발점 {len(starts)}개"
        )
    stage = KmeansEmStage(x, len(starts), limits)
    live = _live(stage, starts, limits)
    poster = stage.draw("EM", starts, STEPS, level=9)
    html = self_contained("kmeans_em_player.js", {
        "points": x.tolist(), "starts": starts, "limits": list(limits), "steps": STEPS,
        "floor": FLOOR, "colors": COLORS[: len(starts)], "methods": list(METHODS),
    }, poster, "세 무리의 점과 EM이 찾은 세 타원", width=640)  # fmt: skip
    return TriView(live, html, poster, "K-means와 EM 한 걸음씩")


def _live(stage: KmeansEmStage, starts, limits):
    import ipywidgets as widgets

    from course_lib.widgets.pad import Pad

    wide = widgets.Layout(width="100%", max_width="640px")
    method = widgets.Dropdown(options=METHODS, description="방법")
    pad = Pad(mode="handles", points=starts, limits=list(limits), width=640,
              label="출발점 옮기기")  # fmt: skip
    play = widgets.Play(min=0, max=STEPS, value=0, interval=500, show_repeat=False)
    slider = widgets.IntSlider(0, 0, STEPS, description="걸음", layout=widgets.Layout(flex="1 1 auto", width="auto"))  # fmt: skip
    slider.style.description_width = "auto"
    widgets.jslink((play, "value"), (slider, "value"))

    def redraw(_=None) -> None:
        pad.background = stage.draw(method.value, pad.points, slider.value)

    for control, trait in ((method, "value"), (slider, "value"), (pad, "points")):
        control.observe(redraw, trait)
    redraw()
    return widgets.VBox([method, pad, widgets.HBox([play, slider], layout=wide)], layout=wide)
