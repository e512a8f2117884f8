"""에너지 기반 모델: 두 위상의 기울기, 랑주뱅의 치우침과 MALA의 세부 균형, 버퍼, 손실, 상태가 바뀌지 않음."""

import copy
import math

import pytest
import torch
from torch.distributions import Independent, Normal

from course_lib import checks
from course_lib.energy import ebm
from course_lib.training import fit

BOXES = {1: (-4.0, 5.0), 2: (-4.0, 4.0, -3.0, 5.0)}


def random_model(dim: int, seed: int = 0, scale=1.5, spectral=False) -> ebm.EnergyModel:
    torch.manual_seed(seed)
    model = ebm.energy_mlp(dim, (16, 16), scale=scale, spectral=spectral).double()
    return checks.randomise_(model, 1.0, seed).eval()


def gradients(value, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


# ------------------------------------------------------------------ 두 위상


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_likelihood_gradient_is_positive_minus_negative_phase(dim, seed):
    model, data = random_model(dim, seed), torch.randn(7, dim).double()
    points = 60 if dim == 2 else 500
    exact = model(data).mean() + ebm.log_partition(model, BOXES[dim], points)
    x, log_cell = ebm.grid(BOXES[dim], points)
    weights = (ebm.grid_log_prob(model, BOXES[dim], points)(x) + log_cell).exp().detach()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-10)
    two_phases = ebm.phase_difference(model, data, x, weights)
    assert torch.allclose(gradients(exact, model), gradients(two_phases, model), atol=1e-10)


def test_log_partition_of_known_energies_and_its_independence_of_constants():
    for sd in (0.4, 1.3):
        one = ebm.log_partition(lambda x, s=sd: (x**2).sum(1) / (2 * s**2), (-12, 12), 2000)
        two = ebm.log_partition(lambda x, s=sd: (x**2).sum(1) / (2 * s**2), (-9, 9, -10, 10), 400)
        exact = 0.5 * math.log(2 * math.pi * sd**2)
        assert float(one) == pytest.approx(exact, abs=1e-9)
        assert float(two) == pytest.approx(2 * exact, abs=1e-7)
    model, x = random_model(2), torch.randn(5, 2).double()
    shifted = lambda v: model(v) + 700.0  # noqa: E731  exp(−700)은 거의 0이지만 logsumexp는 견딥니다
    a, b = (ebm.grid_log_prob(e, BOXES[2], 50)(x) for e in (model, shifted))
    assert torch.allclose(a, b, atol=1e-9)


def test_grid_covers_the_box_with_equal_cells():
    x, log_cell = ebm.grid((-1.0, 2.0, 4.0, 5.0), 10)
    assert x.shape == (100, 2) and math.exp(log_cell) * 100 == pytest.approx(3.0)
    assert torch.allclose(x.mean(0), torch.tensor([0.5, 4.5]).double())
    assert float(x[:, 0].min()) == pytest.approx(-0.85)


def test_the_base_term_keeps_the_partition_function_finite():
    model, x = random_model(2, scale=2.0), torch.randn(4, 2).double()
    assert torch.allclose(model(x) - model.net(x)[:, 0], x.square().sum(1) / 8)
    far = 1e3 * torch.randn(50, 2).double()
    assert (model(far) > 0).all()  # 곧은 신경망은 이차항을 이기지 못합니다


def test_energies_add_up_to_products_of_densities():
    first, second = random_model(2, 1), random_model(2, 2)
    both = ebm.EnergySum([first, second], [1.0, 0.5])
    x, log_cell = ebm.grid(BOXES[2], 60)
    logs = [ebm.grid_log_prob(e, BOXES[2], 60)(x) for e in (first, second, both)]
    product = logs[0] + 0.5 * logs[1]
    product = product - product.logsumexp(0) - log_cell
    assert torch.allclose(logs[2], product, atol=1e-10)
    both.eval()
    first.train()  # 부품마다 제 상태로 되돌아와야 합니다
    ebm.langevin(both, x[:5], 2, 0.1)
    assert first.training and not second.training and len(list(both.parameters())) == 12


# ------------------------------------------------------------------ 랑주뱅과 MALA


