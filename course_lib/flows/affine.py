"""행렬식을 싸게 구하는 아핀 변환: 삼각행렬에 낮은 계수의 행렬을 더합니다.

    x = M z + b,    M = L + V Vᵀ,    L은 (D, D) 하삼각,  V는 (D, r)

일반 행렬의 행렬식은 O(D³)이지만 이 모양은 두 등식 덕분에 O(D² r)이면 됩니다.

    행렬식 보조정리   det(L + V Vᵀ) = det(L) · det(I_r + Vᵀ L⁻¹ V)                           (1)
    우드버리 항등식   (L + V Vᵀ)⁻¹ = L⁻¹ − L⁻¹ V (I_r + Vᵀ L⁻¹ V)⁻¹ Vᵀ L⁻¹                  (2)

출처: Jang, "Normalizing Flows Tutorial, Part 1", 2018(TensorFlow의 Affine bijector). 등식은 Harville,
"Matrix Algebra From a Statistician's Perspective", 1997, 18장.

자료와 다른 점: L의 대각을 exp로 양수로 둡니다. 자료의 코드는 제약이 없어 학습 중에 0을 지나갈 수 있고, 그 순간
M은 되돌릴 수 없게 됩니다. 부호는 V와 뒤집힌 축이 맡습니다.
"""

import math

import torch
from torch import Tensor, nn

from course_lib.base import Compose, Flow, FlowModel, check_batch
from course_lib.flows.elementwise import PReLU


class TriangularPlusLowRank(Flow):
    """x = (L + V Vᵀ) z + b. ``(B, D)``. 두 방향 모두 삼각 연립방정식을 푸는 값이면 됩니다.

    dim, rank  D와 r (r ≥ 0). r = 0이면 삼각행렬뿐입니다.
    """

    def __init__(self, dim: int, rank: int = 2):
        super().__init__()
        if dim < 1 or rank < 0:
            raise ValueError(f"dim은 1 이상, rank는 0 이상이어야 합니다: {dim}, {rank}")
        self.log_diagonal = nn.Parameter(torch.zeros(dim))
        self.below = nn.Parameter(0.1 * torch.randn(dim * (dim - 1) // 2))  # 대각 아래의 성분
        self.V = nn.Parameter(0.1 * torch.randn(dim, rank))
        self.shift = nn.Parameter(torch.zeros(dim))

    @property
    def L(self) -> Tensor:  # noqa: N802 - 식의 기호
        """하삼각행렬 (D, D). 대각은 양수입니다."""
        L = self.log_diagonal.exp().diag()
        rows, columns = torch.tril_indices(*L.shape, -1, device=L.device)
        return L.index_put((rows, columns), self.below)

    @property
    def matrix(self) -> Tensor:
        """M = L + V Vᵀ (D, D). 시험과 그림에만 쓰고 계산에는 쓰지 않습니다."""
        return self.L + self.V @ self.V.T

    def _capacitance(self, L: Tensor) -> tuple[Tensor, Tensor]:
        """L⁻¹V (D, r)와 I_r + Vᵀ L⁻¹ V (r, r)."""
        solved = torch.linalg.solve_triangular(L, self.V, upper=False)
        eye = torch.eye(self.V.shape[1], dtype=solved.dtype, device=solved.device)
        return solved, eye + self.V.T @ solved

    def log_det(self) -> Tensor:
        """log|det M|, 스칼라. 식 (1)."""
        return self.log_diagonal.sum() + torch.linalg.slogdet(self._capacitance(self.L)[1])[1]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = z @ self.L.T + (z @ self.V) @ self.V.T + self.shift  # (B, D)
        return x, self.log_det().expand(len(z))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        L = self.L
        solved, capacitance = self._capacitance(L)
        y = torch.linalg.solve_triangular(L, (x - self.shift).T, upper=False)  # L⁻¹(x − b), (D, B)
        z = y - solved @ torch.linalg.solve(capacitance, self.V.T @ y)  # 식 (2)
        log_det = -self.log_diagonal.sum() - torch.linalg.slogdet(capacitance)[1]
        return z.T, log_det.expand(len(x))


class AffinePReLU(FlowModel):
    """자료의 플로우: 아핀과 PReLU를 번갈아 쌓고 아핀으로 끝냅니다. 기저분포는 N(0, I).

    dim     D            layers  아핀의 수(자료는 6)           rank  r(자료는 2)
    꺾은 면은 층마다 D개뿐이라, 굽은 모양을 만들려면 층이 많이 듭니다.

    시작점: 자료의 라이브러리 기본값(Glorot 균등분포)처럼 V, L, b, α를 넓게 흩뿌립니다. 항등에 가까운 데서 출발하면
    α가 1로 가면서 정규분포 하나에 갇힙니다. ``start_from``은 마지막 아핀을 데이터에 맞춥니다(자료에는 없습니다).
    """

    def __init__(self, dim: int = 2, layers: int = 6, rank: int = 2):
        if layers < 1:
            raise ValueError(f"layers는 1 이상이어야 하는데 {layers}를 받았습니다.")
        flows: list[Flow] = []
        for _ in range(layers):
            flows += [TriangularPlusLowRank(dim, rank), PReLU()]
        super().__init__(Compose(*flows[:-1]), (dim,))
        limit = math.sqrt(6 / (dim + rank))
        with torch.no_grad():
            for flow in self.flow.flows:
                if isinstance(flow, PReLU):
                    flow.raw.uniform_(-math.sqrt(3), math.sqrt(3))
                else:
                    flow.V.uniform_(-limit, limit)
                    flow.shift.uniform_(-limit, limit)
                    flow.below.uniform_(-1, 1)
                    flow.log_diagonal.uniform_(math.log(0.1), 0)

    @torch.no_grad()
    def start_from(self, x: Tensor) -> "AffinePReLU":
        """마지막 아핀의 평행이동과 대각을 데이터 (N, D)의 평균과 표준편차로 둡니다. 자신을 돌려줍니다."""
        check_batch(x, self.event_shape)
        last = self.flow.flows[-1]
        last.shift.copy_(x.mean(0))
        last.log_diagonal.copy_(x.std(0).log())
        last.below.zero_()
        last.V.mul_(0.1)
        return self
