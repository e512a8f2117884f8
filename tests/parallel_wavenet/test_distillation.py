"""증류의 식: 닫힌 식 = 몬테카를로, 교사는 그대로, 기울기는 교사를 지나 학생에게."""

import copy
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from course_lib.autoregressive.made import MaskedMLP
from course_lib.base import Compose, FlowModel, Logistic, standard_logistic, standard_normal
from course_lib.checks import randomise_
from course_lib.flows.iaf import IAF, IAFLayer
from course_lib.flows.maf import MAF, MADEMoG
from course_lib.parallel_wavenet.distillation import (
    affine_totals,
    base_noise,
    conditional_log_prob,
    cross_entropy_per_step,
    distillation_kl,
    fingerprint,
    freeze,
    gaussian_entropy,
    gaussian_kl,
    grid_kl,
    logistic_entropy,
    start_near_identity,
    student_entropy,
    total_variation,
)
from course_lib.training import fit

BASES = {"logistic": standard_logistic, "gaussian": standard_normal}


def shaken(model, seed=0, scale=0.5):
    return randomise_(model.double().eval(), scale, seed)


def one_order(dim=3, layers=3, base="logistic", seed=0, scale=0.5):
    flow = Compose(*[IAFLayer(dim, (16,)) for _ in range(layers)])
    return shaken(FlowModel(flow, (dim,), BASES[base]), seed, scale)


def mixture_teacher(dim=3, seed=5, scale=0.5):
    return freeze(shaken(MADEMoG(dim, 3, (16,)), seed, scale))


def square(half, points):
    axis = half * (2 * (torch.arange(points, dtype=torch.float64) + 0.5) / points - 1)
    return torch.cartesian_prod(axis, axis)


def agree(values, exact, sigmas=5.0):
    """표본 평균이 정확한 값과 표준오차 안에서 같은가"""
    error = values.std(0) / math.sqrt(len(values))
    return bool(((values.mean(0) - exact).abs() <= sigmas * error + 1e-12).all())


def test_entropies_against_monte_carlo():
    log_s = torch.randn(5, dtype=torch.float64)
    for entropy, build in ((logistic_entropy, Logistic), (gaussian_entropy, Normal)):
        base = build(torch.zeros_like(log_s), log_s.exp())
        draws = base.rsample((40_000,))
        assert agree(-base.log_prob(draws), entropy(log_s))
        assert torch.allclose(entropy(log_s), base.entropy())


@pytest.mark.parametrize("base", BASES)
def test_noise_has_the_base_distribution(base):
    z = base_noise((200_000,), torch.zeros(1, dtype=torch.float64), base)
    zero = torch.zeros(1, dtype=torch.float64)
    assert agree(z[:, None].square(), BASES[base](zero).base_dist.variance)
    inside = torch.tanh(zero + 0.5) if base == "logistic" else torch.erf((zero + 0.5).sqrt())
    assert agree((z[:, None].abs() < 1).double(), inside)  # P(|z| < 1)
    g = [torch.Generator().manual_seed(3) for _ in range(2)]
    first, second = (base_noise((4,), z, base, generator) for generator in g)
    assert torch.equal(first, second) and first.dtype == torch.float64


@pytest.mark.parametrize("base", BASES)
def test_the_students_entropy_is_the_closed_form(base):
    """H(s) = E[Σ log s_t] + T·H(z₁)는 −log s(x)의 평균과 같습니다."""
    student = one_order(base=base)
    with torch.no_grad():
        z = student.base.sample((40_000,))
        x, _, log_s = affine_totals(student, z)
        closed = student_entropy(log_s, base)
        sampled = -student.log_prob(x[:40_000])
    assert closed.shape == (40_000,)
    assert agree(closed - sampled, 0.0)
    assert closed.std() < sampled.std()


def test_totals_of_a_chain():
    """x = s·z + μ이고, 전체 위치와 크기는 앞의 z에만 의존합니다. 밀도는 순차 계산과 같습니다."""
    student = one_order(4)
    z = student.base.sample((20,))
    with torch.no_grad():
        x, mu, log_s = affine_totals(student, z)
        again, log_det = student.flow(z)
        assert torch.allclose(x, again) and torch.allclose(log_s.exp() * z + mu, x)
        assert torch.allclose(log_s.sum(1), log_det)
        assert torch.allclose(student.base.log_prob(z) - log_det, student.log_prob(x), atol=1e-9)
        moved = z.clone()
        moved[:, 2] += 1.0
        _, mu_2, log_s_2 = affine_totals(student, moved)
    changed = ((mu_2 != mu) | (log_s_2 != log_s)).any(0)
    assert changed.tolist() == [False, False, False, True]


