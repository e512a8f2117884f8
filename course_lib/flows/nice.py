"""NICE: 덧셈 결합층으로 만드는 가역 신경망.

Dinh, Krueger, Bengio, "NICE: Non-linear Independent Components Estimation", 2014, arXiv 1410.8516.

생성 방향(z → x)에서 좌표를 두 묶음으로 나누어

    x_a = z_a,    x_b = z_b + m(z_a)

로 둡니다. 뺄셈으로 곧바로 되돌릴 수 있고, 야코비안이 대각선이 모두 1인 삼각행렬이므로 부피를 정확히
보존합니다(log|det| = 0). m은 가역일 필요가 없습니다. 부피를 바꾸는 일은 마지막 Rescale 층이 맡습니다.

논문과 다른 점
- 논문은 x → z 방향으로 층을 적고 맨 끝에서 exp(s)를 곱합니다. 여기서는 생성 방향이 forward이므로 Rescale이
  기저분포 바로 다음, 첫 층입니다. 같은 모델을 거꾸로 적은 것입니다.
- 결합층의 마지막 선형층을 아주 작게 시작하여 학습 첫머리에 거의 항등 변환이 되게 합니다(안정성).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.base import Compose, Flow, FlowModel, standard_logistic
from course_lib.nn import MLP


class Coupling(Flow):
    """두 묶음 결합층의 공통 부분: 좌표를 앞(first)과 뒤(rest)로 자르고 다시 붙입니다.

    dim       전체 차원 D ≥ 2
    keep_first  True이면 앞의 ⌈D/2⌉개를 그대로 두고 뒤를 바꿉니다. False이면 그 반대입니다.
    """

    def __init__(self, dim: int, keep_first: bool):
        super().__init__()
        if dim < 2:
            raise ValueError(f"결합층은 2차원 이상에서만 쓸 수 있습니다(dim={dim}).")
        self.sizes = [(dim + 1) // 2, dim // 2]
        self.keep_first = keep_first

    @property
    def keep_dim(self) -> int:
        return self.sizes[0 if self.keep_first else 1]

    @property
    def change_dim(self) -> int:
        return self.sizes[1 if self.keep_first else 0]

    def split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) → 그대로 둘 묶음 a와 바꿀 묶음 b."""
        first, rest = h.split(self.sizes, dim=-1)
        return (first, rest) if self.keep_first else (rest, first)

    def merge(self, a: Tensor, b: Tensor) -> Tensor:
        """split의 역."""
        return torch.cat((a, b) if self.keep_first else (b, a), dim=-1)

    def extra_repr(self) -> str:
        return f"sizes={self.sizes}, keep_first={self.keep_first}"


class AdditiveCoupling(Coupling):
    """덧셈 결합층, NICE 3.2절.

    forward: x_a = z_a, x_b = z_b + m(z_a)        log|det ∂x/∂z| = 0
    inverse: z_a = x_a, z_b = x_b − m(x_a)        log|det ∂z/∂x| = 0
    m: (B, D_a) → (B, D_b)은 아무 신경망이나 됩니다. 어느 방향이든 m을 한 번만 계산합니다.
    """

    def __init__(self, dim: int, hidden: Sequence[int], keep_first: bool, dropout: float = 0.0):
        super().__init__(dim, keep_first)
        self.shift = MLP(self.keep_dim, hidden, self.change_dim, dropout=dropout, last_std=0.01)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.split(z)
        return self.merge(a, b + self.shift(a)), z.new_zeros(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.split(x)
        return self.merge(a, b - self.shift(a)), x.new_zeros(len(x))


class Rescale(Flow):
    """대각 크기 조절, NICE 3.3절: x_d = exp(s_d) z_d, s는 학습하는 매개변수입니다.

    log|det ∂x/∂z| = Σ_d s_d. 크기가 작은 z_d는 데이터에 거의 영향을 주지 않으므로, 학습된
    exp(s_d)는 PCA의 고윳값처럼 잠재 차원의 중요도를 알려 줍니다.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z * self.log_scale.exp(), self.log_scale.sum().expand(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * (-self.log_scale).exp(), -self.log_scale.sum().expand(len(x))


class Permutation(Flow):
    """좌표의 순서를 바꿉니다: x = z[:, order]. 부피는 그대로입니다."""

    def __init__(self, order: Tensor):
        super().__init__()
        if not torch.equal(order.sort().values, torch.arange(len(order))):
            raise ValueError("order는 0부터 D−1까지를 한 번씩 담은 순열이어야 합니다.")
        self.register_buffer("order", order)
        self.register_buffer("undo", order.argsort())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[:, self.order], z.new_zeros(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, self.undo], x.new_zeros(len(x))


def regroup(dim: int, first: Tensor | None = None) -> list[Flow]:
    """두 묶음으로 모아 둔 좌표를 데이터의 원래 자리로 돌려놓는 층. 할 일이 없으면 빈 목록입니다.

    결합층 안에서는 앞뒤로 자르는 편이 빠르므로, 원하는 분할은 데이터 쪽에서 순서를 한 번 바꾸어 얻습니다.
    first: (D,) bool, 앞 묶음에 들 좌표 ⌈D/2⌉개. 기본값은 짝수 번째 좌표입니다(NICE 5.1절).
    """
    if first is None:
        first = torch.arange(dim) % 2 == 0
    first = first.flatten().bool()
    if len(first) != dim or int(first.sum()) != (dim + 1) // 2:
        raise ValueError(f"first는 {dim}개 좌표 중 {(dim + 1) // 2}개가 참인 마스크여야 합니다.")
    order = torch.cat([first.nonzero()[:, 0], (~first).nonzero()[:, 0]]).argsort()
    return [] if torch.equal(order, torch.arange(dim)) else [Permutation(order)]


class NICE(FlowModel):
    """NICE 모델: Rescale → 덧셈 결합층 여러 개(두 묶음을 번갈아 바꿈) → 원래 자리로.

    dim        데이터 차원 D
    couplings  결합층의 수. 모든 차원이 서로 영향을 주려면 셋 이상이 필요합니다(4장).
    hidden     결합층마다의 ReLU 은닉층 크기
    base       standard_logistic(논문의 기본값) 또는 standard_normal
    first      앞 묶음에 들 좌표의 마스크 (D,). 기본값은 짝수 번째 좌표
    preprocess 데이터 쪽에 덧붙일 Flow(예: units.LogitPreprocess())

    비용: 밀도 계산과 표본 추출 모두 신경망을 결합층마다 한 번씩만 계산합니다.
    """

    def __init__(
        self,
        dim: int,
        couplings: int = 4,
        hidden: Sequence[int] = (64, 64),
        base=standard_logistic,
        dropout: float = 0.0,
        first: Tensor | None = None,
        preprocess: Flow | None = None,
    ):
        layers: list[Flow] = [Rescale(dim)]
        for i in range(couplings):
            layers.append(AdditiveCoupling(dim, hidden, keep_first=i % 2 == 0, dropout=dropout))
        layers += regroup(dim, first)
        if preprocess is not None:
            layers.append(preprocess)
        super().__init__(Compose(*layers), (dim,), base)

    @classmethod
    def mnist(cls) -> "NICE":
        """논문 5.1절의 MNIST 설정: D = 784, 결합층 4개, 은닉 1000 × 5층, 로지스틱 기저분포.

        입력은 [0, 1]로 역양자화한 화소이며 전처리는 없습니다(시험 로그우도 1980.50 nats).
        """
        return cls(784, couplings=4, hidden=(1000,) * 5)
