"""FVBN: 변수마다 로지스틱 회귀 하나, 가장 단순한 자기회귀 모델.

Neal, "Connectionist learning of belief networks", Artificial Intelligence 56, 1992.
Frey, Hinton, Dayan, "Does the wake-sleep algorithm produce good density estimators?", NIPS 1996.

    p(x) = Π_d p(x_d | x_<d),    p(x_d = 1 | x_<d) = σ(b_d + Σ_{j<d} A_dj x_j)

"완전 관측"(fully visible)은 숨은 변수가 없다는 뜻입니다. 변수가 모두 보이므로 우도를 곱셈만으로 정확히 압니다.
원래의 belief network는 부모의 수를 제한하기도 하지만 여기서는 앞선 변수를 모두 부모로 둡니다.

이진 자기회귀 모델들(NADE, MADE)이 함께 쓰는 작은 함수도 이 파일에 있습니다.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from course_lib.base import DensityModel, check_batch
from course_lib.nn import MaskedLinear


def as_order(order, dim: int, seed: int = 0) -> Tensor:
    """변수의 순번 ``(D,)`` int64. order[i] = t는 변수 i가 t번째(0부터)로 온다는 뜻입니다.

    order  "natural"(0, 1, …), "random"(seed로 뽑은 순열), 또는 0..D−1의 순열 텐서
    오류   순열이 아니면 ValueError
    """
    if isinstance(order, str) and order == "natural":
        return torch.arange(dim)
    if isinstance(order, str) and order == "random":
        return torch.randperm(dim, generator=torch.Generator().manual_seed(seed))
    if isinstance(order, Tensor) and order.shape == (dim,) and not order.is_floating_point():
        if torch.equal(order.sort().values, torch.arange(dim, device=order.device)):
            return order.long()
    raise ValueError(
        f'order는 "natural", "random" 또는 0부터 {dim - 1}까지의 순열 텐서여야 합니다. 받은 값: {order!r}'
    )


def check_binary(x: Tensor, event_shape: torch.Size) -> None:
    """x가 0과 1로만 된 실수 배치가 아니면 ValueError. 회색 값의 이진 교차 엔트로피는 우도가 아닙니다."""
    check_batch(x, event_shape)
    if not ((x == 0) | (x == 1)).all():
        raise ValueError(
            "x에 0과 1이 아닌 값이 있습니다. 이진 모델이므로 torch.bernoulli나 "
            "datasets.mnist.dynamic_binarise로 먼저 이진화하세요."
        )


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """Σ_d log Bernoulli(x_d; σ(logit_d)) = Σ_d log σ((2x_d − 1) logit_d), nats, ``(…,)``."""
    return logsigmoid((2 * x - 1) * logits).sum(-1)


def log_mean_prob(log_probs: Tensor) -> Tensor:
    """log (1/K) Σ_k p_k(x). log_probs ``(K, B)`` → ``(B,)``. 로그가 아니라 **확률**을 평균합니다."""
    return log_probs.logsumexp(0) - math.log(len(log_probs))


def refuse_condition(y) -> None:
    if y is not None:
        raise ValueError("이 모델은 조건 y를 받지 않습니다. y 없이 호출하세요.")


@torch.no_grad()
def sample_in_order(logits, order: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """순번대로 한 변수씩 뽑은 표본 ``(n, D)``. logits(x) → ``(n, D)``를 D번 부릅니다.

    아직 뽑지 않은 변수의 자리는 0이지만, 자기회귀 모델은 그 자리를 보지 않으므로 무엇이 있든 같습니다.
    """
    x = torch.zeros(n, len(order), dtype=dtype, device=order.device)
    for i in order.argsort().tolist():
        x[:, i] = torch.bernoulli(logits(x)[:, i].sigmoid())
    return x


class FVBN(DensityModel):
    """로지스틱 자기회귀. x는 0과 1의 실수 ``(B, D)``.

    dim    D            order  ``as_order``가 받는 순서(seed는 "random"일 때)
    비용   매개변수 D(D−1)/2 + D개(마스크로 가린 것은 빼고), 밀도는 행렬곱 1번, 표본은 D번
    """

    def __init__(self, dim: int, order="natural", seed: int = 0):
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.register_buffer("order", as_order(order, dim, seed))
        self.linear = MaskedLinear(dim, dim, self.order[None, :] < self.order[:, None])
        nn.init.zeros_(self.linear.weight)

    def logits(self, x: Tensor) -> Tensor:
        """log p(x_d = 1|x_<d)/p(x_d = 0|x_<d), ``(B, D)``"""
        return self.linear(x)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        check_binary(x, self.event_shape)
        return bernoulli_log_prob(self.logits(x), x)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        return sample_in_order(self.logits, self.order, n, self.linear.weight.dtype)


class Ensemble(DensityModel):
    """여러 밀도 모델의 확률 평균 p(x) = (1/K) Σ_k p_k(x). 이것도 정규화된 분포입니다.

    옌센 부등식에서 log p(x) ≥ (1/K) Σ_k log p_k(x)이므로 구성원의 평균보다 나쁠 수 없습니다.
    표본은 구성원 하나를 고르게 뽑고 그 모델에서 뽑습니다.
    """

    def __init__(self, *models: DensityModel):
        super().__init__()
        if not models or any(m.event_shape != models[0].event_shape for m in models):
            raise ValueError("event_shape가 같은 밀도 모델을 하나 이상 넣으세요.")
        self.models = nn.ModuleList(models)
        self.event_shape = models[0].event_shape

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return log_mean_prob(torch.stack([m.log_prob(x, y) for m in self.models]))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        if y is not None:
            raise ValueError(
                "앙상블의 표본 추출은 조건 y를 받지 않습니다. 구성원에서 직접 뽑으세요."
            )
        counts = torch.randint(len(self.models), (n,)).bincount(minlength=len(self.models))
        parts = [m.sample(int(c)) for m, c in zip(self.models, counts) if c]
        return torch.cat(parts)[torch.randperm(n)]
