"""바서슈타인 거리 W₁: 원문제와 쌍대문제를 선형계획법으로, 1차원은 닫힌 꼴로, 높은 차원은 잘라서.

    원문제  min Σᵢⱼ cᵢⱼ πᵢⱼ,   π ≥ 0, Σⱼ πᵢⱼ = aᵢ, Σᵢ πᵢⱼ = bⱼ            ``transport``
    쌍대    max Σᵢ aᵢuᵢ + Σⱼ bⱼvⱼ,   uᵢ + vⱼ ≤ cᵢⱼ                        ``transport_dual``
    K–R     max Σₖ (aₖ − bₖ) fₖ,   fₖ − f_l ≤ d(xₖ, x_l)                   ``lipschitz_dual``
    1차원   ∫ |F(t) − G(t)| dt                                            ``wasserstein_1d``
    자르기  ∫ W₁(ωᵀx, ωᵀy) dω, ω는 단위 구면 위의 균등분포                 ``sliced``

c가 거리 d이면 셋째 값이 앞의 둘과 같습니다(칸토로비치–루빈시테인). c가 거리가 아니면(예: d²) 앞의 둘만 같습니다.

출처: Kantorovich, 1942; Kantorovich, Rubinstein, 1958; Villani, "Optimal Transport: Old and New", 2009;
Arjovsky et al., 2017, arXiv 1701.07875(GAN에 쓰임); Rabin et al., 2011(자른 거리). 선형계획은
``scipy.optimize.linprog``(HiGHS)가 풉니다. 변수가 N·M개라서 점이 수백 개일 때까지 씁니다.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import csr_array, eye_array, kron, vstack
from torch import Tensor


@dataclass(frozen=True)
class Transport:
    """원문제의 답: 최소 비용과 계획 π (N, M)."""

    value: float
    plan: Tensor


@dataclass(frozen=True)
class Potentials:
    """쌍대문제의 답: 최댓값과 두 퍼텐셜 u (N,), v (M,)."""

    value: float
    u: Tensor
    v: Tensor


def distances(x: Tensor, y: Tensor) -> Tensor:
    """유클리드 거리 d(xᵢ, yⱼ), (N, M), float64. x (N, D), y (M, D)."""
    x, y = _points(x), _points(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"두 점 무리의 차원이 다릅니다: {x.shape[1]}과 {y.shape[1]}.")
    return (x[:, None] - y[None]).norm(dim=2)


def transport(cost: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> Transport:
    """원문제: 비용 cost (N, M)로 무게 a (N,)를 b (M,)로 나르는 가장 싼 계획. 기본 무게는 고릅니다."""
    cost, a, b = _problem(cost, a, b)
    n, m = cost.shape
    result = _solve(
        cost.ravel(), A_eq=_marginals(n, m), b_eq=np.concatenate([a, b]), bounds=(0, None)
    )
    return Transport(float(result.fun), torch.from_numpy(result.x.reshape(n, m)))


def transport_dual(cost: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> Potentials:
    """쌍대문제: uᵢ + vⱼ ≤ cᵢⱼ 안에서 a·u + b·v를 가장 크게. 값은 원문제와 같습니다.

    (u + t, v − t)도 같은 값을 주므로 u₁ = 0인 답을 돌려줍니다.
    """
    cost, a, b = _problem(cost, a, b)
    n, m = cost.shape
    bounds = [(0, 0)] + [(None, None)] * (n + m - 1)
    result = _solve(
        -np.concatenate([a, b]), A_ub=_marginals(n, m).T, b_ub=cost.ravel(), bounds=bounds
    )
    u, v = np.split(result.x, [n])
    return Potentials(-float(result.fun), torch.from_numpy(u), torch.from_numpy(v))


def lipschitz_dual(metric: Tensor, a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """칸토로비치–루빈시테인: |fₖ − f_l| ≤ d(xₖ, x_l) 안에서 Σ (aₖ − bₖ) fₖ를 가장 크게. (값, f (K,)).

    metric  점들 사이의 거리 (K, K). a, b는 같은 점 위의 무게 (K,)이며 0이 있어도 됩니다.
    """
    metric, a, b = _problem(metric, a, b)
    k = len(metric)
    if metric.shape != (k, k):
        raise ValueError(f"metric은 정사각 행렬이어야 하는데 {metric.shape}입니다.")
    one = eye_array(k, format="csr")
    column = csr_array(np.ones((k, 1)))
    differences = kron(one, column) - kron(column, one)  # 행 (k, l): fₖ − f_l
    bounds = [(0, 0)] + [(None, None)] * (k - 1)
    result = _solve(b - a, A_ub=differences, b_ub=metric.ravel(), bounds=bounds)
    return -float(result.fun), torch.from_numpy(result.x)


def wasserstein_1d(x: Tensor, y: Tensor, a: Tensor | None = None, b: Tensor | None = None) -> float:
    """직선 위의 두 분포의 W₁ = ∫ |F(t) − G(t)| dt. x (N,), y (M,), 무게 a (N,), b (M,)."""
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"1차원 점 (N,)이 필요합니다: {tuple(x.shape)}, {tuple(y.shape)}.")
    a, b = _weights(a, len(x)), _weights(b, len(y))
    points = np.concatenate([_points(x[:, None])[:, 0], _points(y[:, None])[:, 0]])
    jumps = np.concatenate([a, -b])  # F − G가 점마다 뛰는 크기
    order = points.argsort(kind="stable")
    height = np.cumsum(jumps[order])[:-1]
    return float(np.abs(height) @ np.diff(points[order]))


def monotone_plan(a: Tensor, b: Tensor) -> Tensor:
    """직선 위에서 왼쪽부터 차례로 채우는 계획 (N, M). 점이 오름차순이면 가장 쌉니다(비용이 거리일 때)."""
    a, b = _weights(a, len(a)), _weights(b, len(b))
    upper = np.minimum(np.cumsum(a)[:, None], np.cumsum(b)[None])
    upper = np.pad(upper, ((1, 0), (1, 0)))  # min(F, G)의 두 번 차분이 칸의 무게입니다
    plan = np.diff(np.diff(upper, axis=0), axis=1)
    return torch.from_numpy(plan.clip(0))


def matched(x: Tensor, y: Tensor) -> float:
    """수가 같은 두 표본의 W₁. 무게가 고르면 최적 계획은 짝짓기이므로 짝짓기로 풉니다. x, y (N, D).

    두 *분포*의 거리를 N개의 표본으로 어림하면 같은 분포라도 0보다 큰 값이 나옵니다(N이 크면 작아집니다).
    """
    if len(x) != len(y):
        raise ValueError(f"짝지으려면 수가 같아야 합니다: {len(x)}개와 {len(y)}개.")
    cost = distances(x, y).numpy()
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def sliced(
    x: Tensor, y: Tensor, directions: int = 200, generator: torch.Generator | None = None
) -> float:
    """자른 W₁: 무작위 방향 ω로 내린 1차원 W₁의 평균. x (N, D), y (M, D).

    |ωᵀ(x − y)| ≤ ‖x − y‖이므로 W₁보다 클 수 없습니다. 계산은 정렬뿐이라 표본이 많아도 빠릅니다.
    """
    if directions < 1:
        raise ValueError(f"방향은 하나 이상이어야 하는데 {directions}를 받았습니다.")
    x, y = _points(x), _points(y)
    omega = torch.randn(x.shape[1], directions, dtype=x.dtype, generator=generator)
    omega = omega / omega.norm(dim=0)
    pairs = zip((x @ omega).T, (y @ omega).T, strict=True)
    return math.fsum(wasserstein_1d(u, v) for u, v in pairs) / directions


def _marginals(n: int, m: int):
    """π.ravel()에 곱하면 (행의 합 (n,), 열의 합 (m,))이 되는 행렬 (n+m, n·m)."""
    rows = kron(eye_array(n, format="csr"), csr_array(np.ones((1, m))))
    columns = kron(csr_array(np.ones((1, n))), eye_array(m, format="csr"))
    return vstack([rows, columns], format="csr")


def _solve(objective, **constraints):
    result = linprog(objective, method="highs", **constraints)
    if not result.success:
        raise RuntimeError(f"선형계획을 풀지 못했습니다: {result.message}")
    return result


def _problem(cost: Tensor, a, b) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cost = torch.as_tensor(cost).detach().double()
    if cost.ndim != 2 or not cost.numel() or not cost.isfinite().all():
        raise ValueError(f"비용은 유한한 값의 행렬 (N, M)이어야 합니다: {tuple(cost.shape)}.")
    return cost.numpy(), _weights(a, cost.shape[0]), _weights(b, cost.shape[1])


def _weights(weights: Tensor | None, n: int) -> np.ndarray:
    if weights is None:
        return np.full(n, 1 / n)
    w = torch.as_tensor(weights).detach().double()
    if w.shape != (n,) or not (w >= 0).all() or abs(float(w.sum()) - 1) > 1e-6:
        raise ValueError(
            f"무게는 합이 1인 0 이상의 수 ({n},)여야 합니다. 받은 모양: {tuple(w.shape)}."
        )
    return (w / w.sum()).numpy()


def _points(x: Tensor) -> Tensor:
    x = torch.as_tensor(x).detach().double()
    if x.ndim != 2 or not x.numel() or not x.isfinite().all():
        raise ValueError(f"점은 유한한 값의 (N, D)여야 하는데 {tuple(x.shape)}을 받았습니다.")
    return x
