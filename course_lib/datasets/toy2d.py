"""답을 아는 2D 분포들: 표본을 뽑을 수 있고, log p(x)와 엔트로피도 정확히 압니다.

모델의 시험 NLL은 KL(p‖q) = NLL − H(p) ≥ 0만큼 엔트로피 H(p)보다 큽니다. 따라서 H를 알면 남은 거리를
알고, NLL이 H보다 작게 나오면(표본 오차 이상으로) 어딘가 log-det의 부호가 틀린 것입니다.

log p(x)를 얻는 길은 셋입니다.
- 닫힌 식: ring8, grid25, checkerboard, banana, rings(라이스 분포의 식)
- 잡음 낀 곡선(moons, spirals): 곡선 위의 위치 v에 대한 적분
  p(x) = ∫ p(v) N(x; c(v), σ²I) dv를 Gauss–Legendre 구적법으로 계산합니다.
  곡선이 서로 가까운 곳에서는 두 곡선의 몫이 그대로 더해집니다.
- 변수 변환(pinwheel): 가우시안을 비튼 것이므로 flow와 똑같이 |det J|로 나눕니다.

따로 적지 않은 정의는 FFJORD(Grathwohl et al., 2019, arXiv 1810.01367)의 2D 실험을 따릅니다.
"""

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from course_lib.base import check_batch


class Toy2D:
    """2D 분포 하나.

    name     한국어 이름
    extent   거의 모든 확률(1 − 10⁻⁶ 이상)이 들어가는 직사각형 (x₁ 최소, 최대, x₂ 최소, 최대)
    scale    밀도가 변하는 가장 작은 길이(가우시안의 표준편차). 수치 적분의 격자 간격을 정합니다.
    """

    name: str
    extent: tuple[float, float, float, float]
    scale: float

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """표본 ``(n, 2)`` float32. 같은 seed의 generator는 같은 표본을 줍니다.

        generator를 주면 그 장치에서, 주지 않으면 CPU에서 torch의 전역 난수로 뽑습니다.
        오류: n이 1 이상의 정수가 아니면 ValueError.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"표본 수 n은 1 이상의 정수여야 하는데 {n!r}을 받았습니다.")
        return self._sample(n, _Random(generator))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, ``(B,)``. 안에서는 float64로 계산하고 x의 자료형으로 돌려줍니다.

        오류: x가 ``(B, 2)`` 모양의 유한한 실수가 아니면 ValueError.
        """
        check_batch(x, torch.Size([2]))
        parts = [self._log_prob(part) for part in x.double().split(4096)]  # 메모리를 아낍니다
        return torch.cat(parts).to(x.dtype)

    @cached_property
    def entropy(self) -> float:
        """H = −∫ p log p dx, nats. 닫힌 식이 없으면 격자 위의 수치 적분(오차 10⁻⁴ 이하)입니다."""
        points, cell = self.grid()
        log_p = self.log_prob(points)
        return -float(torch.special.xlogy(log_p.exp(), log_p.exp()).sum() * cell)

    def grid(self) -> tuple[Tensor, float]:
        """extent를 덮는 float64 격자점 ``(N, 2)``과 한 칸의 넓이.

        간격이 scale의 절반이면 가우시안의 격자 합은 적분과 10⁻³⁰ 안에서 같습니다.
        """
        x_min, x_max, y_min, y_max = self.extent
        nx = math.ceil((x_max - x_min) / (self.scale / 2))
        ny = math.ceil((y_max - y_min) / (self.scale / 2))
        dx, dy = (x_max - x_min) / nx, (y_max - y_min) / ny
        x = x_min + dx * (torch.arange(nx, dtype=torch.float64) + 0.5)
        y = y_min + dy * (torch.arange(ny, dtype=torch.float64) + 0.5)
        return torch.cartesian_prod(x, y), dx * dy

    def _sample(self, n: int, random: "_Random") -> Tensor:
        raise NotImplementedError

    def _log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class _NoisyCurve(Toy2D):
    """곡선 위의 점에 등방 가우시안 잡음을 더한 분포: x = c_k(v) + σε, k는 곡선의 번호."""

    nodes: int  # 구적점의 수. |x| ≤ 3에서 log p의 오차가 10⁻⁵보다 작도록 고릅니다.

    def __init__(self, noise: float):
        if not noise >= 0.05:
            raise ValueError(f"noise는 0.05 이상이어야 정확히 적분됩니다. 받은 값: {noise}.")
        self.scale = self.noise = noise
        v, weight = np.polynomial.legendre.leggauss(self.nodes)
        v, weight = torch.from_numpy((v + 1) / 2), torch.from_numpy(weight / 2)
        curves = self._curves(v)
        self._centres = curves.flatten(0, 1)
        self._log_weight = (weight * self._density(v)).log().repeat(len(curves))
        self._log_weight -= math.log(len(curves))

    def _curves(self, v: Tensor) -> Tensor:
        """v ∈ [0, 1] ``(N,)`` → 곡선들 위의 점 ``(곡선 수, N, 2)``"""
        raise NotImplementedError

    def _density(self, v: Tensor) -> Tensor:
        """p(v)"""
        return torch.ones_like(v)

    def _position(self, u: Tensor) -> Tensor:
        """u ~ U(0, 1)을 v ~ p(v)로 옮기는 역 CDF"""
        return u

    def _sample(self, n, random):
        curves = self._curves(self._position(random.uniform(n)))
        which = random.integer(len(curves), n)
        points = curves[which, torch.arange(n, device=which.device)]
        return points + self.noise * random.normal(n, 2)

    def _log_prob(self, x):
        return _mixture_log_prob(x, self._centres, self._log_weight, self.noise)


