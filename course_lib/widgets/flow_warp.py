"""2차원 flow가 공간을 어떻게 휘는지 보여 주는 위젯.

왼쪽: z 공간의 격자와 표본(색은 z의 사분면)이 층을 지나며 옮겨 가는 모습.
오른쪽: 같은 단계의 밀도. 슬라이더 t는 0(기저분포)부터 층의 수 M(데이터 공간)까지 *연속*입니다.

층 사이를 잇는 법
-----------------
h_k는 k번째 층까지 지난 점, J_k = ∂h_k/∂h_{k−1} (2×2)이고 t = k − 1 + τ (0 ≤ τ ≤ 1)이면

    x_t = (1 − τ) h_{k−1} + τ h_k                                            (1)
    ∂x_t/∂h_{k−1} = (1 − τ) I + τ J_k                                        (2)

결합층처럼 J_k가 삼각행렬이고 대각 성분 d_i가 양수이면 (2)도 삼각행렬이고 대각 성분이
(1 − τ) + τ d_i > 0입니다. 즉 중간 단계도 가역이며, 그림이 접히거나 찢어지지 않습니다.
2×2에서는 행렬식을 대각합과 행렬식만으로 씁니다(J를 통째로 저장할 필요가 없습니다).

    det((1 − τ) I + τ J) = (1 − τ)² + τ (1 − τ) tr J + τ² det J              (3)

연쇄 법칙으로 det ∂x_t/∂z = (3) × Π_{j<k} det J_j이고, 변수 변환 공식으로

    log p(x_t) = log p_Z(z) − log|det ∂x_t/∂z|                               (4)

입니다. (4)는 z 격자를 옮긴 점 위에서 *근사 없이* 계산되므로 t = M에서 ``model.log_prob``와 같습니다.
J_k의 대각 성분이 음수인 층(예: 두 축을 맞바꾸는 순열)에서는 (3)이 중간에 0을 지납니다. 그런 층은
종이를 뒤집듯 접혔다 펴지며, 그 순간의 밀도는 한없이 커지므로 색을 잘라서 그립니다.
"""

import base64
import copy
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.transforms import IdentityTransform
from torch import Tensor

from course_lib.plots import DENSITY, MUTED, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, self_contained, slider_view

QUADRANTS = [PALETTE[name] for name in ("blue", "orange", "green", "purple")]
STEPS_PER_LAYER = 20  # 슬라이더 눈금: 층 하나를 몇 걸음에 지나는가
LINES = 17  # 한 방향의 격자선 수
LINE_POINTS = 90
TINY = 1e-30
COARSE, COARSE_REACH = 49, 4.5  # 간격 3/16: 두 칸마다 그리면 ±3 안에 격자선 17개


@dataclass(frozen=True)
class Mesh:
    """밀도를 재는 z 격자 하나. M은 층의 수, N은 한 변의 점.

    stages   (M+1, N, N, 2)  격자점이 층마다 옮겨 간 자리
    log_base (N, N)          log p_Z(z), nats
    weight   (N, N)          격자점이 대표하는 확률, 합은 1
    trace    (M, N, N)       층마다의 tr J_k
    det      (M, N, N)       층마다의 det J_k
    """

    stages: np.ndarray
    log_base: np.ndarray
    weight: np.ndarray
    trace: np.ndarray
    det: np.ndarray

    @cached_property
    def _log_det_before(self) -> np.ndarray:
        """Σ_{j≤k} log|det J_j|, (M+1, N, N)."""
        logs = np.log(np.abs(self.det) + TINY)
        return np.concatenate([np.zeros_like(logs[:1]), np.cumsum(logs, 0)])

    def log_density(self, k: int, tau: float) -> np.ndarray:
        """식 (4): 격자를 단계 k + τ로 옮긴 점에서의 log p(x_t), 모양 (N, N), nats."""
        here = (1 - tau) ** 2 + tau * (1 - tau) * self.trace[k] + tau**2 * self.det[k]
        return self.log_base - self._log_det_before[k] - np.log(np.abs(here) + TINY)


