"""SNGAN: 층마다 가중치를 가장 큰 특잇값으로 나누어 판별자의 기울기를 묶는 GAN.

Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018,
arXiv 1802.05957. 조건부 판별자는 Miyato, Koyama, "cGANs with Projection Discriminator", ICLR 2018,
arXiv 1802.05637.

    W̄ = W/σ(W)                                   σ(W) = max_{‖h‖=1} ‖Wh‖ (2-노름)
    v ← Wᵀu/‖Wᵀu‖,   u ← Wv/‖Wv‖,   σ(W) ≈ uᵀWv     학습 앞먹임마다 한 번(거듭제곱법)
    ∂L/∂W = (G − λ u vᵀ)/σ,   G = ∂L/∂W̄,  λ = ⟨G, W̄⟩    기울기(u와 v는 상수로 봅니다)

u는 버퍼라서 저장되고 다음 단계로 이어집니다. ``eval()``에서는 u를 고치지 않고 v = Wᵀu/‖Wᵀu‖만 다시 구합니다
(torch.nn.utils.parametrizations.spectral_norm의 eval과 같은 값).

선형층에서는 W̄의 노름이 1이므로 1-립시츠 활성화와 쌓은 판별자도 1-립시츠입니다. 합성곱의 가중치는
(out, in·kh·kw)로 펴서 나누는데, 이것은 합성곱이라는 선형 사상의 노름이 **아닙니다**. 참 노름은 그 값의 1배에서
√(kh·kw)배 사이이고, ``operator_norm``과 ``circular_conv_norm``으로 잴 수 있습니다.

논문과 다른 점
- 28×28과 8×8을 만들 수 있게 크기와 층 수를 받습니다. 32×32의 세 블록 대신 둘이면 채널은 64에서 256까지입니다.
- 조건부 생성자는 조건부 배치 정규화 대신 z에 원-핫 레이블을 이어 붙입니다.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, embedding, linear, normalize, one_hot

from course_lib.gan.dcgan import initialise_
from course_lib.gan.gan import GAN, Discriminator, Generator
from course_lib.nn import MLP


def power_step(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """거듭제곱법 한 번: v = Wᵀu/‖Wᵀu‖, u = Wv/‖Wv‖. matrix (m, n), u (m,) → (u (m,), v (n,))."""
    v = normalize(matrix.mT @ u, dim=0)
    return normalize(matrix @ v, dim=0), v


class SpectralNorm:
    """가중치를 σ로 나누는 층의 공통 부분. ``weight``는 (out, …)이고 (out, 나머지)로 펴서 봅니다.

    u         왼쪽 특이벡터의 추정값 (out,), 길이 1인 버퍼. N(0, I)에서 시작합니다.
    """

    weight: Tensor
    u: Tensor

    def _start(self) -> None:
        self.register_buffer("u", normalize(torch.randn(self.weight.shape[0]), dim=0))

    def sigma(self) -> Tensor:
        """σ(W)의 추정값 uᵀWv, 스칼라. ``train()``이면 u를 한 번 고치고 ``eval()``이면 그대로 둡니다."""
        matrix = self.weight.flatten(1)  # (out, in·kh·kw)
        with torch.no_grad():  # u와 v는 상수입니다. 기울기는 uᵀWv의 W로만 흐릅니다
            v = normalize(matrix.mT @ self.u, dim=0)
            u = self.u.clone()  # 역전파 전에 버퍼가 다시 바뀌어도 이 앞먹임의 값이 남습니다
            if self.training:
                new = normalize(matrix @ v, dim=0)
                u = torch.where(new.any(), new, u)  # W = 0이면 방향이 없으므로 그대로 둡니다
                self.u.copy_(u)
        return u @ matrix @ v

    def normalised_weight(self) -> Tensor:
        """W̄ = W/σ(W), ``weight``와 같은 모양."""
        return self.weight / self.sigma().clamp_min(1e-12)


class SNLinear(SpectralNorm, nn.Linear):
    """스펙트럼 정규화한 선형층 (B, in) → (B, out): W̄x + b."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.normalised_weight(), self.bias)


