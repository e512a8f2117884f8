import math

import pytest
import torch
from torch.distributions import (
    AffineTransform,
    Independent,
    Normal,
    SigmoidTransform,
    TransformedDistribution,
    Uniform,
)

from course_lib.base import (
    Compose,
    FlowModel,
    Inverse,
    Logistic,
    check_batch,
    standard_logistic,
    standard_normal,
)
from course_lib.checks import check_flow, randomise_
from course_lib.flows.nice import Rescale
from course_lib.flows.realnvp import AffineCoupling, RealNVP


def logistic_from_torch(loc, scale):
    """torch의 조각으로 만든 같은 분포: 균등 → logit → 아핀."""
    return TransformedDistribution(
        Uniform(torch.zeros_like(loc), 1), [SigmoidTransform().inv, AffineTransform(loc, scale)]
    )


def test_logistic_against_torch():
    loc, scale = torch.tensor(0.7).double(), torch.tensor(1.8).double()
    x = torch.linspace(-20, 20, 101).double()
    ours, theirs = Logistic(loc, scale), logistic_from_torch(loc, scale)
    assert torch.allclose(ours.log_prob(x), theirs.log_prob(x), atol=1e-6)
    assert ours.log_prob(torch.tensor(-1e4).double()).isfinite()


def test_logistic_moments_and_entropy():
    torch.manual_seed(0)
    d = Logistic(torch.tensor(2.0), torch.tensor(0.5))
    x = d.sample((200_000,))
    assert float(x.mean()) == pytest.approx(2, abs=0.01)
    assert float(x.var()) == pytest.approx(float(d.variance), rel=0.02)
    assert float(d.entropy()) == pytest.approx(2 + math.log(0.5))
    assert float(-d.log_prob(x).mean()) == pytest.approx(float(d.entropy()), abs=0.01)


def test_logistic_sample_is_finite_at_the_ends(monkeypatch):
    d = Logistic(torch.zeros(2), torch.ones(2))
    for end in (0.0, 1.0):
        monkeypatch.setattr(torch, "rand", lambda *a, end=end, **k: torch.full(a[0], end))
        assert d.rsample((3,)).isfinite().all()


@pytest.mark.parametrize("make", [standard_normal, standard_logistic])
def test_base_log_prob_sums_over_events(make):
    d = make(torch.zeros(3, 2))
    assert d.event_shape == (3, 2) and d.log_prob(torch.zeros(5, 3, 2)).shape == (5,)


def affine_2d():
    """손으로 아는 아핀 flow: x = exp(s) ⊙ z."""
    layer = Rescale(2)
    with torch.no_grad():
        layer.log_scale.copy_(torch.tensor([0.3, -1.1]))
    return layer


def test_flow_model_against_transformed_distribution():
    """같은 아핀 변환을 torch.distributions로 만들어 비교합니다: 공짜 정답입니다."""
    model = FlowModel(affine_2d(), (2,))
    base = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    scale = torch.tensor([0.3, -1.1]).exp()
    oracle = TransformedDistribution(base, [AffineTransform(0, scale, event_dim=1)])
    x = torch.randn(50, 2)
    assert torch.allclose(model.log_prob(x), oracle.log_prob(x), atol=1e-5)
    assert torch.allclose(model.log_prob(x), Normal(0, scale).log_prob(x).sum(1), atol=1e-5)


def test_as_transform_gives_the_same_density():
    model = randomise_(RealNVP(5, couplings=3, hidden=(8,)).double()).eval()
    wrapped = TransformedDistribution(model.base, [model.flow.as_transform()])
    x = wrapped.sample((20,))
    assert torch.allclose(wrapped.log_prob(x), model.log_prob(x), atol=1e-10)
    transform = model.flow.as_transform()
    z = torch.randn(4, 5).double()
    assert torch.allclose(transform.inv(transform(z)), z)
    x = transform(z)
    assert torch.equal(transform.log_abs_det_jacobian(z.clone(), x), model.flow(z)[1])


def test_rsample_and_log_prob_agree_with_log_prob():
    model = randomise_(RealNVP(5, couplings=3, hidden=(8,)).double()).eval()
    x, log_prob = model.rsample_and_log_prob(30)
    assert torch.allclose(log_prob, model.log_prob(x), atol=1e-9)
    assert x.requires_grad


def test_path_starts_at_z_and_ends_at_x():
    model = randomise_(RealNVP(2, couplings=3, hidden=(8,))).eval()
    z = torch.randn(7, 2)
    path = model.path(z)
    assert len(path) == 4 and torch.equal(path[0], z)
    assert torch.allclose(path[-1], model.flow(z)[0])
    with torch.no_grad():
        model.flow.flows[1].net[-1].bias.add_(1)
    assert not torch.allclose(model.path(z)[2], path[2]) and torch.equal(model.path(z)[1], path[1])


def test_compose_order_and_inverse():
    a, b = AffineCoupling(5, (8,), True), AffineCoupling(5, (8,), False)
    check_flow(Compose(a, b), (5,))
    check_flow(Inverse(Compose(a, b)), (5,))
    randomise_(a), randomise_(b)
    z = torch.randn(3, 5)
    assert torch.equal(Compose(a, b)(z)[0], b(a(z)[0])[0])  # 왼쪽 층이 먼저입니다


def test_sample_follows_the_density():
    torch.manual_seed(0)
    model = randomise_(RealNVP(2, couplings=2, hidden=(8,)), 0.3).eval()
    x = model.sample(20_000)
    assert not x.requires_grad
    # 엔트로피의 두 추정이 같아야 합니다: 표본의 −log p 평균과 기저 엔트로피 + E[log|det|].
    z = model.base.sample((20_000,))
    with torch.no_grad():
        entropy = float(model.base.entropy() + model.flow(z)[1].mean())
        assert float(-model.log_prob(x).mean()) == pytest.approx(entropy, abs=0.05)


def test_base_follows_dtype():
    model = RealNVP(3, hidden=(8,)).double()
    assert model.sample(2).dtype == torch.float64


def test_only_values_that_are_not_finite_are_refused():
    huge = torch.tensor([[3e38, 3e38]])  # 합은 넘치지만 값은 유한합니다
    check_batch(huge, torch.Size([2]))
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="NaN이나 무한대"):
            check_batch(torch.tensor([[bad, -bad]]), torch.Size([2]))
