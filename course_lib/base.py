"""강의 전체가 공유하는 인터페이스. 이 파일 하나를 읽으면 나머지 모든 모델의 모양을 알 수 있습니다.

기호: ``x`` 데이터, ``z`` 잠재 변수(또는 기저분포의 표본), ``y`` 클래스, ``B`` 배치 크기, ``D`` 차원.

세 가지 약속
1. **로그밀도는 nats 단위의 ``(B,)`` 텐서**입니다. 평균이나 합으로 줄여서 돌려주지 않습니다.
2. **생성 방향 z → x가 ``forward``** 입니다. ``forward``와 ``inverse``는 값과 함께 *자기 방향의*
   log|det|를 한 번에 돌려줍니다. 따라서 두 log-det의 합은 항상 0입니다.
3. **정확한 우도만 ``log_prob``** 라고 부릅니다. 하한은 ``elbo``이고, GAN에는 둘 다 없습니다.

    DensityModel          정확한 log p(x)를 계산할 수 있는 모델
    └─ FlowModel          기저분포 + 가역 변환(Flow)
    Flow                  가역 변환 하나; Compose로 잇고 Inverse로 뒤집습니다
    LatentVariableModel   log p(x)는 모르고 하한(ELBO)만 아는 모델
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, Transform, constraints
from torch.nn.functional import logsigmoid


class Logistic(Distribution):
    """로지스틱 분포: u = (x − loc)/scale 일 때 log p(x) = log σ(u) + log σ(−u) − log scale.

    정규분포보다 꼬리가 두껍고, scale = 1일 때 엔트로피는 정확히 2 nats입니다.
    NICE(Dinh et al., 2014, arXiv 1410.8516)의 기저분포이며 Parallel WaveNet의 잡음이기도 합니다.
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None):
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.scale * math.pi) ** 2 / 3

    def rsample(self, sample_shape=()) -> Tensor:
        # 역 CDF: u ~ U(0, 1)이면 logit(u)는 로지스틱 분포를 따릅니다. 0과 1은 잘라 냅니다.
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        tiny = torch.finfo(u.dtype).tiny
        u = u.clamp(tiny, 1 - torch.finfo(u.dtype).eps)
        return self.loc + self.scale * torch.logit(u)

    def log_prob(self, value: Tensor) -> Tensor:
        u = (value - self.loc) / self.scale
        return logsigmoid(u) + logsigmoid(-u) - self.scale.log()

    def entropy(self) -> Tensor:
        return 2 + self.scale.log()


def standard_normal(zeros: Tensor) -> Distribution:
    """``zeros``와 같은 모양의 표준정규분포 N(0, I). ``log_prob``는 사건 축을 모두 더한 값입니다."""
    normal = Normal(zeros, torch.ones_like(zeros), validate_args=False)
    return Independent(normal, zeros.ndim, validate_args=False)


def standard_logistic(zeros: Tensor) -> Distribution:
    """``zeros``와 같은 모양의 표준 로지스틱 분포. 차원마다 독립입니다."""
    logistic = Logistic(zeros, torch.ones_like(zeros), validate_args=False)
    return Independent(logistic, zeros.ndim, validate_args=False)


def check_batch(x: Tensor, event_shape: torch.Size, name: str = "x") -> None:
    """``x``가 ``(B, *event_shape)`` 모양의 유한한 실수 배치가 아니면 ``ValueError``를 냅니다."""
    if x.shape[1:] != event_shape or x.ndim != len(event_shape) + 1:
        want = ", ".join(["B", *map(str, event_shape)])
        raise ValueError(
            f"{name}의 모양은 ({want})이어야 하는데 {tuple(x.shape)}을 받았습니다. "
            "표본 하나라면 x[None]처럼 배치 축을 앞에 붙이세요."
        )
    if len(x) == 0:
        raise ValueError(f"{name}가 빈 배치입니다. 표본을 하나 이상 넣으세요.")
    if not x.is_floating_point():
        raise ValueError(
            f"{name}의 자료형이 {x.dtype}입니다. x.float()으로 실수로 바꾸세요. "
            "정수 화소라면 units.dequantise로 잡음을 더하세요."
        )
    # 합이 유한하면 모두 유한합니다. 원소를 하나씩 보는 것보다 스무 배쯤 빠릅니다
    if not x.detach().sum().isfinite() and not x.isfinite().all():
        raise ValueError(f"{name}에 NaN이나 무한대가 있습니다. 데이터를 먼저 확인하세요.")


