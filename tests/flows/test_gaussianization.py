import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from course_lib.checks import check_flow, check_normalised, randomise_
from course_lib.datasets import TOY2D
from course_lib.flows import gaussianization as gf


@pytest.mark.parametrize(
    "flow, dim",
    [
        (gf.KernelLayer(5, 9), 5),
        (gf.KernelLayer(1, 1), 1),
        (gf.Householder(5), 5),
        (gf.Householder(7, 3), 7),
        (gf.Orthogonal(torch.linalg.qr(torch.randn(5, 5).double())[0]), 5),
    ],
)
def test_layers(flow, dim):
    check_flow(flow, (dim,))


@given(dim=st.integers(1, 5), layers=st.integers(1, 3), seed=st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_whole_model(dim, layers, seed):
    torch.manual_seed(seed)
    check_flow(gf.GaussianizationFlow(dim, layers, anchors=7).flow, (dim,), seed=seed)


def test_normalised_and_orthogonal():
    model = randomise_(gf.GaussianizationFlow(2, 2, anchors=6), 0.5)
    check_normalised(model, box=(-14, 14), points=500)
    q = randomise_(gf.Householder(6).double()).matrix
    assert torch.allclose(q @ q.T, torch.eye(6).double(), atol=1e-12)
    assert float(torch.linalg.det(q).detach()) == pytest.approx(1)  # 반사가 짝수 번


def test_the_quantile_is_exact_in_both_tails():
    """mpmath 없이도 참값을 아는 방법: z를 정하고 log Φ(z)를 scipy로 구해 되돌립니다."""
    z = torch.tensor([-40.0, -30, -12, -8, -5.6, -5.3, -3, -1, -1e-3, 0], dtype=torch.float64)
    low = torch.from_numpy(stats.norm.logcdf(z.numpy()))
    high = torch.from_numpy(stats.norm.logsf(z.numpy()))
    assert torch.allclose(gf.normal_quantile(low, high), z, rtol=1e-12, atol=1e-14)
    assert torch.allclose(gf.normal_quantile(high, low), -z, rtol=1e-12, atol=1e-14)
    single = gf.normal_quantile(low.float(), high.float())
    assert torch.allclose(single.double(), z, rtol=1e-5, atol=1e-6)


def test_no_jump_where_the_released_code_changes_its_formula():
    log_p = math.log(5e-8) + torch.linspace(-0.1, 0.1, 2001).double()
    z = gf.normal_quantile(log_p, torch.log1p(-log_p.exp()))
    assert z.diff().max() < 1e-4 and z.diff().min() > 0
    assert abs(float(z[1000]) - special.ndtri(5e-8)) < 1e-9
    assert float(z[1000]) == pytest.approx(-5.33, abs=0.01)
    # 공식 코드가 넘어가는 자리의 값 −√(−2 log p)과는 0.47 떨어져 있습니다
    assert float(z[1000]) + math.sqrt(-2 * math.log(5e-8)) == pytest.approx(0.47, abs=0.01)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_the_tail_log_density_is_the_logistic_one(dtype, tolerance):
    """커널 하나, h = 1이면 모델의 밀도는 로지스틱 분포 그 자체입니다: log p(−20) = −20 (모두 더해서)."""
    model = gf.GaussianizationFlow(1, layers=1, anchors=1).to(dtype)
    with torch.no_grad():
        model.flow.flows[0].anchors.zero_()
        model.flow.flows[0].log_h.fill_(math.log(1 - 1e-3))
        x = torch.tensor([-300.0, -20, -17, -16, 0, 3, 20, 200], dtype=dtype)
        z, log_det = model.flow.inverse(x[:, None])
        truth = torch.from_numpy(stats.logistic.logpdf(x.double().numpy()))
        assert torch.allclose(model.log_prob(x[:, None]).double(), truth, rtol=tolerance)
    # 도함수의 로그: 참값 −1.80. 근사식 −√(−2 log F)의 옳은 도함수는 −1.84, 공식 코드는 −41.84입니다
    assert float(log_det[1]) == pytest.approx(-1.7985, abs=1e-3)
    log_tail = math.log(special.expit(-20.0))
    right = -20 - log_tail - 0.5 * math.log(-2 * log_tail)
    assert right == pytest.approx(-1.84, abs=0.01)
    assert right + 2 * log_tail == pytest.approx(-41.84, abs=0.01)
    assert float(z[1, 0]) == pytest.approx(float(special.ndtri(special.expit(-20.0))), abs=2e-4)


def test_the_gradient_of_the_quantile():
    log_p = torch.tensor([-0.7, -5.0, -50.0], dtype=torch.float64, requires_grad=True)

    def z(v):
        return gf.normal_quantile(v, torch.log1p(-v.exp()))

    assert torch.autograd.gradcheck(z, log_p)
    flow = gf.KernelLayer(2, 4).double()
    x = torch.tensor([[-900.0, 800.0]], dtype=torch.float64)
    log_det = flow.inverse(x)[1]
    log_det.sum().backward()
    assert all(p.grad.isfinite().all() for p in flow.parameters())


def test_the_inverse_survives_gaps_narrow_kernels_and_far_tails():
    flow = gf.KernelLayer(1, 3).double()
    with torch.no_grad():
        flow.anchors.copy_(torch.tensor([[-50.0], [0.0], [70.0]]))
        flow.log_h.fill_(-20.0)  # 폭은 바닥 0.001: 커널 사이가 텅 비어 있습니다
        z = torch.linspace(-9, 9, 41).double()[:, None]
        x, log_det = flow(z)
        again, back = flow.inverse(x)
        # 기울기가 큰 곳에서는 x의 반올림이 z에서 커지므로, 그만큼만 봐줍니다
        tolerance = 1e-9 + 1e-14 * (1 + x.abs()) * back.exp()[:, None]
        assert ((again - z).abs() <= tolerance).all()
        assert x.diff(dim=0).min() > 0 and torch.allclose(log_det, -back, atol=1e-6)


def test_generation_gradients_match_finite_differences():
    flow = randomise_(gf.KernelLayer(2, 5).double())
    z = torch.randn(3, 2).double()

    def total():
        x, log_det = flow(z)
        return (x.sin() + log_det[:, None]).sum()

    total().backward()
    for p in flow.parameters():
        with torch.no_grad():
            step = 1e-6
            p[1, 0] += step
            up = total()
            p[1, 0] -= 2 * step
            down = total()
            p[1, 0] += step
        assert float(p.grad[1, 0]) == pytest.approx(float(up - down) / (2 * step), rel=1e-5)


def test_the_start_comes_from_the_data():
    torch.manual_seed(0)
    x = TOY2D["moons"].sample(3000) * 50 + 7
    model = gf.GaussianizationFlow(2, 4, anchors=60)
    before = -model.log_prob(x).mean()
    model.start_from(x)
    first = model.flow.flows[-1]
    assert torch.equal(first.anchors, x[:60])
    wide = x.std(0) * gf.bandwidth(60)
    assert torch.allclose(first.h[0], wide, rtol=1e-5)
    with torch.no_grad():
        h = first.inverse(x)[0]
        h = model.flow.flows[-2].inverse(h)[0]
    assert torch.equal(model.flow.flows[-3].anchors, h[:60])
    gaussian = 0.5 * torch.logdet(2 * math.pi * math.e * x.T.cov())
    assert -model.log_prob(x).mean() < min(before, gaussian)  # 정규분포 하나보다 낫습니다
    with pytest.raises(ValueError, match="60개"):
        model.start_from(x[:59])


def test_the_bandwidth_rule_minimises_the_integrated_error():
    """n이 크면 AMISE = R(K)/(nh) + h⁴μ₂²R(φ″)/4. 수치 적분으로 상수를 다시 구합니다."""
    kernel = stats.logistic.pdf
    rough = integrate.quad(lambda u: kernel(u) ** 2, -40, 40)[0]
    second = integrate.quad(lambda u: u**2 * kernel(u), -40, 40)[0]
    bend = integrate.quad(lambda u: ((u**2 - 1) * stats.norm.pdf(u)) ** 2, -12, 12)[0]
    n = 137
    best = (rough / (second**2 * bend * n)) ** 0.2
    assert gf.bandwidth(n) == pytest.approx(best, rel=1e-6)


def test_the_floor_holds():
    flow = gf.KernelLayer(2, 3, floor=0.05)
    with torch.no_grad():
        flow.log_h.fill_(-100)
    assert (flow.h >= 0.05).all()
    for bad in ({"anchors": 0}, {"floor": 0.0}):
        with pytest.raises(ValueError):
            gf.KernelLayer(2, **bad)


def test_marginal_table():
    x = torch.randn(400, 3).double().exp()
    table = gf.MarginalTable.from_samples(x, 40)
    check_flow(table, (3,), tolerance=1e-7)
    z = table.inverse(x)[0]
    for d in range(3):
        assert stats.kstest(z[:, d].numpy(), "norm").statistic < 0.02  # 매듭 사이의 오차뿐
    with pytest.raises(ValueError, match="역양자화"):
        gf.MarginalTable.from_samples(torch.ones(50, 2), 10)


@pytest.mark.parametrize("rotation", ["random", "pca"])
def test_every_exact_layer_removes_the_marginal_part_of_the_kl(rotation):
    """KL_k − KL_{k+1} = Σ_d KL(주변분포‖N): 층마다 표본에서 따로 잰 음엔트로피와 같아야 합니다."""
    toy, generator = TOY2D["ring8"], torch.Generator().manual_seed(3)

    def fresh():
        return toy.sample(40_000, generator).double()

    model = gf.iterative_gaussianization(fresh, 5, 150, rotation, generator)
    test = fresh()
    kl = gf.nll_by_layer(model, test) - toy.entropy
    drop = -kl.diff()
    slack = 2 * 150 / 40_000  # 좌표 둘, 매듭 m개를 표본 n개로 맞춘 값어치 m/n
    assert (drop > -slack).all() and kl[-1] < 0.5 * kl[1]
    assert float(kl[-1]) == pytest.approx(
        float(-model.log_prob(test).mean()) - toy.entropy, abs=1e-9
    )
    h = test
    for flow in list(reversed(model.flow.flows))[:2]:
        h = flow.inverse(h)[0]
    marginal = 0.0
    for d in range(2):
        density, edges = np.histogram(h[:, d].numpy(), bins=80, density=True)
        width, middle = np.diff(edges), (edges[1:] + edges[:-1]) / 2
        full = density > 0
        marginal += float(
            (density * width)[full] @ (np.log(density[full]) - stats.norm.logpdf(middle[full]))
        )
    assert float(drop[1]) == pytest.approx(marginal, abs=0.02)


def test_held_out_data_can_get_worse():
    toy, generator = TOY2D["ring8"], torch.Generator().manual_seed(0)
    train, test = toy.sample(200, generator), toy.sample(4000, generator)
    model = gf.iterative_gaussianization(train, 15, 200, generator=generator)
    on_train, on_test = gf.nll_by_layer(model, train), gf.nll_by_layer(model, test)
    assert on_train[-1] < on_train[1] and on_test[-1] > on_test.min() + 0.1


def test_arguments():
    with pytest.raises(ValueError, match="layers"):
        gf.GaussianizationFlow(2, 0)
    with pytest.raises(ValueError, match="rotation"):
        gf.iterative_gaussianization(torch.randn(50, 2), 1, 10, "none")