class Moons(_NoisyCurve):
    """두 반달: 반지름 1인 두 반원 (cos t, sin t)와 (1 − cos t, ½ − sin t), t ~ U(0, π), 잡음 σ.

    scikit-learn의 ``make_moons``와 같은 분포이며 크기를 바꾸지 않았습니다. σ = 0.05에서 H = 0.289.
    """

    name = "두 반달"
    nodes = 160

    def __init__(self, noise: float = 0.05):
        super().__init__(noise)
        m = 6 * noise
        self.extent = (-1 - m, 2 + m, -0.5 - m, 1 + m)

    def _curves(self, v):
        outer = torch.stack([torch.cos(math.pi * v), torch.sin(math.pi * v)], -1)
        return torch.stack([outer, torch.tensor([1.0, 0.5], device=v.device) - outer])


class Spirals(_NoisyCurve):
    """두 나선: 반지름과 각이 함께 자라는 곡선 (r/3)(−cos r, sin r)과 그 점대칭, r = 3π√u.

    FFJORD의 2spirals에서 한 변 1/6인 균등 잡음을 빼고 가우시안 잡음(σ = 0.1)만 남겼습니다.
    그래야 moons와 같은 식으로 밀도를 정확히 계산할 수 있습니다.
    """

    name = "두 나선"
    nodes = 320

    def __init__(self, noise: float = 0.1):
        super().__init__(noise)
        m = math.pi + 6 * noise
        self.extent = (-m, m, -m, m)

    def _curves(self, v):
        r = 3 * math.pi * v
        arm = torch.stack([-torch.cos(r), torch.sin(r)], -1) * r[:, None] / 3
        return torch.stack([arm, -arm])

    def _density(self, v):
        return 2 * v

    def _position(self, u):
        return u.sqrt()


class GaussianModes(Toy2D):
    """같은 무게, 같은 표준편차의 가우시안을 ``modes`` ``(K, 2)``에 놓은 혼합분포.

    p(x) = (1/K) Σ_k N(x; m_k, sd² I). ``modes``와 ``sd``는 GAN의 mode coverage를 셀 때도 씁니다.
    """

    def __init__(self, name: str, modes: Tensor, sd: float):
        self.name, self.modes, self.scale = name, modes.double(), sd
        self.sd = sd
        low, high = self.modes.amin(0) - 6 * sd, self.modes.amax(0) + 6 * sd
        self.extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
        self._log_weight = torch.full((len(modes),), -math.log(len(modes)), dtype=torch.float64)

    def _sample(self, n, random):
        which = random.integer(len(self.modes), n)
        return self.modes.to(which.device, torch.float32)[which] + self.sd * random.normal(n, 2)

    def _log_prob(self, x):
        return _mixture_log_prob(x, self.modes, self._log_weight, self.sd)


class Ring8(GaussianModes):
    """원 위의 가우시안 8개. 기본값은 FFJORD의 8gaussians(반지름 4/√2, 표준편차 0.5/√2)입니다.

    이웃과 조금 겹치므로 H = 2.832는 겹침을 무시한 식 ln 8 + 1 + ln(2πσ²) = 2.838보다 작습니다.
    """

    def __init__(self, radius: float = 4 / math.sqrt(2), sd: float = 0.5 / math.sqrt(2)):
        angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
        modes = radius * torch.stack([angle.cos(), angle.sin()], -1)
        super().__init__("가우시안 8개의 고리", modes, sd)


class Grid25(GaussianModes):
    """5×5 격자의 가우시안 25개. 기본값은 간격 1/√2, 표준편차 0.05/(2√2)이며 H = −2.0142입니다.

    WGAN-GP(Gulrajani et al., 2017, arXiv 1704.00028)의 25 Gaussians와 같습니다.
    """

    def __init__(self, spacing: float = 1 / math.sqrt(2), sd: float = 0.05 / math.sqrt(8)):
        ticks = spacing * torch.arange(-2, 3, dtype=torch.float64)
        super().__init__("가우시안 25개의 격자", torch.cartesian_prod(ticks, ticks), sd)


