import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.base import standard_logistic, standard_normal
from course_lib.checks import check_flow, check_normalised, dependency, randomise_
from course_lib.flows.nice import NICE, AdditiveCoupling, Coupling, Permutation, Rescale
from course_lib.units import LogitPreprocess


@pytest.mark.parametrize("dim", [2, 5, 8])
@pytest.mark.parametrize("keep_first", [True, False])
def test_additive_coupling(dim, keep_first):
    report = check_flow(AdditiveCoupling(dim, (16, 16), keep_first), (dim,))
    assert report.log_det < 1e-12  # 부피 보존은 근사가 아니라 정확합니다


def test_rescale_and_permutation():
    check_flow(Rescale(5), (5,))
    check_flow(Permutation(torch.tensor([3, 0, 4, 1, 2])), (5,))
    with pytest.raises(ValueError, match="순열"):
        Permutation(torch.tensor([0, 0, 1]))


@given(dim=st.integers(2, 9), couplings=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_whole_model(dim, couplings, seed):
    torch.manual_seed(seed)
    model = NICE(dim, couplings=couplings, hidden=(8, 8))
    check_flow(model.flow, (dim,), seed=seed)


def test_whole_model_with_preprocessing():
    model = NICE(7, hidden=(8,), preprocess=LogitPreprocess())
    check_flow(model.flow, (7,), scale=0.1)


@pytest.mark.parametrize("base", [standard_normal, standard_logistic])
def test_normalised(base):
    model = randomise_(NICE(2, couplings=4, hidden=(16,), base=base), 0.3).eval()
    check_normalised(model, box=(-40, 40), points=1600)


def test_log_det_is_exactly_the_sum_of_log_scales():
    model = randomise_(NICE(6, hidden=(8,)).double()).eval()
    log_det = model.flow(torch.randn(3, 6).double())[1]
    assert torch.equal(log_det, model.flow.flows[0].log_scale.sum().expand(3))


def test_the_split_is_even_against_odd():
    """결합층 하나짜리: 짝수 번째 화소는 z 하나만, 홀수 번째 화소는 앞 묶음 전체와 자기 z를 봅니다."""
    model = randomise_(NICE(6, couplings=1, hidden=(32,)).double()).eval()
    support = dependency(lambda z: model.flow(z)[0], (6,), draws=16)  # z는 [앞 묶음, 뒤 묶음] 순서
    eye = torch.eye(6, dtype=torch.bool)
    assert torch.equal(support[[0, 2, 4]], eye[:3])
    assert torch.equal(support[[1, 3, 5]], eye[3:] | torch.tensor([True] * 3 + [False] * 3))


@pytest.mark.parametrize(("couplings", "full"), [(2, False), (3, True)])
def test_three_couplings_are_needed(couplings, full):
    model = randomise_(NICE(6, couplings=couplings, hidden=(32,)).double()).eval()
    assert bool(dependency(lambda z: model.flow(z)[0], (6,), draws=16).all()) is full


def test_one_network_pass_each_way():
    model = NICE(4, couplings=3, hidden=(8,))
    calls = []
    for layer in model.modules():
        if isinstance(layer, AdditiveCoupling):
            layer.shift.register_forward_hook(lambda *_: calls.append(1))
    model.log_prob(torch.randn(5, 4))
    assert len(calls) == 3
    model.sample(5)
    assert len(calls) == 6


def test_mnist_is_the_papers_network():
    model = NICE.mnist()
    nets = [m.shift for m in model.flow.flows if isinstance(m, AdditiveCoupling)]
    widths = [
        [layer.out_features for layer in net if hasattr(layer, "out_features")] for net in nets
    ]
    assert widths == [[1000] * 5 + [392]] * 4
    assert model.sample(2).shape == (2, 784)


def test_bad_input():
    with pytest.raises(ValueError, match="2차원 이상"):
        NICE(1)
    model = NICE(3, hidden=(8,))
    with pytest.raises(ValueError, match="모양"):
        model.log_prob(torch.zeros(3))
    with pytest.raises(ValueError, match="빈 배치"):
        model.log_prob(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="NaN"):
        model.log_prob(torch.full((1, 3), float("nan")))
    with pytest.raises(ValueError, match="자료형"):
        model.log_prob(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="조건"):
        model.log_prob(torch.zeros(1, 3), torch.zeros(1))


def test_coupling_split_and_merge_are_inverse():
    h = torch.randn(3, 7)
    for keep_first in (True, False):
        layer = Coupling(7, keep_first)
        a, b = layer.split(h)
        assert (a.shape[1], b.shape[1]) == (layer.keep_dim, layer.change_dim)
        assert torch.equal(layer.merge(a, b), h)
