import copy

import pytest
import torch

from course_lib.checks import randomise_
from course_lib.vae.iaf_posterior import IAFVAE


@pytest.fixture
def vae():
    torch.manual_seed(0)
    model = IAFVAE(9, 3, (12,), steps=2, ar_hidden=10, context=4)
    return randomise_(model.double().eval(), 0.7)


@pytest.fixture
def x():
    return torch.rand(5, 9, dtype=torch.float64).round()


def test_a_sample_and_its_density_cost_one_pass_a_step(vae, x):
    calls = []
    for step in vae.steps:
        step.net.register_forward_hook(lambda *_: calls.append(1))
    q = vae.encode(x)
    z = q.rsample((7,))
    q.log_prob(z)
    assert len(calls) == 2
    calls.clear()
    q.log_prob(z.clone())
    assert len(calls) == 2 * (3 + 1)


def test_remembered_density_equals_the_solved_one(vae, x):
    q = vae.encode(x)
    for shape in ((), (4,), (2, 3)):
        z = q.rsample(shape)
        assert z.shape == (*shape, 5, 3)
        remembered, solved = q.log_prob(z), q.log_prob(z.clone())
        assert remembered.shape == (*shape, 5)
        assert torch.allclose(remembered, solved, rtol=0, atol=1e-9)


def test_density_against_the_jacobian(vae, x):
    """log q(z_T|x) = log N(z_0) − log|det ∂z_T/∂z_0|"""
    q = vae.encode(x[:1])
    z0 = torch.randn(3, dtype=torch.float64)

    def path(v):
        v = v[None]
        for step in vae.steps:
            v = step(v, q.h)[0]
        return v[0]

    jacobian = torch.autograd.functional.jacobian(path, z0)
    want = q.start.log_prob(z0[None]) - torch.linalg.slogdet(jacobian).logabsdet
    assert torch.allclose(q.log_prob(path(z0)[None]), want)
    assert (jacobian.abs() > 1e-9).all()  # 순서를 뒤집은 두 걸음이면 모두 이어집니다


def test_posterior_integrates_to_one_on_a_grid():
    torch.manual_seed(0)
    model = randomise_(IAFVAE(4, 2, (8,), steps=2, ar_hidden=8, context=3).double(), 0.7).eval()
    edges = torch.linspace(-40, 40, 1601, dtype=torch.float64)
    grid = torch.cartesian_prod(edges, edges)
    q = model.encode(torch.ones(1, 4, dtype=torch.float64))
    with torch.no_grad():
        mass = q.log_prob(grid[:, None]).exp().sum() * (edges[1] - edges[0]) ** 2
    assert abs(float(mass) - 1) < 1e-3


def test_each_step_is_strictly_autoregressive_and_sees_the_context(vae, x):
    step, h = vae.steps[0], torch.randn(1, 4, dtype=torch.float64)
    z = torch.randn(3, dtype=torch.float64)
    by_z = torch.autograd.functional.jacobian(lambda v: step.net(v[None], context=h)[0].sum(-1), z)
    assert torch.equal(by_z, by_z.tril(-1)) and (by_z.tril(-1)[1:].abs().sum(1) > 0).all()
    by_h = torch.autograd.functional.jacobian(lambda c: step.net(z[None], context=c)[0], h)
    assert (by_h.abs().sum((0, 1)) > 0).all()


def test_without_steps_it_is_the_plain_vae(x):
    torch.manual_seed(0)
    model = IAFVAE(9, 3, (12,), steps=0).double()
    q = model.encode(x)
    z = q.rsample()
    assert torch.allclose(q.log_prob(z.clone()), q.start.log_prob(z))


def test_elbo_bounds_the_importance_estimate_and_gradients_reach_everything(vae, x):
    torch.manual_seed(0)
    with torch.no_grad():
        bound, tighter = vae.elbo(x, 400).mean(), vae.importance_log_prob(x, 400).mean()
    assert bound < tighter
    vae.train()
    (-vae.elbo(x).mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.parameters())


def test_eval_changes_nothing(vae, x):
    before = copy.deepcopy(vae.state_dict())
    vae.elbo(x)
    vae.reconstruct(x)
    assert all(torch.equal(v, before[k]) for k, v in vae.state_dict().items())
    rows = torch.cat([vae.reconstruct(row[None]) for row in x])
    assert torch.allclose(vae.reconstruct(x), rows)


def test_bad_input(vae):
    with pytest.raises(ValueError, match="2 이상"):
        IAFVAE(9, 1)
    with pytest.raises(ValueError, match="context"):
        vae.steps[0].net(torch.zeros(1, 3).double())