class Rings(Toy2D):
    """동심원 네 개: 반지름 R ∈ {0.75, 1.5, 2.25, 3}를 고르게 고르고 각은 균등, 잡음 σ = 0.08.

    각 φ의 적분 (1/2π)∫ exp(ρR cos φ/σ²) dφ = I₀(ρR/σ²)이므로 ρ = |x|에 대해 닫힌 식이 있습니다.
    p(x) = ¼ Σ_R (2πσ²)⁻¹ exp(−(ρ − R)²/2σ²) · e^{−ρR/σ²} I₀(ρR/σ²)
    """

    name = "동심원"

    def __init__(self, noise: float = 0.08):
        self.scale = self.noise = noise
        self.radii = torch.tensor([0.75, 1.5, 2.25, 3.0], dtype=torch.float64)
        m = 3 + 6 * noise
        self.extent = (-m, m, -m, m)

    def _sample(self, n, random):
        which = random.integer(4, n)
        radius = self.radii.to(which.device, torch.float32)[which]
        angle = 2 * math.pi * random.uniform(n)
        points = torch.stack([angle.cos(), angle.sin()], -1) * radius[:, None]
        return points + self.noise * random.normal(n, 2)

    def _log_prob(self, x):
        rho, radii = x.norm(dim=1, keepdim=True), self.radii.to(x.device)  # (B, 1), (4,)
        variance = self.noise**2
        log_bessel = torch.special.i0e(rho * radii / variance).log()
        log_p = log_bessel - (rho - radii) ** 2 / (2 * variance)
        return log_p.logsumexp(1) - math.log(4 * 2 * math.pi * variance)


class Checkerboard(Toy2D):
    """[−4, 4]²의 체커보드: 한 변 2인 16칸 중 8칸에 균등. 넓이가 32이므로 H = ln 32 = 3.4657."""

    name = "체커보드"
    extent = (-4.0, 4.0, -4.0, 4.0)
    scale = 0.5
    entropy = math.log(32)

    def _sample(self, n, random):
        x1 = 8 * random.uniform(n) - 4
        column = torch.div(x1, 2, rounding_mode="floor")
        # 열의 홀짝에 맞는 두 칸(짝수 열은 −2와 0, 홀수 열은 −1과 1) 중 하나를 고릅니다.
        row = 2 * random.integer(2, n) - 2 + column % 2
        u = random.uniform(n).clamp(max=1 - 2**-22)  # row + u가 반올림되어 다음 칸으로 넘지 않게
        return torch.stack([x1, 2 * (row + u)], -1)

    def _log_prob(self, x):
        filled = torch.div(x, 2, rounding_mode="floor").sum(1) % 2 == 0
        inside = ((x >= -4) & (x < 4)).all(1)
        outside = torch.full_like(x[:, 0], -torch.inf)
        return torch.where(filled & inside, -self.entropy, outside)