def test_slope_is_the_gradient_and_leaves_parameters_alone():
    model, x = random_model(2), torch.randn(5, 2).double()
    value, slope = ebm.slope(model, x)
    h = 1e-5 * torch.eye(2).double()
    central = torch.stack([(model(x + e) - model(x - e)) / 2e-5 for e in h], 1).detach()
    assert torch.allclose(slope, central, atol=1e-8) and torch.equal(value, model(x).detach())
    assert not x.requires_grad and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("share", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_langevin_on_a_quadratic_has_the_variance_of_the_discrete_chain(share, temperature):
    """x′ = (1 − η/2σ²)x + √(ηT) ξ의 정상분산은 Tσ²/(1 − η/4σ²)입니다."""
    sd, n = 0.7, 40_000
    eta = share * sd**2
    energy = lambda x: x.square().sum(1) / (2 * sd**2)  # noqa: E731
    random = torch.Generator().manual_seed(1)
    x = torch.zeros(n, 1).double()
    x = ebm.langevin(energy, x, 60, eta, temperature=temperature, generator=random)
    want = temperature * sd**2 / (1 - eta / (4 * sd**2))
    assert float(x.var()) == pytest.approx(want, rel=5 * math.sqrt(2 / n))
    assert abs(float(x.mean())) < 5 * math.sqrt(want / n)


def test_langevin_diverges_beyond_four_variances_and_says_what_to_do():
    energy = lambda x: 50 * x.square().sum(1)  # noqa: E731  σ² = 0.01
    with pytest.raises(ValueError, match="step_size.*줄이"):
        ebm.langevin(energy, torch.ones(3, 1), 2000, 0.06)


def test_noise_clip_and_box_do_what_they_say():
    energy = lambda x: 100 * x.square().sum(1)  # noqa: E731
    x = torch.tensor([[3.0, -0.001]])
    still = ebm.langevin(energy, x, 1, 0.02, noise=0.0, clip=5.0)
    assert torch.allclose(still, x - 0.01 * torch.tensor([[5.0, -0.2]]))
    kept = ebm.langevin(energy, x, 1, 0.02, noise=0.0, clip=5.0, box=(0.0, 1.0))
    assert torch.allclose(kept, torch.tensor([[1.0, 0.001]]))  # −0.001 + 0.002
    flat = lambda v: 0 * v.sum(1)  # noqa: E731
    walked = ebm.langevin(flat, torch.zeros(20_000, 1), 4, 0.3, noise=0.5)
    assert float(walked.std()) == pytest.approx(0.5 * 2, rel=0.03)
    free = ebm.langevin(flat, torch.zeros(20_000, 1), 4, 0.3)
    assert float(free.std()) == pytest.approx(math.sqrt(4 * 0.3), rel=0.03)


def test_path_starts_at_the_start_and_ends_at_the_end():
    model, x = random_model(2), torch.randn(5, 2).double()
    before = x.clone()
    path = ebm.langevin(model, x, 7, 0.1, every=3, generator=torch.Generator().manual_seed(0))
    assert path.shape == (3, 5, 2) and torch.equal(path[0], before) and torch.equal(x, before)
    end = ebm.langevin(model, x, 6, 0.1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(path[2], end)


@pytest.mark.parametrize("seed", range(3))
def test_acceptance_satisfies_detailed_balance(seed):
    """p(x) q(y|x) a(x→y) = p(y) q(x|y) a(y→x)를 q를 torch.distributions로 따로 적어 확인합니다."""
    model, eta = random_model(2, seed), 0.37
    x, y = torch.randn(2, 40, 2).double()

    def log_q(end, start):
        centre = start - 0.5 * eta * ebm.slope(model, start)[1]
        return Independent(Normal(centre, math.sqrt(eta)), 1).log_prob(end)

    with torch.no_grad():
        forth = -model(x) + log_q(y, x) + ebm.log_acceptance(model, x, y, eta).clamp(max=0)
        back = -model(y) + log_q(x, y) + ebm.log_acceptance(model, y, x, eta).clamp(max=0)
    assert torch.allclose(forth, back, atol=1e-10)
    assert float(ebm.log_acceptance(model, x, y, eta).abs().max()) > 0.1


def test_mala_removes_the_step_size_bias():
    sd, n = 0.7, 20_000
    energy = lambda x: x.square().sum(1) / (2 * sd**2)  # noqa: E731
    random = torch.Generator().manual_seed(0)
    x = sd * torch.randn(n, 1, generator=random).double()
    end, rate = ebm.mala(energy, x, 80, 2.0 * sd**2, generator=random)  # ULA라면 분산이 두 배
    assert float(end.var()) == pytest.approx(sd**2, rel=5 * math.sqrt(2 / n))
    assert 0.4 < rate < 0.95
    small = ebm.mala(energy, x, 5, 1e-3, generator=random)[1]
    assert small > 0.99


def test_mala_keeps_the_exact_density_of_a_random_energy():
    """격자에서 정확히 뽑은 점은 MALA를 지나도 같은 분포여야 합니다(누적분포의 최대 차이)."""
    model = random_model(1, 3)
    grid, log_cell = ebm.grid(BOXES[1], 4000)
    p = (ebm.grid_log_prob(model, BOXES[1], 4000)(grid) + log_cell).exp().detach()
    random = torch.Generator().manual_seed(2)
    start = grid[torch.multinomial(p, 6000, True, generator=random)]
    end, _ = ebm.mala(model, start, 30, 1.0, generator=random)
    cdf = torch.searchsorted(grid[:, 0], end[:, 0].sort().values.contiguous())
    gap = p.cumsum(0)[cdf.clamp(max=3999)] - torch.arange(1, 6001).double() / 6000
    assert float(gap.abs().max()) < 1.95 / math.sqrt(6000)  # 콜모고로프-스미르노프, 0.1 %


# ------------------------------------------------------------------ 아무것도 바뀌지 않는다


@pytest.mark.parametrize("walk", ["langevin", "mala"])
def test_sampling_mutates_nothing_even_from_train_mode(walk):
    model = random_model(2, spectral=True).train()
    inside = []
    model.register_forward_hook(lambda m, *_: inside.append(m.training))
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(6, 2).double()
    getattr(ebm, walk)(model, x, 5, 0.1)
    assert model.training and not any(inside)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_sampling_works_on_frozen_parameters_and_under_no_grad():
    model = random_model(2).requires_grad_(False)
    x = torch.randn(6, 2).double()
    a = ebm.langevin(model, x, 5, 0.1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        b = ebm.langevin(model, x, 5, 0.1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(a, b) and not a.requires_grad


def test_a_batch_equals_its_rows():
    model, x = random_model(2), torch.randn(5, 2).double()
    assert torch.allclose(model(x), torch.cat([model(row[None]) for row in x]), atol=1e-12)


def test_spectral_layers_have_norm_one():
    from course_lib.gan.sngan import SNLinear, converge_

    model = converge_(random_model(2, spectral=True, scale=None))
    layers = [m for m in model.net if isinstance(m, SNLinear)]
    assert len(layers) == 3
    for layer in layers:
        top = torch.linalg.matrix_norm(layer.normalised_weight().detach(), 2)
        assert float(top) == pytest.approx(1, abs=1e-3)
    slopes = ebm.slope(model, 3 * torch.randn(500, 2).double())[1].norm(dim=1)
    assert float(slopes.max()) <= 1.1**2


# ------------------------------------------------------------------ 버퍼와 손실


def test_replay_keeps_its_fraction_and_replaces_the_rest():
    buffer = ebm.ReplayBuffer(5000, lambda n: torch.zeros(n, 2), restart=0.2)
    buffer.chains += 1  # 들어 있던 것은 모두 1, 새것은 모두 0
    x, where = buffer.draw(4000)
    assert len(where.unique()) == 4000
    assert abs(float(x[:, 0].mean()) - 0.8) < 5 * math.sqrt(0.2 * 0.8 / 4000)
    assert (buffer.chains == 1).all()  # 빌리기만 해서는 바뀌지 않습니다
    buffer.put(where, x + 5)
    rest = torch.ones(5000, dtype=torch.bool).index_fill(0, where, False)
    assert torch.equal(buffer.chains[where], x + 5) and (buffer.chains[rest] == 1).all()
    persistent = ebm.ReplayBuffer(64, lambda n: torch.randn(n, 2), restart=0.0)
    x, where = persistent.draw(64)
    assert torch.equal(x, persistent.chains[where]) and len(where.unique()) == 64


def test_loss_is_the_phase_difference_plus_the_penalty():
    model, data = random_model(2).train(), torch.randn(8, 2).double()
    start = torch.randn(8, 2).double()
    loss = ebm.ContrastiveDivergence(lambda n: start[:n], steps=3, step_size=0.1, alpha=0.3)
    torch.manual_seed(5)
    value = loss(model, data)
    torch.manual_seed(5)
    fake = ebm.langevin(model, start, 3, 0.1)
    assert torch.equal(fake, loss.last["samples"])
    plus, minus = model(data), model(fake)
    want = ebm.phase_difference(model, data, fake) + 0.3 * (plus**2 + minus**2).mean()
    assert torch.allclose(value, want, atol=1e-12)
    assert torch.allclose(gradients(value, model), gradients(want, model), atol=1e-10)
    assert loss.last["data"] == pytest.approx(float(plus.detach().mean()))


@pytest.mark.parametrize("kind", ["data", "noise", "replay"])
def test_the_chain_starts_where_it_says(kind):
    data = torch.full((6, 2), 3.0)
    fresh = lambda n: torch.full((n, 2), -2.0)  # noqa: E731
    buffer = ebm.ReplayBuffer(6, fresh, restart=0.0)
    buffer.chains[:] = 7.0
    start = {"data": "data", "noise": fresh, "replay": buffer}[kind]
    flat = ebm.EnergyModel(torch.nn.Linear(2, 1), (2,))
    torch.nn.init.zeros_(flat.net.weight)
    loss = ebm.ContrastiveDivergence(start, steps=2, step_size=1.0, noise=0.0)
    loss(flat, data)
    want = {"data": 3.0, "noise": -2.0, "replay": 7.0}[kind]
    assert (loss.last["samples"] == want).all()
    moving = ebm.ContrastiveDivergence(buffer, steps=1, step_size=1.0)
    moving(flat, data)
    assert (buffer.chains != 7.0).all()  # 걸은 자리가 돌아옵니다


def test_data_noise_is_added_to_the_data_only():
    seen = []

    class Watch(torch.nn.Module):
        def forward(self, x):
            seen.append(x.detach().clone())
            return x.sum(1)

    model = ebm.EnergyModel(Watch(), (2,))
    loss = ebm.ContrastiveDivergence(
        lambda n: torch.zeros(n, 2), steps=0, step_size=0.1, data_noise=0.5
    )
    loss(model, torch.ones(4000, 2))
    both = seen[-1]
    assert float(both[:4000].std()) == pytest.approx(0.5, rel=0.05) and (both[4000:] == 0).all()


def test_same_seed_trains_bit_for_bit_and_learns():
    def trained():
        torch.manual_seed(0)
        model = ebm.energy_mlp(1, (16,), scale=3.0)
        buffer = ebm.ReplayBuffer(64, lambda n: 4 * torch.rand(n, 1) - 2)
        loss = ebm.ContrastiveDivergence(buffer, steps=4, step_size=0.1)
        batches = lambda g: 1 + 0.5 * torch.randn(64, 1, generator=g)  # noqa: E731
        for _ in fit(model, loss, batches, steps=60, lr=1e-2):
            pass
        return model

    first, second = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    with torch.no_grad():
        assert float(first(torch.tensor([[1.0]]))) < float(first(torch.tensor([[-1.5]])))


# ------------------------------------------------------------------ 잘못된 입력


def test_bad_input_is_refused_in_korean():
    model, x = random_model(2), torch.zeros(3, 2).double()
    cases = [
        (lambda: model(torch.zeros(3, 3).double()), "모양"),
        (lambda: model(torch.full((2, 2), math.nan).double()), "NaN"),
        (lambda: ebm.EnergyModel(torch.nn.Identity(), (1,), scale=0.0), "scale"),
        (lambda: ebm.EnergySum([]), "무게"),
        (lambda: ebm.EnergySum([model], [1.0, 2.0]), "무게"),
        (lambda: ebm.grid((0, 1, 0, 1, 0, 1), 5), "차원"),
        (lambda: ebm.grid((1.0, 0.0), 5), "높은 끝"),
        (lambda: ebm.langevin(model, x, 5, 0.0), "step_size"),
        (lambda: ebm.langevin(model, x, -1, 0.1), "steps"),
        (lambda: ebm.langevin(model, x, 1, 0.1, temperature=-1.0), "온도"),
        (lambda: ebm.langevin(model, x[:0], 1, 0.1), "빈 배치"),
        (lambda: ebm.mala(model, x, 1, -0.1), "step_size"),
        (lambda: ebm.ReplayBuffer(0, lambda n: torch.zeros(n, 2)), "size"),
        (lambda: ebm.ReplayBuffer(4, lambda n: torch.zeros(n, 2), restart=1.5), "restart"),
        (lambda: ebm.ReplayBuffer(4, lambda n: torch.zeros(n, 2)).draw(5), "size를 키우"),
        (lambda: ebm.ContrastiveDivergence("잡음", steps=1, step_size=0.1), "start"),
        (lambda: ebm.ContrastiveDivergence("data", steps=1, step_size=0.1, alpha=-1), "alpha"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words):
            call()