@dataclass(frozen=True)
class WarpPath:
    """한 flow의 모든 단계를 미리 계산한 numpy 배열. M은 층의 수, S는 표본의 수.

    lines    (M+1, 2·LINES, LINE_POINTS, 2)  격자선이 층마다 옮겨 간 자리
    samples  (M+1, S, 2)                     표본이 층마다 옮겨 간 자리
    quadrant (S,)                            표본의 z가 놓인 사분면 0~3
    fine     그림을 그릴 촘촘한 격자          coarse  브라우저로 보낼 성긴 격자(간격이 고른 ±4.5)
    data     (n, 2) 또는 None                함께 그릴 데이터
    """

    lines: np.ndarray
    samples: np.ndarray
    quadrant: np.ndarray
    fine: Mesh
    coarse: Mesh
    data: np.ndarray | None = None

    @property
    def layers(self) -> int:
        return len(self.fine.det)

    def locate(self, t: float) -> tuple[int, float]:
        """t를 (층 번호 k−1, 층 안의 위치 τ)로 나눕니다. 범위를 벗어나면 잘라 냅니다."""
        t = min(max(float(t), 0.0), float(self.layers))
        k = min(int(t), self.layers - 1)
        return k, t - k

    def at(self, stages: np.ndarray, t: float) -> np.ndarray:
        """식 (1): 층마다의 자리 ``stages`` (M+1, …, 2)에서 단계 t의 자리 (…, 2)."""
        k, tau = self.locate(t)
        if tau == 0:
            return stages[k]
        return stages[k] + np.float32(tau) * (stages[k + 1] - stages[k])

    def log_density(self, t: float) -> np.ndarray:
        """``at(fine.stages, t)``에서의 log p(x_t), 모양 (N, N), nats."""
        return self.fine.log_density(*self.locate(t))

    @cached_property
    def limits(self) -> tuple[float, float]:
        """정사각형 축 범위. 기저분포와 데이터 공간이 다 보이고, 중간 단계는 조금 넘칠 수 있습니다."""
        ends = np.quantile(np.abs(self.samples[[0, -1]]), 0.998)
        if self.data is not None:
            ends = max(ends, np.abs(self.data).max())
        middle = np.quantile(np.abs(self.samples), 0.995)
        half = float(max(1.03 * ends, min(middle, 1.15 * ends), 3.2))
        return -half, half


def warp_path(
    model,
    data: Tensor | None = None,
    *,
    samples: int = 1200,
    mesh: int = 97,
    reach: float = 3.9,
    seed: int = 0,
) -> WarpPath:
    """2차원 FlowModel의 모든 단계를 미리 계산합니다. 모델은 바뀌지 않습니다.

    ``reach``는 z 격자의 반폭입니다. 표준정규분포라면 ±3.9 안에 확률의 99.98 %가 들어 있습니다.
    야코비안은 층마다 출력 성분 하나씩을 역전파하여 얻습니다. 층이 표본끼리 섞지 않으므로
    Σ_b h_{b,i}의 기울기가 곧 표본마다의 행 i입니다.

    ValueError: 모델이 2차원이 아니거나, 어떤 층에서 NaN이나 무한대가 나올 때.
    """
    if tuple(model.event_shape) != (2,):
        raise ValueError(
            f"2차원 flow만 그릴 수 있습니다. 이 모델의 event_shape는 {tuple(model.event_shape)}입니다."
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False):
        # 학습 중인 셀과 얽히지 않도록 얼린 복사본을 씁니다.
        frozen = copy.deepcopy(model).eval().requires_grad_(False).float()
        base = frozen.base
        with torch.no_grad():
            z_samples = _base_sample(base, samples, generator)
            ticks = torch.linspace(-3.0, 3.0, LINES)
            along = torch.linspace(-3.0, 3.0, LINE_POINTS)
            fixed, moving = torch.meshgrid(ticks, along, indexing="ij")
            z_lines = torch.cat(
                [torch.stack([moving, fixed], -1), torch.stack([fixed, moving], -1)]
            )
            line_stages = _stages(frozen, z_lines)
            sample_stages = _stages(frozen, z_samples)
        # 촘촘한 격자는 확률이 모인 가운데를 더 촘촘히 나눕니다: u ↦ 0.7u + 0.3u³
        u = torch.linspace(-1.0, 1.0, mesh)
        fine = _mesh(frozen, reach * (0.7 * u + 0.3 * u**3))
        coarse = _mesh(frozen, torch.linspace(-COARSE_REACH, COARSE_REACH, COARSE))
    for array in (sample_stages, line_stages, fine.stages, coarse.stages):
        if not np.isfinite(array).all():
            raise ValueError(
                "flow의 출력에 NaN이나 무한대가 있어 그릴 수 없습니다. "
                "학습률을 낮추거나 기울기를 잘라서 다시 학습하세요."
            )
    z = z_samples.numpy()
    return WarpPath(
        lines=line_stages,
        samples=sample_stages,
        quadrant=(z[:, 0] < 0) * 1 + (z[:, 1] < 0) * 2,
        fine=fine,
        coarse=coarse,
        data=None if data is None else np.asarray(data.detach().cpu(), dtype=np.float32),
    )


