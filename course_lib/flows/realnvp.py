"""RealNVP: 곱하고 더하는 결합층. 부피도 바꾸는 가역 신경망.

Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", ICLR 2017, arXiv 1605.08803.

생성 방향(z → x)에서 좌표를 두 묶음으로 나누어

    x_a = z_a,    x_b = z_b ⊙ exp(α(z_a)) + μ(z_a)

로 둡니다. 야코비안은 대각선이 1과 exp(α)인 삼각행렬이므로 log|det| = Σ α입니다.
α와 μ는 가역일 필요가 없고, 두 방향 모두 신경망을 한 번만 계산합니다.

``RealNVP``는 벡터 데이터용, ``ImageRealNVP``는 논문의 다중 스케일 이미지 모델입니다.

논문과 다른 점
- 논문은 x → z 방향에 exp(s)를 적습니다. 아핀 결합의 역도 아핀 결합이라 같은 함수족입니다.
- α = c ⊙ tanh(·)이고 c는 학습합니다(공식 코드와 같은 꼴). 논문 본문에는 상한이 없지만, 없으면 발산합니다.
- 벡터 모델은 논문에 없는 구성입니다: 두 묶음을 짝수·홀수 좌표로 나눈 MLP 결합층을 쌓고,
  배치 정규화 층은 넣지 않습니다(tanh로 묶은 α만으로 20개 시드에서 발산하지 않았습니다).
- 이미지 모델에서 절반을 떼어 낼 때 앞쪽 채널을 떼어 냅니다. 공식 코드의 대각선 화소 순서와 다릅니다.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.parametrizations import weight_norm

from course_lib.base import Compose, Flow, FlowModel, standard_normal
from course_lib.flows.nice import Coupling, regroup
from course_lib.nn import MLP


class AffineCoupling(Coupling):
    """아핀 결합층, RealNVP 식 (4)–(8).

    forward: x_b = z_b ⊙ exp(α(z_a)) + μ(z_a)        log|det ∂x/∂z| = Σ α
    inverse: z_b = (x_b − μ(x_a)) ⊙ exp(−α(x_a))     log|det ∂z/∂x| = −Σ α
    신경망 하나가 α의 재료와 μ를 함께 냅니다: (B, D_a) → (B, 2·D_b).
    """

    def __init__(self, dim: int, hidden: Sequence[int], keep_first: bool, dropout: float = 0.0):
        super().__init__(dim, keep_first)
        self.net = MLP(self.keep_dim, hidden, 2 * self.change_dim, dropout=dropout, last_std=0.01)
        self.bound = nn.Parameter(torch.ones(self.change_dim))  # |α| ≤ |c|

    def parameters_from(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """그대로 둔 묶음 a에서 log-scale α와 shift μ를 계산합니다. 둘 다 (B, D_b)."""
        raw, mu = self.net(a).chunk(2, dim=-1)
        return self.bound * raw.tanh(), mu

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.split(z)
        alpha, mu = self.parameters_from(a)
        return self.merge(a, b * alpha.exp() + mu), alpha.sum(-1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.split(x)
        alpha, mu = self.parameters_from(a)
        return self.merge(a, (b - mu) * (-alpha).exp()), -alpha.sum(-1)


class RealNVP(FlowModel):
    """벡터 데이터용 RealNVP: 아핀 결합층을 쌓고 두 묶음을 번갈아 바꿉니다.

    dim        데이터 차원 D
    couplings  결합층의 수
    hidden     결합층마다의 ReLU 은닉층 크기
    base       standard_normal(기본값) 또는 standard_logistic
    first      앞 묶음에 들 좌표의 마스크 (D,). 기본값은 짝수 번째 좌표이고, 이미지를 편 벡터라면
               checkerboard_mask(H, W, 0)이 이웃 화소를 갈라 놓아 더 낫습니다.
    preprocess 데이터 쪽에 덧붙일 Flow(예: units.LogitPreprocess())

    비용: 밀도 계산과 표본 추출 모두 신경망을 결합층마다 한 번씩만 계산합니다.
    """

    def __init__(
        self,
        dim: int,
        couplings: int = 8,
        hidden: Sequence[int] = (64, 64),
        base=standard_normal,
        dropout: float = 0.0,
        first: Tensor | None = None,
        preprocess: Flow | None = None,
    ):
        layers: list[Flow] = [
            AffineCoupling(dim, hidden, keep_first=i % 2 == 0, dropout=dropout)
            for i in range(couplings)
        ]
        layers += regroup(dim, first)
        if preprocess is not None:
            layers.append(preprocess)
        super().__init__(Compose(*layers), (dim,), base)


# ── 이미지 ──────────────────────────────────────────────────────────────────────────────────────


def checkerboard_mask(height: int, width: int, parity: int) -> Tensor:
    """바둑판 마스크 (1, 1, H, W): 행과 열 번호의 합이 parity와 홀짝이 같은 화소가 1(그대로 둠)."""
    row, column = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return ((row + column) % 2 == parity).to(torch.get_default_dtype())[None, None]


def channel_mask(channels: int, parity: int) -> Tensor:
    """채널 마스크 (1, C, 1, 1): parity = 0이면 앞 절반이 1(그대로 둠), 1이면 뒤 절반이 1입니다."""
    first = torch.arange(channels) < channels // 2
    return (first if parity == 0 else ~first).to(torch.get_default_dtype())[None, :, None, None]


class ResidualNet(nn.Module):
    """결합층 안의 합성곱 신경망: 사전 활성화 잔차 블록, weight norm, 배치 정규화(논문 3.6절).

    입력은 공식 코드처럼 [v, −v, 마스크]를 채널로 이은 것에 ReLU를 씌운 것이고, 블록마다의
    1×1 지름길 출력을 모두 더해 마지막에 씁니다. (B, C, H, W) → (B, 2C, H, W)
    """

    def __init__(self, channels: int, width: int, blocks: int):
        super().__init__()
        self.entry = weight_norm(nn.Conv2d(2 * channels + 1, width, 3, padding=1))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width),
                nn.ReLU(),
                weight_norm(nn.Conv2d(width, width, 3, padding=1, bias=False)),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                weight_norm(nn.Conv2d(width, width, 3, padding=1)),
            )
            for _ in range(blocks)
        )
        self.skips = nn.ModuleList(
            weight_norm(nn.Conv2d(width, width, 1)) for _ in range(blocks + 1)
        )
        self.exit = nn.Conv2d(width, 2 * channels, 1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    def forward(self, v: Tensor, mask: Tensor) -> Tensor:
        plane = mask[:, :1].expand(len(v), 1, *v.shape[2:])  # 어느 자리가 비었는지 알려 줍니다
        h = self.entry(relu(torch.cat([v, -v, plane], dim=1)))
        total = self.skips[0](h)
        for block, skip in zip(self.blocks, self.skips[1:], strict=True):
            h = h + block(h)
            total = total + skip(h)
        return self.exit(relu(total))


class MaskedAffineCoupling(Flow):
    """마스크 b로 쓴 아핀 결합층, RealNVP 식 (9): b = 1인 자리는 그대로, 나머지만 바꿉니다.

    forward: x = b⊙z + (1 − b)⊙(z ⊙ exp(α(b⊙z)) + μ(b⊙z))     log|det| = Σ (1 − b)⊙α
    """

    def __init__(self, mask: Tensor, channels: int, width: int, blocks: int):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.net = ResidualNet(channels, width, blocks)
        self.bound = nn.Parameter(torch.ones(channels, 1, 1))

    def parameters_from(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        raw, mu = self.net(kept, self.mask).chunk(2, dim=1)
        change = 1 - self.mask
        return change * self.bound * raw.tanh(), change * mu

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        alpha, mu = self.parameters_from(self.mask * z)
        return z * alpha.exp() + mu, alpha.flatten(1).sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        alpha, mu = self.parameters_from(self.mask * x)
        return (x - mu) * (-alpha).exp(), -alpha.flatten(1).sum(1)


class BatchNormFlow(Flow):
    """배치 정규화를 Flow의 한 층으로 쓴 것, 논문 3.7절.

    inverse: z = (x − m)/√(v + ε)       log|det ∂z/∂x| = −(화소 수)·½ Σ_c log(v_c + ε)
    forward: x = z √(v + ε) + m         부호만 반대입니다.

    학습 중의 ``inverse``는 배치의 평균과 분산을 쓰면서 이동 평균을 갱신하고, 나머지 경우는 모두 이동 평균을
    씁니다. 그래서 왕복이 정확한 것은 ``eval()``일 때입니다. 채널(또는 벡터의 좌표)마다 하나씩 셉니다.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-4):
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mean, scale, log_det = self._affine(self.running_mean, self.running_var, z)
        return z * scale + mean, log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = self.running_mean, self.running_var
        if self.training:
            var, mean = torch.var_mean(x, dim=[0, *range(2, x.ndim)], correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        mean, scale, log_det = self._affine(mean, var, x)
        return (x - mean) / scale, -log_det

    def _affine(self, mean: Tensor, var: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = [1, -1] + [1] * (h.ndim - 2)
        pixels = h[0, 0].numel()
        log_det = 0.5 * pixels * (var + self.eps).log().sum()
        scale = (var + self.eps).sqrt().view(shape)
        return mean.view(shape), scale, log_det.expand(len(h))


class Squeeze(Flow):
    """화소를 채널로 옮깁니다. 생성 방향은 (B, 4C, H, W) → (B, C, 2H, 2W), 부피는 그대로입니다."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.nn.functional.pixel_shuffle(z, 2), z.new_zeros(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.nn.functional.pixel_unshuffle(x, 2), x.new_zeros(len(x))


class FactorOut(Flow):
    """절반의 채널만 더 깊이 보내는 다중 스케일 구조, 논문 3.6절 식 (14)–(16).

    inverse: x (B, C, H, W)를 채널로 반 갈라 앞은 그대로 잠재 변수로 내놓고, 뒤만 ``deeper``에 넣습니다.
    잠재 변수는 [떼어 낸 것, 더 깊은 것]을 이은 벡터 (B, C·H·W)입니다.
    """

    def __init__(self, deeper: Flow, shape: tuple[int, int, int]):
        super().__init__()
        channels, height, width = shape
        self.deeper = deeper
        self.early_shape = (channels // 2, height, width)
        self.early_dim = channels // 2 * height * width

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        early, late = z[:, : self.early_dim], z[:, self.early_dim :]
        deep, log_det = self.deeper(late)
        return torch.cat([early.unflatten(1, self.early_shape), deep], dim=1), log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        early, deep = x[:, : self.early_shape[0]], x[:, self.early_shape[0] :]
        late, log_det = self.deeper.inverse(deep)
        return torch.cat([early.flatten(1), late], dim=1), log_det


class Unflatten(Flow):
    """벡터 (B, D)를 이미지 (B, C, H, W)로 펴는, 값이 변하지 않는 층."""

    def __init__(self, shape: tuple[int, int, int]):
        super().__init__()
        self.shape = shape

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z.unflatten(1, self.shape), z.new_zeros(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(len(x))


def _couplings(masks: list[Tensor], channels: int, width: int, blocks: int) -> list[Flow]:
    """마스크마다 [배치 정규화, 결합층]. 생성 방향 순서이므로 x → z에서는 결합층이 먼저입니다."""
    layers: list[Flow] = []
    for mask in masks:
        layers += [
            BatchNormFlow(channels),
            MaskedAffineCoupling(mask, channels, width, blocks),
        ]
    return layers


def multi_scale(shape: tuple[int, int, int], scales: int, width: int, blocks: int) -> Flow:
    """논문 3.6절의 한 스케일. z 벡터 (B, D) → x (B, C, H, W).

    x → z로 읽으면: 바둑판 결합 3개 → squeeze → 채널 결합 3개 → 절반을 떼어 내고 다음 스케일로.
    마지막 스케일은 바둑판 결합 4개뿐입니다. 특징 지도 수는 스케일마다 두 배가 됩니다.
    """
    channels, height, width_px = shape
    if scales == 1:
        masks = [checkerboard_mask(height, width_px, i % 2) for i in range(4)]
        return Compose(Unflatten(shape), *_couplings(masks, channels, width, blocks))
    squeezed = (4 * channels, height // 2, width_px // 2)
    deeper = multi_scale((2 * channels, *squeezed[1:]), scales - 1, 2 * width, blocks)
    channel_masks = [channel_mask(4 * channels, i % 2) for i in range(3)]
    board_masks = [checkerboard_mask(height, width_px, i % 2) for i in range(3)]
    return Compose(
        FactorOut(deeper, squeezed),
        *_couplings(channel_masks, 4 * channels, width, blocks),
        Squeeze(),
        *_couplings(board_masks, channels, width, blocks),
    )


class ImageRealNVP(FlowModel):
    """논문의 다중 스케일 이미지 RealNVP.

    shape      이미지 하나의 (C, H, W). H와 W는 2^(scales−1)로 나누어떨어져야 합니다.
    scales     스케일의 수(논문: 32×32는 4×4에 닿을 때까지)
    width      첫 스케일의 특징 지도 수(논문 32 또는 64), blocks 잔차 블록 수(논문 4 또는 8)
    preprocess 데이터 쪽에 덧붙일 Flow. 논문처럼 [0, 1] 화소라면 units.LogitPreprocess(0.05)

    잠재 변수는 (D,) 벡터이며 앞쪽이 먼저 떼어 낸(섬세한) 성분, 뒤쪽이 가장 깊은(큰 윤곽) 성분입니다.
    비용: 두 방향 모두 결합층마다 신경망 한 번.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        scales: int = 2,
        width: int = 32,
        blocks: int = 4,
        base=standard_normal,
        preprocess: Flow | None = None,
    ):
        factor = 2 ** (scales - 1)
        if scales < 1 or shape[1] % factor or shape[2] % factor:
            raise ValueError(
                f"{shape[1]}×{shape[2]} 이미지는 스케일 {scales}개로 나눌 수 없습니다. "
                f"높이와 너비가 {factor}의 배수여야 합니다."
            )
        layers = [multi_scale(tuple(shape), scales, width, blocks)]
        if preprocess is not None:
            layers.append(preprocess)
        dim = shape[0] * shape[1] * shape[2]
        super().__init__(Compose(*layers), shape, base, latent_shape=(dim,))