class Pinwheel(Toy2D):
    """바람개비: f₁ ~ N(1, 0.3²), f₂ ~ N(0, 0.1²)를 각 a_k − ¼e^{f₁}만큼 돌리고 두 배 합니다.

    팔 k = 0, …, 4의 a_k = −2πk/5. 극좌표로 f = ρ(cos θ, sin θ)라 쓰면 비틀기는 길이 ρ를 지키고
    각만 ψ = θ + a_k − ¼e^{ρ cos θ}로 옮깁니다. 따라서 flow의 식 그대로
    p(x) = (1/5) Σ_k N(f) / (4 |∂ψ/∂θ|),  ∂ψ/∂θ = 1 + ¼ f₂ e^{f₁}.
    각 ψ에서 θ를 되찾는 식은 닫힌 꼴이 아니어서 이분법으로 풉니다. ρ가 크면 같은 ψ로 가는 θ가 셋까지
    있지만, f₂ = 0 근처의 하나를 뺀 나머지의 확률은 모두 합해 10⁻⁶보다 작아 버립니다.
    """

    name = "바람개비"
    extent = (-5.6, 5.6, -5.6, 5.6)
    scale = 0.1
    rate = 0.25

    def _sample(self, n, random):
        f = random.normal(n, 2) * torch.tensor([0.3, 0.1], device=random.device)
        f = f + torch.tensor([1.0, 0.0], device=random.device)
        angle = -2 * math.pi / 5 * random.integer(5, n) - self.rate * f[:, 0].exp()
        cos, sin = angle.cos(), angle.sin()
        x = torch.stack([f[:, 0] * cos - f[:, 1] * sin, f[:, 0] * sin + f[:, 1] * cos], -1)
        return 2 * x

    def _log_prob(self, x):
        rho = x.norm(dim=1, keepdim=True) / 2  # (B, 1)
        arm = -2 * math.pi / 5 * torch.arange(5, dtype=x.dtype, device=x.device)
        psi = torch.atan2(x[:, 1:], x[:, :1]) - arm  # (B, 5)
        theta = self._untwist(rho.detach(), psi.detach())
        f1, f2 = rho * theta.cos(), rho * theta.sin()
        log_f = -0.5 * (((f1 - 1) / 0.3) ** 2 + (f2 / 0.1) ** 2) - math.log(2 * math.pi * 0.3 * 0.1)
        slope = 1 + self.rate * f2 * f1.exp()
        return (log_f - slope.abs().clamp_min(1e-300).log()).logsumexp(1) - math.log(5 * 4)

    def _untwist(self, rho: Tensor, psi: Tensor) -> Tensor:
        """θ − ¼e^{ρ cos θ} ≡ ψ (mod 2π)인 θ를 이분법으로 찾습니다. ``(B, 5)``"""

        def twist(theta):
            return theta - self.rate * (rho * theta.cos()).exp()

        def slope(theta):
            return 1 + self.rate * rho * theta.sin() * (rho * theta.cos()).exp()

        # 기울기가 최소인 각과 0 사이에서 기울기가 양수가 되는 첫 각을 찾아 시작점으로 삼습니다.
        # 거기서 한 바퀴를 도는 동안 아래에서 위로 지나는 해는 하나뿐입니다.
        steepest = -torch.acos(2 * rho / (1 + torch.sqrt(1 + 4 * rho**2)))
        start = _bisect(lambda theta: slope(theta) < 0, steepest, torch.zeros_like(rho))
        target = twist(start) + torch.remainder(psi - twist(start), 2 * math.pi)
        low = start.expand_as(psi)
        return _bisect(lambda theta: twist(theta) < target, low, low + 2 * math.pi)


class Banana(Toy2D):
    """바나나: x₂ ~ N(0, 4²), x₁|x₂ ~ N(x₂²/4, 1) (Jang, 2018). H = 1 + ln 2π + ln 4 = 4.2242."""

    name = "바나나"
    extent = (-6.0, 150.0, -24.0, 24.0)
    scale = 0.16  # x₂ = 24에서 밀도의 폭은 1/(x₂/2)쯤입니다
    entropy = 1 + math.log(2 * math.pi) + math.log(4)

    def _sample(self, n, random):
        eps = random.normal(n, 2)
        x2 = 4 * eps[:, 1]
        return torch.stack([x2**2 / 4 + eps[:, 0], x2], -1)

    def _log_prob(self, x):
        e1, e2 = x[:, 0] - x[:, 1] ** 2 / 4, x[:, 1] / 4
        return -0.5 * (e1**2 + e2**2) - math.log(2 * math.pi) - math.log(4)


class _Random:
    """generator 하나와 그 장치를 묶은 짧은 이름들."""

    def __init__(self, generator: torch.Generator | None):
        self.device = torch.device("cpu") if generator is None else generator.device
        self._where = {"generator": generator, "device": self.device}

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float32, **self._where)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float32, **self._where)

    def integer(self, high: int, n: int) -> Tensor:
        return torch.randint(high, (n,), **self._where)


def _bisect(below, low: Tensor, high: Tensor) -> Tensor:
    """below(θ)가 참에서 거짓으로 바뀌는 θ ∈ [low, high]를 이분법으로 찾습니다."""
    for _ in range(36):  # 2π/2³⁶ ≈ 10⁻¹⁰
        middle = (low + high) / 2
        inside = below(middle)
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return (low + high) / 2


def _mixture_log_prob(x: Tensor, centres: Tensor, log_weight: Tensor, sd: float) -> Tensor:
    """log Σ_k w_k N(x; c_k, sd² I). x ``(B, 2)``, centres ``(K, 2)``, log_weight ``(K,)``."""
    centres = centres.to(x.device)
    square = (x[:, :1] - centres[:, 0]) ** 2 + (x[:, 1:] - centres[:, 1]) ** 2  # (B, K)
    exponent = log_weight.to(x.device) - square / (2 * sd**2)
    return exponent.logsumexp(1) - math.log(2 * math.pi * sd**2)


TOY2D: dict[str, Toy2D] = {
    "moons": Moons(),
    "rings": Rings(),
    "ring8": Ring8(),
    "grid25": Grid25(),
    "checkerboard": Checkerboard(),
    "pinwheel": Pinwheel(),
    "spirals": Spirals(),
    "banana": Banana(),
}
