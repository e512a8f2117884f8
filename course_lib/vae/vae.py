"""VAE: 인코더와 디코더를 하나의 하한으로 함께 배우는 잠재 변수 모델.

Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv 1312.6114.

생성은 z ~ N(0, I), x ~ p_θ(x|z)이고, 사후분포는 q_φ(z|x) = N(μ(x), diag σ²(x))로 근사합니다.
z = μ + σ ⊙ ε, ε ~ N(0, I)로 다시 적으면(reparameterisation, 식 (4)) 하한의 기울기가 φ까지 흐릅니다.

    log p(x) ≥ L(x) = E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))

논문은 이 하한의 추정량을 둘 제시합니다(SGVB).

    A, 식 (6)   (1/L) Σ_l [log p(x, z_l) − log q(z_l|x)]
    B, 식 (7)   −KL(q ‖ p) + (1/L) Σ_l log p(x|z_l),    −KL = ½ Σ_j (1 + log σ_j² − μ_j² − σ_j²)

논문과 다른 점
- 논문은 Adagrad와 작은 가중치 감쇠(θ의 MAP 추정)를 쓰지만 강의에서는 Adam으로 최대우도를 구합니다.
- 가중치는 N(0, 0.01)이 아니라 PyTorch의 기본 초기화에서 시작합니다.
- Gaussian 디코더의 log σ²은 [−8, 8]로 자릅니다. 거의 변하지 않는 화소가 있으면 우도가 무한히 커지기 때문입니다.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from course_lib.base import LatentVariableModel, check_batch, standard_normal
from course_lib.nn import MLP


def diagonal_normal(mean: Tensor, log_var: Tensor, event_dims: int = 1) -> Distribution:
    """N(mean, diag exp(log_var)). 뒤의 ``event_dims``개 축이 사건 하나입니다."""
    normal = Normal(mean, (0.5 * log_var).exp(), validate_args=False)
    return Independent(normal, event_dims, validate_args=False)


def kl_to_standard_normal(q: Distribution) -> Tensor:
    """KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ_j (μ_j² + σ_j² − 1 − log σ_j²), nats, ``(B,)``. 부록 B."""
    mean, scale = q.base_dist.loc, q.base_dist.scale
    return 0.5 * (mean.square() + scale.square() - 1 - 2 * scale.log()).sum(-1)


class BernoulliPixels(nn.Module):
    """p(x|z) = Π_d Bernoulli(x_d; σ(logit_d)). 화소마다 출력 하나, 논문 부록 C.1.

    화소가 0과 1일 때에만 로그우도입니다. 회색 값을 넣어도 계산은 되지만 그 값은 우도가 아닙니다.
    """

    outputs = 1

    def forward(self, raw: Tensor, event_dims: int) -> Distribution:
        return Independent(Bernoulli(logits=raw, validate_args=False), event_dims, False)


class GaussianPixels(nn.Module):
    """p(x|z) = N(x; m, diag exp(s)). 화소마다 출력 둘 [m, s], 논문 부록 C.2.

    squash  True이면 논문의 Frey Face 실험처럼 m에 sigmoid를 씌워 (0, 1)에 둡니다.
    """

    outputs = 2

    def __init__(self, squash: bool = False):
        super().__init__()
        self.squash = squash

    def forward(self, raw: Tensor, event_dims: int) -> Distribution:
        mean, log_var = raw.chunk(2, dim=-event_dims)
        mean = mean.sigmoid() if self.squash else mean
        return diagonal_normal(mean, log_var.clamp(-8, 8), event_dims)


class GaussianVAE(LatentVariableModel):
    """사전분포 N(0, I), 대각 가우시안 q(z|x). 인코더와 디코더 신경망의 모양은 마음대로입니다.

    event_shape  x 하나의 모양
    latent_dim   z의 차원 K
    encoder      (B, *event_shape) → (B, 2K): μ와 log σ²
    decoder      (B, K) → p(x|z)의 매개변수 (B, *event_shape) 또는 첫 사건 축이 두 배인 것
    pixels       BernoulliPixels() 또는 GaussianPixels()

    비용: ``elbo``는 인코더 한 번과 디코더 ``samples``번, ``sample``은 디코더 한 번입니다.
    """

    def __init__(
        self,
        event_shape,
        latent_dim: int,
        encoder: nn.Module,
        decoder: nn.Module,
        pixels: nn.Module,
    ):
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.latent_dim = latent_dim
        self.encoder, self.decoder, self.pixels = encoder, decoder, pixels
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def prior(self) -> Distribution:
        """p(z) = N(0, I)"""
        return standard_normal(self.zeros)

    def encode(self, x: Tensor) -> Distribution:
        """q(z|x) = N(μ(x), diag σ²(x)), 배치 모양 ``(B,)``, 사건 모양 ``(K,)``."""
        check_batch(x, self.event_shape)
        return diagonal_normal(*self.encoder(x).chunk(2, dim=-1))

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z). z는 ``(…, K)``이고 앞의 축은 그대로 배치 모양이 됩니다."""
        if z.shape[-1:] != (self.latent_dim,):
            raise ValueError(
                f"z의 마지막 축은 {self.latent_dim}차원이어야 하는데 {tuple(z.shape)}을 받았습니다."
            )
        raw = self.decoder(z.reshape(-1, self.latent_dim))
        return self.pixels(raw.unflatten(0, z.shape[:-1]), len(self.event_shape))

    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """하한의 추정량 B: KL을 식으로 계산하고 log p(x|z)만 표본으로 평균합니다. nats, ``(B,)``."""
        _check_samples(samples)
        q = self.encode(x)
        z = q.rsample((samples,))
        return self.decode(z).log_prob(x).mean(0) - kl_to_standard_normal(q)

    def elbo_a(self, x: Tensor, samples: int = 1) -> Tensor:
        """하한의 추정량 A: 세 항을 모두 표본으로 평균합니다. nats, ``(B,)``."""
        _check_samples(samples)
        return self._log_weight(x, self.encode(x), (samples,)).mean(0)


class VAE(GaussianVAE):
    """논문의 MLP: 인코더와 디코더 모두 은닉층 하나(MNIST 500, Frey Face 200)의 tanh 신경망.

    dim         데이터 차원 D. x는 ``(B, D)``입니다.
    latent_dim  z의 차원 K
    hidden      은닉층 크기들. 디코더는 거꾸로 놓은 크기를 씁니다.
    pixels      BernoulliPixels()(기본값, x는 0과 1) 또는 GaussianPixels()
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        hidden=(500,),
        pixels: nn.Module | None = None,
        activation: type[nn.Module] = nn.Tanh,
    ):
        pixels = BernoulliPixels() if pixels is None else pixels
        encoder = MLP(dim, hidden, 2 * latent_dim, activation)
        decoder = MLP(latent_dim, tuple(reversed(hidden)), pixels.outputs * dim, activation)
        super().__init__((dim,), latent_dim, encoder, decoder, pixels)


def _check_samples(samples: int) -> None:
    if samples < 1:
        raise ValueError(f"표본 수 samples는 1 이상이어야 하는데 {samples}를 받았습니다.")