def _stages(model, z: Tensor) -> np.ndarray:
    """``model.path``의 결과를 (M+1, *z.shape)로 쌓습니다."""
    flat = model.path(z.reshape(-1, 2))
    return torch.stack([h.reshape(z.shape) for h in flat]).numpy()


def _mesh(model, side: Tensor) -> Mesh:
    """한 변이 ``side``인 정사각 격자를 모든 층으로 옮기고 층마다의 tr J, det J를 잽니다."""
    n = len(side)
    z = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)
    stages, traces, dets = [], [], []
    for chunk in z.split(4096):
        with torch.enable_grad():
            points = model.path(chunk.clone().requires_grad_())
        trace, det = [], []
        for before, after in zip(points[:-1], points[1:], strict=True):
            top, bottom = (
                torch.autograd.grad(after[:, i].sum(), before, retain_graph=True)[0] for i in (0, 1)
            )
            trace.append(top[:, 0] + bottom[:, 1])
            det.append(top[:, 0] * bottom[:, 1] - top[:, 1] * bottom[:, 0])
        stages.append(torch.stack([point.detach() for point in points]))
        traces.append(torch.stack(trace))
        dets.append(torch.stack(det))
    stages, traces, dets = (torch.cat(parts, 1).numpy() for parts in (stages, traces, dets))
    with torch.no_grad():
        log_base = model.base.log_prob(z).reshape(n, n).numpy()
    spacing = np.gradient(side.numpy())
    weight = np.exp(log_base) * np.outer(spacing, spacing)
    return Mesh(
        stages=stages.reshape(-1, n, n, 2),
        log_base=log_base,
        weight=weight / weight.sum(),
        trace=traces.reshape(-1, n, n),
        det=dets.reshape(-1, n, n),
    )


def _base_sample(base, n: int, generator: torch.Generator) -> Tensor:
    """기저분포의 표본 (n, 2). 전역 난수 상태를 건드리지 않도록 촘촘한 격자에서 칸을 뽑습니다."""
    side = torch.linspace(-5.0, 5.0, 401)
    grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)
    weight = (base.log_prob(grid)).exp()
    cells = torch.multinomial(weight, n, replacement=True, generator=generator)
    return grid[cells] + (torch.rand(n, 2, generator=generator) - 0.5) * (side[1] - side[0])


