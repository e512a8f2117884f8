"""NADE: 은닉층을 나누어 쓰는 자기회귀 모델. 그리고 순서를 가리지 않는 DeepNADE.

Larochelle, Murray, "The Neural Autoregressive Distribution Estimator", AISTATS 2011.
Uria, Murray, Larochelle, "A Deep and Tractable Density Estimator", ICML 2014, arXiv 1310.1757.
Uria 외, "Neural Autoregressive Distribution Estimation", JMLR 2016, arXiv 1605.02226.

    p(x_d = 1 | x_<d) = σ(b_d + V_d · h_d),    h_d = σ(a_d)                          (2011년 논문의 식)
    a_1 = c,    a_{d+1} = a_d + W_d x_d                                             ← 앞의 합을 다시 씁니다

a_d를 처음부터 다시 더하면 예제 하나에 O(HD²), 이어서 더하면 O(HD)입니다.

backward를 손으로 적은 까닭: 자동미분으로 누적합을 지나면 (B, D, H) 크기의 중간값을 여러 벌 저장하고 다시
읽습니다. 여기서는 (B, H) 하나만 남기고, 뒤로 가면서 a_d = a_{d+1} − W_d x_d로 되살립니다. 기울기는

    g_d = ∂L/∂logit_d                    (B,)
    ∂L/∂V_d = Σ_B g_d h_d                (H,)
    δ_d = ∂L/∂a_d = δ_{d+1} + g_d V_d ⊙ h_d ⊙ (1 − h_d),   δ_{D+1} = 0        (B, H)
    ∂L/∂W_d = Σ_B x_d δ_{d+1},    ∂L/∂c = Σ_B δ_1,    ∂L/∂x_d = W_d · δ_{d+1}

속도는 ``data/results/benchmark_nade.json``에 있습니다.

논문과 다른 점
- W는 (D, H), 곧 논문의 전치로 저장합니다. 한 변수의 벡터가 메모리에서 이어지기 때문입니다. 행은 변수의
  번호가 아니라 *순번*을 따릅니다.
- SGD 대신 Adam, 초기값은 N(0, 0.01²)입니다(공개된 코드의 값). 저장소 코드의 확률 자르기는 하지 않습니다.
- float32에서 되살린 a_d는 저장한 것과 10⁻⁵쯤 다를 수 있습니다. float64에서는 자동미분과 10⁻¹⁰ 안에서 같습니다.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from course_lib.autoregressive.fvbn import (
    as_order,
    bernoulli_log_prob,
    check_binary,
    log_mean_prob,
    refuse_condition,
)
from course_lib.base import DensityModel
from course_lib.nn import MLP


class NADELogits(torch.autograd.Function):
    """(x, W, c, V) → V_d · h_d를 모은 ``(B, D)``. x는 순번대로 놓인 ``(B, D)``, W와 V는 ``(D, H)``."""

    @staticmethod
    def forward(ctx, x: Tensor, W: Tensor, c: Tensor, V: Tensor) -> Tensor:
        x = x.t().contiguous()  # (D, B): 변수 하나의 값들이 메모리에서 이어집니다
        a = c.expand(x.shape[1], -1).clone()  # (B, H), a_1 = c
        h, out = torch.empty_like(a), torch.empty_like(x)
        for d in range(len(x)):
            torch.sigmoid(a, out=h)
            torch.mv(h, V[d], out=out[d])
            a.addr_(x[d], W[d])  # a_{d+1} = a_d + x_d W_d
        ctx.save_for_backward(x, W, V, a)
        return out.t()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, W, V, a = ctx.saved_tensors
        a, g = a.clone(), grad.t().contiguous()  # a_{D+1} (B, H), g (D, B)
        dx = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        dW, dV = torch.empty_like(W), torch.empty_like(V)
        delta, h, slope = torch.zeros_like(a), torch.empty_like(a), torch.empty_like(a)
        for d in reversed(range(len(x))):
            torch.mv(delta.t(), x[d], out=dW[d])  # delta는 아직 δ_{d+1}
            if dx is not None:
                torch.mv(delta, W[d], out=dx[d])
            a.addr_(x[d], W[d], alpha=-1)  # a_d를 되살립니다
            torch.sigmoid(a, out=h)
            torch.mv(h.t(), g[d], out=dV[d])
            torch.addcmul(h, h, h, value=-1, out=slope).mul_(V[d])  # V_d ⊙ h(1 − h)
            delta.addcmul_(slope, g[d][:, None])  # δ_d
        return None if dx is None else dx.t(), dW, delta.sum(0), dV


class NADE(DensityModel):
    """NADE. x는 0과 1의 실수 ``(B, D)``.

    dim, hidden  D와 H           order, seed  변수의 순서(``fvbn.as_order``)
    비용         밀도와 표본 모두 예제 하나에 곱셈 2HD번. 표본은 D걸음을 차례로 걷습니다.
    """

    def __init__(self, dim: int, hidden: int = 500, order="natural", seed: int = 0):
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.register_buffer("order", as_order(order, dim, seed))
        self.W = nn.Parameter(0.01 * torch.randn(dim, hidden))
        self.V = nn.Parameter(0.01 * torch.randn(dim, hidden))
        self.b = nn.Parameter(torch.zeros(dim))
        self.c = nn.Parameter(torch.zeros(hidden))

    def logits(self, x: Tensor) -> Tensor:
        """조건부 확률의 로짓 ``(B, D)``, 변수의 번호 순서."""
        in_sequence = NADELogits.apply(x[:, self.order.argsort()], self.W, self.c, self.V) + self.b
        return in_sequence[:, self.order]

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        check_binary(x, self.event_shape)
        return bernoulli_log_prob(self.logits(x), x)

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        a = self.c.expand(n, -1).clone()
        x = a.new_zeros(n, len(self.b))
        for t, i in enumerate(self.order.argsort().tolist()):
            x[:, i] = torch.bernoulli((a.sigmoid() @ self.V[t] + self.b[t]).sigmoid())
            a.addr_(x[:, i], self.W[t])
        return x


class OrderAgnosticNADE(DensityModel):
    """DeepNADE/EoNADE: 신경망 하나로 D!가지 순서를 모두 배웁니다. x는 0과 1의 실수 ``(B, D)``.

    입력은 [x ⊙ m, m]입니다. m은 이미 본 변수의 표시이고, 신경망은 모든 변수의 로짓을 냅니다.

        E_순서[−log p(x)] = E_{d, 순서} [ D/(D−d+1) Σ_{i∉m} −log p(x_i | x_m) ],  d ~ U{1..D}, |m| = d−1

    hidden  은닉층의 크기들         orders, seed  밀도를 잴 때 평균할 순서의 수와 그 시드
    비용    학습은 한 걸음에 신경망 1번, 밀도는 순서마다 D번, 표본은 D번
    다른 점 논문은 층마다 미리 학습하고 SGD를 쓰지만 여기서는 한 번에 Adam으로 배웁니다.
    """

    def __init__(self, dim: int, hidden=(500, 500), orders: int = 1, seed: int = 0):
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.net = MLP(2 * dim, hidden, dim)
        self.set_orders(orders, seed)

    def set_orders(self, orders: int, seed: int = 0) -> None:
        """확률을 평균할 순서를 다시 뽑습니다. 순서는 학습과 무관합니다."""
        generator = torch.Generator().manual_seed(seed)
        dim = self.event_shape.numel()
        rows = torch.stack([torch.randperm(dim, generator=generator) for _ in range(orders)])
        self.register_buffer("orders", rows.to(self.net[0].weight.device))

    def logits(self, x: Tensor, seen: Tensor) -> Tensor:
        """본 변수 seen(0과 1, ``(B, D)``)만 알 때 모든 변수의 로짓 ``(B, D)``."""
        return self.net(torch.cat([x * seen, seen], -1))

    def loss(self, x: Tensor) -> Tensor:
        """순서에 대해 평균한 −log p(x)의 불편추정량, nats, ``(B,)``. 예제마다 순서와 d를 새로 뽑습니다."""
        check_binary(x, self.event_shape)
        B, D = x.shape
        rank = torch.rand(B, D, device=x.device).argsort(1)  # 예제마다 다른 순서
        d = torch.randint(1, D + 1, (B, 1), device=x.device)
        seen = (rank < d - 1).to(x)
        nll = -torch.nn.functional.logsigmoid((2 * x - 1) * self.logits(x, seen))  # (B, D)
        return D / (D - d[:, 0] + 1) * (nll * (1 - seen)).sum(1)

    def log_prob_in(self, x: Tensor, order: Tensor) -> Tensor:
        """순서 하나에서의 log p(x), ``(B,)``. 신경망을 D번 지납니다."""
        logits = torch.empty_like(x)
        for t, i in enumerate(order.argsort().tolist()):
            logits[:, i] = self.logits(x, (order < t).to(x).expand_as(x))[:, i]
        return bernoulli_log_prob(logits, x)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        check_binary(x, self.event_shape)
        return log_mean_prob(torch.stack([self.log_prob_in(x, order) for order in self.orders]))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        counts = torch.randint(len(self.orders), (n,)).bincount(minlength=len(self.orders))
        parts = []
        for order, count in zip(self.orders, counts.tolist()):
            x = torch.zeros(count, len(order), dtype=self.net[0].weight.dtype, device=order.device)
            for t, i in enumerate(order.argsort().tolist()):
                seen = (order < t).to(x).expand_as(x)
                x[:, i] = torch.bernoulli(self.logits(x, seen)[:, i].sigmoid())
            parts.append(x)
        return torch.cat(parts)[torch.randperm(n)]