class DensityModel(nn.Module):
    """정확한 로그우도를 계산하는 모델. 하위 클래스는 ``event_shape``를 생성자에서 정합니다."""

    event_shape: torch.Size

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x) 또는 log p(x|y), 단위 nats, 모양 ``(B,)``."""
        raise NotImplementedError

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """모델에서 뽑은 표본 ``(n, *event_shape)``. 기울기는 흐르지 않습니다."""
        raise NotImplementedError


class Flow(nn.Module):
    """가역 변환 하나. 두 방향 모두 값과 *그 방향의* log|det J|를 함께 돌려줍니다.

    forward(z) → (x, log|det ∂x/∂z|)    생성 방향
    inverse(x) → (z, log|det ∂z/∂x|)    밀도를 계산하는 방향

    log-det의 모양은 ``(B,)``입니다. ``inverse``의 log-det를 ``forward``의 부호만 바꾼 것으로
    *구현하지 않고* 자기 식으로 계산하게 하면, 둘의 합이 0인지가 곧 시험이 됩니다(checks.check_flow).
    """

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def as_transform(self, event_dim: int = 1) -> Transform:
        """``torch.distributions``의 ``Transform``으로 보이게 감쌉니다(Pyro에서도 씁니다)."""
        return _FlowTransform(self, event_dim)


class Compose(Flow):
    """여러 Flow를 생성 순서 z → x로 잇습니다: x = f_M(… f_2(f_1(z))).

    log|det ∂x/∂z| = Σ_m log|det ∂h_m/∂h_{m−1}| (연쇄 법칙과 det(AB) = det A · det B).
    """

    def __init__(self, *flows: Flow):
        super().__init__()
        self.flows = nn.ModuleList(flows)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(len(z))
        for flow in self.flows:
            z, log_det = flow(z)
            total = total + log_det
        return z, total

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for flow in reversed(self.flows):
            x, log_det = flow.inverse(x)
            total = total + log_det
        return x, total


class Inverse(Flow):
    """Flow의 방향을 뒤집습니다. MAF를 뒤집으면 표본 추출이 빠른 IAF 꼴이 됩니다."""

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow.inverse(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow(x)


class FlowModel(DensityModel):
    """기저분포를 Flow로 옮긴 밀도 모델.

    log p_X(x) = log p_Z(f⁻¹(x)) + log|det ∂f⁻¹(x)/∂x|

    flow         z → x 방향의 Flow
    event_shape  x 하나의 모양
    base         ``zeros``를 받아 같은 모양의 분포를 돌려주는 함수(standard_normal 등)
    latent_shape z 하나의 모양. 기본값은 ``event_shape``이고, 원소 수는 같아야 합니다.
    """

    def __init__(self, flow: Flow, event_shape, base=standard_normal, latent_shape=None):
        super().__init__()
        self.flow = flow
        self.event_shape = torch.Size(event_shape)
        self.latent_shape = torch.Size(event_shape if latent_shape is None else latent_shape)
        if self.latent_shape.numel() != self.event_shape.numel():
            raise ValueError(
                f"flow는 차원을 바꾸지 못합니다: z는 {self.latent_shape.numel()}차원, "
                f"x는 {self.event_shape.numel()}차원입니다."
            )
        self._base = base
        self.register_buffer("zeros", torch.zeros(self.latent_shape), persistent=False)

    @property
    def base(self) -> Distribution:
        """기저분포 p_Z. 모델을 옮긴 장치와 자료형을 따라갑니다."""
        return self._base(self.zeros)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        self._refuse_condition(y)
        check_batch(x, self.event_shape)
        z, log_det = self.flow.inverse(x)
        return self.base.log_prob(z) + log_det

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        self._refuse_condition(y)
        return self.flow(self.base.sample((n,)))[0]

    def rsample_and_log_prob(self, n: int) -> tuple[Tensor, Tensor]:
        """표본과 그 로그밀도를 한 번의 ``forward``로 얻습니다. 기울기가 흐릅니다.

        log p_X(x) = log p_Z(z) − log|det ∂x/∂z|. 자기 표본의 밀도에는 ``inverse``가 필요 없습니다.
        """
        base = self.base
        z = base.rsample((n,))
        x, log_det = self.flow(z)
        return x, base.log_prob(z) - log_det

    def path(self, z: Tensor) -> list[Tensor]:
        """z가 층을 지날 때마다의 위치 [z, h_1, …, x]. 2D 변형 위젯이 이 목록을 그립니다."""
        layers = self.flow.flows if isinstance(self.flow, Compose) else [self.flow]
        points = [z]
        for layer in layers:
            points.append(layer(points[-1])[0])
        return points

    def _refuse_condition(self, y) -> None:
        if y is not None:
            raise ValueError("이 flow는 조건 y를 받지 않습니다. y 없이 호출하세요.")


class LatentVariableModel(nn.Module):
    """잠재 변수 모델 p(x) = ∫ p(z) p(x|z) dz. 적분을 계산할 수 없어 ``log_prob``가 없습니다.

    하위 클래스는 ``prior``, ``encode``, ``decode``를 정하며 셋 모두 torch.distributions 객체를
    돌려줍니다. 그 ``log_prob``는 사건 축을 모두 더해 ``(B,)``가 되도록 ``Independent``로 감쌉니다.
    """

    def prior(self) -> Distribution:
        """p(z)"""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Distribution:
        """q(z|x), 배치 모양 ``(B,)``"""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Distribution:
        """p(x|z), 배치 모양은 z의 배치 모양과 같습니다"""
        raise NotImplementedError

    def elbo(self, x: Tensor) -> Tensor:
        """log p(x)의 하한을 표본 하나로 추정한 값, nats, ``(B,)``.

        L(x) = E_q[log p(x|z) + log p(z) − log q(z|x)] ≤ log p(x)
        """
        return self._log_weight(x, self.encode(x), ())

    def importance_log_prob(self, x: Tensor, k: int) -> Tensor:
        """중요도 가중 추정 log (1/k) Σ_i p(x, z_i)/q(z_i|x), z_i ~ q(z|x). 모양 ``(B,)``.

        기댓값은 log p(x)의 하한이고 k가 커지면 단조 증가하여 log p(x)에 다가갑니다
        (Burda et al., 2016, arXiv 1509.00519). 표본을 나누어 더하므로 메모리는 k에 비례하지 않습니다.
        """
        if k < 1:
            raise ValueError(f"k는 1 이상이어야 하는데 {k}를 받았습니다.")
        q = self.encode(x)
        chunk = max(1, min(k, 50_000 // len(x)))
        parts = [
            self._log_weight(x, q, (min(chunk, k - start),)).logsumexp(0)
            for start in range(0, k, chunk)
        ]
        return torch.stack(parts).logsumexp(0) - math.log(k)

    def _log_weight(self, x: Tensor, q: Distribution, shape: tuple) -> Tensor:
        z = q.rsample(shape)
        return self.decode(z).log_prob(x) + self.prior().log_prob(z) - q.log_prob(z)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """z ~ p(z), x ~ p(x|z)로 뽑은 표본 ``(n, …)``."""
        return self.decode(self.prior().sample((n,))).sample()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """q(z|x)의 평균을 디코더에 넣어 얻은 p(x|z)의 평균."""
        return self.decode(self.encode(x).mean).mean


class _FlowTransform(Transform):
    """Flow를 torch.distributions.Transform으로 보이게 하는 얇은 껍질."""

    bijective = True

    def __init__(self, flow: Flow, event_dim: int):
        super().__init__()
        self.flow = flow
        self.domain = self.codomain = constraints.independent(constraints.real, event_dim)
        self._last = (None, None, None)  # 방금 지나온 (z, x, log|det ∂x/∂z|)

    def _call(self, z: Tensor) -> Tensor:
        x, log_det = self.flow(z)
        self._last = (z, x, log_det)
        return x

    def _inverse(self, x: Tensor) -> Tensor:
        z, log_det = self.flow.inverse(x)
        self._last = (z, x, -log_det)
        return z

    def log_abs_det_jacobian(self, z: Tensor, x: Tensor) -> Tensor:
        last_z, last_x, log_det = self._last
        if last_z is z and last_x is x:
            return log_det
        return self.flow(z)[1]
