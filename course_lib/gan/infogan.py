"""InfoGAN: 레이블 없이, 뜻이 있는 부호 c를 스스로 찾는 GAN.

Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel, "InfoGAN: Interpretable Representation Learning by
Information Maximizing Generative Adversarial Nets", NIPS 2016, arXiv 1606.03657.

    min_{G,Q} max_D  V(D, G) − λ L_I(G, Q)                                              식 (6)
    L_I(G, Q) = E_{c, z}[log Q(c | G(z, c))] + H(c)  ≤  I(c; G(z, c))                   식 (4), (5)

생성자의 입력은 잡음 z, 범주형 부호(one-hot), 연속형 부호 U(−1, 1)을 이어 붙인 벡터입니다. Q는 판별자의 몸통을
함께 쓰고 머리만 따로 둡니다. L_I는 두 신경망의 손실에 모두 들어갑니다(저자의 코드). H(c)는 상수입니다.

연속형 부호의 Q는 N(평균, std²)이고 저자의 코드처럼 std를 1로 고정합니다. std까지 배우면 L_I가 끝없이 커질 수
있어 그림이 망가지기 쉽습니다.

논문과 다른 점
- 크기를 인자로 받습니다. ``infogan()``의 기본값이 저자의 MNIST 신경망입니다.
- LeakyReLU의 기울기는 논문의 0.1입니다(저자의 코드는 0.01).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from course_lib.gan.gan import GAN, Generator
from course_lib.gan.losses import AdversarialLoss


class CodePrior:
    """생성자의 입력 [잡음 | 범주형 부호 | 연속형 부호]의 분포. 잡음과 연속형은 U(−1, 1), 범주형은 고릅니다."""

    def __init__(self, zeros: Tensor, classes: int, continuous: int):
        self.zeros, self.classes, self.continuous = zeros, classes, continuous

    def sample(self, shape) -> Tensor:
        """(n, K). shape는 (n,)입니다."""
        rest = len(self.zeros) - self.classes - self.continuous
        like = dict(dtype=self.zeros.dtype, device=self.zeros.device)
        kinds = torch.randint(self.classes, tuple(shape), device=self.zeros.device)
        return torch.cat(
            [
                2 * torch.rand(*shape, rest, **like) - 1,
                one_hot(kinds, self.classes).to(self.zeros),
                2 * torch.rand(*shape, self.continuous, **like) - 1,
            ],
            -1,
        )


class InfoDiscriminator(nn.Module):
    """점수 s(x) (B,)를 내는 D와 부호를 되짚는 Q. 몸통 body는 함께 쓰고 머리만 다릅니다.

    body  (B, *event_shape) → (B, H),   score  (B, H) → (B, 1),   code  (B, H) → (B, classes + continuous)
    """

    def __init__(self, body: nn.Module, score: nn.Module, code: nn.Module, classes: int):
        super().__init__()
        self.body, self.score, self.code, self.classes = body, score, code, classes

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if y is not None:
            raise ValueError("InfoGAN은 레이블을 받지 않습니다. y 없이 호출하세요.")
        return self.score(self.body(x)).squeeze(1)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Q(c|x): 범주형의 로짓 (B, classes)와 연속형의 평균 (B, continuous)."""
        code = self.code(self.body(x))
        return code[:, : self.classes], code[:, self.classes :]


