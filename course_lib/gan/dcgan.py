"""DCGAN: 합성곱으로 만든 GAN과, 학습이 되게 하는 다섯 가지 구조 지침.

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", ICLR 2016, arXiv 1511.06434.

1. 풀링 대신 보폭이 있는 합성곱(D)과 전치 합성곱(G)을 씁니다.
2. 두 신경망에 배치 정규화를 넣되 G의 출력과 D의 입력에는 넣지 않습니다.
3. 완전연결 은닉층을 두지 않습니다. z를 특징 지도로 펴는 층과 점수를 내는 층만 선형입니다.
4. G에는 ReLU, 출력은 tanh.    5. D에는 LeakyReLU(기울기 0.2).

가중치는 N(0, 0.02²)에서 시작하고 데이터는 [−1, 1], z ~ U(−1, 1)^100입니다. 논문의 학습은 Adam 2e-4, β₁ = 0.5,
배치 128입니다. 커널은 논문의 5×5입니다(널리 퍼진 4×4는 다른 구현의 것입니다).

논문과 다른 점: 64×64가 아니라 28×28, 32×32, 8×8을 만들 수 있게 크기와 층 수를 받습니다.
"""

import torch
from torch import Tensor, nn

from course_lib.gan.gan import GAN, Discriminator, Generator, uniform_noise


class DCGANGenerator(Generator):
    """z (B, K) → x (B, channels, size, size), 값은 [−1, 1].

    z를 채널 width·2^(blocks−1), 한 변 size/2^blocks의 특징 지도로 편 뒤, 블록마다 한 변을 두 배로, 채널을 반으로.
    """

    def __init__(
        self,
        latent_dim: int = 100,
        size: int = 28,
        channels: int = 1,
        width: int = 64,
        blocks: int = 2,
    ):
        start = _start(size, blocks)
        wide = width * 2 ** (blocks - 1)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, wide * start * start, bias=False),
            nn.Unflatten(1, (wide, start, start)),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        for _ in range(blocks - 1):
            # 전치 합성곱 5×5, 보폭 2: 한 변이 정확히 두 배가 되려면 padding 2, output_padding 1
            layers += [
                nn.ConvTranspose2d(wide, wide // 2, 5, 2, 2, output_padding=1, bias=False),
                nn.BatchNorm2d(wide // 2),
                nn.ReLU(),
            ]
            wide //= 2
        layers += [nn.ConvTranspose2d(wide, channels, 5, 2, 2, output_padding=1), nn.Tanh()]
        super().__init__(nn.Sequential(*layers).apply(initialise_))


class DCGANDiscriminator(Discriminator):
    """x (B, channels, size, size) → 점수 (B,). ``features``는 점수를 내기 직전의 특징입니다."""

    def __init__(self, size: int = 28, channels: int = 1, width: int = 64, blocks: int = 2):
        start = _start(size, blocks)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 5, 2, 2), nn.LeakyReLU(0.2)]
        for _ in range(blocks - 1):
            layers += [
                nn.Conv2d(width, 2 * width, 5, 2, 2, bias=False),
                nn.BatchNorm2d(2 * width),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        layers += [nn.Flatten(), nn.Linear(width * start * start, 1)]
        super().__init__(nn.Sequential(*layers).apply(initialise_))

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """합성곱 층마다의 활성값을 이어 붙인 특징 (B, F). 분류기의 입력으로 씁니다(논문 5.1절).

        논문은 층마다 최대 풀링으로 4×4까지 줄입니다. 여기서는 4×4보다 큰 것만 줄입니다.
        """
        parts = []
        for layer in self.net[:-2]:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                small = nn.functional.adaptive_max_pool2d(x, min(4, x.shape[-1]))
                parts.append(small.flatten(1))
        return torch.cat(parts, 1)


def dcgan(
    size: int = 28, channels: int = 1, width: int = 64, blocks: int = 2, latent_dim: int = 100
) -> GAN:
    """DCGAN 한 벌. 28×28은 기본값, 32×32는 ``size=32, blocks=3``, 8×8 숫자는 ``size=8, width=32``."""
    return GAN(
        DCGANGenerator(latent_dim, size, channels, width, blocks),
        DCGANDiscriminator(size, channels, width, blocks),
        latent_dim,
        _unit_noise,
    )


def initialise_(module: nn.Module) -> None:
    """논문의 초기화: 가중치 N(0, 0.02²), 배치 정규화의 배율 N(1, 0.02²), 편향 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)


def _unit_noise(zeros: Tensor):
    return uniform_noise(zeros, 1.0)


def _start(size: int, blocks: int) -> int:
    if blocks < 1 or size % 2**blocks:
        raise ValueError(
            f"한 변 {size}을 {blocks}번 반으로 나눌 수 없습니다. size가 2^blocks의 배수가 되게 하세요."
        )
    return size // 2**blocks
