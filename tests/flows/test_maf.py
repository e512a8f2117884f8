import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, TransformedDistribution

from course_lib.autoregressive.made import MaskedMLP
from course_lib.base import Inverse
from course_lib.checks import check_flow, check_normalised, randomise_
from course_lib.datasets import TOY2D
from course_lib.flows import maf
from course_lib.flows.iaf import IAF, IAFLayer
from course_lib.flows.maf import MAF, BatchNorm, MADEMoG, MAFLayer, MAFMoG, bounded, solve_in_order
from course_lib.units import LogitPreprocess

ORDER = torch.tensor([2, 0, 4, 1, 3])


def shaken(model, scale=0.5, seed=0):
    return randomise_(model.double().eval(), scale, seed)


def count_passes(model, kind):
    """신경망을 부른 횟수를 담는 목록"""
    calls = []
    for layer in model.modules():
        if isinstance(layer, kind):
            layer.net.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("layer", [MAFLayer, IAFLayer])
@pytest.mark.parametrize(
    "dim, hidden", [(5, (16,)), (5, (7, 9)), (7, (3, 2)), (2, (8, 8, 8)), (5, ())]
)
def test_layer(layer, dim, hidden):
    check_flow(layer(dim, hidden), (dim,))
    if dim == 5:
        check_flow(layer(dim, hidden, ORDER), (dim,), seed=3)


@given(dim=st.integers(2, 9), layers=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=6)
def test_whole_model(dim, layers, seed):
    torch.manual_seed(seed)
    check_flow(MAF(dim, layers, (8,)).flow, (dim,), seed=seed)
    check_flow(IAF(dim, layers, (8,)).flow, (dim,), seed=seed)


def test_batch_norm_and_preprocessing():
    check_flow(BatchNorm(5), (5,))
    check_flow(MAF(5, 3, (8,), batch_norm=True).flow, (5,))
    check_flow(MAF(5, 2, (8,), preprocess=LogitPreprocess()).flow, (5,), scale=0.1)
    check_flow(IAF(5, 2, (8,), preprocess=LogitPreprocess()).flow, (5,), scale=0.1)


@pytest.mark.parametrize(
    "build",
    [lambda: MAF(2, 3, (16,)), lambda: MAFMoG(2, 2, (16,), components=3), lambda: MADEMoG(2, 4)],
)
def test_normalised(build):
    torch.manual_seed(0)
    check_normalised(randomise_(build(), 0.15).eval(), box=(-20, 20), points=800)


@pytest.mark.parametrize("kind", [MAFLayer, IAFLayer])
@pytest.mark.parametrize("order", [torch.arange(5), ORDER])
def test_the_incremental_solution_equals_the_obvious_loop(kind, order):
    layer = shaken(kind(5, (11, 6), order), 1.0)
    given = torch.randn(30, 5, dtype=torch.float64)
    solve = layer.forward if kind is MAFLayer else layer.inverse
    obvious = solve(given)[0]  # 매개변수에 기울기가 있으므로 걸음마다 전체를 계산합니다
    with torch.no_grad():
        incremental = solve(given)[0]
    assert obvious.requires_grad and not incremental.requires_grad
    assert torch.allclose(obvious, incremental, rtol=0, atol=1e-10)


def test_the_incremental_solution_in_float32_and_many_dimensions():
    torch.manual_seed(0)
    model = randomise_(MAF(64, 5, (64, 64)), 0.3).eval()
    z = torch.randn(16, 64)
    obvious = model.flow(z)[0].detach()
    with torch.no_grad():
        assert torch.allclose(model.flow(z)[0], obvious, rtol=0, atol=1e-5)


def test_passes():
    maf, iaf, x = MAF(4, 3, (8,)), IAF(4, 3, (8,)), torch.randn(5, 4)
    calls = count_passes(maf, MAFLayer)
    maf.log_prob(x)
    assert len(calls) == 3  # 층마다 1번
    calls.clear()
    maf.flow(x)
    assert len(calls) == 3 * (4 + 1)  # 기울기가 있으면 층마다 D번, log-det에 1번
    calls = count_passes(iaf, IAFLayer)
    iaf.sample(5)
    iaf.rsample_and_log_prob(5)
    assert len(calls) == 2 * 3
    calls.clear()
    iaf.log_prob(x)
    assert len(calls) == 3 * (4 + 1)


