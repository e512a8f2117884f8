import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.base import FlowModel
from course_lib.checks import CheckError, check_flow, check_normalised, randomise_
from course_lib.flows.realnvp import (
    AffineCoupling,
    BatchNormFlow,
    ImageRealNVP,
    MaskedAffineCoupling,
    RealNVP,
    Squeeze,
    channel_mask,
    checkerboard_mask,
)
from course_lib.units import LogitPreprocess


@pytest.mark.parametrize("dim", [2, 5, 8])
@pytest.mark.parametrize("keep_first", [True, False])
def test_affine_coupling(dim, keep_first):
    check_flow(AffineCoupling(dim, (16, 16), keep_first), (dim,))


@given(dim=st.integers(2, 9), couplings=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_whole_model(dim, couplings, seed):
    torch.manual_seed(seed)
    check_flow(RealNVP(dim, couplings=couplings, hidden=(8, 8)).flow, (dim,), seed=seed)


def test_whole_model_with_preprocessing():
    check_flow(RealNVP(7, hidden=(8,), preprocess=LogitPreprocess()).flow, (7,), scale=0.1)


def test_the_first_group_is_the_given_mask():
    first = checkerboard_mask(3, 3, 0).flatten().bool()
    model = RealNVP(9, couplings=1, hidden=(8,), first=first)
    check_flow(model.flow, (9,))
    randomise_(model).eval()
    x = torch.randn(4, 9)
    z = model.flow.inverse(x)[0]
    assert torch.equal(z[:, :5], x[:, first]) and not torch.isclose(z[:, 5:], x[:, ~first]).any()
    with pytest.raises(ValueError, match="마스크"):
        RealNVP(9, first=~first)


def test_normalised():
    model = randomise_(RealNVP(2, couplings=4, hidden=(16,)), 0.3).eval()
    check_normalised(model, box=(-20, 20), points=800)


def test_log_scale_is_bounded():
    layer = randomise_(AffineCoupling(4, (8,), True), 5.0)
    alpha, _ = layer.parameters_from(1e3 * torch.randn(100, 2))
    assert (alpha.abs() <= layer.bound.abs() + 1e-6).all()


def test_one_network_pass_each_way():
    model = RealNVP(4, couplings=3, hidden=(8,))
    calls = []
    for layer in model.modules():
        if isinstance(layer, AffineCoupling):
            layer.net.register_forward_hook(lambda *_: calls.append(1))
    model.log_prob(torch.randn(5, 4))
    model.sample(5)
    assert len(calls) == 6


def test_masks():
    board = checkerboard_mask(3, 4, 0)
    assert board[0, 0].tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    assert torch.equal(board + checkerboard_mask(3, 4, 1), torch.ones(1, 1, 3, 4))
    assert channel_mask(4, 0).flatten().tolist() == [1, 1, 0, 0]
    assert channel_mask(4, 1).flatten().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("mask", [checkerboard_mask(3, 3, 1), channel_mask(2, 0)])
def test_masked_coupling(mask):
    layer = MaskedAffineCoupling(mask, channels=2, width=4, blocks=1)
    check_flow(layer, (2, 3, 3))
    # 마스크가 1인 자리는 건드리지 않습니다.
    layer = randomise_(layer.double()).eval()
    z = torch.randn(2, 2, 3, 3).double()
    x, _ = layer(z)
    kept = mask.expand(2, 2, 3, 3).bool()
    assert torch.equal(x[kept], z[kept]) and not torch.isclose(x[~kept], z[~kept]).any()


def test_squeeze():
    check_flow(Squeeze(), (4, 2, 3), out_shape=(1, 4, 6))
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    channels, _ = Squeeze().inverse(image)
    assert channels[0, :, 0, 0].tolist() == [0, 1, 4, 5]  # 2×2 칸 하나가 채널 넷이 됩니다


@pytest.mark.parametrize("shape", [(5,), (3, 2, 2)])
def test_batch_norm_flow_in_eval(shape):
    check_flow(BatchNormFlow(shape[0]), shape)


def test_batch_norm_flow_in_training():
    layer = BatchNormFlow(3).double()
    x = (
        torch.randn(200, 3, 4, 4).double() * torch.tensor([1.0, 2.0, 5.0]).double()[:, None, None]
        + 4
    )
    z, log_det = layer.inverse(x)
    assert z.mean((0, 2, 3)).abs().max() < 1e-10
    assert (z.var((0, 2, 3), correction=0) - 1).abs().max() < 1e-3
    # 배치 통계를 상수로 보면 대각 변환이므로 화소마다 −½ log(v + ε)를 더한 값입니다.
    var = x.var((0, 2, 3), correction=0)
    assert torch.allclose(log_det, (-0.5 * 16 * (var + 1e-4).log().sum()).expand(200))
    assert torch.allclose(layer.running_mean, 0.1 * x.mean((0, 2, 3)))
    # 표본 추출은 학습 중에도 이동 평균을 쓰고, 그것을 바꾸지 않습니다.
    before = layer.running_var.clone()
    layer(z)
    assert torch.equal(layer.running_var, before)


def test_batch_norm_log_det_counts_pixels():
    """화소 수를 곱하지 않는 흔한 결함을 심으면 거절당합니다."""

    class Forgetful(BatchNormFlow):
        def _affine(self, mean, var, h):
            mean, scale, log_det = super()._affine(mean, var, h)
            return mean, scale, log_det / h[0, 0].numel()

    with pytest.raises(CheckError, match="자동미분"):
        check_flow(Forgetful(2), (2, 3, 3))


@pytest.mark.parametrize(("shape", "scales"), [((1, 4, 4), 2), ((2, 4, 4), 1), ((1, 8, 8), 3)])
def test_image_model(shape, scales):
    model = ImageRealNVP(shape, scales=scales, width=4, blocks=1)
    dim = torch.Size(shape).numel()
    check_flow(model.flow, (dim,), out_shape=shape, batch=2)
    assert model.sample(3).shape == (3, *shape)
    assert model.eval().log_prob(torch.rand(3, *shape)).shape == (3,)


def test_every_pixel_is_transformed_on_every_scale():
    """바둑판과 채널 마스크가 같은 홀짝이면 죽은 차원이 생깁니다: 어느 z도 그대로 남지 않아야 합니다."""
    model = randomise_(ImageRealNVP((1, 8, 8), scales=3, width=4, blocks=1).double()).eval()
    for module in model.modules():
        if isinstance(module, BatchNormFlow):  # 결합층의 몫만 보도록 정규화는 항등으로 둡니다
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
    z = torch.randn(1, 64).double()
    rows = torch.autograd.functional.jacobian(lambda v: model.flow(v[None])[0].flatten(), z[0])
    assert ((rows != 0).sum(1) > 1).all() and ((rows != 0).sum(0) > 1).all()


def test_image_model_refuses_odd_sizes():
    with pytest.raises(ValueError, match="배수"):
        ImageRealNVP((1, 7, 7), scales=2)


def test_image_model_with_logit_is_a_density_on_pixels():
    model = ImageRealNVP((1, 4, 4), width=4, blocks=1, preprocess=LogitPreprocess())
    check_flow(model.flow, (16,), out_shape=(1, 4, 4), batch=2, scale=0.1)


def test_training_step_is_deterministic():
    def run():
        torch.manual_seed(3)
        model = RealNVP(5, couplings=2, hidden=(16,))
        optimiser = torch.optim.Adam(model.parameters())
        for _ in range(3):
            loss = -model.log_prob(torch.randn(32, 5)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(run(), run())


def test_gradients_reach_every_parameter():
    model = ImageRealNVP((1, 4, 4), width=4, blocks=1)
    randomise_(model)
    (-model.log_prob(torch.randn(6, 1, 4, 4)).mean()).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # 배치 정규화 바로 앞의 편향은 지워집니다: 그 밖의 모든 매개변수에 기울기가 닿아야 합니다.
    assert not dead, dead


def test_flow_model_refuses_a_change_of_dimension():
    with pytest.raises(ValueError, match="차원을 바꾸지"):
        FlowModel(Squeeze(), (1, 4, 4), latent_shape=(5,))
