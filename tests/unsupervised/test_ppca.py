"""확률적 PCA가 정말 정답지인지: 밀도, 사후분포, 최대우도 해."""

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from course_lib.checks import check_elbo
from course_lib.unsupervised.ppca import PPCA


def model(seed=0, dim=5, latent=2):
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(dim, latent, generator=g, dtype=torch.float64)
    mean = torch.randn(dim, generator=g, dtype=torch.float64)
    return PPCA(weight, mean, 0.3 + float(torch.rand(1, generator=g)))


@pytest.mark.parametrize("seed", range(4))
def test_log_prob_is_the_marginal_density(seed):
    m = model(seed)
    x = torch.randn(7, 5, dtype=torch.float64)
    c = m.weight @ m.weight.T + m.sigma**2 * torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(m.log_prob(x), MultivariateNormal(m.mean, c).log_prob(x))


@pytest.mark.parametrize("seed", range(4))
def test_posterior_is_bayes_rule(seed):
    # 베이즈 정리: p(z|x) = p(x|z) p(z)/p(x)가 아무 z에서나 성립합니다.
    m = model(seed)
    x = torch.randn(6, 5, dtype=torch.float64)
    z = torch.randn(6, 2, dtype=torch.float64)
    bayes = m.decode(z).log_prob(x) + m.prior().log_prob(z) - m.log_prob(x)
    torch.testing.assert_close(m.encode(x).log_prob(z), bayes)


def test_elbo_at_the_exact_posterior_is_log_prob_for_every_sample():
    m = model(1)
    x = 3 * torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(m.elbo(x), m.log_prob(x))
    torch.testing.assert_close(m.importance_log_prob(x, 3), m.log_prob(x))
    with torch.no_grad():
        check_elbo(m, x, m.log_prob(x), torch.zeros(6, dtype=torch.float64), draws=50)


def test_a_wrong_posterior_costs_exactly_its_kl():
    class Shifted(PPCA):
        def encode(self, x):
            p = super().encode(x)
            return MultivariateNormal(p.loc + 0.4, 1.7 * p.covariance_matrix)

    m = model(2)
    wrong = Shifted(m.weight.detach(), m.mean.detach(), float(m.sigma.detach()))
    x = torch.randn(5, 5, dtype=torch.float64)
    with torch.no_grad():
        kl = kl_divergence(wrong.encode(x), m.encode(x))
        report = check_elbo(wrong, x, m.log_prob(x), kl, draws=1000)
    assert report.gap > 0.1


def test_fit_is_the_maximum_of_the_likelihood():
    x = model(3).sample(400)
    best = PPCA.fit(x, 2)
    loss = -best.log_prob(x).sum()
    # 최대점에서는 기울기가 0이고, 어느 쪽으로 움직여도 우도가 줄어듭니다.
    grads = torch.autograd.grad(loss, list(best.parameters()))
    assert max(float(g.abs().max()) for g in grads) < 1e-8 * len(x) * 10
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        moved = PPCA(
            best.weight.detach() + 0.05 * torch.randn(5, 2, generator=g, dtype=torch.float64),
            best.mean.detach(),
            float(best.sigma.detach()),
        )
        assert -moved.log_prob(x).sum() > loss


def test_fit_recovers_the_covariance():
    m = model(4)
    x = m.sample(20000)
    found = PPCA.fit(x, 2)
    torch.testing.assert_close(
        found.weight @ found.weight.T, m.weight @ m.weight.T, rtol=0.1, atol=0.15
    )
    assert abs(float((found.sigma / m.sigma).detach()) - 1) < 0.05


def test_batch_equals_rows():
    m = model(5)
    x = torch.randn(4, 5, dtype=torch.float64)
    rows = torch.cat([m.log_prob(row[None]) for row in x])
    torch.testing.assert_close(m.log_prob(x), rows)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: PPCA(torch.zeros(3)), "실수 행렬"),
        (lambda: PPCA(torch.zeros(3, 1), sigma=0), "0보다"),
        (lambda: PPCA.fit(torch.randn(10, 3), 3), "1 이상 D 미만"),
        (lambda: PPCA.fit(torch.randn(10, 1) * torch.ones(1, 3), 1), "무한대"),
        (lambda: model().log_prob(torch.zeros(2, 4).double()), "모양"),
        (lambda: model().log_prob(torch.full((2, 5), torch.nan).double()), "NaN"),
    ],
)
def test_bad_input_says_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call()