def test_incremental_sampling_multiplies_each_weight_once():
    """D걸음 동안의 곱셈 수가 신경망 한 번의 곱셈 수(마스크로 버려지는 것 포함)를 넘지 않습니다."""
    layer = MAFLayer(16, (32, 32))
    count = 0

    class Counting(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal count
            if func in (torch.Tensor.__matmul__, torch.Tensor.matmul, torch.matmul):
                count += args[0].numel() * args[1].shape[-1]
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Counting():
        solve_in_order(layer.net, torch.randn(3, 16), lambda z, mu, alpha: z + mu)
    assert 0 < count <= 3 * (16 * 32 + 32 * 32 + 32 * 32)


@pytest.mark.parametrize("kind", [MAFLayer, IAFLayer])
def test_each_jacobian_is_triangular_in_its_order_and_the_composition_is_not(kind):
    torch.manual_seed(0)
    model = {MAFLayer: MAF, IAFLayer: IAF}[kind](5, 2, (16,))
    shaken(model)
    z = torch.randn(5, dtype=torch.float64)

    def jacobian(flow):
        return torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], z)

    reversed_order, natural = (jacobian(flow) for flow in model.flow.flows)
    assert torch.equal(natural, natural.tril()) and torch.equal(
        reversed_order, reversed_order.triu()
    )
    whole = jacobian(model.flow)
    assert (whole.abs() > 1e-9).all()


def test_an_iaf_layer_is_a_reparameterised_inverse_of_a_maf_layer():
    """MAF의 x → z는 α' = −α, μ' = −μ exp(−α)인 IAF의 z → x입니다."""
    maf = shaken(MAFLayer(5, (8,), ORDER))
    iaf = copy.deepcopy(IAFLayer(5, (8,), ORDER)).double()

    class Rewritten(torch.nn.Module):
        def forward(self, x):
            mu, alpha = maf.net(x).unbind(-1)
            return torch.stack([-mu * (-bounded(alpha)).exp(), -alpha], -1)

    iaf.net = Rewritten()
    v = torch.randn(9, 5, dtype=torch.float64)
    for got, want in zip(iaf(v), maf.inverse(v), strict=True):
        assert torch.allclose(got, want)
    for got, want in zip(iaf(v), Inverse(maf)(v), strict=True):
        assert torch.allclose(got, want)


def test_the_gaussian_autoregressive_model_is_a_one_layer_maf():
    """14.1: 같은 신경망이면 밀도가 같고, 같은 잡음이면 표본이 같습니다."""
    model = shaken(MADEMoG(5, 1, (16,), ORDER), 1.0)
    flow = MAF(5, 1, (16,)).double()
    flow.flow.flows[0] = layer = MAFLayer(5, (16,), ORDER).double()
    with torch.no_grad():
        for mine, theirs in zip(layer.net.layers[:-1], model.net.layers[:-1], strict=True):
            mine.load_state_dict(theirs.state_dict())
        for name in ("weight", "bias"):  # 출력 (로짓, μ, α) 가운데 뒤의 둘
            last = getattr(model.net.layers[-1], name)
            getattr(layer.net.layers[-1], name).copy_(last.unflatten(0, (3, 5))[1:].flatten(0, 1))
    x = torch.randn(7, 5, dtype=torch.float64)
    assert torch.allclose(model.log_prob(x), flow.log_prob(x))
    with torch.no_grad():
        assert torch.allclose(model.sample(7, noise=x), flow.flow(x)[0])


def test_made_mog_against_torch():
    model = shaken(MADEMoG(5, 3, (16,), ORDER), 1.0)
    x = torch.randn(6, 5, dtype=torch.float64)
    log_weight, mu, alpha = model.conditionals(x)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=log_weight), Normal(mu, alpha.exp())
    )
    assert torch.allclose(model.log_prob(x), mixture.log_prob(x).sum(1))
    jacobian = torch.autograd.functional.jacobian(lambda v: model.net(v[None])[0].sum(-1), x[0])
    assert torch.equal(jacobian[ORDER[:, None] <= ORDER[None, :]], torch.zeros(15).double())


