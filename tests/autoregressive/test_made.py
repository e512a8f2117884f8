"""MADE: 마스크, 여러 벌, 저장하고 읽기."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.autoregressive.made import MADE, MaskedMLP
from course_lib.checks import check_autoregressive, randomise_
from course_lib.nn import MaskedLinear


def summed(model, x, k=0):
    return model(x, k).sum(-1)


@settings(max_examples=25, deadline=None)
@given(
    dim=st.integers(1, 7),
    hidden=st.lists(st.integers(1, 9), max_size=3),
    outputs=st.integers(1, 3),
    order=st.sampled_from(["natural", "random"]),
    masks=st.integers(1, 3),
    degrees=st.sampled_from(["random", "even"]),
    direct=st.booleans(),
    seed=st.integers(0, 50),
)
def test_no_output_sees_itself_or_a_later_variable(
    dim, hidden, outputs, order, masks, degrees, direct, seed
):
    net = MaskedMLP(
        dim, hidden, outputs, order=order, masks=masks, degrees=degrees, direct=direct, seed=seed
    )
    assert net(torch.zeros(2, dim)).shape == (2, dim, outputs)
    for k in range(masks):
        check_autoregressive(
            net, lambda m, x, k=k: summed(m, x, k), (dim,), order=net.order[k], unseen=None, draws=1
        )


@pytest.mark.parametrize("order", ["natural", "random"])
@pytest.mark.parametrize("direct", [False, True])
def test_a_wide_enough_network_sees_every_earlier_variable(order, direct):
    net = MaskedMLP(
        6, (15, 15), 2, order=order, degrees="even", direct=direct, activation=torch.nn.Tanh
    )
    check_autoregressive(net, summed, (6,), order=net.order[0], unseen=0)


def test_the_direct_path_alone_sees_every_earlier_variable():
    net = MaskedMLP(5, (), 1, order="random")
    check_autoregressive(net, summed, (5,), order=net.order[0], unseen=0)


def test_masks_multiply_to_the_order():
    net = MaskedMLP(6, (20, 20), 2, order="random", degrees="even")
    paths = torch.eye(6)
    for layer in net.layers:
        paths = layer.masks[0].float() @ paths
    rank = net.order[0]
    allowed = (rank[None, :] < rank[:, None]).repeat(2, 1)  # 출력은 (outputs, D) 순서
    assert torch.equal(paths > 0, allowed)


def test_degrees_are_in_range_and_differ_between_masks():
    net = MaskedMLP(9, (50, 50), masks=2, order="natural")
    for level in range(2):
        degrees = getattr(net, f"degrees{level}")
        below = 1 if level == 0 else int(net.degrees0.min())
        assert degrees.min() >= below and degrees.max() <= 8
        assert not torch.equal(degrees[0], degrees[1])
    assert torch.equal(net.order[0], net.order[1])
    assert not torch.equal(*MaskedMLP(9, (5,), masks=2, order="random").order)


def test_each_mask_is_another_distribution_and_the_model_is_their_mean():
    torch.manual_seed(0)
    model = randomise_(MADE(6, (16,), masks=3).double(), 2.0)
    x = torch.randint(2, (5, 6)).double()
    with torch.no_grad():
        each = torch.stack([model.log_prob_with(x, k) for k in range(3)])
        torch.testing.assert_close(model.log_prob(x).exp(), each.exp().mean(0))
    assert float((each[0] - each[1]).abs().max()) > 0.01


def test_masks_come_back_with_the_weights():
    source = MADE(6, (16, 16), masks=2, order="random", direct=True, seed=3)
    target = MADE(6, (16, 16), masks=2, order="random", direct=True, seed=4)
    x = torch.randint(2, (5, 6)).float()
    assert not any("masks" in name for name in source.state_dict())
    target.load_state_dict(source.state_dict())
    assert torch.equal(source.log_prob(x), target.log_prob(x))


def test_density_takes_one_pass_and_sampling_takes_D():
    model = MADE(7, (8,))
    calls = []
    model.net.register_forward_hook(lambda *_: calls.append(1))
    model.log_prob(torch.zeros(4, 7))
    assert len(calls) == 1
    model.sample(4)
    assert len(calls) == 1 + 7


def test_masked_weights_get_no_gradient_and_do_not_matter():
    torch.manual_seed(0)
    layer = MaskedLinear(3, 2, torch.tensor([[1, 0, 1], [0, 0, 1]]))
    x = torch.randn(4, 3)
    layer(x).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, layer.masks[0])
    before = layer(x)
    with torch.no_grad():
        layer.weight[0, 1] += 5.0
    assert torch.equal(layer(x), before)


def test_seed_of_the_masks_leaves_the_global_stream_alone():
    def weights(seed):
        torch.manual_seed(1)
        return MaskedMLP(4, (6,), masks=2, order="random", seed=seed).layers[0].weight

    assert torch.equal(weights(0), weights(5))


def test_bad_arguments():
    for options, words in (
        ({"degrees": "odd"}, "degrees"),
        ({"masks": 0}, "1 이상"),
        ({"order": torch.arange(4).expand(3, 4), "masks": 2}, "masks"),
        ({"order": torch.tensor([0, 1, 2, 2])}, "순열"),
    ):
        with pytest.raises(ValueError, match=words):
            MaskedMLP(4, (5,), **options)
    with pytest.raises(ValueError, match="mask"):
        MaskedLinear(3, 2, torch.ones(3, 2))
