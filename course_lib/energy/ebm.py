"""에너지 기반 모델: 정규화 상수를 모르는 밀도를 배우고, 마르코프 연쇄로 표본을 뽑습니다.

    p(x) = exp(−E(x)) / Z,   Z = ∫ exp(−E(x)) dx
    ∇_θ log p(x) = −∇_θ E(x) + E_{x′~p}[∇_θ E(x′)]          (양의 위상 − 음의 위상)

둘째 항에 모델의 표본이 필요합니다. 표본은 기울기 ∇_x E만 있으면 뽑을 수 있고 Z는 지워집니다.

    langevin   걸음이 크면 치우치는 랑주뱅 동역학(Parisi, 1981; Welling, Teh, 2011)
    mala       받아들일지를 따져 치우침을 없앤 것(Roberts, Tweedie, 1996)
    ContrastiveDivergence  연쇄를 짧게 돌려 배우는 손실. 출발점이 데이터면 CD-k(Hinton, 2002), 잡음이면
               짧은 연쇄(Nijkamp et al., 2019, arXiv 1904.09770), ReplayBuffer면 이어 달리는 연쇄
               (Tieleman, 2008; Du, Mordatch, 2019, arXiv 1903.08689)
"""

import contextlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from course_lib.base import check_batch
from course_lib.gan.sngan import SNLinear

Energy = Callable[[Tensor], Tensor]  # (B, *event_shape) → (B,)


class EnergyModel(nn.Module):
    """에너지 E(x) = f(x) + ‖x‖²/(2 s²), (B, *event_shape) → (B,). ``log_prob``는 없습니다(Z를 모릅니다).

    net    f: (B, *event_shape) → (B, 1) 또는 (B,)
    scale  s. 주면 먼 곳의 에너지가 반드시 커져 Z가 유한합니다(f가 곧은 신경망이면 많아야 일차로 줄어듭니다).
           None이면 더하지 않으며, 상자에 갇힌 자료(화소)에 씁니다.
    """

    def __init__(self, net: nn.Module, event_shape, scale: float | None = None):
        super().__init__()
        if scale is not None and not scale > 0:
            raise ValueError(f"scale은 0보다 커야 하는데 {scale}을 받았습니다.")
        self.net, self.event_shape, self.scale = net, torch.Size(event_shape), scale

    def forward(self, x: Tensor) -> Tensor:
        check_batch(x, self.event_shape)
        energy = self.net(x).reshape(len(x))
        if self.scale is not None:
            energy = energy + x.flatten(1).square().sum(1) / (2 * self.scale**2)
        return energy


def energy_mlp(
    dim: int, hidden: Sequence[int] = (128, 128), *, scale: float | None = None, spectral=False
) -> EnergyModel:
    """완전연결 에너지 (B, dim) → (B,). 활성화는 SiLU입니다.

    랑주뱅은 E의 *기울기*를 따라 걸으므로 꺾인 곳이 없는 활성화가 낫습니다. spectral이면 층마다 스펙트럼 정규화를
    합니다(Du, Mordatch, 2019). 그러면 f의 기울기가 SiLU의 기울기 한계 1.1의 거듭제곱을 넘지 못합니다.
    """
    linear = SNLinear if spectral else nn.Linear
    sizes, layers = [dim, *hidden], []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [linear(a, b), nn.SiLU()]
    return EnergyModel(nn.Sequential(*layers, linear(sizes[-1], 1)), (dim,), scale)


