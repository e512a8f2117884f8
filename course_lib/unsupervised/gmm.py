"""가우시안 혼합 모델(GMM)과 EM: 군집화와 밀도 추정과 생성을 함께 하는 가장 작은 모델.

Dempster, Laird, Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", JRSS B 39(1), 1977.
Arthur, Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007(시작점).

    k ~ Cat(π),   x | k ~ N(μ_k, Σ_k)                                       (1)
    log p(x) = log Σ_k π_k N(x; μ_k, Σ_k)                                   (2)
    r_k(x) = p(k|x) = π_k N(x; μ_k, Σ_k) / p(x)            책임도           (3)

식 (2)는 합의 로그라서 최대우도 해가 닫힌 꼴이 아닙니다. EM은 r을 붙들고 푼 닫힌 해로 되풀이해 옮겨 갑니다.

    N_k = Σ_i r_ik,   π_k = N_k/N,   μ_k = Σ_i r_ik x_i / N_k               (4)
    Σ_k = Σ_i r_ik (x_i − μ_k)(x_i − μ_k)ᵀ / N_k  (+ floor·I)               (5)

붕괴: 한 성분이 점 하나(또는 낮은 차원의 점들)에 오그라들면 Σ_k가 특이해지고 우도가 무한대가 됩니다. floor > 0은
이를 막지만 그 한 걸음은 더는 식 (2)의 최대화가 아니므로 로그우도가 줄 수도 있습니다. floor = 0이면 EM은 로그우도를
절대 낮추지 않고, 대신 붕괴를 만나면 ``Collapsed``를 냅니다.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from course_lib.base import DensityModel, check_batch


class Collapsed(RuntimeError):
    """성분 하나가 점 하나로 오그라들어 우도가 무한대로 갑니다. ``component``는 그 번호입니다."""

    def __init__(self, component: int):
        super().__init__(
            f"성분 {component}이 몇 개의 점 위로 오그라들어 공분산이 특이행렬이 되었습니다. floor를 0보다 "
            "크게 하거나 성분 수를 줄이거나 다른 시작점에서 다시 하세요. 모델에는 붕괴 전의 값이 남아 있습니다."
        )
        self.component = component


class GMM(DensityModel):
    """가우시안 혼합 모델. 밀도도 표본도 정확하며, 비용은 둘 다 O(K D²)입니다.

    weights      π, (K,). 양수이고 합이 1
    means        μ, (K, D)
    covariances  Σ, (K, D, D). 양의 정부호

    매개변수는 log π, μ, 그리고 Σ = L Lᵀ의 촐레스키 인수 L입니다.
    ``ValueError``: 모양이 서로 맞지 않거나 π, Σ가 위 조건을 어길 때.
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor):
        super().__init__()
        if means.ndim != 2 or weights.shape != means.shape[:1]:
            raise ValueError(
                f"weights는 (K,), means는 (K, D)여야 하는데 {tuple(weights.shape)}과 "
                f"{tuple(means.shape)}을 받았습니다."
            )
        if covariances.shape != (*means.shape, means.shape[1]):
            raise ValueError(
                f"covariances는 (K, D, D)여야 하는데 {tuple(covariances.shape)}을 받았습니다."
            )
        if not (weights > 0).all() or abs(float(weights.detach().sum()) - 1) > 1e-4:
            raise ValueError("weights는 모두 양수이고 합이 1이어야 합니다. 합으로 나누어 주세요.")
        scale_tril, failed = torch.linalg.cholesky_ex(covariances)
        if failed.any() or not covariances.isfinite().all():
            raise ValueError("covariances가 양의 정부호가 아닙니다. 대각에 작은 수를 더하세요.")
        self.event_shape = means.shape[1:]
        self.log_weights = nn.Parameter(weights.detach().log())
        self.means = nn.Parameter(means.detach().clone())
        self.scale_tril = nn.Parameter(scale_tril.detach())

    @classmethod
    def around(cls, x: Tensor, centres: Tensor) -> "GMM":
        """중심 (K, D)에서 시작하는 모델: π는 고르게, Σ는 s²I.

        s² = (1/ND) Σ_i min_k ‖x_i − μ_k‖², 곧 가장 가까운 중심까지의 거리를 차원마다 평균한 것입니다.
        ``ValueError``: 모든 점이 중심 위에 있어 s = 0일 때.
        """
        variance = _square_distances(x, centres).amin(1).mean() / x.shape[1]
        if not variance > 0:
            raise ValueError("점이 모두 중심 위에 있어 퍼짐이 0입니다. 성분 수를 줄이세요.")
        count, dim = centres.shape
        eye = torch.eye(dim, dtype=x.dtype, device=x.device)
        return cls(x.new_full((count,), 1 / count), centres, (variance * eye).repeat(count, 1, 1))

    @classmethod
    def start(cls, x: Tensor, components: int, generator: torch.Generator | None = None) -> "GMM":
        """k-means++로 고른 중심에서 시작하는 모델. x (N, D)."""
        return cls.around(x, kmeans_plus_plus(x, components, generator))

    @classmethod
    def fit(
        cls,
        x: Tensor,
        components: int,
        *,
        restarts: int = 5,
        steps: int = 200,
        floor: float = 1e-6,
        seed: int = 0,
    ) -> "GMM":
        """시작점을 ``restarts``번 바꾸어 EM을 돌리고 학습 로그우도가 가장 큰 모델을 돌려줍니다."""
        generator = torch.Generator().manual_seed(seed)
        best, height = None, -math.inf
        for _ in range(restarts):
            model = cls.start(x, components, generator)
            for state in em(model, x, steps=steps, floor=floor):
                last = state["log_likelihood"]
            if last > height:
                best, height = model, last
        return best

    @property
    def weights(self) -> Tensor:
        """π, (K,)"""
        return self.log_weights.softmax(0)

    @property
    def covariances(self) -> Tensor:
        """Σ = L Lᵀ, (K, D, D)"""
        root = self.scale_tril.tril()
        return root @ root.mT

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, k) = log π_k + log N(x; μ_k, Σ_k), nats, ``(B, K)``.

        역행렬 대신 삼각 연립방정식 L u = x − μ를 풉니다: (x−μ)ᵀΣ⁻¹(x−μ) = ‖u‖², log det Σ = 2 Σ_d log L_dd.
        """
        check_batch(x, self.event_shape)
        root = self.scale_tril.tril()
        shift = (x[:, None] - self.means).permute(1, 2, 0)  # (K, D, B)
        u = torch.linalg.solve_triangular(root, shift, upper=False)
        square = u.square().sum(1).T  # (B, K)
        half_log_det = root.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
        constant = 0.5 * x.shape[1] * math.log(2 * math.pi)
        return self.log_weights.log_softmax(0) - 0.5 * square - half_log_det - constant

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """식 (2), nats, ``(B,)``. exp를 먼저 취하면 0이 되어 버리는 값도 log-sum-exp로 구합니다."""
        self._refuse_condition(y)
        return self.log_joint(x).logsumexp(1)

    def responsibilities(self, x: Tensor) -> Tensor:
        """식 (3)의 책임도 p(k|x), ``(B, K)``. 줄마다 합이 1입니다."""
        return self.log_joint(x).softmax(1)

    @torch.no_grad()
    def ancestral(self, n: int) -> tuple[Tensor, Tensor]:
        """식 (1) 그대로 k를 먼저, x를 나중에 뽑습니다. (x ``(n, D)``, k ``(n,)``)."""
        k = torch.multinomial(self.weights, n, replacement=True)
        eps = torch.randn(n, *self.event_shape, dtype=self.means.dtype, device=self.means.device)
        return self.means[k] + (self.scale_tril.tril()[k] @ eps[..., None])[..., 0], k

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        self._refuse_condition(y)
        return self.ancestral(n)[0]

    @torch.no_grad()
    def given(self, y: Tensor, matrix: Tensor, noise: float) -> MixtureSameFamily:
        """관측 y = A x + s ε, ε ~ N(0, I)를 보았을 때의 정확한 p(x|y). 이것도 가우시안 혼합입니다.

        C_k = A Σ_k Aᵀ + s² I,   G_k = Σ_k Aᵀ C_k⁻¹                            (6)
        p(k|y) ∝ π_k N(y; A μ_k, C_k),   x|y,k ~ N(μ_k + G_k(y − A μ_k), Σ_k − G_k A Σ_k)

        y (B, M), matrix A (M, D), noise s > 0. 배치 모양 (B,), 사건 모양 (D,)인 분포를 돌려줍니다.
        """
        if matrix.ndim != 2 or matrix.shape[1:] != self.event_shape or not noise > 0:
            raise ValueError(
                f"matrix는 (M, {self.event_shape[0]})이고 noise는 0보다 커야 합니다. "
                f"받은 값: {tuple(matrix.shape)}, {noise}"
            )
        covariances, centres = self.covariances, self.means @ matrix.T
        eye = torch.eye(len(matrix), dtype=y.dtype, device=y.device)
        seen = matrix @ covariances @ matrix.T + noise**2 * eye  # C_k, (K, M, M)
        gain = torch.linalg.solve(seen, matrix @ covariances).mT  # G_k, (K, D, M)
        shares = GMM(self.weights, centres, seen).responsibilities(y)  # p(k|y), (B, K)
        means = self.means + torch.einsum("kdm,bkm->bkd", gain, y[:, None] - centres)
        # (I − GA)Σ(I − GA)ᵀ + s²GGᵀ = Σ − GAΣ. 왼쪽 꼴은 반올림 뒤에도 양의 정부호입니다.
        rest = torch.eye(matrix.shape[1], dtype=y.dtype, device=y.device) - gain @ matrix
        left = rest @ covariances @ rest.mT + noise**2 * gain @ gain.mT
        root = torch.linalg.cholesky(left).expand(len(y), -1, -1, -1)
        parts = MultivariateNormal(means, scale_tril=root, validate_args=False)
        return MixtureSameFamily(Categorical(shares), parts, validate_args=False)

    @torch.no_grad()
    def m_step_(self, x: Tensor, responsibilities: Tensor, floor: float = 0.0) -> None:
        """식 (4), (5)로 매개변수를 바꿉니다(제자리).

        x (N, D), responsibilities (N, K), floor ≥ 0은 공분산의 대각에 더할 값(단위는 x²).
        ``Collapsed``: 어느 방향의 분산이 데이터의 분산에 견주어 반올림 오차만큼 작아졌을 때.
        """
        count = responsibilities.sum(0)  # N_k, (K,)
        resolution = 100 * torch.finfo(x.dtype).eps
        if (count <= resolution).any():
            raise Collapsed(int(count.argmin()))
        means = responsibilities.T @ x / count[:, None]
        covariances = torch.stack([
            ((x - m).T * r) @ (x - m) / c
            for m, r, c in zip(means, responsibilities.T, count, strict=True)
        ])  # fmt: skip
        covariances.diagonal(dim1=-2, dim2=-1).add_(floor)
        scale_tril, failed = torch.linalg.cholesky_ex(covariances)
        pivots = scale_tril.diagonal(dim1=-2, dim2=-1).square().amin(1)  # 조건부 분산의 최솟값
        flat = (failed > 0) | ~(pivots > resolution * x.var(0).max())
        if flat.any():
            raise Collapsed(int(flat.int().argmax()))
        self.log_weights.copy_((count / count.sum()).log())
        self.means.copy_(means)
        self.scale_tril.copy_(scale_tril)

    def _refuse_condition(self, y) -> None:
        if y is not None:
            raise ValueError("이 모델은 조건 y를 받지 않습니다. y 없이 호출하세요.")


def em(
    model: GMM, x: Tensor, *, steps: int = 100, floor: float = 0.0, tolerance: float = 0.0
) -> Iterator[dict]:
    """EM. 상태마다 ``{"step", "log_likelihood"}``를 내놓습니다. 처음 상태까지 많아야 steps + 1개입니다.

    log_likelihood는 *내놓는 순간의* 매개변수로 잰 평균 로그우도(nats)입니다. E-단계가 식 (2)를 어차피 계산하므로
    따로 드는 값이 없습니다.
    floor      공분산에 더할 값. 0이면 log_likelihood가 줄지 않습니다.
    tolerance  한 걸음의 변화가 이보다 작으면 멈춥니다.
    오류: x가 (N, D)가 아니거나 점이 성분보다 적거나 floor < 0이면 ValueError, 붕괴하면 ``Collapsed``.
    """
    check_batch(x, model.event_shape)
    if len(x) < len(model.means):
        raise ValueError(f"점이 {len(x)}개라서 성분 {len(model.means)}개를 맞출 수 없습니다.")
    if not floor >= 0:
        raise ValueError(f"floor는 0 이상이어야 하는데 {floor}를 받았습니다.")
    last = None
    for step in range(steps + 1):
        with torch.no_grad():
            log_joint = model.log_joint(x)  # E-단계
            height = float(log_joint.logsumexp(1).mean())
        yield {"step": step, "log_likelihood": height}
        if step == steps or (last is not None and abs(height - last) < tolerance):
            return
        last = height
        model.m_step_(x, log_joint.softmax(1), floor)  # M-단계


def kmeans_plus_plus(
    x: Tensor, components: int, generator: torch.Generator | None = None
) -> Tensor:
    """k-means++의 시작점 (K, D): 다음 중심을 이미 고른 중심까지의 거리의 제곱에 비례하는 확률로 고릅니다.

    x (N, D). ``ValueError``: components가 1보다 작거나 서로 다른 점의 수보다 클 때.
    """
    check_batch(x, x.shape[1:])
    if x.ndim != 2 or components < 1:
        raise ValueError(
            f"x는 (N, D)이고 components는 1 이상이어야 합니다. 받은 값: {tuple(x.shape)}, {components}"
        )
    chosen = x[torch.randint(len(x), (1,), generator=generator)]
    while len(chosen) < components:
        gap = _square_distances(x, chosen).amin(1)
        if not gap.sum() > 0:
            raise ValueError(f"서로 다른 점이 {components}개보다 적습니다. components를 줄이세요.")
        chosen = torch.cat([chosen, x[torch.multinomial(gap, 1, generator=generator)]])
    return chosen


def _square_distances(x: Tensor, centres: Tensor) -> Tensor:
    """‖x_i − c_k‖², (N, K). 빼고 나서 제곱하므로 가까운 점에서도 정확합니다."""
    return (x[:, None] - centres).square().sum(-1)
