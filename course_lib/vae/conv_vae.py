"""합성곱 VAE: 28×28 이진 이미지를 몇 개의 수로 부호화합니다.

모형과 하한은 ``vae.py``와 같고(Kingma, Welling, 2014, arXiv 1312.6114) 두 신경망만 합성곱으로 바꿉니다.
잔차 블록은 He et al., "Identity Mappings in Deep Residual Networks", 2016, arXiv 1603.05027을 따르되
배치 정규화를 쓰지 않습니다. 한 이미지의 하한이 같은 배치의 다른 이미지에 따라 달라지지 않게 하려는 것입니다.
"""

from torch import Tensor, nn

from course_lib.nn import MLP
from course_lib.vae.vae import BernoulliPixels, GaussianVAE


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), 모양을 바꾸지 않습니다: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ConvVAE(GaussianVAE):
    """(1, 28, 28) 이진 이미지의 VAE. 크기는 28 → 14 → 7로 줄고 7 → 14 → 28로 늘어납니다.

    latent_dim  z의 차원 K
    width       14×14 층의 채널 수. 7×7 층에서는 두 배입니다.
    hidden      7×7 특징 지도와 z 사이의 완전연결층 크기
    blocks      7×7 층의 잔차 블록 수
    mlp_decoder 크기들을 주면 디코더만 합성곱 대신 그 은닉층의 MLP로 바꿉니다. 작은 MLP는 브라우저에서
                커널 없이 계산할 수 있습니다(widgets.frame.decoder_player).

    28 ↔ 14는 화소 네 개를 채널로 옮기는 PixelUnshuffle/PixelShuffle입니다. 채널 하나짜리 합성곱보다
    CPU에서 빠릅니다.
    """

    def __init__(
        self,
        latent_dim: int,
        width: int = 32,
        hidden: int = 256,
        blocks: int = 1,
        mlp_decoder: tuple[int, ...] = (),
    ):
        wide = 2 * width
        encoder = nn.Sequential(
            nn.PixelUnshuffle(2),  # (B, 4, 14, 14)
            nn.Conv2d(4, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, wide, 4, stride=2, padding=1),  # (B, 2·width, 7, 7)
            *[ResidualBlock(wide) for _ in range(blocks)],
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(wide * 7 * 7, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * latent_dim),
        )
        decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, wide * 7 * 7),
            nn.Unflatten(1, (wide, 7, 7)),
            *[ResidualBlock(wide) for _ in range(blocks)],
            nn.ReLU(),
            nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1),  # (B, width, 14, 14)
            nn.ReLU(),
            nn.Conv2d(width, 4, 3, padding=1),
            nn.PixelShuffle(2),  # (B, 1, 28, 28)
        )
        if mlp_decoder:
            decoder = nn.Sequential(
                *MLP(latent_dim, mlp_decoder, 784), nn.Unflatten(1, (1, 28, 28))
            )
        super().__init__((1, 28, 28), latent_dim, encoder, decoder, BernoulliPixels())
