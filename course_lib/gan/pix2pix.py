"""pix2pix: 그림을 다른 그림으로 옮기는 조건부 GAN.

Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
arXiv 1611.07004.

    G* = arg min_G max_D  E log D(x, y) + E log(1 − D(x, G(x)))  +  λ E‖y − G(x)‖₁        논문 식 (4), λ = 100

x는 주어진 그림, y는 만들 그림입니다. 판별자는 둘을 **함께** 보고, 조각마다 점수 하나를 냅니다(PatchGAN).
잡음은 z로 넣지 않고 디코더의 dropout으로만 들어갑니다. 시험할 때도 끄지 않습니다.

    U-Net     C64-C128-C256-C512-C512-C512-C512-C512 / CD512-CD512-CD512-C512-C256-C128-C64, 커널 4, 보폭 2
    PatchGAN  C64-C128-C256-C512-점수, 수용 영역 70×70

기본값이 논문의 256×256 신경망입니다. 논문의 학습은 Adam 2e-4(β₁ = 0.5), 배치 1, 가중치 N(0, 0.02²)이고 D의 손실에
½을 곱합니다.

논문과 다른 점
- 배치 정규화 대신 그림마다의 정규화(InstanceNorm)를 씁니다. 논문은 배치가 1이라 둘이 같습니다. 이렇게 하면 배치를 키워도
  뜻이 같고, 시험할 때 학습 때의 통계를 쓸지 말지 정하지 않아도 됩니다.
- 1×1로 줄어든 가운데 층에는 정규화를 두지 않습니다. 값이 하나뿐이라 정규화하면 0이 됩니다(저자들도 나중에 고쳤습니다).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, relu

from course_lib.gan.dcgan import initialise_
from course_lib.gan.losses import AdversarialLoss, r1_penalty

CHANNELS = (64, 128, 256, 512, 512, 512, 512, 512)


class UNet(nn.Module):
    """x (B, in_channels, H, W) → y (B, out_channels, H, W), 값은 [−1, 1]. H, W는 2^len(channels)의 배수.

    channels  내려가는 층의 채널. 층마다 한 변이 반이 되고, 올라올 때 같은 크기의 층을 이어 붙입니다(건너뛰기 연결).
    drop      dropout의 확률. 올라오는 처음 ``drop_layers``층에 둡니다. 논문은 0.5와 3입니다.
    skips     False이면 건너뛰기 연결이 없는 보통의 인코더–디코더입니다(논문 4.2절의 비교).
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: tuple[int, ...] = CHANNELS,
        *,
        drop: float = 0.5,
        drop_layers: int = 3,
        skips: bool = True,
    ):
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"내려가는 층은 둘 이상이어야 합니다: {channels}.")
        self.depth, self.drop, self.drop_layers, self.skips = (
            len(channels),
            drop,
            drop_layers,
            skips,
        )
        down, width = [], in_channels
        for level, wide in enumerate(channels):
            plain = level in (0, self.depth - 1)  # 첫 층과 가운데 층은 정규화하지 않습니다
            down.append(_block(nn.Conv2d(width, wide, 4, 2, 1), wide, plain))
            width = wide
        up = []
        for level in range(self.depth - 2, -1, -1):
            wide = channels[level]
            up.append(_block(nn.ConvTranspose2d(width, wide, 4, 2, 1), wide, False))
            width = 2 * wide if skips else wide
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.last = nn.ConvTranspose2d(width, out_channels, 4, 2, 1)
        self.apply(initialise_)

    def forward(self, x: Tensor, noise: bool = True) -> Tensor:
        """noise = False이면 dropout을 꺼서 한 가지 답만 냅니다."""
        if x.ndim != 4 or x.shape[2] % 2**self.depth or x.shape[3] % 2**self.depth:
            raise ValueError(
                f"x는 (B, C, H, W)이고 한 변이 {2**self.depth}의 배수여야 하는데 {tuple(x.shape)}입니다."
            )
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else leaky_relu(x, 0.2))
            kept.append(x)
        for level, block in enumerate(self.up):
            x = block(relu(x))
            if self.drop and level < self.drop_layers and noise:
                x = dropout(x, self.drop, training=True)  # eval()에서도 끄지 않습니다
            if self.skips:
                x = torch.cat([x, kept[-2 - level]], 1)
        return self.last(relu(x)).tanh()


