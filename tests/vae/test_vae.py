"""VAE: 하한, 두 추정량, 중요도 추정을 정답을 아는 모델에서 확인합니다."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from course_lib.checks import check_elbo, randomise_
from course_lib.unsupervised.ppca import PPCA
from course_lib.vae.conv_vae import ConvVAE
from course_lib.vae.vae import (
    VAE,
    BernoulliPixels,
    GaussianPixels,
    GaussianVAE,
    diagonal_normal,
    kl_to_standard_normal,
)


class FixedNoise(nn.Module):
    """디코더 출력 Wz + μ 옆에 고정된 log σ²를 붙입니다(선형 가우시안 VAE)."""

    def __init__(self, weight, mean, log_var):
        super().__init__()
        self.weight, self.mean = nn.Parameter(weight), nn.Parameter(mean)
        self.log_var = log_var

    def forward(self, z):
        m = z @ self.weight.T + self.mean
        return torch.cat([m, torch.full_like(m, self.log_var)], -1)


def linear_vae(seed, dim=4, latent=2, exact=False):
    """(VAE, 같은 모델의 PPCA). exact이면 인코더가 정확한 사후분포입니다(W의 열을 직교로 둡니다)."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.linalg.qr(torch.randn(dim, latent, generator=g, dtype=torch.float64))[0]
    weight = weight * torch.tensor([1.5, 0.7], dtype=torch.float64)  # 직교 → 사후분포가 대각
    mean = torch.randn(dim, generator=g, dtype=torch.float64)
    sigma = 0.8
    oracle = PPCA(weight, mean, sigma)
    encoder = nn.Linear(dim, 2 * latent).double()
    with torch.no_grad():
        if exact:
            m = weight.T @ weight + sigma**2 * torch.eye(latent, dtype=torch.float64)
            a = torch.linalg.solve(m, weight.T)
            encoder.weight.copy_(torch.cat([a, torch.zeros(latent, dim).double()]))
            encoder.bias.copy_(torch.cat([-a @ mean, (sigma**2 / m.diagonal()).log()]))
        else:
            encoder.weight.copy_(0.3 * torch.randn(2 * latent, dim, generator=g).double())
            encoder.bias.copy_(0.3 * torch.randn(2 * latent, generator=g).double())
    decoder = FixedNoise(weight.clone(), mean.clone(), 2 * math.log(sigma))
    vae = GaussianVAE((dim,), latent, encoder, decoder, GaussianPixels()).double()
    return vae, oracle


def exact_kl(vae, oracle, x):
    q = vae.encode(x)
    full = MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    return kl_divergence(full, oracle.encode(x))


def exact_elbo(vae, oracle, x):
    """선형 가우시안 모델의 ELBO를 식으로: E_q[log p(x|z)] − KL(q‖p)."""
    q = vae.encode(x)
    w, sigma = vae.decoder.weight, oracle.sigma.detach()
    residual = (x - q.mean @ w.T - vae.decoder.mean).square().sum(-1)
    spread = (q.variance * w.square().sum(0)).sum(-1)
    dim = x.shape[1]
    fit = -0.5 * dim * torch.log(2 * math.pi * sigma**2) - (residual + spread) / (2 * sigma**2)
    return fit - kl_to_standard_normal(q)


@pytest.mark.parametrize("seed", range(3))
def test_elbo_plus_kl_is_log_prob(seed):
    vae, oracle = linear_vae(seed)
    x = torch.randn(6, 4, dtype=torch.float64)
    with torch.no_grad():
        total = exact_elbo(vae, oracle, x) + exact_kl(vae, oracle, x)
        torch.testing.assert_close(total, oracle.log_prob(x), rtol=1e-10, atol=1e-10)
        report = check_elbo(vae, x, oracle.log_prob(x), exact_kl(vae, oracle, x), draws=1000)
    assert report.gap > 0.05  # q가 사후분포가 아니므로 틈이 있습니다


def test_bound_is_tight_at_the_exact_posterior():
    vae, oracle = linear_vae(3, exact=True)
    x = torch.randn(6, 4, dtype=torch.float64)
    with torch.no_grad():
        # 추정량 A는 q가 사후분포이면 표본에 관계없이 log p(x)입니다.
        torch.testing.assert_close(vae.elbo_a(x), oracle.log_prob(x))
        torch.testing.assert_close(vae.importance_log_prob(x, 1), oracle.log_prob(x))
        check_elbo(vae, x, oracle.log_prob(x), torch.zeros(6, dtype=torch.float64), draws=1000)


@pytest.mark.parametrize("estimator", ["elbo", "elbo_a"])
def test_estimators_and_their_gradients_are_unbiased(estimator):
    torch.manual_seed(0)
    vae, oracle = linear_vae(4)
    x = torch.randn(2, 4, dtype=torch.float64)
    parameters = [*vae.encoder.parameters(), vae.decoder.weight, vae.decoder.mean]
    exact = exact_elbo(vae, oracle, x)
    want = torch.cat([g.flatten() for g in torch.autograd.grad(exact.sum(), parameters)])
    draws, values, grads = 100, [], []
    for _ in range(draws):
        value = getattr(vae, estimator)(x, samples=60)
        values.append(value.detach())
        grad = torch.autograd.grad(value.sum(), parameters)
        grads.append(torch.cat([g.flatten() for g in grad]))
    for estimate, truth in ((torch.stack(values), exact.detach()), (torch.stack(grads), want)):
        error = estimate.std(0) / math.sqrt(draws) + 1e-9
        assert float(((estimate.mean(0) - truth).abs() / error).max()) < 5


