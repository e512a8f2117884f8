"""2D 분포: 밀도, 표본, 엔트로피가 서로 맞고 문헌의 값과도 맞는지 봅니다."""

import math

import numpy as np
import pytest
import torch

from course_lib.datasets.toy2d import (
    TOY2D,
    GaussianModes,
    Grid25,
    Moons,
    Pinwheel,
    Ring8,
    Rings,
    Spirals,
    _NoisyCurve,
)

# 수치 적분과 닫힌 식으로 따로 구한 엔트로피(nats). spirals는 우리만의 정의여서 여기에 없습니다.
KNOWN_ENTROPY = {
    "moons": 0.2892,
    "rings": 2.623,
    "ring8": 2.832,
    "grid25": -2.0142,
    "checkerboard": 3.4657,
    "pinwheel": 2.318,
    "banana": 4.2242,
}
names = pytest.mark.parametrize("name", TOY2D)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@names
def test_density_integrates_to_one(name):
    points, cell = TOY2D[name].grid()
    assert float(TOY2D[name].log_prob(points).exp().sum() * cell) == pytest.approx(1, abs=2e-6)


@names
def test_entropy_equals_mean_of_minus_log_prob_over_samples(name):
    toy = TOY2D[name]
    log_p = toy.log_prob(toy.sample(20_000, gen(1))).double()
    error = float(log_p.std()) / math.sqrt(len(log_p))
    assert abs(float(-log_p.mean()) - toy.entropy) <= 4 * error + 1e-6