class PatchGAN(nn.Module):
    """주어진 그림 x와 만든 그림 y를 함께 보고 조각마다의 점수 (B, h, w)를 냅니다.

    layers  보폭 2인 층의 수. 0이면 화소 하나씩(1×1), 1은 16×16, 2는 34×34, 3은 70×70(논문), 4는 142×142, 5는 286×286
    width   첫 층의 채널. 층마다 두 배가 되고 8배에서 멈춥니다.
    """

    def __init__(self, in_channels: int = 6, width: int = 64, layers: int = 3):
        super().__init__()
        if layers < 0:
            raise ValueError(f"층의 수는 0 이상이어야 하는데 {layers}를 받았습니다.")
        parts: list[nn.Module] = []
        if layers == 0:
            parts += [nn.Conv2d(in_channels, width, 1), nn.LeakyReLU(0.2)]
            parts += [_block(nn.Conv2d(width, 2 * width, 1), 2 * width, False), nn.LeakyReLU(0.2)]
            parts += [nn.Conv2d(2 * width, 1, 1)]
        else:
            parts += [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
            wide = width
            for k in range(1, layers + 1):
                stride, wider = (2 if k < layers else 1), width * min(2**k, 8)
                parts += [_block(nn.Conv2d(wide, wider, 4, stride, 1), wider, False)]
                parts += [nn.LeakyReLU(0.2)]
                wide = wider
            parts += [nn.Conv2d(wide, 1, 4, 1, 1)]
        self.net = nn.Sequential(*parts).apply(initialise_)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([x, y], 1)).squeeze(1)  # (B, 1, h, w) → (B, h, w)

    @property
    def receptive_field(self) -> int:
        """점수 하나가 보는 조각의 한 변(화소)."""
        convs = [m for m in self.net.modules() if isinstance(m, nn.Conv2d)]
        return receptive_field([(m.kernel_size[0], m.stride[0]) for m in convs])


def receptive_field(layers: list[tuple[int, int]]) -> int:
    """(커널 k, 보폭 s)인 합성곱을 차례로 쌓은 출력 하나가 보는 한 변: 뒤에서부터 r ← (r − 1)s + k, 처음 r = 1."""
    r = 1
    for kernel, stride in reversed(layers):
        r = (r - 1) * stride + kernel
    return r


class Pix2Pix(nn.Module):
    """생성자 U-Net과 판별자 PatchGAN. ``translate``가 그림을 옮깁니다."""

    def __init__(self, generator: UNet, discriminator: PatchGAN):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    @torch.no_grad()
    def translate(self, x: Tensor, noise: bool = True) -> Tensor:
        """x (B, …) → G(x). dropout이 켜져 있으므로 부를 때마다 조금 다릅니다."""
        return self.generator(x, noise)


def pix2pix_players(loss: AdversarialLoss | None, l1: float = 100.0, r1: float = 0.0):
    """``fit_gan``에 넘길 (d_loss, g_loss). 배치는 (x, y)입니다.

    loss  조각의 점수에 쓰는 적대적 손실. None이면 G는 L1만 줄이고 D는 배우지 않습니다.
    l1    L1 항의 배율 λ. 0이면 적대적 손실만 씁니다.
    """
    if l1 < 0 or (loss is None and l1 == 0):
        raise ValueError("l1은 0 이상이어야 하고, 적대적 손실이 없으면 0보다 커야 합니다.")

    def d_loss(model: Pix2Pix, batch) -> Tensor:
        x, y = batch
        if loss is None:
            return sum(p.sum() for p in model.discriminator.parameters()) * 0.0
        fake = model.generator(x).detach()
        real, made = model.discriminator(x, y), model.discriminator(x, fake)
        value = 0.5 * loss.discriminator(real.flatten(), made.flatten())
        if r1:
            value = value + r1 * r1_penalty(lambda v: model.discriminator(x, v).mean((1, 2)), y)
        return value

    def g_loss(model: Pix2Pix, batch) -> Tensor:
        x, y = batch
        made = model.generator(x)
        value = l1 * (made - y).abs().mean()
        if loss is not None:
            value = value + loss.generator(model.discriminator(x, made).flatten())
        return value

    return d_loss, g_loss


def _block(conv: nn.Module, channels: int, plain: bool) -> nn.Module:
    return conv if plain else nn.Sequential(conv, nn.InstanceNorm2d(channels, affine=True))