class SNConv2d(SpectralNorm, nn.Conv2d):
    """(out, in·kh·kw)로 편 가중치의 σ로 나눈 합성곱 (B, in, H, W) → (B, out, H′, W′)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.normalised_weight()
        return conv2d(x, weight, self.bias, self.stride, self.padding)


class SNEmbedding(SpectralNorm, nn.Embedding):
    """스펙트럼 정규화한 임베딩: 정수 y (B,) → V̄의 y번째 줄 (B, dim)."""

    def __init__(self, classes: int, dim: int):
        super().__init__(classes, dim)
        self._start()

    def forward(self, y: Tensor) -> Tensor:
        return embedding(y, self.normalised_weight())


@torch.no_grad()
def converge_(module: nn.Module, steps: int = 200) -> nn.Module:
    """모든 SN 층의 u를 거듭제곱법 ``steps``번만큼 더 고칩니다(제자리). σ를 정확히 하여 잴 때 씁니다."""
    if steps < 1:
        raise ValueError(f"steps는 1 이상이어야 하는데 {steps}를 받았습니다.")
    for layer in module.modules():
        if isinstance(layer, SpectralNorm):
            for _ in range(steps):
                layer.u.copy_(power_step(layer.weight.flatten(1), layer.u)[0])
    return module


def operator_norm(
    function: Callable[[Tensor], Tensor], shape, *, steps: int = 200, seed: int = 0
) -> float:
    """선형 사상 x ↦ Ax의 2-노름 max_{‖x‖=1} ‖Ax‖. 행렬을 쓰지 않는 거듭제곱법, float64.

    function  (1, *shape) → (1, …) 선형 사상(편향이 있으면 빼고 봅니다). AᵀAx는 자동미분의 벡터-야코비안 곱입니다.
    되풀이가 모자라면 참값보다 작은 값을 돌려주고, 넘지는 않습니다.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    zero = function(torch.zeros_like(x)).detach()
    norm = 0.0
    for _ in range(steps):
        x = (x / x.norm()).requires_grad_()
        y = function(x) - zero  # Ax
        norm = float(y.detach().norm())
        if norm == 0:
            return 0.0
        (x,) = torch.autograd.grad(y, x, y.detach())  # AᵀAx
        x = x.detach()
    return norm


