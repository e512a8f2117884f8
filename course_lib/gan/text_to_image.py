"""GAN-INT-CLS: 글을 읽고 그림을 그리는 조건부 GAN.

Reed et al., "Generative Adversarial Text to Image Synthesis", ICML 2016, arXiv 1605.05396.
글 인코더: Reed et al., "Learning Deep Representations of Fine-Grained Visual Descriptions", CVPR 2016, arXiv 1605.05395.

    CLS  L_D = −log s_r − ½[log(1 − s_w) + log(1 − s_f)]
         s_r = D(진짜 그림, 맞는 글),  s_w = D(진짜 그림, 틀린 글),  s_f = D(G(z, 글), 맞는 글)
    INT  L_G = −log D(G(z, t), t) − log D(G(z, t̄), t̄),  t̄ = βt₁ + (1 − β)t₂,  β = ½

판별자는 그림이 진짜 같은지뿐 아니라 **글과 맞는지**도 가려야 합니다. 틀린 글은 다른 종류의 그림을 말하는 글입니다. 섞은 글 t̄에는
짝이 되는 진짜 그림이 없으므로 생성자의 항에만 씁니다.

기본값이 논문의 64×64 신경망입니다: 글 1024 → 128, z ~ N(0, I)^100, 생성자 폭 128, 판별자 폭 64. 논문은 Adam 2e-4(β₁ = 0.5),
배치 64, 600 에폭이고 학습률을 100 에폭마다 반으로 줄입니다.

논문과 다른 점
- 저자의 코드에 있는 4×4, 8×8의 잔차 블록은 뺐습니다(논문의 그림에는 없습니다).
- 글 인코더는 글자 합성곱과 최댓값 풀링입니다. 논문의 것은 그 위에 순환 신경망을 얹습니다. 우리의 설명은 스무 글자뿐입니다.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from course_lib.gan.dcgan import initialise_
from course_lib.gan.gan import GAN


class TextEncoder(nn.Module):
    """글자 번호 (B, L) → 글 벡터 (B, dim). 글자 임베딩 → 합성곱 → ReLU → 글자 방향의 최댓값 → 선형."""

    def __init__(self, letters: int, dim: int = 1024, width: int = 256, kernel: int = 4):
        super().__init__()
        self.embed = nn.Embedding(letters + 1, width, padding_idx=0)  # 0은 빈자리
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel - 1)
        self.last = nn.Linear(width, dim)

    def forward(self, text: Tensor) -> Tensor:
        if text.ndim != 2 or text.dtype != torch.long:
            raise ValueError(
                f"글은 글자 번호 (B, L) int64여야 합니다: {tuple(text.shape)}, {text.dtype}."
            )
        h = self.conv(self.embed(text).transpose(1, 2)).relu()  # (B, width, L + kernel − 1)
        return self.last(h.amax(2))


class JointEmbedding(nn.Module):
    """그림과 글을 같은 공간에 놓아 글 인코더를 가르칩니다. score[i, j] = v(그림 i)·φ(글 j)."""

    def __init__(self, text: TextEncoder, dim: int, channels: int = 3, width: int = 32):
        super().__init__()
        self.text = text
        self.image = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.LazyLinear(dim),
        )  # fmt: skip

    def forward(self, pictures: Tensor, text: Tensor) -> Tensor:
        return self.image(pictures) @ self.text(text).T

    def loss(self, pictures: Tensor, text: Tensor, classes: Tensor) -> Tensor:
        """양쪽 방향의 힌지: 맞는 짝의 점수가 *다른 종류의* 짝보다 1 이상 높아야 합니다. classes (B,)."""
        score = self(pictures, text)
        right = score.diagonal()
        wrong = (classes[:, None] != classes).to(score)
        gap = (1 + score - right[:, None]).relu() + (1 + score - right[None, :]).relu()
        return (gap * wrong).sum() / wrong.sum().clamp_min(1)


class TextGenerator(nn.Module):
    """z (B, K), t (B, text_dim) → 그림 (B, channels, size, size), [−1, 1]. 글은 ``squeeze``차원으로 줄여 z에 붙입니다."""

    def __init__(self, text_dim, latent_dim, squeeze, size, channels, width, blocks):
        super().__init__()
        start, wide = _start(size, blocks), width * 2 ** (blocks - 1)
        self.squeeze = nn.Sequential(nn.Linear(text_dim, squeeze), nn.LeakyReLU(0.2))
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + squeeze, wide * start * start, bias=False),
            nn.Unflatten(1, (wide, start, start)), nn.BatchNorm2d(wide), nn.ReLU(),
        ]  # fmt: skip
        for _ in range(blocks - 1):
            layers += [nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(wide // 2), nn.ReLU()]
            wide //= 2
        layers += [nn.ConvTranspose2d(wide, channels, 4, 2, 1), nn.Tanh()]
        self.net = nn.Sequential(*layers)
        self.apply(initialise_)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([z, self.squeeze(y)], 1))


class TextDiscriminator(nn.Module):
    """그림 x와 글 t (B, text_dim) → 점수 (B,). 그림을 작은 지도로 줄인 다음, 줄인 글을 칸마다 붙입니다."""

    def __init__(self, text_dim, squeeze, size, channels, width, blocks):
        super().__init__()
        start, wide = _start(size, blocks), width
        layers: list[nn.Module] = [nn.Conv2d(channels, wide, 4, 2, 1), nn.LeakyReLU(0.2)]
        for _ in range(blocks - 1):
            layers += [nn.Conv2d(wide, 2 * wide, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(2 * wide), nn.LeakyReLU(0.2)]
            wide *= 2
        self.net = nn.Sequential(*layers)
        self.squeeze = nn.Sequential(nn.Linear(text_dim, squeeze), nn.LeakyReLU(0.2))
        self.mix = nn.Conv2d(wide + squeeze, wide, 1)
        self.score = nn.Conv2d(wide, 1, start)
        self.apply(initialise_)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h, t = self.net(x), self.squeeze(y)
        t = t[:, :, None, None].expand(-1, -1, *h.shape[2:])  # 칸마다 같은 글
        h = leaky_relu(self.mix(torch.cat([h, t], 1)), 0.2)
        return self.score(h).flatten()  # (B, 1, 1, 1) → (B,)


def text_to_image(
    text_dim: int = 1024,
    latent_dim: int = 100,
    *,
    size: int = 64,
    channels: int = 3,
    squeeze: int = 128,
    width: tuple[int, int] = (128, 64),
    blocks: int = 4,
) -> GAN:
    """GAN-INT-CLS 한 벌. ``width``는 (생성자의 마지막 은닉, 판별자의 첫 층) 채널입니다."""
    return GAN(
        TextGenerator(text_dim, latent_dim, squeeze, size, channels, width[0], blocks),
        TextDiscriminator(text_dim, squeeze, size, channels, width[1], blocks),
        latent_dim,
    )


def matching_players(wrong: bool = True, interpolate: bool = True, beta: float = 0.5):
    """``fit_gan``에 넘길 (d_loss, g_loss). 배치는 (그림 x, 맞는 글 t, 틀린 글 t_w)이고 글은 벡터 (B, text_dim)입니다.

    wrong        False이면 틀린 글의 항을 뺀 보통의 조건부 GAN(D는 s_r과 s_f만 봅니다)
    interpolate  False이면 섞은 글의 항을 뺍니다. 섞을 상대는 배치의 다음 글입니다.
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta는 0과 1 사이여야 하는데 {beta}를 받았습니다.")

    def d_loss(gan: GAN, batch) -> Tensor:
        x, t, t_wrong = batch
        fake = gan.generator(gan.latent(len(x)), t).detach()
        real = softplus(-gan.discriminator(x, t)).mean()  # −log s_r
        made = softplus(gan.discriminator(fake, t)).mean()  # −log(1 − s_f)
        if not wrong:
            return real + made
        mismatched = softplus(gan.discriminator(x, t_wrong)).mean()  # −log(1 − s_w)
        return real + 0.5 * (mismatched + made)

    def g_loss(gan: GAN, batch) -> Tensor:
        t = batch[1]
        value = softplus(-gan.discriminator(gan.generator(gan.latent(len(t)), t), t)).mean()
        if interpolate:
            between = beta * t + (1 - beta) * t.roll(1, 0)
            made = gan.generator(gan.latent(len(t)), between)
            value = value + softplus(-gan.discriminator(made, between)).mean()
        return value

    return d_loss, g_loss


def _start(size: int, blocks: int) -> int:
    if blocks < 1 or size % 2**blocks:
        raise ValueError(
            f"한 변 {size}을 {blocks}번 반으로 나눌 수 없습니다. size가 2^blocks의 배수가 되게 하세요."
        )
    return size // 2**blocks
