"""단위와 전처리: nats ↔ bits/dim, 역양자화, logit 전처리와 그 log-det.

생성 모델의 숫자는 단위와 전처리가 같아야 비교할 수 있습니다. 강의의 모든 표는 이 파일을 거칩니다.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.base import Flow


def bits_per_dim(log_prob: Tensor, dims: int, levels: int) -> Tensor:
    """[0, 1)로 옮긴 데이터의 로그밀도(nats)를 원래 정수 데이터의 bits/dim으로 바꿉니다.

    한 칸의 너비가 1/levels이므로 P(k) ≈ p(x)·levels^(−D)입니다. 따라서
    bits/dim = −log p(x) / (D ln 2) + log₂ levels.
    균등분포(log p = 0)는 levels = 256에서 정확히 8입니다. 역양자화 잡음의 기댓값을 취하면 이산 데이터
    부호 길이의 *상한*입니다(Theis et al., 2016, arXiv 1511.01844).

    이산 모델의 log P(k)에는 levels = 1을 넣으면 −log₂ P / D 그대로입니다.
    """
    if dims < 1 or levels < 1:
        raise ValueError(f"dims와 levels는 1 이상이어야 합니다: dims={dims}, levels={levels}.")
    return -log_prob / (dims * math.log(2)) + math.log2(levels)


def dequantise(k: Tensor, levels: int, generator: torch.Generator | None = None) -> Tensor:
    """역양자화: 정수 k ∈ {0, …, levels−1}을 x = (k + u)/levels ∈ [0, 1)로. u ~ U[0, 1).

    정수 위에 바로 연속 밀도를 맞추면 점마다 밀도를 무한히 높여 우도가 끝없이 커집니다.
    잡음은 칸 *전체*를 덮어야 합니다. 절반만 덮으면 차원마다 ln 2 nats씩 이득을 보는 척하게 됩니다.

    오류: 정수가 아니거나 범위를 벗어나면 ValueError.
    """
    if k.is_floating_point() or k.dtype == torch.bool:
        raise ValueError(f"역양자화는 정수 텐서에만 씁니다. 받은 자료형: {k.dtype}.")
    k = k.long()  # uint8에서는 255 + 1이 0으로 넘칩니다
    if k.numel() and (k.min() < 0 or k.max() >= levels):
        raise ValueError(
            f"화소값이 0–{levels - 1} 밖에 있습니다({int(k.min())}–{int(k.max())}). "
            "levels를 데이터의 밝기 단계 수에 맞추세요."
        )
    u = torch.rand(k.shape, generator=generator, dtype=torch.get_default_dtype(), device=k.device)
    # 반올림 때문에 칸의 경계를 넘지 않도록 열린구간 안에 가둡니다: floor(x·levels) = k.
    lower = torch.nextafter(k / levels, torch.ones_like(u))
    upper = torch.nextafter((k + 1) / levels, torch.zeros_like(u))
    return ((k + u) / levels).clamp(lower, upper)


class LogitPreprocess(Flow):
    """데이터 쪽 마지막 층: x ∈ [0, 1]을 실수 전체로 펴는 logit 전처리를 Flow로 쓴 것입니다.

    inverse: z = logit(p),  p = α + (1 − 2α) x
    forward: x = (σ(z) − α)/(1 − 2α)
    log|dz/dx| = log(1 − 2α) − log p − log(1 − p) = log(1 − 2α) + softplus(z) + softplus(−z)

    α > 0은 x = 0과 1에서 logit이 무한대가 되는 것을 막습니다(RealNVP: α = 0.05, MAF의 MNIST: 10⁻⁶).
    이 층을 모델 안에 두면 log_prob가 [0, 1] 위의 밀도가 되어 보정항을 잊을 수 없습니다.
    RealNVP 논문의 식은 α + (1 − α)x이지만 공식 코드는 여기의 1 − 2α 꼴입니다(Dinh et al., 2017).
    """

    def __init__(self, alpha: float = 0.05):
        super().__init__()
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha는 0과 0.5 사이여야 하는데 {alpha}를 받았습니다.")
        self.alpha = alpha

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
        return x, -self._log_slope(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.logit(self.alpha + (1 - 2 * self.alpha) * x)
        return z, self._log_slope(z)

    def _log_slope(self, z: Tensor) -> Tensor:
        """Σ_d log|dz_d/dx_d|, ``(B,)``."""
        slope = softplus(z) + softplus(-z) + math.log1p(-2 * self.alpha)
        return slope.flatten(1).sum(1)