@names
def test_samples_fall_in_cells_as_the_density_says(name):
    """카이제곱 검정: 칸마다 표본의 수와, 밀도를 칸 위에서 적분한 기댓값을 비교합니다."""
    toy, n, cells = TOY2D[name], 20_000, 24
    x_min, x_max, y_min, y_max = toy.extent

    def cell_of(x):
        column = ((x[:, 0] - x_min) / (x_max - x_min) * cells).floor()
        row = ((x[:, 1] - y_min) / (y_max - y_min) * cells).floor()
        return (column.clamp(0, cells - 1) * cells + row.clamp(0, cells - 1)).long()

    # 칸의 경계가 격자 칸을 자르지 않도록 칸마다 점을 같은 수로 놓습니다.
    k = cells * max(4, math.ceil((x_max - x_min) / toy.scale / cells))
    m = cells * max(4, math.ceil((y_max - y_min) / toy.scale / cells))
    x = x_min + (torch.arange(k, dtype=torch.float64) + 0.5) * (x_max - x_min) / k
    y = y_min + (torch.arange(m, dtype=torch.float64) + 0.5) * (y_max - y_min) / m
    points = torch.cartesian_prod(x, y)
    area = (x_max - x_min) * (y_max - y_min) / len(points)
    p = toy.log_prob(points).exp() * area
    expected = n * torch.bincount(cell_of(points), weights=p, minlength=cells**2)
    samples = toy.sample(n, gen(2)).double()
    seen = torch.bincount(cell_of(samples), minlength=cells**2).double()
    enough = expected >= 5
    assert enough.sum() >= 20
    chi2 = ((seen - expected) ** 2 / expected)[enough].sum()
    freedom = int(enough.sum()) - 1
    # 윌슨–힐퍼티 근사: 세제곱근은 거의 정규분포를 따릅니다.
    z = (float(chi2 / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    assert z < 4, f"chi2={float(chi2):.1f}, 자유도={freedom}"
    rare = n * (1 - float(p[enough[cell_of(points)]].sum()))
    assert abs(float(seen[~enough].sum()) - rare) <= 5 * math.sqrt(rare + 1)


@pytest.mark.parametrize("name", KNOWN_ENTROPY)
def test_entropy_is_the_known_one(name):
    assert TOY2D[name].entropy == pytest.approx(KNOWN_ENTROPY[name], abs=6e-4)


def test_entropy_follows_the_parameters():
    assert Moons(noise=0.1).entropy == pytest.approx(1.0076, abs=6e-4)
    # 2, 0.02, 1/√2배: WGAN-GP의 8 Gaussians
    assert Ring8(math.sqrt(2), 0.02 / math.sqrt(2)).entropy == pytest.approx(-3.5996, abs=6e-4)
    assert Spirals(noise=0.2).entropy > Spirals(noise=0.1).entropy


def test_moons_are_those_of_scikit_learn():
    from sklearn.datasets import make_moons

    points, _ = make_moons(20_000, noise=0.05, random_state=0)
    log_p = Moons().log_prob(torch.from_numpy(points))
    assert float(-log_p.mean()) == pytest.approx(Moons().entropy, abs=0.03)


@pytest.mark.parametrize("curve", [Moons, Spirals])
def test_quadrature_is_exact_enough(curve):
    fine = type("Fine", (curve,), {"nodes": 800})()
    x = torch.cat([curve().sample(500, gen()).double(), 6 * torch.rand(500, 2).double() - 3])
    x = x[x.norm(dim=1) <= 3]
    assert float((curve().log_prob(x) - fine.log_prob(x)).abs().max()) < 1e-5


def test_overlap_of_two_curves_is_counted_twice():
    """같은 곡선을 두 번 놓으면 하나일 때와 밀도가 같아야 합니다(가장 가까운 곡선만 세면 ½배)."""

    def line(v):
        return torch.stack([v, torch.zeros_like(v)], -1)

    one = type("One", (_NoisyCurve,), {"nodes": 100, "_curves": lambda s, v: line(v)[None]})(0.1)
    two = type(
        "Two", (_NoisyCurve,), {"nodes": 100, "_curves": lambda s, v: torch.stack([line(v)] * 2)}
    )(0.1)
    x = torch.tensor([[0.5, 0.05], [1.2, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(two.log_prob(x), one.log_prob(x))
    # 선분 [0, 1]에 잡음을 더한 분포의 닫힌 식: (Φ((x₁)/σ) − Φ((x₁ − 1)/σ)) N(x₂; 0, σ²)
    cdf = torch.special.ndtr
    closed = (cdf(x[:, 0] / 0.1) - cdf((x[:, 0] - 1) / 0.1)).log()
    closed = closed - (x[:, 1] / 0.1) ** 2 / 2 - math.log(0.1 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(one.log_prob(x), closed)


def test_rings_closed_form_equals_a_sum_of_many_gaussians():
    angle = torch.arange(2000, dtype=torch.float64) * (2 * math.pi / 2000)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    modes = torch.cat([r * circle for r in (0.75, 1.5, 2.25, 3.0)])
    x = torch.cat([Rings().sample(200, gen()).double(), torch.zeros(1, 2).double()])
    slow = GaussianModes("", modes, 0.08).log_prob(x)
    torch.testing.assert_close(Rings().log_prob(x), slow, atol=1e-9, rtol=1e-9)


def test_pinwheel_is_exactly_the_twisted_gaussian():
    """비틀기 f → x를 자동미분한 |det J|로 구한 밀도와 같아야 합니다(다른 팔의 몫이 작은 곳)."""

    def twist(f):
        angle = -0.25 * f[0].exp()
        rotate = torch.stack(
            [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
        )
        return 2 * rotate @ f

    f = torch.randn(200, 2, generator=gen(), dtype=torch.float64) * torch.tensor([0.2, 0.06])
    f[:, 0] += 1.1
    x = torch.vmap(twist)(f)
    jacobian = torch.vmap(torch.func.jacrev(twist))(f)
    log_f = -0.5 * (((f[:, 0] - 1) / 0.3) ** 2 + (f[:, 1] / 0.1) ** 2)
    log_f = log_f - math.log(2 * math.pi * 0.03)
    one_arm = log_f - jacobian.det().abs().log() - math.log(5)
    log_p = Pinwheel().log_prob(x)
    assert (log_p >= one_arm - 1e-9).all()
    assert ((log_p - one_arm) < 1e-6).double().mean() > 0.5


def test_checkerboard_samples_never_leave_the_filled_squares():
    log_p = TOY2D["checkerboard"].log_prob(TOY2D["checkerboard"].sample(100_000, gen()))
    assert (log_p == -math.log(32)).all()
    outside = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [4.5, 0.5], [0.5, -5.0]])
    assert TOY2D["checkerboard"].log_prob(outside).eq(-math.inf).all()


def test_modes_are_where_they_should_be():
    assert TOY2D["ring8"].modes.shape == (8, 2) and Grid25().modes.shape == (25, 2)
    radius = TOY2D["ring8"].modes.norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(radius, 4 / math.sqrt(2)))
    gaps = torch.pdist(Grid25().modes)
    assert float(gaps.min()) == pytest.approx(1 / math.sqrt(2))


@names
def test_same_seed_same_bytes(name):
    toy = TOY2D[name]
    first, again = toy.sample(64, gen(7)), toy.sample(64, gen(7))
    assert first.numpy().tobytes() == again.numpy().tobytes()
    assert not torch.equal(first, toy.sample(64, gen(8)))
    before = torch.get_rng_state()
    toy.sample(3, gen(7))
    assert torch.equal(before, torch.get_rng_state())


@names
def test_shapes_types_and_single_rows(name):
    toy = TOY2D[name]
    x = toy.sample(9, gen())
    assert x.shape == (9, 2) and x.dtype == torch.float32 and x.device.type == "cpu"
    for dtype in (torch.float32, torch.float64):
        log_p = toy.log_prob(x.to(dtype))
        assert log_p.shape == (9,) and log_p.dtype == dtype
        one_by_one = torch.cat([toy.log_prob(row[None]) for row in x.to(dtype)])
        torch.testing.assert_close(log_p, one_by_one)
    x_min, x_max, y_min, y_max = toy.extent
    points = toy.sample(5000, gen())
    assert points[:, 0].ge(x_min).all() and points[:, 0].le(x_max).all()
    assert points[:, 1].ge(y_min).all() and points[:, 1].le(y_max).all()


@names
def test_far_points_have_a_finite_or_minus_infinite_density(name):
    far = torch.tensor([[1e3, -1e3], [0.0, 0.0], [-50.0, 2.0]])
    log_p = TOY2D[name].log_prob(far)
    assert not log_p.isnan().any() and (log_p < 10).all()


@pytest.mark.parametrize("n", [0, -1, 2.0, "3", True, None])
def test_bad_n(n):
    with pytest.raises(ValueError, match="표본 수 n은 1 이상의 정수"):
        TOY2D["moons"].sample(n)


@pytest.mark.parametrize(
    "x", [torch.zeros(3), torch.zeros(2, 3), torch.zeros(0, 2), torch.full((1, 2), math.nan)]
)
def test_bad_points(x):
    with pytest.raises(ValueError, match="[가-힣]"):
        TOY2D["moons"].log_prob(x)


def test_bad_noise():
    with pytest.raises(ValueError, match="noise는 0.05 이상"):
        Moons(noise=0.01)
    with pytest.raises(ValueError, match="noise는 0.05 이상"):
        Moons(noise=np.nan)
