"""바서슈타인 거리: 원문제 = 쌍대 = 립시츠 함수, 1차원의 닫힌 꼴, 거리의 공리, 자른 거리의 하한."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from course_lib.gan import wasserstein as ws


def problem(seed, n=7, m=5, d=2):
    g = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, d, generator=g).double(), torch.randn(m, d, generator=g).double() + 1
    a, b = torch.rand(n, generator=g).double() + 0.1, torch.rand(m, generator=g).double() + 0.1
    return x, y, a / a.sum(), b / b.sum()


@pytest.mark.parametrize("seed", range(4))
def test_primal_dual_and_lipschitz_values_agree_and_the_answers_are_feasible(seed):
    x, y, a, b = problem(seed)
    cost = ws.distances(x, y)
    primal, dual = ws.transport(cost, a, b), ws.transport_dual(cost, a, b)
    assert primal.value == pytest.approx(dual.value, abs=1e-9)
    assert primal.plan.min() >= 0
    torch.testing.assert_close(primal.plan.sum(1), a, rtol=0, atol=1e-9)
    torch.testing.assert_close(primal.plan.sum(0), b, rtol=0, atol=1e-9)
    assert float((primal.plan * cost).sum()) == pytest.approx(primal.value)
    slack = cost - dual.u[:, None] - dual.v[None]
    assert slack.min() > -1e-9 and dual.u[0] == 0
    assert float(a @ dual.u + b @ dual.v) == pytest.approx(dual.value)
    assert (primal.plan * slack).sum() < 1e-9  # 상보성: 나르는 곳에서는 제약이 등호

    points = torch.cat([x, y])
    mass = torch.cat([a, 0 * b]), torch.cat([0 * a, b])
    metric = ws.distances(points, points)
    value, f = ws.lipschitz_dual(metric, *mass)
    assert value == pytest.approx(primal.value, abs=1e-9)
    assert ((f[:, None] - f[None]).abs() <= metric + 1e-9).all() and f.abs().max() > 0
    assert float((mass[0] - mass[1]) @ f) == pytest.approx(value)
    # 나르는 두 점 사이에서 f는 꼭 거리만큼 내려갑니다(기울기 1)
    i, j = (primal.plan > 1e-9).nonzero().T
    torch.testing.assert_close(f[i] - f[len(x) + j], cost[i, j], rtol=0, atol=1e-8)


def test_a_cost_that_is_no_metric_keeps_the_dual_but_not_the_lipschitz_form():
    """c = d²: 원문제 = 쌍대이지만, f 하나로 쓴 값은 더 작습니다."""
    points = torch.tensor([[0.0], [1.0], [2.0]]).double()
    cost = ws.distances(points, points) ** 2
    a, b = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert ws.transport(cost, a, b).value == pytest.approx(4)
    assert ws.transport_dual(cost, a, b).value == pytest.approx(4)
    assert ws.lipschitz_dual(cost, a, b)[0] == pytest.approx(2)  # 1 + 1: 가운데 점을 거칩니다


@pytest.mark.parametrize("seed", range(3))
def test_the_line_has_a_closed_form(seed):
    x, y, a, b = problem(seed, d=1)
    want = ws.transport(ws.distances(x, y), a, b).value
    assert ws.wasserstein_1d(x[:, 0], y[:, 0], a, b) == pytest.approx(want, abs=1e-9)
    scipy = stats.wasserstein_distance(x[:, 0], y[:, 0], a, b)
    assert ws.wasserstein_1d(x[:, 0], y[:, 0], a, b) == pytest.approx(scipy)
    order, other = x[:, 0].argsort(), y[:, 0].argsort()
    plan = ws.monotone_plan(a[order], b[other])
    torch.testing.assert_close(plan.sum(1), a[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(plan.sum(0), b[other], rtol=0, atol=1e-12)
    assert float((plan * ws.distances(x[order], y[other])).sum()) == pytest.approx(want)
    assert (plan > 1e-12).sum() <= len(a) + len(b) - 1


def test_known_values():
    # 나란한 두 선: (0, Z)와 (θ, Z)
    z = torch.rand(12).double()
    for theta in (-1.5, -0.01, 0.0, 0.3, 2.0):
        line = torch.stack([0 * z, z], 1)
        moved = torch.stack([0 * z + theta, z], 1)
        assert ws.transport(ws.distances(line, moved)).value == pytest.approx(abs(theta), abs=1e-9)
        assert ws.matched(line, moved) == pytest.approx(abs(theta), abs=1e-12)
    # N(0, 1)과 N(m, s²)의 분위수는 직선: W₁ = E|m + (s − 1)Z|
    q = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(20_000).double() + 0.5) / 20_000)
    assert ws.wasserstein_1d(q, 3 * q) == pytest.approx(2 * math.sqrt(2 / math.pi), abs=2e-3)
    assert ws.wasserstein_1d(q, q - 4) == pytest.approx(4)
    # 같은 점에 무게만 다른 것: |0.7 − 0.2| × 거리 3
    x = torch.tensor([0.0, 3.0])
    assert ws.wasserstein_1d(x, x, torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.8])) == (
        pytest.approx(1.5)
    )


def test_it_is_a_metric():
    x, y, a, b = problem(5, 6, 6)
    z, _, c, _ = problem(6, 6, 6)

    def w(p, q, s, t):
        return ws.transport(ws.distances(p, q), s, t).value

    assert w(x, x, a, a) == pytest.approx(0, abs=1e-12)
    assert w(x, y, a, b) == pytest.approx(w(y, x, b, a)) and w(x, y, a, b) > 0
    assert w(x, z, a, c) <= w(x, y, a, b) + w(y, z, b, c) + 1e-9
    assert w(3 * x, 3 * y, a, b) == pytest.approx(3 * w(x, y, a, b))
    shift = torch.tensor([2.0, -1.0]).double()
    assert w(x + shift, y + shift, a, b) == pytest.approx(w(x, y, a, b))


def test_matching_is_the_plan_of_equal_weights():
    x, y, _, _ = problem(1, 9, 9, 3)
    assert ws.matched(x, y) == pytest.approx(ws.transport(ws.distances(x, y)).value)


def test_sliced_is_a_lower_bound_and_matches_its_integral():
    x, y, _, _ = problem(2, 30, 30, 3)
    g = torch.Generator().manual_seed(0)
    assert 0 < ws.sliced(x, y, 300, g) <= ws.matched(x, y)
    shift = torch.tensor([0.0, 2.0]).double()
    # 두 점의 자른 거리는 2·E|cos φ| = 4/π
    one = torch.zeros(1, 2).double()
    assert ws.sliced(one, one + shift, 20_000, g) == pytest.approx(4 / math.pi, abs=0.02)
    line = torch.randn(50, 1).double()
    assert ws.sliced(line, line + 3, 2, g) == pytest.approx(3)  # 1차원에서는 W₁ 그 자체
    again = [ws.sliced(x, y, 10, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert again[0] == again[1]


def test_float32_and_gradients_are_accepted():
    x = torch.randn(4, 2, requires_grad=True)
    plan = ws.transport(ws.distances(x, x + 1)).plan
    assert plan.dtype == torch.float64 and not plan.requires_grad
    assert np.isfinite(ws.sliced(x, x + 1, 3))


def test_bad_input():
    good = torch.rand(3, 3)
    for cost in (torch.rand(3), torch.zeros(0, 3), torch.full((2, 2), float("nan"))):
        with pytest.raises(ValueError, match="비용"):
            ws.transport(cost)
    for a in (torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.6, 0.5]), torch.tensor([2.0, -1, 0])):
        with pytest.raises(ValueError, match="무게"):
            ws.transport(good, a)
    with pytest.raises(ValueError, match="정사각"):
        ws.lipschitz_dual(torch.rand(2, 3), None, None)
    with pytest.raises(ValueError, match="차원"):
        ws.distances(torch.zeros(2, 2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="수가 같아야"):
        ws.matched(torch.zeros(2, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="1차원"):
        ws.wasserstein_1d(torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(ValueError, match="방향"):
        ws.sliced(torch.zeros(2, 1), torch.zeros(2, 1), 0)
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        ws.sliced(torch.full((2, 1), float("inf")), torch.zeros(2, 1))