class InfoGAN(GAN):
    """생성자, 판별자(Q 포함), 부호의 분포. ``latent(n)``이 부호까지 든 입력 (n, K)를 뽑습니다.

    noise_dim, classes, continuous  입력의 세 부분의 크기. K는 그 합입니다
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: InfoDiscriminator,
        noise_dim: int,
        classes: int,
        continuous: int,
    ):
        if min(noise_dim, classes - 1, continuous) < 0 or classes < 2:
            raise ValueError(
                f"범주는 둘 이상, 나머지는 0 이상이어야 합니다: {noise_dim}, {classes}, {continuous}."
            )
        super().__init__(
            generator,
            discriminator,
            noise_dim + classes + continuous,
            lambda zeros: CodePrior(zeros, classes, continuous),
        )
        self.noise_dim, self.classes, self.continuous = noise_dim, classes, continuous

    def split(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """입력 (B, K)를 잡음 (B, noise_dim), 범주의 번호 (B,), 연속형 부호 (B, continuous)로 나눕니다."""
        noise, kinds, levels = z.split([self.noise_dim, self.classes, self.continuous], 1)
        return noise, kinds.argmax(1), levels

    def with_codes(
        self, z: Tensor, kinds: Tensor | int | None = None, levels: Tensor | None = None
    ) -> Tensor:
        """z에서 부호만 바꾼 새 입력. kinds는 범주의 번호 (B,)나 하나, levels는 (B, continuous)나 (continuous,)."""
        noise, old_kinds, old_levels = self.split(z)
        if kinds is None:
            kinds = old_kinds
        kinds = torch.as_tensor(kinds, device=z.device).expand(len(z))
        if not (0 <= int(kinds.min()) and int(kinds.max()) < self.classes):
            raise ValueError(f"범주의 번호는 0에서 {self.classes - 1}까지입니다.")
        levels = old_levels if levels is None else levels.to(z).expand(len(z), self.continuous)
        return torch.cat([noise, one_hot(kinds, self.classes).to(z), levels], 1)


def information(gan: InfoGAN, z: Tensor, x: Tensor, std: float = 1.0) -> tuple[Tensor, Tensor]:
    """상호정보량의 하한 L_I: 범주형의 것과 연속형의 것, nats, 스칼라 둘. x = G(z)입니다.

    범주형  E log Q(c|x) + log classes                  연속형  E log N(c; μ(x), std²) + continuous · log 2

    Q가 참 사후분포일 때 참값과 같고 그 밖에는 작습니다. std가 고정이라 연속형의 하한은
    continuous · (log 2 − log(std·√2π))를 넘지 못합니다(std = 1이면 하나에 −0.226).
    """
    _, kinds, levels = gan.split(z)
    logits, means = gan.discriminator.posterior(x)
    discrete = math.log(gan.classes) - cross_entropy(logits, kinds)
    log_q = -0.5 * ((levels - means) / std).square() - math.log(std * math.sqrt(2 * math.pi))
    return discrete, (log_q + math.log(2)).sum(1).mean()


def info_players(
    loss: AdversarialLoss,
    weight: float = 1.0,
    *,
    continuous_weight: float | None = None,
    reward_generator: bool = True,
) -> tuple[Callable, Callable]:
    """``fit_gan``에 넘길 (d_loss, g_loss): 겨루는 손실에서 λ L_I를 뺀 것.

    weight             범주형의 λ               continuous_weight  연속형의 λ(기본값은 weight와 같음)
    reward_generator   False이면 생성자의 손실에서 L_I를 뺍니다. Q는 (얼린) 생성자의 그림에서 똑같이 배우지만
                       생성자는 부호를 드러낼 까닭이 없습니다: λ = 0인 대조군
    """
    fine = weight if continuous_weight is None else continuous_weight
    if min(weight, fine) < 0:
        raise ValueError(f"λ는 0 이상이어야 하는데 {weight}, {fine}을 받았습니다.")

    def bonus(gan: InfoGAN, z: Tensor, x: Tensor) -> Tensor:
        discrete, continuous = information(gan, z, x)
        return weight * discrete + fine * continuous

    def d_loss(gan: InfoGAN, x: Tensor) -> Tensor:
        z = gan.latent(len(x))
        fake = gan.generator(z).detach()
        value = loss.discriminator(gan.discriminator(x), gan.discriminator(fake))
        return value - bonus(gan, z, fake)

    def g_loss(gan: InfoGAN, x: Tensor) -> Tensor:
        z = gan.latent(len(x))
        fake = gan.generator(z)
        value = loss.generator(gan.discriminator(fake))
        return value - bonus(gan, z, fake) if reward_generator else value

    return d_loss, g_loss


def infogan(
    size: int = 28,
    *,
    noise_dim: int = 62,
    classes: int = 10,
    continuous: int = 2,
    width: int = 64,
    hidden: int = 1024,
    code_hidden: int = 128,
) -> InfoGAN:
    """InfoGAN 한 벌. 그림 (B, 1, size, size), 화소 [0, 1]. 기본값은 저자의 MNIST 신경망입니다.

    G  입력 → 1024 BN ReLU → 128×7×7 BN ReLU → 전치 합성곱 4×4 보폭 2, 64 BN ReLU → 전치 합성곱 1, sigmoid
    D  합성곱 4×4 보폭 2, 64 LReLU → 합성곱 128 BN LReLU → 1024 BN LReLU → 점수
    Q  D의 1024 → 128 BN LReLU → 로짓 10, 평균 2
    """
    if size % 4:
        raise ValueError(f"그림의 한 변은 4의 배수여야 하는데 {size}을 받았습니다.")
    start, total = size // 4, noise_dim + classes + continuous
    flat = 2 * width * start * start
    to_x = nn.Sequential(
        nn.Linear(total, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, flat, bias=False), nn.BatchNorm1d(flat), nn.ReLU(),
        nn.Unflatten(1, (2 * width, start, start)),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Sigmoid(),
    )  # fmt: skip
    body = nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.1),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.1),
        nn.Flatten(), nn.Linear(flat, hidden, bias=False), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1),
    )  # fmt: skip
    code = nn.Sequential(
        nn.Linear(hidden, code_hidden, bias=False), nn.BatchNorm1d(code_hidden), nn.LeakyReLU(0.1),
        nn.Linear(code_hidden, classes + continuous),
    )  # fmt: skip
    judge = InfoDiscriminator(body, nn.Linear(hidden, 1), code, classes)
    return InfoGAN(Generator(to_x), judge, noise_dim, classes, continuous)


def matched_accuracy(found: Tensor, labels: Tensor, classes: int = 10) -> float:
    """찾은 범주의 번호와 레이블이 맞는 비율. 번호와 레이블은 가장 잘 맞게 하나씩 짝지은 다음 셉니다.

    found, labels  0부터 classes − 1까지의 정수 (N,). 짝은 헝가리안 방법으로 찾습니다.
    """
    from scipy.optimize import linear_sum_assignment

    if found.shape != labels.shape or found.ndim != 1 or len(found) == 0:
        raise ValueError(
            f"비어 있지 않고 길이가 같아야 합니다: {tuple(found.shape)}, {tuple(labels.shape)}."
        )
    table = torch.bincount(classes * found + labels, minlength=classes**2).reshape(classes, classes)
    rows, columns = linear_sum_assignment(-table.numpy())
    return float(table[rows, columns].sum()) / len(found)


def image_moments(images: Tensor) -> dict[str, Tensor]:
    """그림 (N, H, W)의 기울기, 너비, 잉크 (N,). 잉크를 질량으로 본 무게중심 둘레의 모멘트로 잽니다.

    기울기  −μ₁₁/μ₀₂: 세로획이 오른쪽으로 누우면 양수(획이 한 줄 올라갈 때 옆으로 가는 칸 수)
    너비    (μ₂₀ − μ₁₁²/μ₀₂)^½: 기울기를 바로 세운 뒤의 가로 표준편차, 화소
    잉크    화소의 평균
    """
    if images.ndim != 3:
        raise ValueError(f"그림은 (N, H, W)여야 하는데 {tuple(images.shape)}을 받았습니다.")
    mass = images.sum((1, 2)).clamp(min=1e-6)
    rows, columns = (torch.arange(n, dtype=images.dtype) for n in images.shape[1:])

    def mean(value: Tensor) -> Tensor:
        return (images * value).sum((1, 2)) / mass

    down, right = (
        mean(rows[:, None].expand(images.shape[1:])),
        mean(columns.expand(images.shape[1:])),
    )
    y = rows[None, :, None] - down[:, None, None]
    x = columns[None, None, :] - right[:, None, None]
    both, tall, wide = mean(x * y), mean(y * y).clamp(min=1e-6), mean(x * x)
    return {
        "기울기": -both / tall,
        "너비": (wide - both.square() / tall).clamp(min=0).sqrt(),
        "잉크": images.mean((1, 2)),
    }


@torch.no_grad()
def code_effects(gan: InfoGAN, z: Tensor, columns: list[int] | None = None) -> dict[str, Tensor]:
    """입력의 좌표 하나를 −1에서 1로 옮길 때 그림이 얼마나 달라지는가: {"기울기", "너비", "잉크"}마다 (C,).

    그림마다의 차이를 평균하여, 좌표를 옮기지 않은 그림들의 표준편차로 나눈 것입니다. 부호가 있습니다.
    z (N, K)는 잡음과 부호를 뽑은 입력이고, columns는 살필 좌표의 번호입니다. 기본값은 연속형 부호 전부입니다.
    """
    if columns is None:
        columns = list(range(gan.latent_dim - gan.continuous, gan.latent_dim))
    usual = image_moments(gan.generator(z)[:, 0])
    effects = {name: [] for name in usual}
    for column in columns:
        ends = []
        for end in (-1.0, 1.0):
            moved = z.clone()
            moved[:, column] = end
            ends.append(image_moments(gan.generator(moved)[:, 0]))
        for name, value in effects.items():
            value.append((ends[1][name] - ends[0][name]).mean() / usual[name].std())
    return {name: torch.stack(value) for name, value in effects.items()}
