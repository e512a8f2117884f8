"""WaveGAN: 파형을 표본 하나하나까지 통째로 만드는 GAN.

Donahue, McAuley, Puckette, "Adversarial Audio Synthesis", ICLR 2019, arXiv 1802.04208.

DCGAN을 1차원으로 편 것입니다. 5×5 커널, 보폭 2이던 층이 길이 25의 커널, 보폭 4가 되고 배치 정규화는 없습니다.
너비를 d라 하면(논문은 d = 64, 출력 16 384표본)

    G  z ~ U(−1, 1)^100 → 선형 → (16d, 8) → 8d → 4d → 2d → d → 1, tanh → (8192,)      층마다 길이가 네 배
    D  (8192,) → d → 2d → 4d → 8d → 16d → 선형 → 점수                                  층마다 길이가 4분의 1

목적은 기울기 벌점이 있는 바서슈타인 손실입니다(Gulrajani et al., 2017, arXiv 1704.00028의 식 (3)).

    L_D = E D(G(z)) − E D(x) + λ E (‖∇_x̂ D(x̂)‖₂ − 1)²,   λ = 10,        L_G = −E D(G(z))

위상 섞기(phase shuffle)는 D의 마지막을 뺀 합성곱 층 뒤에서 특징 지도를 −n…n칸 아무렇게나 밀고, 밀려나 빈 자리를
반사한 값으로 채웁니다. 전치 합성곱이 늘 같은 위상에 남기는 흔적을 D가 읽고 쉽게 가려내는 일을 막습니다.

논문과 다른 점
- 16 kHz, 16 384표본이 아니라 8 kHz, 8192표본입니다. 같은 1.02초이므로 층의 수는 그대로 두고 처음 길이를 16에서 8로 줄입니다.
- 논문의 그림은 특징 지도마다, 저자의 코드는 배치마다 민 칸을 하나씩 뽑습니다. 여기서는 신호마다 하나씩 뽑습니다.
  ``eval()``에서는 밀지 않습니다. 그래야 같은 신호의 점수가 늘 같습니다.
- 가중치는 He 초기화(He et al., 2015, arXiv 1502.01852)에서 시작합니다. 보폭 s인 전치 합성곱의 출력 하나에는 커널의
  k/s개만 닿으므로 들어오는 수를 C·k/s로 셉니다.
"""

import math

import torch
from torch import Tensor, nn

from course_lib.gan.gan import GAN, Discriminator, Generator, uniform_noise
from course_lib.gan.losses import gradient_penalty, wasserstein

KERNEL, STRIDE, BLOCKS = 25, 4, 5


class PhaseShuffle(nn.Module):
    """특징 지도 (B, C, T)를 신호마다 k ~ U{−n, …, n}칸 밉니다. 빈 자리는 반사로 채웁니다.

    y[b, c, t] = x[b, c, 반사(t + k_b)].   ``eval()``이거나 n = 0이면 x를 그대로 돌려줍니다.
    """

    def __init__(self, n: int = 2):
        super().__init__()
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"미는 칸 수 n은 0 이상의 정수여야 하는데 {n!r}을 받았습니다.")
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.n == 0:
            return x
        shifts = torch.randint(-self.n, self.n + 1, (len(x),), device=x.device)
        return shift_reflect(x, shifts)

    def extra_repr(self) -> str:
        return f"n={self.n}"


def shift_reflect(x: Tensor, shifts: Tensor) -> Tensor:
    """y[b, c, t] = x[b, c, 반사(t + shifts[b])]. x (B, C, T), shifts (B,) 정수, |shifts| < T."""
    last = x.shape[-1] - 1
    if shifts.numel() and int(shifts.abs().max()) > last:
        raise ValueError(f"길이 {last + 1}인 신호를 {int(shifts.abs().max())}칸 밀 수 없습니다.")
    index = (torch.arange(last + 1, device=x.device) + shifts[:, None]).abs()  # 왼쪽 끝에서 반사
    index = last - (last - index).abs()  # 오른쪽 끝에서 반사
    return x.gather(2, index[:, None].expand_as(x))  # fmt: skip