class EnergySum(nn.Module):
    """전문가의 곱: Σ w_i E_i(x)는 밀도의 곱 Π p_i(x)^{w_i}를 다시 정규화한 것의 에너지입니다.

    Hinton, 2002. 에너지를 더해 조건을 겹치는 쓰임은 Du, Li, Mordatch, 2020, arXiv 2004.06030에 있습니다.
    """

    def __init__(self, energies: Sequence[Energy], weights: Sequence[float] | None = None):
        super().__init__()
        self.energies = list(energies)
        self.weights = [1.0] * len(self.energies) if weights is None else list(weights)
        if not self.energies or len(self.weights) != len(self.energies):
            raise ValueError(
                f"에너지 {len(self.energies)}개에 무게가 {len(self.weights)}개입니다. 수를 맞추세요."
            )
        self.models = nn.ModuleList(e for e in self.energies if isinstance(e, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        return sum(w * e(x) for w, e in zip(self.weights, self.energies, strict=True))


# ------------------------------------------------------------------ 격자: Z를 아는 작은 세계


def grid(box: Sequence[float], points: int, dtype=torch.float64) -> tuple[Tensor, float]:
    """상자를 고르게 나눈 칸의 중심 (points^D, D)와 log(칸의 부피).

    box  (낮은 끝, 높은 끝)이면 1차원, (x₁ 낮은 끝, x₁ 높은 끝, x₂ 낮은 끝, x₂ 높은 끝)이면 2차원
    오류  차원이 셋 이상이면 ValueError. 칸의 수가 points^D로 늘기 때문입니다.
    """
    if len(box) not in (2, 4) or points < 2:
        raise ValueError(
            f"격자는 1차원 (낮은 끝, 높은 끝)이나 2차원의 네 수, 칸은 2개 이상이어야 합니다: {box}, {points}. "
            "차원이 더 높으면 칸이 너무 많으니 langevin이나 mala로 표본을 뽑으세요."
        )
    axes, log_cell = [], 0.0
    for low, high in zip(box[::2], box[1::2], strict=True):
        if not high > low:
            raise ValueError(f"상자의 높은 끝이 낮은 끝보다 커야 합니다: {low}, {high}.")
        step = (high - low) / points
        axes.append(low + step * (torch.arange(points, dtype=torch.float64) + 0.5))
        log_cell += math.log(step)
    return torch.cartesian_prod(*axes).reshape(-1, len(axes)).to(dtype), log_cell


def log_partition(
    energy: Energy, box: Sequence[float], points: int = 200, dtype: torch.dtype | None = None
) -> Tensor:
    """log Z = log ∫_box exp(−E(x)) dx를 격자의 합으로, nats, 스칼라. 매개변수로 기울기가 흐릅니다.

    log Σ exp로 더하므로 에너지가 커도 넘치지 않습니다. 상자 밖의 몫은 빠집니다. dtype은 격자점의
    자료형이고, 생략하면 매개변수의 것(매개변수가 없으면 float64)입니다.
    """
    x, log_cell = grid(box, points, dtype or _dtype(energy))
    return (-energy(x)).logsumexp(0) + log_cell


def grid_log_prob(
    energy: Energy, box: Sequence[float], points: int = 200, dtype: torch.dtype | None = None
) -> Energy:
    """상자 안에서 정규화한 log p(x) = −E(x) − log Z, (B, D) → (B,) nats. log Z는 한 번만 잽니다."""
    with torch.no_grad():
        log_z = log_partition(energy, box, points, dtype)
    return lambda x: -energy(x) - log_z


def phase_difference(
    energy: Energy, data: Tensor, fake: Tensor, weights: Tensor | None = None
) -> Tensor:
    """평균 E(데이터) − 평균 E(모델의 표본), 스칼라. θ로 미분하면 음의 로그우도의 기울기입니다.

    weights  표본의 무게 (M,), 합이 1. 격자점을 확률로 달아 주면 기댓값이 정확합니다. 생략하면 1/M입니다.
    값 자체는 손실이 *아닙니다*: 0에 가깝다고 잘 배운 것도, 줄어든다고 나아지는 것도 아닙니다.
    """
    negative = energy(fake)
    negative = negative.mean() if weights is None else (weights * negative).sum()
    return energy(data).mean() - negative


# ------------------------------------------------------------------ 표본


def slope(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """에너지와 그 기울기: (E(x) (B,), ∇_x E(x) (B, …)). 점수(score)는 ∇_x log p = −∇_x E입니다.

    매개변수의 ``.grad``는 건드리지 않습니다. E에 상수를 더해도 같으므로 Z가 나타나지 않습니다.
    """
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        value = energy(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def langevin(
    energy: Energy,
    x: Tensor,
    steps: int,
    step_size: float,
    *,
    temperature: float = 1.0,
    noise: float | None = None,
    clip: float | None = None,
    box: tuple[float, float] | None = None,
    generator: torch.Generator | None = None,
    every: int | None = None,
) -> Tensor:
    """조정하지 않은 랑주뱅 동역학: x ← x − (η/2) ∇E(x) + √(ηT) ξ,  ξ ~ N(0, I).

    η → 0에서 정상분포가 exp(−E/T)/Z입니다. η > 0이면 치우칩니다. E = x²/(2σ²)이면 정상분포의 분산은
    T σ²/(1 − η/(4σ²))이고 η ≥ 4σ²이면 발산합니다(받아들이기를 따지는 ``mala``에는 이 치우침이 없습니다).

    x            출발점 (B, …). 그대로 두고 새 텐서를 돌려줍니다
    noise        주면 √(ηT) 대신 이 값을 잡음의 크기로 씁니다. 실무의 요령이며(Du, Mordatch, 2019는 η/2 = 10,
                 잡음 0.005) exp(−E)의 옳은 표본 추출이 *아니라* 온도 noise²/η의 표본 추출에 가깝습니다
    clip         기울기의 좌표마다 [−clip, clip]으로 자릅니다. 자르면 정상분포도 달라집니다
    box          (낮은 끝, 높은 끝)을 주면 걸음마다 그 안으로 자릅니다(화소)
    every        주면 출발점과 ``every``걸음마다의 자리 (steps // every + 1, B, …)를 돌려줍니다

    도는 동안 energy가 nn.Module이면 eval()로 두고 되돌려 놓으므로, 스펙트럼 정규화의 버퍼도 바뀌지 않습니다.
    """
    _check_walk(x, steps, step_size)
    if temperature < 0 or (noise is not None and noise < 0):
        raise ValueError(f"온도와 잡음은 0 이상이어야 합니다: {temperature}, {noise}.")
    spread = math.sqrt(step_size * temperature) if noise is None else noise
    path = [x.detach().clone()]
    with _still(energy):
        for k in range(1, steps + 1):
            gradient = slope(energy, x)[1]
            if clip is not None:
                gradient = gradient.clamp(-clip, clip)
            x = x.detach() - 0.5 * step_size * gradient + spread * _normal(x, generator)
            if box is not None:
                x = x.clamp(*box)
            if every and k % every == 0:
                path.append(x)
    if not x.isfinite().all():
        raise ValueError(
            f"연쇄가 {steps}걸음 안에 발산했습니다. step_size({step_size:g})를 줄이거나 clip을 주세요."
        )
    return torch.stack(path) if every else x


def log_acceptance(energy: Energy, x: Tensor, y: Tensor, step_size: float) -> Tensor:
    """x에서 y로 가자는 랑주뱅 제안의 log[p(y) q(x|y) / (p(x) q(y|x))], (B,). 1에서 자르기 전의 값입니다.

    q(y|x) = N(y; x − (η/2)∇E(x), η I).  Z와 (2πη)^{−D/2}는 분자와 분모에서 지워집니다.
    """
    energy_x, slope_x = slope(energy, x)
    energy_y, slope_y = slope(energy, y)
    return _log_ratio(x, energy_x, slope_x, y, energy_y, slope_y, step_size)


def mala(
    energy: Energy,
    x: Tensor,
    steps: int,
    step_size: float,
    *,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, float]:
    """메트로폴리스로 조정한 랑주뱅(MALA): 제안 y를 확률 min(1, p(y)q(x|y)/(p(x)q(y|x)))로 받아들입니다.

    세부 균형을 지키므로 η가 커도 정상분포가 정확히 p입니다. 대신 η가 크면 거의 받아들이지 않습니다
    (Roberts, Tweedie, 1996). (끝자리 (B, …), 받아들인 비율)을 돌려줍니다.
    """
    _check_walk(x, steps, step_size)
    accepted = 0.0
    with _still(energy):
        x = x.detach()
        here = slope(energy, x)
        for _ in range(steps):
            y = x - 0.5 * step_size * here[1] + math.sqrt(step_size) * _normal(x, generator)
            there = slope(energy, y)
            ratio = _log_ratio(x, *here, y, *there, step_size)
            u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
            yes = u.log() < ratio  # NaN이면 거짓이므로 받아들이지 않습니다
            wide = yes.reshape(-1, *[1] * (x.ndim - 1))
            x = torch.where(wide, y, x)
            here = torch.where(yes, there[0], here[0]), torch.where(wide, there[1], here[1])
            accepted += float(yes.double().mean())
    return x, accepted / steps


class ReplayBuffer:
    """이어 달리는 연쇄들의 자리 ``(size, …)``. ``draw``로 빌려 몇 걸음 걷고 ``put``으로 돌려놓습니다.

    fresh    n → 새 출발점 (n, …). 버퍼를 채우고, 빌릴 때마다 ``restart``의 비율을 새것으로 바꿉니다
    restart  0이고 매번 모두 빌리면 Tieleman(2008)의 지속 대조 발산(PCD), 0.05면 Du, Mordatch(2019)

    공개 코드는 걸은 표본을 5만 개짜리 버퍼에 *덧붙이고*(차면 오래된 것부터 덮고) 되풀이를 허락해 뽑습니다. 여기서는 서로 다른 자리를 빌려
    제자리에 돌려놓습니다(JEM, Grathwohl et al., 2020, arXiv 1912.03263과 같음). 난수는 torch의 전역 난수입니다.
    """

    def __init__(self, size: int, fresh: Callable[[int], Tensor], restart: float = 0.05):
        if size < 1 or not 0 <= restart <= 1:
            raise ValueError(f"size는 1 이상, restart는 0과 1 사이여야 합니다: {size}, {restart}.")
        self.fresh, self.restart = fresh, restart
        self.chains = fresh(size).detach().clone()

    def __len__(self) -> int:
        return len(self.chains)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """(출발점 (n, …), 버퍼의 번호 (n,)). 번호는 서로 다릅니다."""
        if not 1 <= n <= len(self):
            raise ValueError(
                f"버퍼에는 {len(self)}개뿐인데 {n}개를 빌리려 합니다. size를 키우세요."
            )
        where = torch.randperm(len(self))[:n]
        x = self.chains[where].clone()
        new = torch.rand(n) < self.restart
        if new.any():
            x[new] = self.fresh(int(new.sum())).to(x)
        return x, where

    def put(self, where: Tensor, x: Tensor) -> None:
        """걸은 자리를 돌려놓습니다."""
        self.chains[where] = x.detach().to(self.chains)


class ContrastiveDivergence:
    """대조 발산 손실: ``fit(model, ContrastiveDivergence(…), batches)``에 넘깁니다.

        E(x⁺) − E(x⁻) + α (E(x⁺)² + E(x⁻)²)     (배치 평균, Du, Mordatch, 2019의 식)

    start       x⁻의 출발점: "data"(CD-k), ReplayBuffer, 또는 n → (n, …)인 함수(늘 새 잡음에서)
    steps, step_size, 그 밖의 이름 있는 값    ``langevin``에 넘깁니다
    alpha       에너지의 크기를 잡아 두는 벌점. 없으면 상수만큼 마음대로 떠다닙니다. 공개 코드는 1.
                온도 1의 연쇄와 함께 쓰면 밀도가 납작해집니다(data/results/energy_drift.json)
    data_noise  데이터에 더하는 정규 잡음의 표준편차(밀도가 무한히 뾰족해지지 않게 합니다)
    last        마지막 배치의 {"data": E(x⁺), "fake": E(x⁻)}의 평균과 표본 "samples"

    표본 x⁻는 상수로 봅니다. 논문의 식에는 연쇄를 지나는 KL 항도 있지만 공개된 명령이 그것을 끄므로 두지 않았습니다.
    기울기 자르기는 ``fit``의 max_grad_norm(전체 노름)으로 합니다. 공개 코드는 Adam의 제곱 평균으로
    매개변수마다 3 표준편차에서 자릅니다.
    """

    def __init__(self, start, *, steps: int, step_size: float, alpha=0.0, data_noise=0.0, **walk):
        if not (start == "data" or callable(start) or isinstance(start, ReplayBuffer)):
            raise ValueError(
                f'start는 "data", ReplayBuffer, 함수 가운데 하나여야 합니다: {start!r}.'
            )
        if alpha < 0 or data_noise < 0:
            raise ValueError(f"alpha와 data_noise는 0 이상이어야 합니다: {alpha}, {data_noise}.")
        self.start, self.alpha, self.data_noise = start, alpha, data_noise
        self.walk = {"steps": steps, "step_size": step_size, **walk}
        self.last: dict = {}

    def __call__(self, model: nn.Module, data: Tensor) -> Tensor:
        if self.data_noise:
            data = data + self.data_noise * torch.randn_like(data)
        where = None
        if isinstance(self.start, ReplayBuffer):
            x, where = self.start.draw(len(data))
        else:
            x = data if self.start == "data" else self.start(len(data))
        fake = langevin(model, x, **self.walk)
        if where is not None:
            self.start.put(where, fake)
        both = model(torch.cat([data, fake]))  # 한 번에 계산하면 배치 하나의 앞먹임으로 끝납니다
        positive, negative = both[: len(data)], both[len(data) :]
        self.last = {
            "data": float(positive.detach().mean()),
            "fake": float(negative.detach().mean()),
            "samples": fake,
        }
        loss = positive.mean() - negative.mean()
        return loss + self.alpha * (positive.square() + negative.square()).mean()


@contextlib.contextmanager
def _still(energy: Energy):
    """표본을 뽑는 동안 모델을 eval()에 두고, 나올 때 부품마다 제 상태로 되돌립니다."""
    parts = list(energy.modules()) if isinstance(energy, nn.Module) else []
    before = [part.training for part in parts]
    for part in parts:
        part.training = False
    try:
        yield
    finally:
        for part, training in zip(parts, before, strict=True):
            part.training = training


def _check_walk(x: Tensor, steps: int, step_size: float) -> None:
    check_batch(x, x.shape[1:], "출발점 x")
    if steps < 0 or not step_size > 0:
        raise ValueError(
            f"steps는 0 이상, step_size는 0보다 커야 하는데 {steps}, {step_size}를 받았습니다."
        )


def _normal(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _log_ratio(x, energy_x, slope_x, y, energy_y, slope_y, step_size: float) -> Tensor:
    forth = (y - x + 0.5 * step_size * slope_x).flatten(1).square().sum(1)  # −2η log q(y|x)
    back = (x - y + 0.5 * step_size * slope_y).flatten(1).square().sum(1)  # −2η log q(x|y)
    return energy_x - energy_y + (forth - back) / (2 * step_size)


def _dtype(energy: Energy) -> torch.dtype:
    parameter = next(energy.parameters(), None) if isinstance(energy, nn.Module) else None
    return torch.float64 if parameter is None else parameter.dtype