def test_samples_average_the_estimate():
    torch.manual_seed(1)
    vae, _ = linear_vae(5)
    x = torch.randn(1, 4, dtype=torch.float64)
    with torch.no_grad():
        for name in ("elbo", "elbo_a"):
            one = torch.stack([getattr(vae, name)(x) for _ in range(400)]).var()
            ten = torch.stack([getattr(vae, name)(x, samples=10) for _ in range(400)]).var()
            assert 5 < float(one / ten) < 20  # 분산이 L에 반비례합니다


def test_importance_estimate_rises_with_k_and_stays_below_log_prob():
    torch.manual_seed(2)
    vae, oracle = linear_vae(6)
    x = torch.randn(400, 4, dtype=torch.float64)
    with torch.no_grad():
        truth = oracle.log_prob(x).mean()
        means = [vae.importance_log_prob(x, k).mean() for k in (1, 4, 16, 256)]
        assert means[0] < means[1] < means[2] < means[3]
        # k = 1이면 기댓값이 ELBO입니다. 표준오차 5배까지 허용합니다.
        defect = vae.importance_log_prob(x, 1) - exact_elbo(vae, oracle, x)
        assert abs(float(defect.mean())) < 5 * float(defect.std()) / math.sqrt(len(x))
        assert abs(float(means[3] - truth)) < 0.25 < float(truth - means[0])


def test_kl_matches_torch_and_vanishes_only_at_the_prior():
    torch.manual_seed(3)
    mean, log_var = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    q = diagonal_normal(mean, log_var)
    p = Independent(Normal(torch.zeros(5, 3).double(), torch.ones(5, 3).double()), 1)
    torch.testing.assert_close(kl_to_standard_normal(q), kl_divergence(q, p))
    at_prior = diagonal_normal(torch.zeros(2, 3), torch.zeros(2, 3))
    assert torch.equal(kl_to_standard_normal(at_prior), torch.zeros(2))


def models():
    torch.manual_seed(4)
    yield VAE(9, 2, (8,)), (torch.rand(3, 9) < 0.5).float()
    yield VAE(9, 2, (8,), GaussianPixels(squash=True)), torch.rand(3, 9)
    yield ConvVAE(3, width=4, hidden=8), (torch.rand(3, 1, 28, 28) < 0.2).float()
    yield ConvVAE(2, 4, 8, mlp_decoder=(6,)), (torch.rand(3, 1, 28, 28) < 0.2).float()


@pytest.mark.parametrize("index", range(4))
def test_shapes_rows_and_purity(index):
    model, x = list(models())[index]
    model = randomise_(model.double().eval())
    x = x.double()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert model.elbo(x).shape == model.elbo_a(x, 3).shape == (3,)
    assert model.importance_log_prob(x, 4).shape == (3,)
    assert model.sample(5).shape == (5, *x.shape[1:]) and model.reconstruct(x).shape == x.shape
    rows = torch.cat([model.encode(row[None]).mean for row in x])
    torch.testing.assert_close(model.encode(x).mean, rows)
    z = torch.randn(2, 3, model.latent_dim, dtype=torch.float64)
    log_prob = model.decode(z).log_prob(x)  # 앞의 축은 그대로 배치 모양입니다
    torch.testing.assert_close(log_prob[1], model.decode(z[1]).log_prob(x))
    assert log_prob.shape == (2, 3)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_bernoulli_decoder_is_a_normalised_mass():
    model = randomise_(VAE(4, 2, (6,)).double()).requires_grad_(False)
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    z = torch.randn(1, 2, dtype=torch.float64).expand(16, 2)
    assert float(model.decode(z).log_prob(states).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_gaussian_pixels_squash_and_clamp():
    raw = torch.tensor([[9.0, -9.0, 50.0, -50.0]])
    d = GaussianPixels(squash=True)(raw, 1)
    assert 0 < float(d.mean.min()) and float(d.mean.max()) < 1
    torch.testing.assert_close(d.variance, torch.tensor([[math.exp(8), math.exp(-8)]]))
    assert float(GaussianPixels()(raw, 1).mean[0, 0]) == 9.0


def test_the_papers_network():
    # 부록 C: 은닉층 하나, tanh, MNIST는 500
    model = VAE(784, 20)
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    assert shapes == [(500, 784), (40, 500), (500, 20), (784, 500)]
    assert isinstance(model.encoder[1], nn.Tanh)


def test_training_raises_the_bound_and_is_reproducible():
    def run():
        torch.manual_seed(5)
        model = VAE(16, 2, (16,))
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        x = (torch.rand(64, 1) < 0.5).float().expand(64, 16).contiguous()
        history = []
        for _ in range(60):
            loss = -model.elbo(x).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.append(loss.item())
        return history

    first, second = run(), run()
    assert first == second
    # 모두 0이거나 모두 1인 데이터의 엔트로피는 log 2이므로 −ELBO는 그 위에 남습니다.
    assert math.log(2) - 0.05 < first[-1] < 0.4 * first[0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m.elbo(torch.zeros(3, 8)), "모양"),
        (lambda m: m.elbo(torch.zeros(0, 9)), "빈 배치"),
        (lambda m: m.elbo(torch.full((2, 9), torch.nan)), "NaN"),
        (lambda m: m.elbo(torch.zeros(2, 9, dtype=torch.uint8)), "자료형"),
        (lambda m: m.elbo(torch.zeros(2, 9), samples=0), "1 이상"),
        (lambda m: m.elbo_a(torch.zeros(2, 9), samples=0), "1 이상"),
        (lambda m: m.importance_log_prob(torch.zeros(2, 9), 0), "1 이상"),
        (lambda m: m.decode(torch.zeros(2, 3)), "2차원"),
    ],
)
def test_bad_input_says_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call(VAE(9, 2, (8,)))


def test_pixels_declare_their_outputs():
    assert (BernoulliPixels.outputs, GaussianPixels.outputs) == (1, 2)
