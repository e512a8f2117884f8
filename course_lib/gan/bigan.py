"""BiGAN: 생성자를 거꾸로 되짚는 인코더까지 함께 배우는 GAN.

Donahue, Krähenbühl, Darrell, "Adversarial Feature Learning", ICLR 2017, arXiv 1605.09782.
Dumoulin et al., "Adversarially Learned Inference", ICLR 2017, arXiv 1606.00704(같은 생각을 따로 발표).

    min_{G,E} max_D  E_x log D(x, E(x)) + E_z log(1 − D(G(z), z))

판별자는 그림이 아니라 **쌍** (x, z)를 봅니다. 두 쌍의 분포가 같아지는 곳에서 E는 G의 역입니다.
학습이 거기까지 가지 못하면 E(x)는 G의 역에 가까울 뿐이고, 복원 오차를 줄이는 항은 손실 어디에도 없습니다.

E는 값 하나를 내는 함수입니다(BiGAN). ALI는 E를 분포로 두지만, 둘 다 잡음이 없는 경우는 같습니다.
논문과 다른 점: 합성곱이 아니라 MLP이고, 배치 정규화를 쓰지 않습니다.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.gan.gan import GAN, Generator
from course_lib.gan.losses import AdversarialLoss, r1_penalty
from course_lib.nn import MLP


class GeneratorWithEncoder(Generator):
    """한편이 되어 배우는 두 신경망: G(z) → x (``forward``)와 E(x) → z (``encode``)."""

    def __init__(self, net: nn.Module, encoder: nn.Module):
        super().__init__(net)
        self.encoder = encoder

    def encode(self, x: Tensor) -> Tensor:
        """E(x), (B, D) → (B, K)."""
        return self.encoder(x)


class PairDiscriminator(nn.Module):
    """쌍 (x, z)의 점수 (B,). x (B, D)와 z (B, K)를 이어 붙여 MLP에 넣습니다."""

    def __init__(self, dim: int, latent_dim: int, hidden):
        super().__init__()
        self.net = MLP(dim + latent_dim, hidden, 1, lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.net(torch.cat([x, z], 1)).squeeze(1)


class BiGAN(GAN):
    """G, E, D를 담은 GAN. dim은 x의 차원, latent_dim은 z의 차원, z ~ N(0, I)입니다.

    output  생성자의 마지막 활성화(화소가 [0, 1]이면 nn.Sigmoid())
    """

    def __init__(
        self, dim: int, latent_dim: int, hidden=(128, 128), output: nn.Module | None = None
    ):
        to_x = nn.Sequential(*MLP(latent_dim, hidden, dim), output or nn.Identity())
        both = GeneratorWithEncoder(to_x, MLP(dim, hidden, latent_dim))
        super().__init__(both, PairDiscriminator(dim, latent_dim, hidden), latent_dim)

    def encode(self, x: Tensor) -> Tensor:
        """E(x), (B, D) → (B, K)."""
        return self.generator.encode(x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """G(E(x)), (B, D) → (B, D)."""
        return self.generator(self.encode(x))


def pair_players(loss: AdversarialLoss, r1: float = 0.0) -> tuple[Callable, Callable]:
    """``fit_gan``에 넘길 (d_loss, g_loss). 진짜 쌍은 (x, E(x)), 가짜 쌍은 (G(z), z)입니다.

    생성자와 인코더의 손실은 판별자의 손실에서 진짜와 가짜를 바꾼 것입니다(포화하지 않는 형태).
    """

    def scores(gan: BiGAN, x: Tensor) -> tuple[Tensor, Tensor]:
        z = gan.latent(len(x))
        return gan.discriminator(x, gan.encode(x)), gan.discriminator(gan.generator(z), z)

    def d_loss(gan: BiGAN, x: Tensor) -> Tensor:
        value = loss.discriminator(*scores(gan, x))
        if r1:
            pairs = torch.cat([x, gan.encode(x).detach()], 1)
            value = value + r1 * r1_penalty(lambda v: gan.discriminator.net(v).squeeze(1), pairs)
        return value

    def g_loss(gan: BiGAN, x: Tensor) -> Tensor:
        real, fake = scores(gan, x)
        return loss.discriminator(fake, real)

    return d_loss, g_loss
