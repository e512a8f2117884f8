"""RNADE: 조건부 분포마다 혼합 분포를 쓰는 실수 값 NADE.

Uria, Murray, Larochelle, "RNADE: The real-valued neural autoregressive density-estimator",
NIPS 2013, arXiv 1306.0186.

    p(x_d | x_<d) = Σ_k α_dk f(x_d; μ_dk, σ_dk),    f는 정규분포(MoG) 또는 라플라스 분포(MoL)
    h_d = relu(ρ_d a_d),    a_1 = c,    a_{d+1} = a_d + W_d x_d
    α_d = softmax(V^α_d h_d + b^α_d),  μ_d = V^μ_d h_d + b^μ_d,  σ_d = exp(V^σ_d h_d + b^σ_d)

이산적인 열(같은 값이 되풀이되는 자료)이 섞이면 σ → 0이 되며 우도가 한없이 커집니다. 그런 열은 빼거나
잡음을 더하세요. 안전장치로 log σ를 [−7, 7]로 자릅니다.

논문과 다른 점
- 논문은 좁은 성분이 날뛰지 않게 μ의 기울기에 σ를 곱하지만, 여기서는 Adam이 걸음의 크기를 맞추므로 참 기울기를
  그대로 씁니다.
- 차원이 수십 이하인 자료를 다루므로 은닉층을 (B, D, H) 누적합으로 한꺼번에 구하고 자동미분에 맡깁니다.
- μ의 편향은 자료의 범위 대신 표준화한 자료를 가정해 [−1.5, 1.5]에 고르게 둡니다.
"""

import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Laplace,
    MixtureSameFamily,
    Normal,
)

from course_lib.autoregressive.fvbn import as_order, refuse_condition
from course_lib.base import DensityModel, check_batch

FAMILIES = {"gaussian": Normal, "laplace": Laplace}


class RNADE(DensityModel):
    """RNADE. x는 실수 ``(B, D)``, 차원마다 평균 0, 표준편차 1 근처로 맞춘 것이 좋습니다.

    dim, hidden  D와 H        components  혼합 성분의 수 K(1이면 조건부마다 분포 하나)
    family       "gaussian" 또는 "laplace"           order, seed  변수의 순서(``fvbn.as_order``)
    비용         밀도는 계산 한 번(메모리 B·D·H), 표본은 D걸음
    """

    def __init__(
        self,
        dim: int,
        hidden: int = 50,
        components: int = 10,
        family: str = "gaussian",
        order="natural",
        seed: int = 0,
    ):
        super().__init__()
        if family not in FAMILIES:
            raise ValueError(f'family는 "gaussian"이나 "laplace"여야 합니다. 받은 값: {family!r}')
        self.event_shape = torch.Size([dim])
        self.components, self.family = components, FAMILIES[family]
        self.register_buffer("order", as_order(order, dim, seed))
        self.W = nn.Parameter(0.1 * torch.randn(dim, hidden))
        self.c = nn.Parameter(0.1 * torch.randn(hidden))
        self.rho = nn.Parameter(torch.ones(dim))
        self.V = nn.Parameter(torch.randn(dim, hidden, 3 * components) * (0.1 / hidden**0.5))
        spread = torch.linspace(-1.5, 1.5, components) if components > 1 else torch.zeros(1)
        bias = torch.cat([torch.zeros(components), spread, torch.zeros(components)])
        self.b = nn.Parameter(bias.repeat(dim, 1))  # (D, 3K): [α, μ, log σ]

    def conditionals(self, x: Tensor) -> Distribution:
        """조건부 분포 D개, 배치 모양 ``(B, D)``. 마지막 축은 변수의 번호 순서입니다."""
        steps = x[:, self.order.argsort()][:, :-1, None] * self.W[:-1]  # (B, D−1, H)
        first = self.c.expand(len(x), 1, -1)
        a = torch.cat([first, steps], 1).cumsum(1)  # (B, D, H): 자기 자신은 넣지 않은 합
        return self._mixture(a, self.rho[:, None], self.V, self.b, self.order)

    def _mixture(self, a, rho, V, b, order=None) -> Distribution:
        raw = torch.einsum("bdh,dho->bdo", (rho * a).relu(), V) + b
        if order is not None:
            raw = raw[:, order]
        logits, mean, log_scale = raw.chunk(3, -1)
        each = self.family(mean, log_scale.clamp(-7, 7).exp(), validate_args=False)
        return MixtureSameFamily(Categorical(logits=logits), each, validate_args=False)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        check_batch(x, self.event_shape)
        return self.conditionals(x).log_prob(x).sum(1)

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        a = self.c.expand(n, -1).clone()
        x = a.new_zeros(n, len(self.W))
        for t, i in enumerate(self.order.argsort().tolist()):
            here = slice(t, t + 1)
            conditional = self._mixture(
                a[:, None], self.rho[here, None], self.V[here], self.b[here]
            )
            x[:, i] = conditional.sample()[:, 0]
            a.addr_(x[:, i], self.W[t])
        return x
