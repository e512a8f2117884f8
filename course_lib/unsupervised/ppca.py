"""확률적 PCA: log p(x)와 사후분포를 모두 정확히 아는 잠재 변수 모델.

Tipping, Bishop, "Probabilistic Principal Component Analysis", JRSS B 61(3), 1999.

    z ~ N(0, I_K),   x = W z + μ + σ ε,   ε ~ N(0, I_D)

가우시안을 선형으로 옮기고 더하므로 적분이 모두 풀립니다.

    p(x)   = N(μ, C),              C = W Wᵀ + σ² I                 (D×D)
    p(z|x) = N(M⁻¹Wᵀ(x − μ), σ² M⁻¹),   M = WᵀW + σ² I             (K×K)

VAE가 근사하는 양의 참값을 여기서는 식으로 알기 때문에, ELBO와 그 기울기의 정답지로 씁니다.
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from course_lib.base import LatentVariableModel, check_batch, standard_normal


class PPCA(LatentVariableModel):
    """선형 가우시안 잠재 변수 모델. ``encode``가 근사가 아니라 정확한 사후분포입니다.

    weight   W, (D, K)
    mean     μ, (D,). 생략하면 0
    sigma    잡음의 표준편차 σ > 0

    이 모델만은 ``log_prob``도 정확합니다. q가 사후분포와 같으므로 ``elbo``는 어떤 표본에서든 log p(x)입니다.
    """

    def __init__(self, weight: Tensor, mean: Tensor | None = None, sigma: float = 1.0):
        super().__init__()
        if weight.ndim != 2 or not weight.is_floating_point():
            raise ValueError(
                f"weight는 (D, K) 모양의 실수 행렬이어야 하는데 {tuple(weight.shape)}을 받았습니다."
            )
        if not sigma > 0:
            raise ValueError(f"sigma는 0보다 커야 하는데 {sigma}를 받았습니다.")
        self.event_shape = torch.Size(weight.shape[:1])
        self.weight = nn.Parameter(weight.clone())
        self.mean = nn.Parameter(weight.new_zeros(len(weight)) if mean is None else mean.clone())
        self.log_sigma = nn.Parameter(weight.new_tensor(math.log(sigma)))

    @classmethod
    def fit(cls, x: Tensor, latent_dim: int) -> "PPCA":
        """최대우도 해를 반복 없이 구합니다.

        표본공분산의 고윳값 λ_1 ≥ … ≥ λ_D와 고유벡터 U에서
        σ² = (λ_{K+1} + … + λ_D)/(D − K),   W = U_K (Λ_K − σ² I)^{1/2}   (논문 식 (7), (8), R = I)

        x: (N, D). ``ValueError``: K가 1 이상 D 미만이 아니거나, 버린 고윳값이 모두 0이라 σ = 0일 때.
        """
        check_batch(x, x.shape[1:])
        dim = x.shape[-1]
        if x.ndim != 2 or not 1 <= latent_dim < dim:
            raise ValueError(
                f"x는 (N, D)이고 latent_dim은 1 이상 D 미만이어야 합니다. "
                f"받은 값: x {tuple(x.shape)}, latent_dim {latent_dim}"
            )
        mean = x.mean(0)
        values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))  # 작은 것부터
        variance = values[:-latent_dim].mean()
        if not variance > torch.finfo(x.dtype).eps * values[-1]:
            raise ValueError(
                "버린 방향의 분산이 0이라 우도가 무한대입니다. latent_dim을 줄이거나 데이터를 늘리세요."
            )
        top = (values[-latent_dim:] - variance).clamp(min=0)
        weight = vectors[:, -latent_dim:] * top.sqrt()
        return cls(weight.flip(1), mean, float(variance.sqrt()))

    @property
    def sigma(self) -> Tensor:
        return self.log_sigma.exp()

    def prior(self) -> Distribution:
        """p(z) = N(0, I_K)"""
        return standard_normal(self.weight.new_zeros(self.weight.shape[1]))

    def encode(self, x: Tensor) -> MultivariateNormal:
        """정확한 사후분포 p(z|x) = N(M⁻¹Wᵀ(x − μ), σ²M⁻¹)."""
        check_batch(x, self.event_shape)
        precision = self.posterior_precision()
        mean = torch.linalg.solve(
            precision, self.weight.T @ (x - self.mean).T / self.sigma.square()
        ).T
        return MultivariateNormal(
            mean, precision_matrix=precision.expand(len(x), -1, -1), validate_args=False
        )

    def posterior_precision(self) -> Tensor:
        """사후분포의 정밀도 행렬 M/σ² = I + WᵀW/σ², (K, K). x와 무관합니다."""
        eye = torch.eye(self.weight.shape[1], dtype=self.weight.dtype, device=self.weight.device)
        return eye + self.weight.T @ self.weight / self.sigma.square()

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z) = N(W z + μ, σ² I)"""
        normal = Normal(z @ self.weight.T + self.mean, self.sigma, validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """정확한 log p(x) = log N(x; μ, W Wᵀ + σ² I), nats, ``(B,)``."""
        check_batch(x, self.event_shape)
        variance = self.sigma.square().expand(self.event_shape)
        marginal = LowRankMultivariateNormal(self.mean, self.weight, variance, validate_args=False)
        return marginal.log_prob(x)