def circular_conv_norm(weight: Tensor, size: int | tuple[int, int]) -> float:
    """둥글게 이은(circular) 합성곱의 정확한 2-노름. weight (out, in, kh, kw), 보폭 1, 그림 한 변 size.

    주파수마다 (out, in) 행렬의 특잇값을 구해 가장 큰 것을 고릅니다(Sedghi, Gupta, Long, 2019, arXiv 1805.10408).
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    if weight.ndim != 4 or weight.shape[2] > size[0] or weight.shape[3] > size[1]:
        raise ValueError(
            f"커널 {tuple(weight.shape)}은 (out, in, kh, kw)이고 그림 {size}보다 작아야 합니다."
        )
    spectrum = torch.fft.fft2(weight.detach().double(), size)  # (out, in, H, W)
    return float(torch.linalg.matrix_norm(spectrum.permute(2, 3, 0, 1), 2).max())


class ProjectionDiscriminator(nn.Module):
    """조건부 판별자 s(x, y) = ψ(φ(x)) + ⟨V_y, φ(x)⟩, (B,). y를 주지 않으면 첫 항뿐입니다.

    features  φ: (B, …) → (B, width)     classes  y가 0부터 classes − 1까지의 정수일 때의 수

    최선의 점수 log p(x, y)/g(x, y)를 log p(x)/g(x) + log p(y|x)/g(y|x)로 나누고, p(y|x)와 g(y|x)가 같은 특징의
    소프트맥스라고 보면 둘째 항이 y에 대해 선형이 됩니다(1802.05637의 3절).
    """

    def __init__(self, features: nn.Module, width: int, classes: int):
        super().__init__()
        self.features, self.score = features, SNLinear(width, 1)
        self.embedding, self.classes = SNEmbedding(classes, width), classes

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        phi = self.features(x)  # (B, width)
        score = self.score(phi).squeeze(1)
        if y is None:
            return score
        _check_labels(y, len(x), self.classes)
        return score + (self.embedding(y) * phi).sum(1)


class LabelledGenerator(nn.Module):
    """x = G(z, y): z (B, K)에 원-핫 y (B, classes)를 이어 붙여 net에 넣습니다."""

    def __init__(self, net: nn.Module, classes: int):
        super().__init__()
        self.net, self.classes = net, classes

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            raise ValueError("조건부 생성자입니다. 레이블 y (B,)를 함께 넣으세요.")
        _check_labels(y, len(z), self.classes)
        return self.net(torch.cat([z, one_hot(y, self.classes).to(z)], 1))


def sn_mlp(in_dim: int, hidden, out_dim: int | None = None) -> nn.Sequential:
    """SN 선형층과 LeakyReLU(0.1)을 쌓은 신경망. out_dim이 없으면 마지막 은닉층의 특징을 냅니다."""
    layers: list[nn.Module] = []
    for a, b in zip([in_dim, *hidden], hidden, strict=False):
        layers += [SNLinear(a, b), nn.LeakyReLU(0.1)]
    if out_dim is not None:
        layers.append(SNLinear(hidden[-1] if hidden else in_dim, out_dim))
    return nn.Sequential(*layers)


def toy_sngan(
    latent_dim: int = 4, hidden=(64, 64), dim: int = 2, classes: int | None = None
) -> GAN:
    """2차원 점을 위한 SNGAN. classes를 주면 투영 판별자를 쓰는 조건부 GAN입니다."""
    hidden = tuple(hidden)
    if classes is None:
        generator = Generator(MLP(latent_dim, hidden, dim))
        return GAN(generator, Discriminator(sn_mlp(dim, hidden, 1)), latent_dim)
    generator = LabelledGenerator(MLP(latent_dim + classes, hidden, dim), classes)
    judge = ProjectionDiscriminator(sn_mlp(dim, hidden), hidden[-1], classes)
    return GAN(generator, judge, latent_dim)


def sn_features(size: int, channels: int = 1, width: int = 64, blocks: int = 2) -> nn.Sequential:
    """논문의 표준 CNN: (3×3, 4×4 보폭 2)를 blocks번, 3×3을 한 번, LeakyReLU(0.1) → (B, F).

    채널은 width에서 시작해 블록마다 두 배이고 F = width·2^blocks·(size/2^blocks)²입니다. 배치 정규화는 없습니다.
    """
    _check_size(size, blocks)
    layers: list[nn.Module] = [SNConv2d(channels, width, 3, 1, 1), nn.LeakyReLU(0.1)]
    for _ in range(blocks):
        layers += [SNConv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.1)]
        layers += [SNConv2d(width, 2 * width, 3, 1, 1), nn.LeakyReLU(0.1)]
        width *= 2
    return nn.Sequential(*layers, nn.Flatten()).apply(_small_start_)


def sn_generator(
    latent_dim: int, size: int, channels: int = 1, width: int = 64, blocks: int = 2
) -> nn.Sequential:
    """논문의 표준 생성자: 선형 → (4×4 보폭 2 전치 합성곱, 배치 정규화, ReLU)를 blocks번 → 3×3 → tanh."""
    _check_size(size, blocks)
    start, wide = size // 2**blocks, width * 2**blocks
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, wide * start * start),
        nn.Unflatten(1, (wide, start, start)),
    ]
    for _ in range(blocks):
        layers += [
            nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(wide // 2),
            nn.ReLU(),
        ]
        wide //= 2
    layers += [nn.Conv2d(wide, channels, 3, 1, 1), nn.Tanh()]
    return nn.Sequential(*layers).apply(initialise_)


def sngan(
    size: int = 28,
    channels: int = 1,
    width: int = 64,
    blocks: int = 2,
    latent_dim: int = 128,
    classes: int | None = None,
) -> GAN:
    """그림을 위한 SNGAN. z ~ N(0, I), x (B, channels, size, size)는 [−1, 1]. classes를 주면 투영 판별자입니다."""
    features = sn_features(size, channels, width, blocks)
    flat = width * 2**blocks * (size // 2**blocks) ** 2
    if classes is None:
        generator = Generator(sn_generator(latent_dim, size, channels, width, blocks))
        judge = Discriminator(nn.Sequential(*features, SNLinear(flat, 1)))
        return GAN(generator, judge, latent_dim)
    net = sn_generator(latent_dim + classes, size, channels, width, blocks)
    judge = ProjectionDiscriminator(features, flat, classes)
    return GAN(LabelledGenerator(net, classes), judge, latent_dim)


def _small_start_(layer: nn.Module) -> None:
    """편향을 0에서 시작합니다. 가중치의 크기는 σ로 나누므로 앞먹임에 상관이 없습니다."""
    if isinstance(layer, SNConv2d):
        nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)


def _check_size(size: int, blocks: int) -> None:
    if blocks < 1 or size % 2**blocks:
        raise ValueError(
            f"한 변 {size}을 {blocks}번 반으로 나눌 수 없습니다. size가 2^blocks의 배수가 되게 하세요."
        )


def _check_labels(y: Tensor, n: int, classes: int) -> None:
    if (
        y.shape != (n,)
        or y.is_floating_point()
        or (n and not 0 <= int(y.min()) <= int(y.max()) < classes)
    ):
        raise ValueError(
            f"y는 0부터 {classes - 1}까지의 정수 ({n},)이어야 하는데 {y.dtype} {tuple(y.shape)}을 받았습니다."
        )