def test_reversed_orders_have_no_totals():
    with pytest.raises(ValueError, match="순서가 같은"):
        affine_totals(IAF(3, 2, (8,)), torch.randn(2, 3))
    with pytest.raises(ValueError, match="samples=0"):
        distillation_kl(IAF(3, 2, (8,)), mixture_teacher().float(), 4, samples=3)


def test_gaussian_kl_against_torch_and_monte_carlo():
    g = [torch.randn(6, dtype=torch.float64) for _ in range(4)]
    q, p = Normal(g[0], g[1].exp()), Normal(g[2], g[3].exp())
    kl = gaussian_kl(*g, regularise=0)
    assert torch.allclose(kl, kl_divergence(q, p))
    assert torch.allclose(
        gaussian_kl(g[2], g[3], g[0], g[1], regularise=0), kl_divergence(p, q)
    )  # 반대 방향은 다른 값입니다
    assert not torch.allclose(kl, kl_divergence(p, q), rtol=0.05)
    draws = q.rsample((100_000,))
    assert agree(q.log_prob(draws) - p.log_prob(draws), kl)
    assert torch.allclose(gaussian_kl(*g), kl + 4 * (g[3] - g[1]).square())


def test_gaussian_kl_is_zero_only_at_equality_and_has_the_right_gradient():
    g = [torch.randn(50, dtype=torch.float64) for _ in range(4)]
    assert (gaussian_kl(*g) > 0).all()
    same = gaussian_kl(g[0], g[1], g[0], g[1])
    assert torch.allclose(same, torch.zeros_like(same))
    g = [t[:4].clone().requires_grad_() for t in g]
    assert torch.autograd.gradcheck(lambda *v: gaussian_kl(*v, regularise=1.5), g)
    # 손으로 적은 기울기: ∂KL/∂μ_q = (μ_q − μ_p)/σ_p², ∂KL/∂log σ_q = σ_q²/σ_p² − 1
    slopes = torch.autograd.grad(gaussian_kl(*g, regularise=0).sum(), g[:2])
    mu_q, a, mu_p, b = (t.detach() for t in g)
    assert torch.allclose(slopes[0], (mu_q - mu_p) / (2 * b).exp())
    assert torch.allclose(slopes[1], (2 * (a - b)).exp() - 1)


def test_the_floor_clamps_the_kl_but_not_the_regulariser():
    a = torch.tensor([-9.0], dtype=torch.float64, requires_grad=True)
    zero, b = torch.zeros(1, dtype=torch.float64), torch.tensor([-12.0], dtype=torch.float64)
    value = gaussian_kl(zero, a, zero, b)
    assert torch.allclose(value.detach(), 4 * torch.tensor([9.0], dtype=torch.float64))
    (slope,) = torch.autograd.grad(value, a)
    assert torch.allclose(slope, torch.full_like(slope, 2 * 4 * 3.0))  # 교사의 크기 쪽으로
    far = gaussian_kl(zero, zero, zero + 1, zero - 30, regularise=0)
    assert float(far) < math.exp(14)  # e^60이 아니라 e^14


@pytest.mark.parametrize("base", BASES)
def test_the_inner_expectation_is_unbiased_and_steadier(base):
    student, teacher = one_order(base=base), mixture_teacher(scale=0.2)
    with (
        torch.no_grad()
    ):  # log s를 상수로: 로지스틱의 두꺼운 꼬리가 exp를 지나면 분산이 없을 수 있습니다
        for layer in student.flow.flows:
            layer.net.layers[-1].weight[3:] = 0
        teacher.net.layers[-1].weight[18:] = 0
        single = distillation_kl(student, teacher, 20_000)[1]
        inner = distillation_kl(student, teacher, 20_000, samples=8)[1]
    gap = inner.mean() - single.mean()
    assert gap.abs() < 5 * math.sqrt((inner.var() + single.var()) / 20_000)
    assert inner.std() < 0.8 * single.std()


