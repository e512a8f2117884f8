"""MADE: 마스크를 씌운 다층 신경망. 조건부 분포 D개를 한 번의 계산으로 모두 얻습니다.

Germain, Gregor, Murray, Larochelle, "MADE: Masked Autoencoder for Distribution Estimation",
ICML 2015, arXiv 1502.03509.

모든 뉴런에 번호 m을 붙입니다. 입력은 순번(1..D), 은닉 뉴런은 아래층의 가장 작은 번호와 D−1 사이의 값입니다.

    은닉층   M^l[k', k] = 1[m^l(k') ≥ m^{l−1}(k)]        번호가 작거나 같은 뉴런만 봅니다
    출력층   M^V[d, k]  = 1[순번(d) > m^L(k)]            **엄격한** 부등호: 자기 자신은 보지 않습니다

은닉 뉴런 k는 순번이 m(k) 이하인 입력만 보고, 출력 d는 m(k) < 순번(d)인 뉴런만 보므로, 출력 d에는 순번이
자기보다 작은 입력만 닿습니다. 길의 수를 세면 마스크의 곱 M^V M^L … M^1이 순서에 맞는 엄격한 하삼각행렬입니다.

마스크를 여러 벌 두고 미니배치마다 바꾸면 순서를 가리지 않거나(order-agnostic) 연결을 가리지 않는
(connectivity-agnostic) 학습이 되고, 시험할 때는 벌마다의 확률을 평균합니다.

논문과 다른 점
- Adagrad 대신 Adam을 쓰고, 가중치는 직교 초기화가 아니라 PyTorch의 기본값에서 시작합니다.
- 마스크 자체를 입력으로 넣는 가중치(conditioning on masks)는 두지 않았습니다.
- 학습 중에 순서를 계속 새로 섞지 않고 정해 둔 K벌을 돌려 씁니다(논문의 실험도 유한한 벌을 돌려 씁니다).
"""

import torch
from torch import Tensor, nn

from course_lib.autoregressive.fvbn import (
    as_order,
    bernoulli_log_prob,
    check_binary,
    log_mean_prob,
    refuse_condition,
    sample_in_order,
)
from course_lib.base import DensityModel
from course_lib.nn import MaskedLinear


class MaskedMLP(nn.Module):
    """자기회귀 성질을 가진 MLP: ``(B, D)`` → ``(B, D, outputs)``. 출력 [:, d]는 앞선 변수에만 의존합니다.

    dim      D
    hidden   은닉층의 크기들. 깊이는 마음대로이고, 비우면 FVBN과 같은 선형 모델입니다.
    outputs  변수마다의 출력 수. 베르누이 1, 정규분포(평균, 로그 표준편차) 2, L값 범주형 L
    order    "natural", "random"(벌마다 새 순서), 순번 텐서 ``(D,)`` 또는 ``(masks, D)``
    masks    마스크의 벌 수 K. ``forward(x, k)``가 k번째 벌을 씁니다.
    degrees  은닉 뉴런의 번호. "random"(논문) 또는 "even"(1..D−1을 고르게: 좁은 신경망에서 빠지는 번호가 없습니다)
    direct   입력에서 출력으로 바로 가는 선형층(엄격한 마스크)을 더합니다.
    context  조건 h의 차원. 첫 은닉층에 마스크 없이 더하므로 어느 출력이나 h 전체를 봅니다(IAF 사후분포).
    seed     순서와 번호를 뽑는 시드. 전역 난수는 쓰지 않습니다.

    번호와 순서는 buffer이므로 체크포인트에 함께 저장되고, 읽으면 마스크를 다시 만듭니다.
    오류: 순열이 아닌 order, 1보다 작은 크기, 모르는 degrees이면 ValueError.
    """

    def __init__(
        self,
        dim: int,
        hidden=(500,),
        outputs: int = 1,
        order="natural",
        masks: int = 1,
        degrees: str = "random",
        direct: bool = False,
        activation: type[nn.Module] = nn.ReLU,
        seed: int = 0,
        context: int = 0,
    ):
        super().__init__()
        if context and not hidden:
            raise ValueError("context를 쓰려면 은닉층이 하나 이상 있어야 합니다.")
        if min(dim, outputs, masks, *hidden) < 1:
            raise ValueError("dim, hidden, outputs, masks는 모두 1 이상이어야 합니다.")
        if degrees not in ("random", "even"):
            raise ValueError(f'degrees는 "random"이나 "even"이어야 합니다. 받은 값: {degrees!r}')
        self.dim, self.outputs = dim, outputs
        self.register_buffer("order", _orders(order, dim, masks, seed))  # (K, D)
        generator = torch.Generator().manual_seed(seed)
        previous = self.order + 1  # 입력의 번호는 1..D
        for level, width in enumerate(hidden):
            previous = _hidden_degrees(previous, width, dim, degrees, generator)
            self.register_buffer(f"degrees{level}", previous.to(torch.int16))  # (K, width)
        self.depth = len(hidden)
        sizes, layer_masks = [dim, *hidden, dim * outputs], self._masks()
        self.layers = nn.ModuleList(
            MaskedLinear(a, b, mask) for a, b, mask in zip(sizes, sizes[1:], layer_masks)
        )
        self.direct = (
            MaskedLinear(dim, sizes[-1], self._direct_mask(), bias=False) if direct else None
        )
        self.context = nn.Linear(context, hidden[0], bias=False) if context else None
        self.activation = activation()
        MaskedMLP._rebuild(self)
        self.register_load_state_dict_post_hook(MaskedMLP._rebuild)

    def forward(self, x: Tensor, k: int = 0, context: Tensor | None = None) -> Tensor:
        self._check_context(context)
        h = x
        for layer in self.layers[:-1]:
            h = layer(h, k)
            if context is not None:  # 조건 h의 몫은 첫 은닉층에 한 번만 더합니다
                h, context = h + self.context(context), None
            h = self.activation(h)
        out = self.layers[-1](h, k)
        if self.direct is not None:
            out = out + self.direct(x, k)
        return out.unflatten(-1, (self.outputs, self.dim)).mT  # (B, outputs·D) → (B, D, outputs)

    def _check_context(self, context) -> None:
        if (context is None) != (self.context is None):
            raise ValueError(
                "context는 만들 때 context=차원을 준 모델에만, 그리고 반드시 넣습니다."
            )

    def _masks(self) -> list[Tensor]:
        """층마다의 마스크 (K, out, in)."""
        below, masks = self.order + 1, []
        for level in range(self.depth):
            above = getattr(self, f"degrees{level}")
            masks.append(above[:, :, None] >= below[:, None, :])
            below = above
        rank = (self.order + 1).repeat(1, self.outputs)  # 출력의 순번, (K, outputs·D)
        return [*masks, rank[:, :, None] > below[:, None, :]]

    def _direct_mask(self) -> Tensor:
        rank = self.order.repeat(1, self.outputs)
        return rank[:, :, None] > self.order[:, None, :]

    @staticmethod
    def _rebuild(module: "MaskedMLP", _=None) -> None:
        """번호에서 마스크를 만듭니다. 한 벌뿐이면 실수로 둡니다(곱할 때마다 바꾸지 않으므로 빠릅니다)."""
        pairs = list(zip(module.layers, module._masks(), strict=True))
        if module.direct is not None:
            pairs.append((module.direct, module._direct_mask()))
        for layer, mask in pairs:
            layer.masks = mask.to(layer.weight.dtype) if len(mask) == 1 else mask


