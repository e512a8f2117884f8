"""IAF 사후분포를 쓰는 VAE: 대각 가우시안 q(z|x)를 역자기회귀 Flow로 구부립니다.

Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling, "Improving Variational Inference with Inverse
Autoregressive Flow", NIPS 2016, arXiv 1606.04934.

인코더가 μ_0, σ_0와 조건 h를 내놓고, z_0 = μ_0 + σ_0 ε에서 시작해 T걸음을 갑니다.

    [m_t, s_t] = AR_t(z_{t−1}, h)        z의 앞 성분과 h만 봅니다(MADE, 엄격한 마스크)
    σ_t = sigmoid(s_t),   z_t = σ_t ⊙ z_{t−1} + (1 − σ_t) ⊙ m_t                       식 (14)
    log q(z_T|x) = −Σ_i [½ε_i² + ½ log 2π + log σ_{0,i} + Σ_t log σ_{t,i}]              식 (11)

학습에 필요한 것은 **자기 표본의** 밀도뿐이라 걸음마다 신경망 한 번이면 됩니다. KL을 식으로 쓸 수 없으므로 하한은
세 항을 모두 표본으로 평균합니다(VAE 논문의 추정량 A).

논문과 다른 점
- 인코더와 디코더는 잔차 합성곱이 아니라 VAE 논문의 MLP이고, 잠재 변수는 한 층입니다. free bits를 쓰지 않습니다.
- AR_t는 은닉층 하나의 MADE입니다(논문은 둘). s_t의 편향은 논문의 권고대로 +1.5에서 시작합니다.
"""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

from course_lib.autoregressive.made import MaskedMLP
from course_lib.base import check_batch
from course_lib.flows.maf import solve_in_order
from course_lib.vae.vae import VAE, diagonal_normal


class IAFStep(nn.Module):
    """한 걸음 z_{t−1} → (z_t, Σ log σ_t). 조건 h는 (B, C)이고 z의 앞쪽 축은 h와 같습니다."""

    def __init__(self, dim: int, context: int, hidden: int, order: Tensor):
        super().__init__()
        self.net = MaskedMLP(dim, (hidden,), 2, order=order, degrees="even", context=context)
        with torch.no_grad():
            self.net.layers[-1].bias.view(2, dim)[1] += 1.5

    def forward(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        m, s = self.net(z, context=h).unbind(-1)
        gate = s.sigmoid()
        return gate * z + (1 - gate) * m, logsigmoid(s).sum(-1)

    def inverse(self, z: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        def update(z, m, s):
            return (z - (1 - s.sigmoid()) * m) / s.sigmoid()

        before = solve_in_order(self.net, z, update, h)
        return before, -logsigmoid(self.net(before, context=h)[..., 1]).sum(-1)


class IAFPosterior(Distribution):
    """q(z|x), 배치 모양 ``(B,)``, 사건 모양 ``(K,)``.

    방금 ``rsample``로 뽑은 텐서를 그대로 ``log_prob``에 넣으면 기억해 둔 값을 돌려주고(걸음마다 신경망 1번),
    다른 z라면 걸음을 거꾸로 풉니다(K걸음씩).
    """

    arg_constraints: dict = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, start: Distribution, h: Tensor, steps: nn.ModuleList):
        self.start, self.h, self.steps = start, h, steps
        self._last: tuple = (None, None)
        super().__init__(start.batch_shape, start.event_shape, validate_args=False)

    def _context(self, z: Tensor) -> Tensor:
        """h를 z의 앞쪽 축에 맞춰 (N, C)로 폅니다."""
        return self.h.expand(*z.shape[:-1], -1).reshape(-1, self.h.shape[-1])

    def rsample(self, sample_shape=()) -> Tensor:
        z = self.start.rsample(sample_shape)  # (*S, B, K)
        log_q = self.start.log_prob(z)
        flat, h = z.flatten(0, -2), self._context(z)
        for step in self.steps:
            flat, log_scale = step(flat, h)
            log_q = log_q - log_scale.view_as(log_q)
        z = flat.view_as(z)
        self._last = (z, log_q)
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        if self._last[0] is z:
            return self._last[1]
        shape = torch.broadcast_shapes(z.shape, self.start.batch_shape + self.start.event_shape)
        z = z.expand(shape)
        flat, h = z.flatten(0, -2), self._context(z)
        total = flat.new_zeros(len(flat))
        for step in reversed(self.steps):
            flat, log_det = step.inverse(flat, h)
            total = total + log_det
        return self.start.log_prob(flat.view(shape)) + total.view(shape[:-1])


class IAFVAE(VAE):
    """``VAE``와 같고 사후분포만 IAF입니다.

    steps, ar_hidden  IAF의 걸음 수 T(0이면 대각 가우시안)와 걸음마다의 MADE 은닉층 크기
    context           조건 h의 차원

    비용: ``elbo``는 인코더 1번, 표본마다 MADE T번과 디코더 1번.
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        hidden=(500,),
        pixels: nn.Module | None = None,
        steps: int = 2,
        ar_hidden: int = 320,
        context: int = 64,
    ):
        if steps and latent_dim < 2:
            raise ValueError(
                "IAF는 latent_dim이 2 이상이어야 합니다. 1차원에는 앞선 성분이 없습니다."
            )
        super().__init__(dim, latent_dim, hidden, pixels)
        self.encoder[-1] = nn.Linear(self.encoder[-1].in_features, 2 * latent_dim + context)
        natural = torch.arange(latent_dim)
        self.steps = nn.ModuleList(
            IAFStep(latent_dim, context, ar_hidden, natural if t % 2 == 0 else natural.flip(0))
            for t in range(steps)
        )

    def encode(self, x: Tensor) -> IAFPosterior:
        """q(z|x). ``rsample``과 자기 표본의 ``log_prob``가 쌉니다."""
        check_batch(x, self.event_shape)
        out, k = self.encoder(x), self.latent_dim
        start = diagonal_normal(out[:, :k], out[:, k : 2 * k])
        return IAFPosterior(start, out[:, 2 * k :], self.steps)

    def elbo(self, x: Tensor, samples: int = 1) -> Tensor:
        """하한의 추정량 A(세 항 모두 표본으로). nats, ``(B,)``."""
        return self.elbo_a(x, samples)

    def reconstruct(self, x: Tensor) -> Tensor:
        """IAF를 지난 q에는 평균의 식이 없으므로 z_0 = μ_0(ε = 0)을 지나게 한 점을 씁니다."""
        with torch.no_grad():
            q = self.encode(x)
            z = q.start.mean
            for step in self.steps:
                z = step(z, q.h)[0]
            return self.decode(z).mean
