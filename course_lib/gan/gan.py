"""GAN: 생성자와 판별자의 겨루기로 배우는 생성 모델.

Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, arXiv 1406.2661.

    min_G max_D V(D, G) = E_{x~데이터} log D(x) + E_{z~p(z)} log(1 − D(G(z)))        식 (1)

    G가 고정되면  D*(x) = p_데이터(x) / (p_데이터(x) + p_G(x))                         명제 1
    그때의 값은   V(D*, G) = −log 4 + 2·JSD(p_데이터 ‖ p_G)                            정리 1

표본은 z를 뽑아 G를 한 번 지나면 나옵니다. 표본의 밀도는 모르므로 ``log_prob``도 ``elbo``도 없습니다.
판별자는 sigmoid를 씌우기 전의 점수 s(x)를 돌려줍니다: D(x) = σ(s(x)).

논문과 다른 점
- z의 범위로 분산이 1인 U(−√3, √3)을 씁니다(논문에는 균등분포라고만 되어 있습니다).
- 편향은 0에서 시작합니다. 생성자의 마지막 편향은 논문처럼 데이터의 평균 그림으로 정할 수 있습니다.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Uniform

from course_lib.base import standard_normal
from course_lib.gan.losses import AdversarialLoss, r1_penalty
from course_lib.nn import MLP, Maxout

WIDE = math.sqrt(3)  # U(−√3, √3)의 분산은 1입니다


def uniform_noise(zeros: Tensor, half: float = WIDE) -> Distribution:
    """``zeros``와 같은 모양의 균등분포 U(−half, half). 차원마다 독립입니다."""
    uniform = Uniform(zeros - half, zeros + half, validate_args=False)
    return Independent(uniform, zeros.ndim, validate_args=False)


class Generator(nn.Module):
    """x = G(z). net은 (B, K) → (B, *event_shape)이고 조건 y는 받지 않습니다."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        _refuse_condition(y)
        return self.net(z)