class MADE(DensityModel):
    """이진 MADE. x는 0과 1의 실수 ``(B, D)``. 인자는 ``MaskedMLP``와 같습니다.

    비용  밀도는 벌마다 신경망 1번, 표본은 D번. 학습에서는 ``log_prob_with(x, k)``로 벌 하나만 씁니다.
    """

    def __init__(self, dim: int, hidden=(500,), **options):
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.net = MaskedMLP(dim, hidden, 1, **options)

    @property
    def masks(self) -> int:
        """마스크의 벌 수 K"""
        return len(self.net.order)

    def logits(self, x: Tensor, k: int = 0) -> Tensor:
        """k번째 마스크에서 조건부 확률의 로짓 ``(B, D)``"""
        return self.net(x, k)[..., 0]

    def log_prob_with(self, x: Tensor, k: int) -> Tensor:
        """마스크 한 벌에서의 log p_k(x), nats, ``(B,)``"""
        check_binary(x, self.event_shape)
        return bernoulli_log_prob(self.logits(x, k), x)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log (1/K) Σ_k p_k(x): 벌마다의 확률을 평균합니다."""
        refuse_condition(y)
        return log_mean_prob(torch.stack([self.log_prob_with(x, k) for k in range(self.masks)]))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        counts = torch.randint(self.masks, (n,)).bincount(minlength=self.masks).tolist()
        dtype = self.net.layers[0].weight.dtype
        parts = [
            sample_in_order(lambda x, k=k: self.logits(x, k), self.net.order[k], count, dtype)
            for k, count in enumerate(counts)
            if count
        ]
        return torch.cat(parts)[torch.randperm(n)]


def _orders(order, dim: int, masks: int, seed: int) -> Tensor:
    """벌마다의 순번 (K, D)."""
    if isinstance(order, Tensor) and order.ndim == 2:
        if len(order) != masks:
            raise ValueError(f"order의 행이 {len(order)}개인데 masks는 {masks}입니다.")
        return torch.stack([as_order(row, dim) for row in order])
    return torch.stack([as_order(order, dim, seed + k) for k in range(masks)])


def _hidden_degrees(below: Tensor, width: int, dim: int, kind: str, generator) -> Tensor:
    """은닉층의 번호 (K, width), 아래층의 가장 작은 번호와 D−1 사이."""
    high = max(dim - 1, 1)
    rows = []
    for row in below:
        low = min(int(row.min()), high)
        if kind == "even":
            rows.append(torch.linspace(low, high, width).round().long())
        else:
            rows.append(torch.randint(low, high + 1, (width,), generator=generator))
    return torch.stack(rows)