def test_the_past_stays_and_only_the_present_is_redrawn():
    """차원마다의 값이 교사의 조건부 분포와의 교차 엔트로피입니다(격자 적분)."""
    student, teacher = one_order(2), mixture_teacher(2)
    z = student.base.sample((3,))
    with torch.no_grad():
        x, mu, log_s = affine_totals(student, z)
        estimate = cross_entropy_per_step(conditional_log_prob(teacher, x), mu, log_s, 60_000)
        v = torch.linspace(-400, 400, 400_001, dtype=torch.float64)
        for i in range(2):
            weight = Logistic(mu[:, i : i + 1], log_s[:, i : i + 1].exp()).log_prob(v).exp()
            points = x[:, None].expand(-1, len(v), 2).clone()
            points[..., i] = v
            log_w, m, a = teacher.conditionals(x)
            u = (v[:, None] - m[:, None, i]) / a[:, None, i].exp()
            log_t = (log_w[:, None, i] + Normal(0, 1).log_prob(u) - a[:, None, i]).logsumexp(-1)
            exact = -(weight * log_t).sum(1) * (v[1] - v[0])
            assert torch.allclose(estimate[:, i], exact, rtol=0.05)


def test_the_conditionals_are_the_teachers():
    teacher, x = mixture_teacher(4), torch.randn(6, 4, dtype=torch.float64)
    calls = []
    teacher.net.register_forward_hook(lambda *_: calls.append(1))
    log_prob = conditional_log_prob(teacher, x)
    parts = log_prob(torch.stack([x, x + 1]))
    assert len(calls) == 1 and parts.shape == (2, 6, 4)  # 교사의 신경망은 한 번
    assert torch.allclose(parts[0].sum(1), teacher.log_prob(x))


def test_equal_models_have_zero_kl():
    """교사 MAF의 역방향을 다시 적은 IAF가 아니라, 같은 IAF를 교사로 두면 KL은 표본마다 0입니다."""
    student = shaken(IAF(2, 3, (8,), base=standard_logistic))
    teacher = freeze(copy.deepcopy(student))
    kl, cross, entropy = distillation_kl(student, teacher, 200, closed_entropy=False)
    assert kl.shape == cross.shape == entropy.shape == (200,)
    assert torch.allclose(kl, torch.zeros_like(kl), atol=1e-8)
    assert torch.allclose(cross - entropy, kl)


@pytest.mark.parametrize("closed", [True, False])
def test_the_estimate_is_the_grid_integral(closed):
    student, teacher = shaken(IAF(2, 2, (8,)), 0, 0.15), freeze(shaken(MAF(2, 2, (8,)), 4, 0.15))
    with torch.no_grad():
        kl, cross, entropy = distillation_kl(student, teacher, 20_000, closed_entropy=closed)
        exact = grid_kl(student.log_prob, teacher.log_prob, (-9, 9, -9, 9), 300, torch.float64)
        log_s = student.log_prob(square(9, 300))
    assert agree(kl, exact) and exact > 0.01
    assert agree(entropy, -float((log_s.exp() * log_s).sum() * (18 / 300) ** 2))
    assert torch.allclose(kl, cross - entropy)


def test_both_entropies_have_the_same_gradient():
    student, teacher = shaken(IAF(3, 2, (8,))), freeze(shaken(MAF(3, 2, (8,)), 4))
    slopes = []
    for closed in (True, False):
        torch.manual_seed(0)
        loss = distillation_kl(student, teacher, 16, closed_entropy=closed)[0].mean()
        slopes.append(torch.autograd.grad(loss, list(student.parameters())))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*slopes, strict=True))


def test_the_gradient_is_that_of_the_kl():
    """자동미분의 기울기 = 같은 잡음에서 매개변수 하나를 움직인 차분. 교사를 지나는 몫이 빠지면 어긋납니다."""
    student, teacher = one_order(2, 2), mixture_teacher(2)
    parameter = student.flow.flows[0].net.layers[-1].bias

    def loss(samples):
        torch.manual_seed(0)
        return distillation_kl(student, teacher, 300, samples=samples)[0].mean()

    for samples in (0, 4):
        (slope,) = torch.autograd.grad(loss(samples), parameter)
        with torch.no_grad():
            for i in range(len(parameter)):
                parameter[i] += 1e-5
                up = loss(samples)
                parameter[i] -= 2e-5
                down = loss(samples)
                parameter[i] += 1e-5
                assert math.isclose(float(slope[i]), float(up - down) / 2e-5, abs_tol=1e-6)


