"""성분마다의 전단사: 왕복, 야코비안, 이름난 분포와 같은지."""

import math

import pytest
import torch
from torch.distributions import (
    Exponential,
    Gumbel,
    LogNormal,
    Normal,
    RelaxedOneHotCategorical,
)

from course_lib import checks
from course_lib.base import Compose
from course_lib.flows import elementwise as e

FLOWS = {
    "affine": e.ElementwiseAffine(-2.0, 1.0),
    "affine per dim": e.ElementwiseAffine([1.0, -0.5, 3.0, 0.1, -7.0], 1.0),
    "exp": e.Exp(),
    "neglog": Compose(e.Exp(), e.NegLog()),  # 양수에서만 정의됩니다
    "sigmoid": e.Sigmoid(),
    "tanh": e.Tanh(),
    "prelu": e.PReLU(0.3),
    "softmax": e.SoftmaxCentered(),
    "chain": Compose(e.PReLU(0.4), e.ElementwiseAffine(0.5), e.Tanh()),
}


@pytest.mark.parametrize("name", FLOWS)
def test_round_trip_and_jacobian(name):
    checks.check_flow(FLOWS[name], (5,), tolerance=1e-7)


def test_halving_of_the_density():
    flow = e.ElementwiseAffine(2.0, 1.0)
    x, log_det = flow(torch.tensor([[0.25]]))
    assert x.tolist() == [[1.5]] and float(log_det) == pytest.approx(math.log(2))


def test_named_distributions_come_out():
    x = torch.rand(50, 1).double() * 4 + 0.1
    z, log_det = e.Exp().inverse(x)
    torch.testing.assert_close(
        Normal(0, 1).log_prob(z)[:, 0] + log_det, LogNormal(0, 1).log_prob(x)[:, 0]
    )
    y = torch.randn(50, 1).double()
    z, log_det = e.NegLog().inverse(y)
    torch.testing.assert_close(
        Exponential(1.0).log_prob(z)[:, 0] + log_det, Gumbel(0.0, 1.0).log_prob(y)[:, 0]
    )


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_gumbel_softmax_density(temperature):
    """굼벨의 차이를 SoftmaxCentered로 옮긴 밀도 = torch의 RelaxedOneHotCategorical."""
    torch.manual_seed(0)
    logits = torch.randn(4).double()
    base, flow = e.GumbelDifferences(temperature, logits), e.SoftmaxCentered()
    x = flow(base.sample((200,)))[0]
    z, log_det = flow.inverse(x)
    torch_density = RelaxedOneHotCategorical(torch.tensor(temperature).double(), logits=logits)
    torch.testing.assert_close(
        base.log_prob(z) + log_det, torch_density.log_prob(flow.complete(x)), rtol=1e-6, atol=1e-6
    )


def test_gumbel_differences_are_not_independent_gumbels():
    base = e.GumbelDifferences(1.0, torch.zeros(3).double())
    u = base.sample((100_000,))
    covariance = torch.cov(u.T)
    want = math.pi**2 / 6 * torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    assert float((covariance - want).abs().max()) < 0.1
    # 1차원이면 두 굼벨의 차이, 곧 로지스틱 분포입니다.
    one = e.GumbelDifferences(1.0, torch.zeros(2).double())
    v = torch.linspace(-5, 5, 11).double()[:, None]
    want = torch.nn.functional.logsigmoid(v) + torch.nn.functional.logsigmoid(-v)
    torch.testing.assert_close(one.log_prob(v), want[:, 0])


def test_prelu_slope_is_learned_and_stays_positive():
    layer = e.PReLU(0.5)
    with torch.no_grad():
        layer.raw.fill_(-3.0)
    assert float(layer.alpha.detach()) == pytest.approx(3.01)
    z = torch.tensor([[-1.0, 2.0, -3.0]])
    x, log_det = layer(z)
    assert x.tolist() == [[pytest.approx(-3.01), 2.0, pytest.approx(-9.03)]]
    assert float(log_det.detach()) == pytest.approx(2 * math.log(3.01), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: e.Exp().inverse(torch.tensor([[-1.0]])), "0, ∞"),
        (lambda: e.NegLog()(torch.tensor([[0.0]])), "0, ∞"),
        (lambda: e.Sigmoid().inverse(torch.tensor([[1.0]])), "0, 1"),
        (lambda: e.Tanh().inverse(torch.tensor([[1.0]])), "−1, 1"),
        (lambda: e.SoftmaxCentered().inverse(torch.tensor([[0.6, 0.5]])), "심플렉스"),
        (lambda: e.ElementwiseAffine(0.0), "되돌릴 수 없습니다"),
        (lambda: e.PReLU(0.0), "alpha"),
    ],
)
def test_outside_the_domain(call, message):
    with pytest.raises(ValueError, match=message):
        call()