class WaveGANGenerator(Generator):
    """z (B, K) → 파형 x (B, length), 값은 [−1, 1]. length는 4^blocks의 배수입니다."""

    def __init__(
        self, width: int = 64, length: int = 8192, latent_dim: int = 100, blocks: int = BLOCKS
    ):
        start = _start(length, blocks)
        wide = width * 2 ** (blocks - 1)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, wide * start),
            nn.Unflatten(1, (wide, start)),  # (B, K) → (B, 16d, 8)
            nn.ReLU(),
        ]
        for _ in range(blocks - 1):
            layers += [_up(wide, wide // 2), nn.ReLU()]
            wide //= 2
        layers += [_up(wide, 1), nn.Tanh(), nn.Flatten()]  # (B, 1, T) → (B, T)
        super().__init__(nn.Sequential(*layers).apply(initialise_))


class WaveGANDiscriminator(Discriminator):
    """파형 x (B, length) → 점수 (B,). shuffle은 위상 섞기의 n이고 0이면 섞지 않습니다."""

    def __init__(self, width: int = 64, length: int = 8192, shuffle: int = 2, blocks: int = BLOCKS):
        start = _start(length, blocks)
        layers: list[nn.Module] = [nn.Unflatten(1, (1, length))]
        channels = [1, *(width * 2**i for i in range(blocks))]
        for i, (a, b) in enumerate(zip(channels, channels[1:], strict=False)):
            # 길이 25, 보폭 4, 양쪽에 0을 11개: 길이가 정확히 4분의 1이 됩니다
            layers += [nn.Conv1d(a, b, KERNEL, STRIDE, padding=11), nn.LeakyReLU(0.2)]
            if i < blocks - 1:
                layers.append(PhaseShuffle(shuffle))
        layers += [nn.Flatten(), nn.Linear(channels[-1] * start, 1)]
        super().__init__(nn.Sequential(*layers).apply(initialise_))


def wavegan(
    width: int = 64,
    length: int = 8192,
    shuffle: int = 2,
    latent_dim: int = 100,
    blocks: int = BLOCKS,
) -> GAN:
    """WaveGAN 한 벌. 논문의 너비는 64입니다. 배우기: ``fit_gan(gan, *wavegan_losses(), …, d_steps=5)``."""
    return GAN(
        WaveGANGenerator(width, length, latent_dim, blocks),
        WaveGANDiscriminator(width, length, shuffle, blocks),
        latent_dim,
        _unit_noise,
    )


def wavegan_losses(penalty: float = 10.0):
    """``fit_gan``에 넘길 (d_loss, g_loss): 바서슈타인 손실과 기울기 벌점. 배치는 파형 (B, T)입니다.

    penalty  λ. 0보다 작으면 ValueError.
    """
    if penalty < 0:
        raise ValueError(f"벌점의 세기는 0 이상이어야 하는데 {penalty}를 받았습니다.")

    def d_loss(gan: GAN, x: Tensor) -> Tensor:
        with torch.no_grad():
            fake = gan.generator(gan.latent(len(x)))
        value = wasserstein.discriminator(gan.discriminator(x), gan.discriminator(fake))
        return value + penalty * gradient_penalty(gan.discriminator, x, fake) if penalty else value

    def g_loss(gan: GAN, x: Tensor) -> Tensor:
        return wasserstein.generator(gan.discriminator(gan.generator(gan.latent(len(x)))))

    return d_loss, g_loss


@torch.no_grad()
def initialise_(module: nn.Module) -> None:
    """He 초기화: N(0, gain²/들어오는 수). 앞뒤가 ReLU나 LeakyReLU이므로 신호의 크기가 층을 지나도 남습니다."""
    if isinstance(module, nn.Conv1d):
        incoming, slope = module.in_channels * KERNEL, 0.2
    elif isinstance(module, nn.ConvTranspose1d):
        incoming, slope = module.in_channels * KERNEL / STRIDE, 0.0
    elif isinstance(module, nn.Linear):
        incoming, slope = module.in_features, 1.0
    else:
        return
    nn.init.normal_(module.weight, std=math.sqrt(2 / (1 + slope**2) / incoming))
    nn.init.zeros_(module.bias)


def _up(a: int, b: int) -> nn.ConvTranspose1d:
    # 4(T − 1) − 2·11 + 25 + 1 = 4T: 길이가 정확히 네 배가 됩니다
    return nn.ConvTranspose1d(a, b, KERNEL, STRIDE, padding=11, output_padding=1)


def _unit_noise(zeros: Tensor):
    return uniform_noise(zeros, 1.0)


def _start(length: int, blocks: int) -> int:
    if blocks < 1 or length < STRIDE**blocks or length % STRIDE**blocks:
        raise ValueError(
            f"길이 {length}을 {blocks}번 4로 나눌 수 없습니다. length가 {STRIDE}^{blocks} = "
            f"{STRIDE ** max(blocks, 1)}의 배수가 되게 하세요."
        )
    return length // STRIDE**blocks