@pytest.mark.parametrize("samples", [0, 4])
def test_the_teacher_stays_bit_for_bit_and_the_student_moves(samples):
    torch.manual_seed(0)
    student = one_order(2).float()
    teacher = freeze(MADEMoG(2, 3, (16,)))
    before, own = fingerprint(teacher), fingerprint(student)
    x = torch.randn(5, 2, requires_grad=True)
    assert torch.autograd.grad(teacher.log_prob(x).sum(), x)[0].abs().sum() > 0
    steps = fit(
        student,
        lambda m, n: distillation_kl(m, teacher, n, samples=samples)[0].mean(),
        lambda g: 32,
        steps=3,
    )
    for _ in steps:
        pass
    assert fingerprint(teacher) == before and fingerprint(student) != own
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())


def test_the_fingerprint_sees_one_bit_and_batch_norm_does_not_move():
    model = MAF(3, 2, (8,), batch_norm=True).train()
    before = fingerprint(model)
    assert fingerprint(copy.deepcopy(model)) == before
    freeze(model).log_prob(torch.randn(20, 3))
    assert fingerprint(model) == before  # eval()이므로 이동 평균도 그대로입니다
    with torch.no_grad():
        weight = next(p for p in model.parameters() if p.ndim == 2)
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(10.0))
    assert fingerprint(model) != before


def test_grid_kl():
    p, q = (Normal(torch.tensor([m, 0.0]), torch.tensor([s, 1.0])) for m, s in ((0.5, 1), (0, 1.5)))
    value = grid_kl(lambda x: p.log_prob(x).sum(1), lambda x: q.log_prob(x).sum(1), (-9, 9, -9, 9))
    assert math.isclose(value, float(kl_divergence(p, q).sum()), abs_tol=1e-4)
    with pytest.raises(ValueError, match="box"):
        grid_kl(lambda x: p.log_prob(x).sum(1), lambda x: q.log_prob(x).sum(1), (0, 9, -9, 9))


def test_total_variation():
    p, q = (Normal(torch.tensor([m, 0.0]), torch.ones(2)) for m in (0.0, 1.0))
    log_p, log_q = (lambda x, n=n: n.log_prob(x).sum(1) for n in (p, q))
    value = total_variation(log_p, log_q, (-8, 9, -8, 8))
    assert math.isclose(value, math.erf(0.5 / math.sqrt(2)), abs_tol=1e-3)  # 2Φ(½) − 1
    assert value <= math.sqrt(grid_kl(log_p, log_q, (-8, 9, -8, 8)) / 2)
    assert total_variation(log_p, log_p, (-8, 9, -8, 8)) == 0


def test_the_start_is_near_the_identity_and_still_learns():
    student = start_near_identity(IAF(3, 4, (16,)))
    z = torch.randn(200, 3)
    x = student.flow(z)[0]
    assert (x - z).abs().mean() < 0.3 and not torch.equal(x, z)
    slope = torch.autograd.grad(x.sum(), student.flow.flows[0].net.layers[0].weight)[0]
    assert slope.abs().sum() > 0
    assert (IAF(3, 4, (16,)).flow(z)[0] - z).abs().mean() > (x - z).abs().mean()


def test_bad_inputs():
    mu = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="같은"):
        cross_entropy_per_step(lambda v: v, mu, torch.zeros(2, 4), 3)
    with pytest.raises(ValueError, match="samples"):
        cross_entropy_per_step(lambda v: v, mu, mu, 0)
    with pytest.raises(ValueError, match="더하지"):
        cross_entropy_per_step(lambda v: v.sum(-1), mu, mu, 3)
    with pytest.raises(ValueError, match="logistic"):
        student_entropy(mu, "cauchy")
    with pytest.raises(ValueError, match="logistic"):
        base_noise((2,), mu, "cauchy")
    with pytest.raises(ValueError, match="log_scales"):
        student_entropy(torch.zeros(3))
    with pytest.raises(ValueError, match="regularise"):
        gaussian_kl(mu, mu, mu, mu, regularise=-1.0)
    with pytest.raises(ValueError, match="n은"):
        distillation_kl(IAF(2, 1, (4,)), MAF(2, 1, (4,)), 0)
    with pytest.raises(ValueError, match="MADEMoG"):
        conditional_log_prob(MAF(2, 1, (4,)), mu)
    swapped = MADEMoG(2, 2, (8,), order=torch.tensor([1, 0]))
    student = FlowModel(Compose(IAFLayer(2, (8,))), (2,), standard_logistic)
    with pytest.raises(ValueError, match="순서가 달라"):
        distillation_kl(student, swapped, 4, samples=2)
    assert isinstance(swapped.net, MaskedMLP)