class WarpStage:
    """한 ``WarpPath``를 그리는 준비된 그림. ``draw(t)``가 PNG 바이트를 돌려줍니다."""

    def __init__(self, path: WarpPath, *, title: str = "", dpi: float = 130, colors: int = 256):
        self.path = path
        figure = blank_figure(7.2, 4.06)
        self.left = figure.add_axes([0.042, 0.066, 0.44, 0.44 * 7.2 / 4.06])
        self.right = figure.add_axes([0.552, 0.066, 0.44, 0.44 * 7.2 / 4.06])
        for axis, name in ((self.left, "격자와 표본"), (self.right, "밀도 $p(x_t)$")):
            axis.set(xlim=path.limits, ylim=path.limits, aspect="equal")
            axis.set_title(name, fontsize=12.5)
            axis.locator_params(nbins=5)
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        self.right.grid(False)
        if path.data is not None:
            self.left.plot(*path.data.T, "o", color=MUTED, ms=2.6, mew=0, alpha=0.35, zorder=0)
        label = figure.text(0.5, 0.985, "", fontsize=13, fontweight="bold", ha="center",
                            va="top", animated=True)  # fmt: skip
        self._title, self._label = title, label
        style = {"color": MUTED, "alpha": 0.75, "animated": True}
        self._lines = self.left.plot([], [], linewidth=0.7, **style)[0]
        self._middle = self.left.plot([], [], linewidth=1.8, **style)[0]
        self._dots = [
            self.left.plot([], [], "o", color=color, ms=3.4, mew=0, alpha=0.85, animated=True)[0]
            for color in QUADRANTS
        ]
        self._data = []
        if path.data is not None:
            style = {"color": PALETTE["vermillion"], "ms": 2.2, "mew": 0, "alpha": 0.6}
            self._data = self.right.plot(*path.data.T, "o", animated=True, **style)
        self._mesh = DensityMesh(self.right)
        self._stage = Stage(figure, dpi)
        ends = [self._pixels(t) for t in (0, path.layers / 2, path.layers)]
        self._stage.palette = Palette.learn(ends, colors)

    def draw(self, t: float, level: int = 1) -> bytes:
        """단계 t의 PNG."""
        return self._stage.png(self._pixels(t), level)

    def _pixels(self, t: float):
        path = self.path
        with self._stage.lock:
            self._label.set_text(stage_label(path, t, self._title))
            lines = path.at(path.lines, t)
            self._lines.set_data(*_joined(lines))
            self._middle.set_data(*_joined(lines[[LINES // 2, LINES + LINES // 2]]))
            points = path.at(path.samples, t)
            for quadrant, dots in enumerate(self._dots):
                dots.set_data(*points[path.quadrant == quadrant].T)
            self._mesh.set(path.at(path.fine.stages, t), density_shade(path, t))
            return self._stage.pixels(
                [self._label, self._lines, self._middle, *self._dots, self._mesh, *self._data]
            )


def _joined(lines: np.ndarray) -> np.ndarray:
    """(L, P, 2)의 곡선들을 NaN으로 끊어 이은 (2, L·(P+1)). 한 번에 그리는 편이 빠릅니다."""
    broken = np.concatenate([lines, np.full_like(lines[:, :1], np.nan)], 1)
    return broken.reshape(-1, 2).T


class DensityMesh(Artist):
    """휘어진 격자의 칸을 농도의 색으로 칠합니다. 좌표와 색을 렌더러에 바로 넘겨 빠릅니다."""

    LEVELS = DENSITY(np.linspace(0, 1, 256))  # 농도 0~1.25 → RGBA

    def __init__(self, axis):
        super().__init__()
        self._axis = axis
        self.set_figure(axis.figure)
        self.set_animated(True)
        self._nodes = self._shade = None

    def set(self, nodes: np.ndarray, shade: np.ndarray) -> None:
        """``nodes`` (N, N, 2)는 데이터 좌표, ``shade`` (N−1, N−1)는 칸의 농도입니다."""
        self._nodes, self._shade = nodes, shade

    def draw(self, renderer) -> None:
        rows, columns = self._shade.shape
        level = np.clip(self._shade * (255 / 1.25), 0, 255).astype(np.uint8)
        context = renderer.new_gc()
        context.set_clip_rectangle(self._axis.bbox)
        renderer.draw_quad_mesh(
            context, self._axis.transData.frozen(), columns, rows, self._nodes.astype(float),
            np.zeros((1, 2)), IdentityTransform(), self.LEVELS[level.ravel()], False, np.zeros((0, 4)),
        )  # fmt: skip
        context.restore()


def density_shade(path: WarpPath, t: float) -> np.ndarray:
    """격자 칸마다의 색 농도 √(p / p*), (N−1, N−1). p* = exp(1 − H(x_t)).

    p*는 정규분포라면 정확히 최댓값이고, 밀도의 뾰족한 끝에 흔들리지 않습니다. 엔트로피는
    격자점의 확률로 잰 평균 H = −E[log p(x_t)]입니다.
    """
    log_p = path.log_density(t)
    entropy = -float((path.fine.weight * log_p).sum())
    ratio = np.exp(np.minimum(log_p - (1 - entropy), 2.0))
    cells = (ratio[1:, 1:] + ratio[1:, :-1] + ratio[:-1, 1:] + ratio[:-1, :-1]) / 4
    return np.sqrt(cells)


def stage_label(path: WarpPath, t: float, title: str = "") -> str:
    """그림 위에 쓰는 한 줄."""
    k, tau = path.locate(t)
    where = f"{k + 1}번째 층"
    if k + tau == 0:
        where = "기저분포 z"
    elif k + tau == path.layers:
        where = "데이터 공간 x"
    head = f"{title}  ·  " if title else ""
    return f"{head}t = {k + tau:.2f} / {path.layers}  ·  {where}"


def warp_html(
    paths: Mapping[str, WarpPath], poster: bytes, *, seconds_per_layer: float = 0.9
) -> str:
    """브라우저에서 그리는 변형 재생기. 모델 하나에 100 kB 안팎입니다.

    층마다 바뀐 좌표만 16비트 정수로 담고(결합층은 한 좌표만 바꿉니다), 밀도는 파이썬과 같은
    식 (3), (4)로 계산합니다. 한 좌표만 바꾸는 층은 tr J = 1 + det J이므로 det J만 보냅니다.
    """
    content = {
        "models": [{"name": name, **_browser_data(path)} for name, path in paths.items()],
        "ramp": _base64((DENSITY(np.linspace(0, 1, 256))[:, :3] * 255).round(), "u1"),
        "colors": QUADRANTS,
        "duration": 1000 * seconds_per_layer * max(path.layers for path in paths.values()),
    }
    alt = "2차원 flow의 변형: 왼쪽은 휘어진 격자와 표본, 오른쪽은 밀도"
    return self_contained("warp_player.js", content, poster, alt)


def _browser_data(path: WarpPath) -> dict:
    """``warp_player.js``가 읽는 모델 하나의 자료."""
    order = np.argsort(path.quadrant, kind="stable")[:: max(1, len(path.quadrant) // 600)]
    mesh, limit = path.coarse, path.limits[1]
    stages = np.concatenate(
        [mesh.stages.reshape(path.layers + 1, -1, 2), path.samples[:, order]], 1
    )
    scale = float(min(np.abs(stages).max(), 6 * limit))
    points = np.round(np.clip(stages / scale, -1, 1) * 32767)
    moved = [[True, True]]
    moved += [(points[k] != points[k - 1]).any(0).tolist() for k in range(1, path.layers + 1)]
    sent = [points[k, :, i] for k, pair in enumerate(moved) for i in (0, 1) if pair[i]]
    # 행렬식은 로그로, 대각합은 1 + det와 다른 층만 그 차이를 보냅니다.
    log_det = np.clip(np.log(np.abs(mesh.det) + TINY), -12, 12)
    excess = np.clip(mesh.trace - 1 - mesh.det, -8, 8)
    general = [bool(np.abs(e).max() > 1e-4) for e in excess]
    return {
        "layers": path.layers,
        "n": COARSE,
        "margin": round((COARSE_REACH - 3) / (2 * COARSE_REACH / (COARSE - 1))),
        "count": stages.shape[1],
        "scale": scale,
        "limit": limit,
        "moved": moved,
        "points": _base64(np.concatenate(sent), "<i2"),
        "quadrants": np.bincount(path.quadrant[order], minlength=4).tolist(),
        "logBase": _base64(mesh.log_base, "<f4"),
        "flips": [bool(np.median(det) < 0) for det in mesh.det],
        "logDet": _base64(np.round(log_det / 12 * 32767), "<i2"),
        "general": general,
        "excess": _base64(np.round(excess[general] / 8 * 32767), "<i2"),
        "data": path.data
        if path.data is None
        else _base64(np.round(np.clip(path.data[:400] / scale, -1, 1) * 32767), "<i2"),
    }


def _base64(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode()


def flow_warp(models, data=None, *, seed: int = 0) -> TriView:
    """2차원 flow의 변형을 층 사이까지 이어서 보여 줍니다. 셀의 마지막 줄에 쓰면 나타납니다.

    models  FlowModel 하나 또는 ``{이름: FlowModel}``(목록에서 고릅니다)
    data    함께 그릴 점 (n, 2) 또는 ``{이름: 점}``. 이름은 models의 이름과 같아야 합니다.

    학습한 모델의 출력이 HTML에 들어가므로 이 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    ValueError: 모델이 2차원이 아니거나 NaN을 낼 때, data의 이름이 models에 없을 때.
    """
    models = dict(models) if isinstance(models, Mapping) else {"": models}
    if not models:
        raise ValueError("그릴 모델이 없습니다. {이름: 모델} 사전에 하나 이상 넣으세요.")
    data = dict(data) if isinstance(data, Mapping) else {name: data for name in models}
    unknown = set(data) - set(models)
    if unknown:
        raise ValueError(f"data에만 있는 이름: {sorted(unknown)}. models의 이름과 맞추세요.")
    paths = {name: warp_path(model, data.get(name), seed=seed) for name, model in models.items()}
    view = WarpView(paths)
    first = next(iter(paths.values()))
    poster = WarpStage(first, dpi=90).draw(first.layers, level=9)
    return TriView(view.box, warp_html(paths, poster), poster, "2차원 flow 변형")


class WarpView:
    """살아 있는 위젯: 모델 목록, 슬라이더, 재생 단추, 그림."""

    def __init__(self, paths: Mapping[str, WarpPath]):
        import ipywidgets as widgets

        self._paths = dict(paths)
        self._stages: dict[str, WarpStage] = {}
        self._lock = threading.Lock()
        self.menu = widgets.Dropdown(options=list(paths), layout=widgets.Layout(width="240px"))
        extra = [self.menu] if len(paths) > 1 else []
        layers = self._paths[self.menu.value].layers
        self.box, self.slider, self.picture, self._redraw = slider_view(
            self._draw, steps=layers * STEPS_PER_LAYER, start=layers * STEPS_PER_LAYER, extra=extra
        )
        self.play = self.box.children[-1].children[0]
        self.menu.observe(self._change, "value")

    @property
    def _stage(self) -> WarpStage:
        name = self.menu.value
        with self._lock:  # 배경은 처음 고를 때 한 번 그립니다
            if name not in self._stages:
                self._stages[name] = WarpStage(self._paths[name])
            return self._stages[name]

    def _draw(self, tick: int) -> bytes:
        return self._stage.draw(tick / STEPS_PER_LAYER)

    def _change(self, _) -> None:
        # 층의 수가 다른 모델로 바꾸어도 지나온 비율을 지킵니다.
        share = self.slider.value / self.slider.max
        self.play.max = self.slider.max = self._stage.path.layers * STEPS_PER_LAYER
        self._redraw()
        self.slider.value = round(share * self.slider.max)

    def show(self, name: str, path: WarpPath) -> None:
        """모델 하나를 새것으로 바꾸어 그립니다(그린 점으로 학습한 결과를 보일 때)."""
        stage = WarpStage(path)
        with self._lock:
            self._paths[name], self._stages[name] = path, stage
        self._redraw()