def test_made_mog_samples_follow_its_density():
    torch.manual_seed(0)
    model = randomise_(MADEMoG(2, 3, (16,)), 1.0).eval()
    edges = torch.linspace(-40, 40, 1601)
    edges = (edges[1:] + edges[:-1]) / 2
    with torch.no_grad():
        x = model.sample(20_000)
        density = model.log_prob(torch.cartesian_prod(edges, edges)).exp().view(1600, 1600)
    want = density.view(2, 800, 2, 800).sum((1, 3)) / density.sum()  # 사분면마다의 확률
    got = torch.zeros(2, 2).index_put_(tuple((x > 0).long().T), torch.ones(20_000), True) / 20_000
    assert (got - want).abs().max() < 0.02


def test_batch_norm_uses_the_whole_training_set():
    torch.manual_seed(0)
    model = MAF(3, 2, (8,), batch_norm=True)
    randomise_(model, 0.3)
    data = 3 * torch.randn(5000, 3) + 2
    model.use_statistics_of(data)
    assert not model.training
    x = data
    for flow in reversed(model.flow.flows):
        x = flow.inverse(x)[0]
        if isinstance(flow, BatchNorm):
            normalised = (x - flow.beta) * (-flow.gamma).exp()
            assert torch.allclose(normalised.mean(0), torch.zeros(3), atol=1e-3)
            assert torch.allclose(normalised.std(0), torch.ones(3), atol=1e-2)
    before = copy.deepcopy(model.state_dict())
    model.log_prob(data[:10])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_as_transform_agrees_with_torch():
    model = shaken(MAF(5, 2, (8,)))
    base = Independent(Normal(torch.zeros(5).double(), torch.ones(5).double()), 1)
    theirs = TransformedDistribution(base, [model.flow.as_transform()])
    x = torch.randn(4, 5, dtype=torch.float64)
    assert torch.allclose(theirs.log_prob(x), model.log_prob(x))


def test_own_samples_are_cheap_and_right():
    model = shaken(IAF(5, 3, (8,)))
    x, log_prob = model.rsample_and_log_prob(6)
    assert torch.allclose(log_prob, model.log_prob(x))


def test_log_scale_is_bounded_and_far_points_stay_finite():
    torch.manual_seed(0)
    model = randomise_(MAF(3, 5, (8,)), 3.0).eval()
    far = 1e3 * torch.randn(50, 3)
    assert model.log_prob(far).isfinite().all()
    layer = model.flow.flows[0]
    assert (layer.inverse(far)[1].abs() <= 3 * 5.0 + 1e-4).all()


def test_without_the_bound_the_first_step_may_overflow(monkeypatch):
    """노트북 14의 4절: 값이 큰 데이터(바나나)에서는 시작하자마자 손실이 무한대가 되기도 합니다."""

    def finite(seed):
        torch.manual_seed(seed)
        model = MAF(2)
        x = TOY2D["banana"].sample(256, torch.Generator().manual_seed(seed))
        return bool(model.log_prob(x).mean().isfinite())

    assert all(map(finite, range(20)))
    monkeypatch.setattr(maf, "LIMIT", float("inf"))
    assert not all(map(finite, range(20)))


def test_mixture_base_samples_are_those_of_the_density():
    torch.manual_seed(0)
    model = randomise_(MAFMoG(3, 2, (16,), components=2), 0.15).eval()
    x = model.sample(4000)
    entropy = -model.log_prob(
        x
    ).mean()  # 표본의 밀도가 이웃한 모델의 표본보다 높습니다(깁스 부등식)
    other = randomise_(copy.deepcopy(model), 0.3, seed=1)
    assert x.shape == (4000, 3) and entropy < -other.log_prob(x).mean()


def test_bad_input():
    with pytest.raises(ValueError, match="direct"):
        solve_in_order(MaskedMLP(3, (4,), 2, direct=True), torch.zeros(1, 3), max)
    with pytest.raises(ValueError, match="2 이상"):
        MAF(1)
    with pytest.raises(ValueError, match="noise"):
        MADEMoG(3, 2).sample(2, noise=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="모양"):
        MAF(3).log_prob(torch.randn(4, 2))
    with pytest.raises(ValueError, match="조건"):
        IAF(3).log_prob(torch.randn(4, 3), y=torch.zeros(4))
