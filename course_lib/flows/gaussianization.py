"""가우스화: 데이터를 한 좌표씩 정규분포로 만들고 돌리기를 되풀이하는 플로우.

Meng, Song, Song, Ermon, "Gaussianization Flows", AISTATS 2020, arXiv 2003.01941.
되풀이 방법은 Chen, Gopinath, 2000과 Laparra, Camps-Valls, Malo, 2011(RBIG)입니다.

연속인 CDF F에 대해 F(x) ~ U(0, 1)이고 Φ⁻¹(F(x)) ~ N(0, 1)입니다(역 CDF 요령을 거꾸로 쓴 것). 층 하나는 x → z로

    h_d = Φ⁻¹(F_d(x_d)),   F_d(x) = (1/n) Σ_j σ((x − μ_jd)/h_jd)        KernelLayer
    z = Q h,   Q = H_1 ⋯ H_K,   H = I − 2vvᵀ/‖v‖²                        Householder

이고 log|det ∂z/∂x| = Σ_d [log f_d(x_d) − log φ(h_d)]입니다(Q의 몫은 0).
밀도를 계산하는 방향(``inverse``)은 식 그대로이고, 생성 방향(``forward``)은 단조 함수의 근을 찾습니다.

논문·공식 코드와 다른 점
- 꼬리: 공식 코드는 F가 5e-8보다 작으면 h ≈ −√(−2 log F)로 바꾸는데, 그 자리의 log-det 부호가 틀려 좌표 하나에
  2|log F| ≥ 33.6 nats를 잃고 값도 0.47만큼 뜁니다. 여기서는 log F와 log(1 − F) 가운데 작은 쪽에서 하나의 식으로 풉니다.
- 대역폭에는 바닥(``floor``)이 있습니다(공식 코드 1e-7). 0으로 가면 점 하나의 밀도가 한없이 커집니다.
- 마지막 층 뒤의 회전은 N(0, I)을 바꾸지 않으므로 두지 않습니다. 반사는 짝수 번이라 뒤집히지 않습니다(det Q = 1).
- 시작 대역폭에는 배치의 표준편차를 곱합니다(RBIG와 같음). 역함수는 [−1000, 1000] 대신 증명된 구간에서 찾습니다.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.special import log_ndtr, ndtri

from course_lib.base import Compose, Flow, FlowModel

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class _LowerQuantile(torch.autograd.Function):
    """log p ≤ log ½ → Φ(a) = p인 a ≤ 0. 뉴턴법 a ← a − (log Φ(a) − log p)·Φ(a)/φ(a).

    log Φ는 오목하게 증가하고 Φ(−s) ≤ ½e^{−s²/2}이므로, a = −√(−2 log p)에서 출발하면 왼쪽에서 단조롭게
    다가갑니다. 도함수 da/d log p = Φ(a)/φ(a)는 √(π/2)를 넘지 않으므로 기울기도 넘치지 않습니다.
    """

    STEPS = 7

    @staticmethod
    def forward(ctx, log_p: Tensor) -> Tensor:
        a = -(-2 * log_p).sqrt()
        for _ in range(_LowerQuantile.STEPS):
            log_cdf = log_ndtr(a)
            a = a - (log_cdf - log_p) * (log_cdf + 0.5 * a * a + LOG_SQRT_2PI).exp()
        ctx.save_for_backward(log_p, a)
        return a

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        log_p, a = ctx.saved_tensors
        return gradient * (log_p + 0.5 * a * a + LOG_SQRT_2PI).exp()


def normal_quantile(log_cdf: Tensor, log_sf: Tensor) -> Tensor:
    """z = Φ⁻¹(F)를 log F와 log(1 − F)에서 구합니다. 두 꼬리가 같은 식이며 잘리는 곳이 없습니다.

    z = sign·Φ⁻¹(exp(min(log F, log(1 − F)))). 작은 쪽의 로그를 쓰므로 F가 0이나 1로 반올림되는 먼 꼬리에서도
    정확합니다(float64의 log F = −800까지 시험). 모양은 입력과 같습니다.
    """
    lower = log_cdf <= log_sf
    tail = _LowerQuantile.apply(torch.where(lower, log_cdf, log_sf))
    return torch.where(lower, tail, -tail)


def bracketed_newton(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Tensor,
    low: Tensor,
    high: Tensor,
    steps: int = 200,
) -> Tensor:
    """증가 함수의 근 function(x) = target을 [low, high] 안에서 원소마다 찾습니다. 기울기는 흐르지 않습니다.

    function(x)  (값, 도함수)를 돌려줍니다. 뉴턴 걸음이 구간 밖으로 나가거나 오차가 절반으로 줄지 않으면 이분합니다.
    멈춤          걸음이 모두 4ε(1 + |x|) 이하. ε은 자료형의 정밀도입니다(float64 2.2e-16, float32 1.2e-7).
    """
    x, last = (low + high) / 2, torch.full_like(target, torch.inf)
    tolerance = 4 * torch.finfo(target.dtype).eps
    for _ in range(steps):
        value, slope = function(x)
        gap = value - target
        low, high = torch.where(gap <= 0, x, low), torch.where(gap >= 0, x, high)
        newton = x - gap / slope
        good = (newton >= low) & (newton <= high) & (gap.abs() <= 0.5 * last)
        step = torch.where(good, newton, (low + high) / 2) - x
        x, last = x + step, gap.abs()
        if (step.abs() <= tolerance * (1 + x.abs())).all():
            break
    return x


class KernelLayer(Flow):
    """좌표마다의 로지스틱 커널 CDF와 Φ⁻¹. anchors n개의 자리 μ와 폭 h를 모두 배웁니다.

    inverse: z_d = Φ⁻¹(F_d(x_d))      log|det ∂z/∂x| = Σ_d [log f_d(x_d) − log φ(z_d)]
    forward: F_d(x_d) = Φ(z_d)의 근. 해는 언제나 성분마다의 분위수 μ_j + h_j logit Φ(z)의 최솟값과 최댓값 사이입니다.
    비용은 O(B·n·D), forward는 그 몇 배(뉴턴 걸음의 수)입니다.
    """

    def __init__(self, dim: int, anchors: int = 100, floor: float = 1e-3):
        super().__init__()
        if anchors < 1 or floor <= 0:
            raise ValueError(f"anchors는 1 이상, floor는 양수여야 합니다: {anchors}, {floor}.")
        self.floor = floor
        self.anchors = nn.Parameter(torch.randn(anchors, dim))
        self.log_h = nn.Parameter(torch.full((anchors, dim), math.log(bandwidth(anchors))))

    @property
    def h(self) -> Tensor:
        """폭 floor + exp(log_h), (n, D)"""
        return self.floor + self.log_h.exp()

    def log_parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(log F, log(1 − F), log f), 저마다 (B, D)."""
        h = self.h
        u = (x[:, None] - self.anchors) / h  # (B, n, D)
        below = logsigmoid(u)
        above = below - u  # log σ(−u) = log σ(u) − u
        log_n = math.log(len(self.anchors))
        log_f = (below + above - h.log()).logsumexp(1) - log_n
        return below.logsumexp(1) - log_n, above.logsumexp(1) - log_n, log_f

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slope = self._z_and_log_slope(x)
        return z, log_slope.sum(1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = self._solve(z.detach())
        if torch.is_grad_enabled():
            # 음함수 미분: 값은 그대로 두고, dx = (dz − ∂z/∂θ dθ)/(∂z/∂x)가 흐르게 합니다
            again, log_slope = self._z_and_log_slope(x)
            gap = z - again
            x = x + (gap - gap.detach()) * (-log_slope.detach()).exp()
        log_f = self.log_parts(x)[2]
        return x, -(log_f + 0.5 * z * z + LOG_SQRT_2PI).sum(1)

    def _z_and_log_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_cdf, log_sf, log_f = self.log_parts(x)
        z = normal_quantile(log_cdf, log_sf)
        return z, log_f + 0.5 * z * z + LOG_SQRT_2PI

    @torch.no_grad()
    def _solve(self, z: Tensor) -> Tensor:
        logit = log_ndtr(z) - log_ndtr(-z)
        each = self.anchors + self.h * logit[:, None]  # 성분마다의 분위수 (B, n, D)

        def function(x):
            value, log_slope = self._z_and_log_slope(x)
            return value, log_slope.exp()

        return bracketed_newton(function, z, each.amin(1), each.amax(1))

    @torch.no_grad()
    def start_from(self, x: Tensor) -> "KernelLayer":
        """배치의 앞 n개를 anchors로, 폭을 표준편차 × bandwidth(n)으로 둡니다. x (B, D), B ≥ n."""
        count = len(self.anchors)
        if len(x) < count:
            raise ValueError(
                f"anchors가 {count}개이므로 표본도 {count}개 이상 넣으세요: {len(x)}개."
            )
        self.anchors.copy_(x[:count])
        wide = (x.std(0) * bandwidth(count) - self.floor).clamp_min(self.floor)
        self.log_h.copy_(wide.log().expand_as(self.log_h))
        return self


def bandwidth(n: int) -> float:
    """표준편차가 1인 정규분포에 로지스틱 커널을 쓸 때 평균 제곱 적분 오차가 가장 작은 폭 (4√π/(π⁴n))^{1/5}.

    h⁵ = R(K)/(μ₂(K)² R(p″) n)에 R(K) = 1/6, μ₂(K) = π²/3, R(φ″) = 3/(8√π)를 넣은 값입니다.
    """
    return (4 * math.sqrt(math.pi) / (math.pi**4 * n)) ** 0.2


class Orthogonal(Flow):
    """고정된 직교행렬 Q: inverse는 z = Qx, forward는 x = Qᵀz. log|det| = 0."""

    def __init__(self, matrix: Tensor):
        super().__init__()
        self.register_buffer("fixed", matrix)

    @property
    def matrix(self) -> Tensor:
        return self.fixed

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self.matrix, z.new_zeros(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x @ self.matrix.T, x.new_zeros(len(x))


class Householder(Orthogonal):
    """배우는 회전 Q = H_1 ⋯ H_K, H_k = I − 2v_k v_kᵀ/‖v_k‖². v가 무엇이든 정확히 직교합니다.

    reflections  반사의 수 K. 기본값은 D 이상의 가장 작은 짝수이고, 짝수이면 det Q = 1입니다.
    """

    def __init__(self, dim: int, reflections: int | None = None):
        Flow.__init__(self)
        count = dim + dim % 2 if reflections is None else reflections
        self.vectors = nn.Parameter(torch.randn(count, dim))

    @property
    def matrix(self) -> Tensor:
        q = torch.eye(self.vectors.shape[1], dtype=self.vectors.dtype, device=self.vectors.device)
        for v in self.vectors:
            q = q - 2 * torch.outer(q @ v, v) / (v @ v)
        return q


class GaussianizationFlow(FlowModel):
    """x → [커널 층 → 회전] × (layers − 1) → 커널 층 → z ~ N(0, I).

    dim, layers, anchors   차원 D, 커널 층의 수(논문 5), 층마다 좌표마다 커널의 수(논문 100)
    floor                  폭의 바닥
    preprocess             데이터 쪽에 덧붙일 Flow
    학습하기 전에 ``start_from(배치)``를 부르세요. 안 부르면 커널이 데이터와 상관없는 자리에서 시작합니다.
    """

    def __init__(
        self,
        dim: int,
        layers: int = 5,
        anchors: int = 100,
        reflections: int | None = None,
        floor: float = 1e-3,
        preprocess: Flow | None = None,
    ):
        if layers < 1:
            raise ValueError(f"layers는 1 이상이어야 하는데 {layers}를 받았습니다.")
        flows: list[Flow] = [] if preprocess is None else [preprocess]  # x → z 순서
        for i in range(layers):
            flows.append(KernelLayer(dim, anchors, floor))
            if i < layers - 1:
                flows.append(Householder(dim, reflections))
        super().__init__(Compose(*reversed(flows)), (dim,))

    @torch.no_grad()
    def start_from(self, x: Tensor) -> "GaussianizationFlow":
        """데이터로 시작점을 정합니다: 앞 층들을 지난 배치가 다음 커널 층의 anchors가 됩니다. x (B, D)."""
        for flow in reversed(self.flow.flows):
            if isinstance(flow, KernelLayer):
                flow.start_from(x)
            x = flow.inverse(x)[0]
        return self


# ── 학습하지 않는 되풀이 가우스화 ─────────────────────────────────────────────────────────────────


class MarginalTable(Flow):
    """좌표마다의 단조 표: 매듭 (x_k, Φ⁻¹(p_k)) 사이를 곧게 잇고, 끝에서는 마지막 기울기로 뻗습니다.

    knots_x (D, m) 증가, knots_z (m,) 증가. 두 방향 모두 표를 찾아 곱하고 더하는 것이 전부입니다.
    ValueError: 매듭이 증가하지 않을 때(표본에 같은 값이 많으면 역양자화하세요).
    """

    def __init__(self, knots_x: Tensor, knots_z: Tensor):
        super().__init__()
        if (knots_x.diff() <= 0).any() or (knots_z.diff() <= 0).any():
            raise ValueError(
                "매듭이 증가하지 않습니다. 같은 값이 많은 데이터는 먼저 역양자화하세요."
            )
        self.register_buffer("x", knots_x.contiguous())
        self.register_buffer("z", knots_z.expand_as(knots_x).contiguous())

    @classmethod
    def from_samples(cls, x: Tensor, knots: int) -> "MarginalTable":
        """표본 (n, D)의 (k + ½)/m 분위수를 매듭으로 씁니다. m = knots ≤ n."""
        p = (torch.arange(knots, dtype=torch.float64) + 0.5) / knots
        position = (p * len(x) - 0.5).clamp(0, len(x) - 1)
        ranked, low = x.sort(0).values, position.long()
        weight = (position - low).to(x)[:, None]
        high = (low + 1).clamp(max=len(x) - 1)
        return cls(((1 - weight) * ranked[low] + weight * ranked[high]).T, ndtri(p).to(x))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._interpolate(z, self.z, self.x)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._interpolate(x, self.x, self.z)

    @staticmethod
    def _interpolate(value: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) 표로 value (B, D)를 옮깁니다."""
        rows = value.detach().T.contiguous()
        right = torch.searchsorted(a, rows).clamp(1, a.shape[1] - 1)  # (D, B)
        a0, a1, b0, b1 = (t.gather(1, i) for t in (a, b) for i in (right - 1, right))
        slope = ((b1 - b0) / (a1 - a0)).T
        return b0.T + slope * (value - a0.T), slope.log().sum(1)


@torch.no_grad()
def iterative_gaussianization(
    samples: Tensor | Callable[[], Tensor],
    layers: int,
    knots: int = 200,
    rotation: str = "random",
    generator: torch.Generator | None = None,
) -> FlowModel:
    """학습 없이 [주변분포 가우스화 → 회전]을 되풀이한 FlowModel(RBIG).

    samples   표본 (n, D), 또는 층마다 새 표본을 주는 함수(모집단의 주변분포를 흉내 낼 때)
    rotation  "random"(고른 무작위 직교행렬) 또는 "pca"(층을 지난 표본의 주축)
    한 층이 지날 때마다 KL(p‖N) = KL(p‖Π p_d) + Σ_d KL(p_d‖N)의 둘째 항이 사라집니다.
    """
    if rotation not in ("random", "pca"):
        raise ValueError(f'rotation은 "random"이나 "pca"여야 합니다: {rotation!r}.')
    flows: list[Flow] = []  # x → z 순서
    for _ in range(layers):
        h = samples() if callable(samples) else samples
        for flow in flows:
            h = flow.inverse(h)[0]
        flows.append(MarginalTable.from_samples(h, knots))
        h = flows[-1].inverse(h)[0]
        if rotation == "pca":
            matrix = torch.linalg.eigh(h.T.cov()).eigenvectors.T.contiguous()
        else:
            normal = torch.randn(h.shape[1], h.shape[1], generator=generator, dtype=torch.float64)
            q, r = torch.linalg.qr(normal)
            matrix = (q * r.diagonal().sign()).to(h)
        flows.append(Orthogonal(matrix))
    return FlowModel(Compose(*reversed(flows)), (h.shape[1],))


@torch.no_grad()
def nll_by_layer(model: FlowModel, x: Tensor) -> Tensor:
    """앞의 k층(x 쪽부터)만 썼을 때의 평균 음의 로그우도, k = 0, 1, …, 회전은 세지 않습니다. (층 + 1,) nats."""
    total, rows = x.new_zeros(len(x)), [-model.base.log_prob(x).mean()]
    for flow in reversed(model.flow.flows):
        x, log_det = flow.inverse(x)
        total = total + log_det
        if not isinstance(flow, Orthogonal):
            rows.append(-(model.base.log_prob(x) + total).mean())
    return torch.stack(rows)