class Discriminator(nn.Module):
    """점수 s(x) (B,). net은 (B, *event_shape) → (B, 1)이고 sigmoid는 씌우지 않습니다."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        _refuse_condition(y)
        return self.net(x).squeeze(1)  # (B, 1) → (B,)


class GAN(nn.Module):
    """생성자, 판별자, 잠재 분포 p(z)를 함께 담습니다. 학습은 ``training.fit_gan``이 합니다.

    generator      forward(z, y=None) → x          discriminator  forward(x, y=None) → 점수 (B,)
    latent_dim     z의 차원 K                       noise          zeros → 분포(standard_normal, uniform_noise)
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent_dim: int,
        noise: Callable[[Tensor], Distribution] = standard_normal,
    ):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent_dim, self._noise = latent_dim, noise
        self.register_buffer("zeros", torch.zeros(latent_dim), persistent=False)

    def prior(self) -> Distribution:
        """잠재 분포 p(z)."""
        return self._noise(self.zeros)

    def latent(self, n: int) -> Tensor:
        """z ~ p(z), ``(n, K)``."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"표본 수 n은 1 이상의 정수여야 하는데 {n!r}을 받았습니다.")
        return self.prior().sample((n,))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """x = G(z), z ~ p(z). 생성자를 한 번 지납니다. 기울기는 흐르지 않습니다."""
        return self.generator(self.latent(n), y)


def players(loss: AdversarialLoss, r1: float = 0.0) -> tuple[Callable, Callable]:
    """``fit_gan``에 넘길 (d_loss, g_loss). 배치는 x ``(B, …)``이거나 (x, y)입니다.

    r1  0보다 크면 판별자의 손실에 r1 · ½ E_{x~데이터} ‖∇_x s(x)‖²를 더합니다
        (Mescheder et al., 2018, arXiv 1801.04406의 γ).

    진짜와 가짜를 따로 판별자에 넣습니다. 한 배치로 섞으면 배치 정규화의 통계가 섞입니다.
    """
    if r1 < 0:
        raise ValueError(f"r1은 0 이상이어야 하는데 {r1}을 받았습니다.")

    def d_loss(gan: GAN, batch) -> Tensor:
        x, y = batch if isinstance(batch, tuple | list) else (batch, None)
        fake = gan.generator(gan.latent(len(x)), y).detach()
        value = loss.discriminator(gan.discriminator(x, y), gan.discriminator(fake, y))
        if r1:
            value = value + r1 * r1_penalty(lambda v: gan.discriminator(v, y), x)
        return value

    def g_loss(gan: GAN, batch) -> Tensor:
        x, y = batch if isinstance(batch, tuple | list) else (batch, None)
        return loss.generator(gan.discriminator(gan.generator(gan.latent(len(x)), y), y))

    return d_loss, g_loss


def optimal_discriminator(log_data: Tensor, log_model: Tensor) -> Tensor:
    """D*(x) = p_데이터/(p_데이터 + p_G) = σ(log p_데이터(x) − log p_G(x)). 두 로그밀도는 (B,) nats."""
    return torch.sigmoid(log_data - log_model)


def toy_gan(latent_dim: int = 4, hidden=(64, 64), dim: int = 2) -> GAN:
    """2차원 점을 위한 작은 GAN: 두 신경망 모두 ReLU MLP, z ~ N(0, I)."""
    generator = Generator(MLP(latent_dim, hidden, dim))
    return GAN(generator, Discriminator(MLP(dim, hidden, 1)), latent_dim)


def mnist_gan(mean_image: Tensor | None = None) -> GAN:
    """논문의 MNIST 신경망. 화소는 [0, 1], x는 ``(B, 784)``입니다.

    G  z (100) → ReLU 1200 → ReLU 1200 → sigmoid 784, 가중치 U(−0.05, 0.05)
    D  dropout 0.2 → 맥스아웃 240×5조각 → dropout 0.5 → 맥스아웃 240×5조각 → dropout 0.5 → 점수,
       가중치 U(−0.005, 0.005)

    mean_image  데이터의 평균 그림 (784,). 주면 생성자의 마지막 편향을 그 로짓으로 정합니다.
    """
    to_pixels = MLP(100, (1200, 1200), 784)
    judge = nn.Sequential(
        nn.Dropout(0.2), Maxout(784, 240, 5), nn.Dropout(0.5), Maxout(240, 240, 5),
        nn.Dropout(0.5), nn.Linear(240, 1),
    )  # fmt: skip
    for net, half in ((to_pixels, 0.05), (judge, 0.005)):
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.uniform_(layer.weight, -half, half)
                nn.init.zeros_(layer.bias)
    if mean_image is not None:
        with torch.no_grad():
            to_pixels[-1].bias.copy_(torch.logit(mean_image.flatten(), eps=1e-3))
    generator = Generator(nn.Sequential(*to_pixels, nn.Sigmoid()))
    return GAN(generator, Discriminator(judge), 100, uniform_noise)


class DecayingSGD(torch.optim.SGD):
    """논문의 최적화기: 갱신마다 학습률을 ``decay``로 나누고 모멘텀을 곧게 올리는 SGD.

    n번째 갱신의 학습률은 max(lowest, lr / decayⁿ), 모멘텀은 momentum[0]에서 ``ramp``번에 걸쳐 momentum[1]까지
    오릅니다. 저자의 MNIST 설정은 lr 0.1, decay 1.000004, lowest 1e-6, 모멘텀 0.5 → 0.7(250 에폭)입니다.
    """

    def __init__(
        self,
        parameters,
        lr: float = 0.1,
        *,
        decay: float = 1.000004,
        lowest: float = 1e-6,
        momentum: tuple[float, float] = (0.5, 0.7),
        ramp: int = 125_000,
    ):
        super().__init__(parameters, lr=lr, momentum=momentum[0])
        self._decay, self._lowest, self._momentum, self._ramp = decay, lowest, momentum, ramp

    @torch.no_grad()
    def step(self, closure=None):
        # 세어 둔 수는 첫 매개변수의 상태에 둡니다. 그래야 fit_gan의 상태 파일로 이어집니다.
        anchor = self.state[self.param_groups[0]["params"][0]]
        done = int(anchor.get("step", torch.tensor(0)))
        first, last = self._momentum
        for group in self.param_groups:
            group["lr"] = max(self._lowest, group["lr"] / self._decay**done)
            group["momentum"] = first + (last - first) * min(1.0, done / self._ramp)
        result = super().step(closure)
        anchor["step"] = torch.tensor(done + 1)
        return result


def _refuse_condition(y) -> None:
    if y is not None:
        raise ValueError("이 GAN은 조건 y를 받지 않습니다. y 없이 호출하거나 조건부 GAN을 쓰세요.")
