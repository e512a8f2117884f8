"""RNADE: 밀도의 적분, 자기회귀성, 표본."""

import math

import pytest
import torch

from course_lib.autoregressive.rnade import RNADE
from course_lib.checks import check_autoregressive, check_normalised, randomise_


def shaken(dim, **options):
    torch.manual_seed(0)
    return randomise_(RNADE(dim, 9, 3, **options).double(), 0.7).eval()


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
@pytest.mark.parametrize("order", ["natural", torch.tensor([1, 0])])
def test_density_integrates_to_one(family, order):
    total = check_normalised(shaken(2, family=family, order=order), box=(-25, 25), points=700)
    assert total == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("order", ["natural", "random"])
def test_each_conditional_sees_exactly_the_earlier_variables(order):
    model = RNADE(5, 20, 2, order=order)
    for part in ("mean", "variance"):
        check_autoregressive(
            model, lambda m, x, part=part: getattr(m.conditionals(x), part), (5,), order=model.order
        )


def test_equals_the_papers_formula():
    model = shaken(4, order="random")
    x = torch.randn(1, 4, dtype=torch.float64)
    want, a = 0.0, model.c
    for t, i in enumerate(model.order.argsort().tolist()):
        h = (model.rho[t] * a).relu()
        raw = h @ model.V[t] + model.b[t]
        alpha, mu, sigma = raw[:3].softmax(0), raw[3:6], raw[6:].exp()
        kernel = torch.exp(-0.5 * ((x[0, i] - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        want = want + (alpha * kernel).sum().log()
        a = a + model.W[t] * x[0, i]
    torch.testing.assert_close(model.log_prob(x)[0], want)


@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_samples_follow_the_density(family):
    model = shaken(3, family=family, order="random")
    torch.manual_seed(3)
    x = model.sample(4000)
    first = int(model.order.argmin())
    conditional = model.conditionals(x)
    with torch.no_grad():
        u = conditional.cdf(x)  # 조건부 누적분포를 지나면 변수마다 독립인 U(0, 1)
    for column in u.T:
        gap = (column.sort().values - torch.linspace(0, 1, 4000).double()).abs().max()
        assert float(gap) < 1.95 / math.sqrt(4000)  # 콜모고로프–스미르노프, 유의수준 0.1 %
    assert float(torch.corrcoef(u.T).fill_diagonal_(0).abs().max()) < 0.07
    assert x.shape == (4000, 3) and x[:, first].std() > 0


def test_a_collapsing_scale_is_clamped():
    model = RNADE(1, 4, 1)
    with torch.no_grad():
        model.b[0, 2] = -100.0
        model.V.zero_()
    assert model.log_prob(torch.zeros(1, 1)).item() == pytest.approx(
        7 - 0.5 * math.log(2 * math.pi)
    )


def test_rows_and_errors():
    model = shaken(4)
    x = torch.randn(5, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            model.log_prob(x), torch.cat([model.log_prob(r[None]) for r in x])
        )
    for bad in (torch.zeros(2, 3), torch.zeros(0, 4), torch.full((2, 4), torch.nan)):
        with pytest.raises(ValueError):
            model.log_prob(bad)
    with pytest.raises(ValueError, match="gaussian"):
        RNADE(3, family="cauchy")
