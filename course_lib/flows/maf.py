"""MAF: 자기회귀 모델을 Flow로 읽고 여러 겹 쌓은 것. 밀도는 한 번에, 표본은 D걸음에 얻습니다.

Papamakarios, Pavlakou, Murray, "Masked Autoregressive Flow for Density Estimation",
NIPS 2017, arXiv 1705.07057.

조건부 분포가 정규분포인 자기회귀 모델 p(x_i | x_<i) = N(μ_i, exp(α_i)²)에서 표본을 뽑는 식이 곧 변환입니다.

    z → x   x_i = exp(α_i(x_<i)) z_i + μ_i(x_<i)          식 (3)    앞의 x가 있어야 하므로 차례대로
    x → z   z_i = (x_i − μ_i(x_<i)) exp(−α_i(x_<i))       식 (4)    x를 모두 알므로 한 번에
    log|det ∂z/∂x| = −Σ_i α_i(x_<i)                        식 (5)    야코비안이 삼각행렬이므로 대각 성분만

α는 분산이 아니라 **표준편차의 로그**입니다. μ와 α는 MADE 한 번으로 모두 구하고, 층마다 변수의 순서를 뒤집습니다.

논문과 다른 점
- α를 [−5, 5]로 자릅니다. 한 층이 e⁵ ≈ 148배보다 크게 늘이거나 줄이지 못하게 하는 안전장치입니다.
  없으면 바나나처럼 값이 큰 데이터에서 첫 단계부터 exp가 넘치기도 합니다.
- 은닉 뉴런의 번호를 1..D−1에 고르게 둡니다(논문의 코드는 차례로 되풀이). 좁은 층에서 빠지는 번호가 없습니다.
- 배치 정규화는 기본으로 끕니다(``batch_norm=True``로 켭니다). 작은 배치에서는 학습을 흔들기 때문입니다.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from course_lib.autoregressive.fvbn import refuse_condition
from course_lib.autoregressive.made import MaskedMLP
from course_lib.base import Compose, DensityModel, Flow, FlowModel, check_batch, standard_normal
from course_lib.flows.realnvp import BatchNormFlow

LOG_2PI = math.log(2 * math.pi)
LIMIT = 5.0


def bounded(alpha: Tensor) -> Tensor:
    """α를 [−5, 5]로 자릅니다."""
    return alpha.clamp(-LIMIT, LIMIT)


def solve_in_order(
    net: MaskedMLP, given: Tensor, update: Callable, context: Tensor | None = None
) -> Tensor:
    """v_i = update(given_i, m_i(v_<i), s_i(v_<i))를 순서대로 풉니다. 모두 ``(B, D)``.

    net의 출력 [:, i]는 순번이 앞선 v에만 의존하므로 D걸음이면 정확합니다. 기울기가 필요하면 걸음마다 신경망
    전체를 다시 계산하고, 아니면 걸음마다 **새로 정해진 뉴런만** 계산합니다(``_solve_incrementally``).
    """
    if net.direct is not None or len(net.order) > 1:
        raise ValueError("마스크가 한 벌이고 direct가 없는 MaskedMLP만 풀 수 있습니다.")
    tracked = (given, context, *net.parameters())
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tracked):
        v = torch.zeros_like(given)
        for rank in range(net.dim):
            new = update(given, *net(v, context=context).unbind(-1))
            v = torch.where(net.order[0] == rank, new, v)
        return v
    with torch.no_grad():
        return _solve_incrementally(net, given, update, context)


def _solve_incrementally(net: MaskedMLP, given: Tensor, update, context) -> Tensor:
    """번호가 r인 은닉 뉴런은 순번 r까지의 입력만 보므로 r번째 걸음에 값이 정해지고 다시는 바뀌지 않습니다.

    뉴런을 번호순으로 늘어놓으면 걸음마다 행 몇 개만 계산하면 되고, D걸음의 곱셈을 모두 더해도 신경망 한 번만큼입니다.
    배열은 (뉴런, B) 모양입니다.
    """
    position = net.order[0].argsort()  # 순번 → 자리
    columns, layers = position, []
    for level, layer in enumerate(net.layers[:-1]):
        degrees, rows = getattr(net, f"degrees{level}")[0].long().sort(stable=True)
        weight = (layer.weight * layer.masks[0])[rows][:, columns]
        bias = layer.bias[rows, None]
        if level == 0 and context is not None:
            bias = bias + net.context(context).T[rows]
        ready = torch.searchsorted(degrees, torch.arange(net.dim), right=True).tolist()
        layers.append((weight, bias, given.new_empty(len(rows), len(given)), ready))
        columns = rows
    last = net.layers[-1]
    weight = (last.weight * last.masks[0]).unflatten(0, (2, net.dim))[:, position][..., columns]
    weight = weight.transpose(0, 1).contiguous()  # (D, 2, H)
    bias = last.bias.unflatten(0, (2, net.dim)).T[position, :, None]
    given, v = given.T[position], given.new_empty(net.dim, len(given))
    for rank in range(net.dim):
        below, seen = v, rank  # 이번 걸음까지 정해진 아래층의 뉴런 수
        for w, b, h, ready in layers:
            low, high = ready[rank - 1] if rank else 0, ready[rank]
            if high > low:
                h[low:high] = net.activation(b[low:high] + w[low:high, :seen] @ below[:seen])
            below, seen = h, high
        m, s = bias[rank] + weight[rank, :, :seen] @ below[:seen]
        v[rank] = update(given[rank], m, s)
    return v[net.order[0]].T.contiguous()


class MAFLayer(Flow):
    """MAF 한 층. 신경망은 **x를** 봅니다. order는 순번 ``(D,)`` 또는 "natural"입니다.

    비용: ``inverse``(밀도)는 신경망 1번, ``forward``(표본)는 D걸음.
    """

    def __init__(self, dim: int, hidden=(64, 64), order="natural", activation=nn.ReLU):
        super().__init__()
        self.net = MaskedMLP(dim, hidden, 2, order=order, degrees="even", activation=activation)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = solve_in_order(self.net, z, lambda z, mu, alpha: bounded(alpha).exp() * z + mu)
        return x, bounded(self.net(x)[..., 1]).sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, alpha = self.net(x).mT.unbind(1)  # (B, D, 2)의 두 판
        alpha = bounded(alpha)
        return (x - mu) * (-alpha).exp(), -alpha.sum(1)


class BatchNorm(BatchNormFlow):
    """MAF의 배치 정규화, 식 (20)–(22): x → z가 z = (x − m)/√(v + ε)·e^γ + β입니다.

    논문을 따라 학습할 때에는 배치의 통계를 쓰고, 평가할 때에는 **학습 데이터 전체의** 통계를 씁니다
    (``MAF.use_statistics_of``). 그것을 부르기 전에는 이동 평균을 씁니다.
    """

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5):
        super().__init__(dim, momentum, eps)
        self.gamma = nn.Parameter(torch.zeros(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x, log_det = super().forward((z - self.beta) * (-self.gamma).exp())
        return x, log_det - self.gamma.sum()

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = super().inverse(x)
        return z * self.gamma.exp() + self.beta, log_det + self.gamma.sum()


def relu_with(dropout: float) -> Callable[[], nn.Module]:
    """은닉층의 활성화 함수를 만드는 함수: ReLU, dropout이 있으면 그 뒤에 dropout"""
    return lambda: nn.Sequential(nn.ReLU(), nn.Dropout(dropout)) if dropout else nn.ReLU()


def masked_stack(dim: int, layers: int, build: Callable, batch_norm: bool = False) -> Compose:
    """x 쪽부터 자연 순서, 뒤집은 순서를 번갈아 쌓습니다. build(순번)이 한 층을 만듭니다."""
    if dim < 2 or layers < 1:
        raise ValueError(f"dim은 2 이상, layers는 1 이상이어야 합니다. 받은 값: {dim}, {layers}.")
    order = torch.arange(dim)
    from_x: list[Flow] = []
    for i in range(layers):
        from_x.append(build(order if i % 2 == 0 else order.flip(0)))
        if batch_norm:
            from_x.append(BatchNorm(dim))
    return Compose(*reversed(from_x))  # Compose는 z → x 순서입니다


class MAF(FlowModel):
    """MAF(layers). x는 실수 ``(B, D)``, 학습은 −log p(x)의 평균을 줄입니다.

    dim, layers, hidden  D, MADE의 수(논문 5 또는 10), MADE마다의 은닉층 크기
    batch_norm           층 사이에 배치 정규화를 둡니다(논문의 기본 설정)
    base                 기저분포(``standard_normal``)
    preprocess           데이터 쪽에 덧붙일 Flow. 화소라면 units.LogitPreprocess
    dropout              은닉층의 dropout(논문은 쓰지 않고 가중치 감쇠와 조기 종료를 씁니다)

    비용: 밀도는 층마다 신경망 1번. 표본은 층마다 D걸음이지만 곱셈은 모두 더해 신경망 1번만큼입니다.
    """

    def __init__(
        self,
        dim: int,
        layers: int = 5,
        hidden=(64, 64),
        batch_norm: bool = False,
        base=standard_normal,
        preprocess: Flow | None = None,
        dropout: float = 0.0,
    ):
        activation = relu_with(dropout)
        flow = masked_stack(
            dim, layers, lambda order: MAFLayer(dim, hidden, order, activation), batch_norm
        )
        if preprocess is not None:
            flow = Compose(*flow.flows, preprocess)
        super().__init__(flow, (dim,), base)

    @torch.no_grad()
    def use_statistics_of(self, x: Tensor) -> "MAF":
        """배치 정규화의 통계를 학습 데이터 전체 x ``(N, D)``의 것으로 바꾸고 ``eval()``로 둡니다."""
        check_batch(x, self.event_shape)
        self.eval()
        for flow in reversed(self.flow.flows):
            if isinstance(flow, BatchNorm):
                var, mean = torch.var_mean(x, 0, correction=0)
                flow.running_mean.copy_(mean)
                flow.running_var.copy_(var)
            x = flow.inverse(x)[0]
        return self


class MADEMoG(DensityModel):
    """조건부 분포가 정규분포 K개의 혼합인 MADE(논문의 MADE MoG). K = 1이면 정규 자기회귀 모델입니다.

    p(x_i | x_<i) = Σ_k π_ik N(x_i; μ_ik, exp(α_ik)²)

    비용: 밀도는 신경망 1번, 표본은 D번. ``sample(n, noise=z)``는 K = 1일 때 잡음 z ``(n, D)``를 그대로 씁니다.
    """

    def __init__(
        self,
        dim: int,
        components: int = 10,
        hidden=(64, 64),
        order="natural",
        preprocess: Flow | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.event_shape, self.components = torch.Size([dim]), components
        options = {"order": order, "degrees": "even", "activation": relu_with(dropout)}
        self.net = MaskedMLP(dim, hidden, 3 * components, **options)
        self.preprocess = preprocess
        with torch.no_grad():  # 성분의 평균을 [−1.5, 1.5]에 펼쳐 두어야 서로 다른 봉우리를 맡습니다
            spread = torch.linspace(-1.5, 1.5, components) if components > 1 else torch.zeros(1)
            self.net.layers[-1].bias.view(3, components, dim)[1] += spread[:, None]

    def conditionals(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log π, μ, α. 저마다 ``(B, D, K)``"""
        logits, mu, alpha = self.net(x).unflatten(-1, (3, self.components)).unbind(-2)
        return log_softmax(logits, -1), mu, bounded(alpha)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        check_batch(x, self.event_shape)
        log_det = 0.0
        if self.preprocess is not None:
            x, log_det = self.preprocess.inverse(x)
        log_weight, mu, alpha = self.conditionals(x)
        u = (x[..., None] - mu) * (-alpha).exp()
        log_normal = -0.5 * u.square() - alpha - 0.5 * LOG_2PI
        return (log_weight + log_normal).logsumexp(-1).sum(1) + log_det

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        refuse_condition(y)
        if noise is not None and self.components > 1:
            raise ValueError("noise는 components = 1일 때에만 쓸 수 있습니다.")
        x = self.net.layers[0].weight.new_zeros(n, *self.event_shape)
        noise = torch.randn_like(x) if noise is None else noise
        for i in self.net.order[0].argsort().tolist():
            log_weight, mu, alpha = (t[:, i] for t in self.conditionals(x))  # (n, K)
            k = log_weight.exp().multinomial(1)
            x[:, i] = alpha.gather(1, k)[:, 0].exp() * noise[:, i] + mu.gather(1, k)[:, 0]
        return x if self.preprocess is None else self.preprocess(x)[0]


class MAFMoG(MAF):
    """기저분포가 MADE MoG인 MAF(논문의 MAF MoG). 인자는 ``MAF``와 같고 components가 더 있습니다."""

    def __init__(self, dim: int, layers: int = 5, hidden=(64, 64), components: int = 10, **options):
        super().__init__(dim, layers, hidden, **options)
        order = torch.arange(dim) if layers % 2 == 0 else torch.arange(dim).flip(0)
        self.mixture = MADEMoG(dim, components, hidden, order)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        self._refuse_condition(y)
        check_batch(x, self.event_shape)
        z, log_det = self.flow.inverse(x)
        return self.mixture.log_prob(z) + log_det

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        self._refuse_condition(y)
        return self.flow(self.mixture.sample(n))[0]
