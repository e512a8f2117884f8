"""GMM과 EM: 밀도는 scikit-learn과 같고, EM은 우도를 낮추지 않으며, 표본은 밀도를 따릅니다."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from course_lib.checks import check_normalised, randomise_
from course_lib.unsupervised.gmm import GMM, Collapsed, em, kmeans_plus_plus


def random_model(seed, components=3, dim=2):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    root = draw(components, dim, dim)
    covariances = root @ root.mT + 0.3 * torch.eye(dim, dtype=torch.float64)
    return GMM(draw(components).softmax(0), 2 * draw(components, dim), covariances)


problems = st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4))


@given(problems)
def test_density_and_responsibilities_equal_scikit_learn(problem):
    seed, components, dim = problem
    model = random_model(seed, components, dim)
    theirs = GaussianMixture(components)
    theirs.weights_ = model.weights.detach().numpy()
    theirs.means_ = model.means.detach().numpy()
    theirs.covariances_ = model.covariances.detach().numpy()
    theirs.precisions_cholesky_ = np.linalg.inv(model.scale_tril.detach().numpy()).transpose(
        0, 2, 1
    )
    x = 3 * torch.randn(9, dim, dtype=torch.float64)
    torch.testing.assert_close(
        model.log_prob(x).detach(), torch.from_numpy(theirs.score_samples(x.numpy()))
    )
    torch.testing.assert_close(
        model.responsibilities(x).detach(), torch.from_numpy(theirs.predict_proba(x.numpy()))
    )


@pytest.mark.parametrize("seed", range(5))
def test_density_equals_torch_and_integrates_to_one_at_perturbed_parameters(seed):
    model = randomise_(random_model(seed), 0.3, seed)
    components = MultivariateNormal(model.means, model.covariances)
    oracle = MixtureSameFamily(Categorical(model.weights), components)
    x = 3 * torch.randn(20, 2, dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(x), oracle.log_prob(x))
    check_normalised(random_model(seed), box=(-20, 20), tolerance=1e-4)


def test_log_density_far_away_is_finite():
    model = random_model(0, 3, 40)
    x = torch.full((2, 40), 1e4, dtype=torch.float64)
    assert model.log_prob(x).isfinite().all() and (model.log_prob(x) < -1e6).all()
    torch.testing.assert_close(model.responsibilities(x).sum(1), torch.ones(2, dtype=torch.float64))


@given(problems)
def test_em_never_lowers_the_likelihood(problem):
    seed, components, dim = problem
    x = random_model(seed, components, dim).sample(120) + 0.1 * torch.randn(120, dim).double()
    model = GMM.start(x, components, torch.Generator().manual_seed(seed))
    heights = []
    try:
        for state in em(model, x, steps=25):
            heights.append(state["log_likelihood"])
    except Collapsed:  # 붕괴하더라도 거기까지는 오르기만 합니다
        pass
    assert len(heights) > 1
    assert min(b - a for a, b in itertools.pairwise(heights)) >= -1e-9


def test_one_em_step_is_scikit_learn_s():
    x = random_model(1).sample(200)
    model = GMM.around(x, x[:3])
    precisions = torch.linalg.inv(model.covariances.detach()).numpy()
    theirs = GaussianMixture(3, max_iter=1, reg_covar=1e-3, weights_init=model.weights.detach(),
                             means_init=model.means.detach(), precisions_init=precisions)  # fmt: skip
    with pytest.warns(UserWarning, match="did not converge"):
        theirs.fit(x.numpy())
    states = list(em(model, x, steps=1, floor=1e-3))
    assert [state["step"] for state in states] == [0, 1]
    for mine, other in (
        (model.weights, theirs.weights_),
        (model.means, theirs.means_),
        (model.covariances, theirs.covariances_),
    ):
        torch.testing.assert_close(mine.detach(), torch.from_numpy(other))
    assert states[1]["log_likelihood"] == pytest.approx(theirs.score(x.numpy()), rel=1e-12)


def test_at_a_maximum_the_gradient_is_zero_and_a_floor_lowers_the_likelihood():
    x = random_model(4).sample(500)
    model = GMM.fit(x, 3, restarts=2, steps=600, floor=0.0)
    loss = -model.log_prob(x).mean()
    grads = torch.autograd.grad(loss, list(model.parameters()))
    assert max(float(g.abs().max()) for g in grads) < 1e-4
    before, after = (s["log_likelihood"] for s in em(model, x, steps=1, floor=0.5))
    assert after < before - 1e-4


def test_ancestral_samples_follow_the_density():
    model = random_model(2)
    torch.manual_seed(0)
    x, k = model.ancestral(40_000)
    share = torch.bincount(k, minlength=3) / len(k)
    assert ((share - model.weights).abs() < 5 * (0.25 / len(k)) ** 0.5).all()
    edges = torch.tensor([-30.0, -2, -1, 0, 1, 2, 30.0])
    grid = -30 + 60 * (torch.arange(600, dtype=torch.float64) + 0.5) / 600
    with torch.no_grad():
        density = model.log_prob(torch.cartesian_prod(grid, grid)).exp().reshape(600, 600)
    cell = torch.bucketize(grid, edges) - 1
    expected = torch.zeros(6, 6, dtype=torch.float64)
    index = cell[:, None] * 6 + cell
    expected.view(-1).index_add_(0, index.reshape(-1), density.reshape(-1) * (60 / 600) ** 2)
    place = torch.bucketize(x, edges.double()) - 1
    found = torch.bincount(place[:, 0] * 6 + place[:, 1], minlength=36).reshape(6, 6) / len(x)
    error = (expected * (1 - expected) / len(x)).sqrt() + 2e-4
    assert ((found - expected).abs() < 5 * error).all()


def test_a_component_on_one_point_collapses_with_a_clear_message_and_floor_guards_it():
    x = torch.randn(60, 2, dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)
    tight = torch.stack([eye, 1e-4 * eye])
    begin = lambda: GMM(torch.tensor([0.9, 0.1]).double(), x[:2], tight)  # noqa: E731
    model = begin()
    with pytest.raises(Collapsed, match="성분 1.*floor") as caught:
        for state in em(model, x, steps=50):
            kept = state["log_likelihood"]
    assert caught.value.component == 1
    assert float(model.log_prob(x).mean().detach()) == pytest.approx(kept)  # 마지막으로 유한했던 값
    guarded = begin()
    *_, last = em(guarded, x, steps=50, floor=1e-3)
    assert np.isfinite(last["log_likelihood"])
    assert torch.linalg.eigvalsh(guarded.covariances).min() >= 1e-3 * (1 - 1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_points_on_a_line_collapse_even_when_rounding_hides_it(seed):
    # 반올림 때문에 촐레스키 분해가 성공해도, 선 위의 점들이 만드는 공분산은 특이행렬입니다.
    g = torch.Generator().manual_seed(seed)
    t = torch.randn(50, 1, generator=g, dtype=torch.float64)
    x = t @ torch.randn(1, 2, generator=g, dtype=torch.float64) + 1
    with pytest.raises(Collapsed):
        list(em(GMM.around(x, x[:1]), x, steps=3))


def test_component_without_points_is_refused():
    x = torch.randn(30, 1, dtype=torch.float64)
    model = GMM(torch.tensor([0.5, 0.5]).double(), torch.tensor([[0.0], [1e6]]).double(),
                torch.ones(2, 1, 1).double())  # fmt: skip
    with pytest.raises(Collapsed):
        list(em(model, x, steps=3))


def test_kmeans_plus_plus_picks_data_points_and_spreads_out():
    clumps = torch.tensor([[0.0, 0], [50, 0], [0, 50]]).double()
    x = clumps.repeat_interleave(40, 0) + 0.1 * torch.randn(120, 2).double()
    for seed in range(20):
        centres = kmeans_plus_plus(x, 3, torch.Generator().manual_seed(seed))
        assert all((x == c).all(1).any() for c in centres)
        nearest = (centres[:, None] - clumps).norm(dim=-1).argmin(1)
        assert (
            nearest.unique().numel() == 3
        )  # 거리의 제곱에 비례해 뽑으면 같은 무리를 두 번 고를 일이 없습니다


@pytest.mark.parametrize("seed", range(4))
def test_given_is_bayes_rule(seed):
    # p(x|y) = p(x) N(y; Ax, s²I) / p(y)가 아무 x에서나 성립합니다. p(y)는 x와 무관합니다.
    model = random_model(seed, 3, 4)
    A, s = torch.randn(2, 4, dtype=torch.float64), 0.3
    y = 2 * torch.randn(5, 2, dtype=torch.float64)
    posterior = model.given(y, A, s)
    x = torch.randn(7, 1, 4, dtype=torch.float64)
    log_joint = model.log_prob(x[:, 0])[:, None] + Normal(y, s).log_prob(x @ A.T).sum(-1)
    log_evidence = log_joint - posterior.log_prob(x)
    torch.testing.assert_close(log_evidence, log_evidence[:1].expand(7, -1))
    marginal = MultivariateNormal(
        model.means @ A.T, A @ model.covariances @ A.T + s**2 * torch.eye(2, dtype=torch.float64)
    )
    exact = MixtureSameFamily(Categorical(model.weights), marginal).log_prob(y)
    torch.testing.assert_close(log_evidence[0], exact)


def test_fit_reaches_the_truth_and_is_reproducible():
    truth = GMM(torch.tensor([0.3, 0.7]).double(), torch.tensor([[-3.0, 0], [3, 0]]).double(),
                torch.eye(2).double().repeat(2, 1, 1))  # fmt: skip
    x = truth.sample(2000)
    found = GMM.fit(x, 2, restarts=2, steps=60)
    order = found.means[:, 0].argsort()
    torch.testing.assert_close(found.means[order], truth.means, atol=0.2, rtol=0)
    torch.testing.assert_close(found.weights[order], truth.weights, atol=0.06, rtol=0)
    again = GMM.fit(x, 2, restarts=2, steps=60)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), again.parameters()))


def test_batch_equals_rows_and_nothing_moves():
    model = random_model(5).eval()
    before = [p.clone() for p in model.parameters()]
    x = torch.randn(6, 2, dtype=torch.float64)
    rows = torch.cat([model.log_prob(row[None]) for row in x])
    torch.testing.assert_close(model.log_prob(x), rows)
    model.sample(3)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_early_stop():
    x = random_model(6).sample(300)
    states = list(em(GMM.start(x, 2), x, steps=500, tolerance=1e-5))
    assert 2 < len(states) < 500
    assert abs(states[-1]["log_likelihood"] - states[-2]["log_likelihood"]) < 1e-5


eye = torch.eye(2).repeat(2, 1, 1)
half = torch.tensor([0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: GMM(half, torch.zeros(3, 2), eye), r"\(K,\)"),
        (lambda: GMM(half, torch.zeros(2, 2), torch.eye(2)), r"\(K, D, D\)"),
        (lambda: GMM(2 * half, torch.zeros(2, 2), eye), "합이 1"),
        (lambda: GMM(torch.tensor([1.0, 0.0]), torch.zeros(2, 2), eye), "양수"),
        (lambda: GMM(half, torch.zeros(2, 2), -eye), "양의 정부호"),
        (lambda: GMM(half, torch.zeros(2, 2), eye * torch.nan), "양의 정부호"),
        (lambda: GMM(half, torch.zeros(2, 2), eye).log_prob(torch.zeros(3, 5)), "모양"),
        (lambda: GMM(half, torch.zeros(2, 2), eye).log_prob(torch.full((3, 2), torch.nan)), "NaN"),
        (lambda: GMM(half, torch.zeros(2, 2), eye).sample(3, torch.zeros(3)), "y 없이"),
        (lambda: list(em(GMM(half, torch.zeros(2, 2), eye), torch.zeros(1, 2))), "점이 1개"),
        (lambda: list(em(GMM(half, eye[0], eye), torch.randn(9, 2), floor=-1.0)), "floor"),
        (lambda: kmeans_plus_plus(torch.ones(9, 2), 2), "서로 다른 점"),
        (lambda: kmeans_plus_plus(torch.randn(9, 2), 0), "1 이상"),
        (lambda: GMM(half, eye[0], eye).given(torch.zeros(1, 1), torch.zeros(1, 3), 1.0), "matrix"),
        (lambda: GMM(half, eye[0], eye).given(torch.zeros(1, 1), torch.zeros(1, 2), 0), "noise"),
        (lambda: GMM.around(torch.ones(9, 2), torch.ones(1, 2)), "퍼짐이 0"),
    ],
)
def test_bad_input_says_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call()
