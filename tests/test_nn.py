"""신경망 조각: 마스크 합성곱이 보는 화소."""

import pytest
import torch

from course_lib import checks
from course_lib.nn import MaskedConv2d, ShiftedConv2d


@pytest.mark.parametrize("mask", ["A", "B"])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 3), (1, 5)])
def test_one_layer_sees_exactly_the_past_in_its_window(mask, kernel):
    layer = checks.randomise_(MaskedConv2d(1, 1, kernel, mask).double())
    seen = checks.dependency(lambda x: layer(x), (1, 5, 6))
    for out in range(30):
        for source in range(30):
            (i, j), (r, c) = divmod(out, 6), divmod(source, 6)
            near = abs(r - i) <= kernel[0] // 2 and abs(c - j) <= kernel[1] // 2
            earlier = source < out or (mask == "B" and source == out)
            assert bool(seen[out, source]) == (near and earlier)


@pytest.mark.parametrize(
    ("mask", "visible"), [("A", torch.ones(3, 3).tril(-1)), ("B", torch.ones(3, 3).tril())]
)
def test_channels_of_one_pixel_are_ordered(mask, visible):
    """한가운데에서 R은 (B이면 R만), G는 R(B이면 G도), B는 R과 G(B이면 B도)를 봅니다."""
    layer = checks.randomise_(MaskedConv2d(6, 3, 3, mask, data_channels=3).double())
    grad = torch.autograd.functional.jacobian(
        lambda x: layer(x)[0, :, 2, 2], torch.randn(1, 6, 5, 5).double()
    )[:, 0]  # (3, 6, 5, 5)
    here = grad[:, :, 2, 2].reshape(3, 3, 2)  # 묶음마다 특징 채널이 둘
    assert torch.equal((here != 0).double(), visible[:, :, None].expand(3, 3, 2).double())
    assert (grad[:, :, 2, 3] == 0).all() and (grad[:, :, 3] == 0).all()
    assert (grad[:, :, 2, 1] != 0).all() and (grad[:, :, 1, 1:4] != 0).all()


def test_mask_survives_any_update_of_the_weights():
    layer = MaskedConv2d(2, 2, 3, "A")
    with torch.no_grad():
        layer.weight.fill_(1.0)
    assert (layer.masked_weight[:, :, 2] == 0).all() and (
        layer.masked_weight[:, :, 1, 1:] == 0
    ).all()
    layer(torch.randn(1, 2, 4, 4)).sum().backward()
    assert (layer.weight.grad[:, :, 2] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 1, 3, "C"), "mask"), ((1, 1, 2, "A"), "홀수"), ((3, 2, 3, "A", 3), "3묶음")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskedConv2d(*arguments)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("reach", [(1, 1, 1), (1, 1, 0), (0, 2, 0), (2, 0, 1)])
def test_shifted_convolution_sees_exactly_its_window(reach, stride):
    top, left, right = reach
    layer = ShiftedConv2d(1, 1, top, left, right, stride=stride).double()
    seen = checks.dependency(layer, (1, 4, 6)).reshape(4 // stride, 6 // stride, 4, 6)
    for i, j, r, c in torch.cartesian_prod(*map(torch.arange, seen.shape)).tolist():
        near = 0 <= stride * i - r <= top and -right <= stride * j - c <= left
        assert bool(seen[i, j, r, c]) == near


def test_gated_halves_share_the_channel_order():
    """gate가 짝지어 곱하는 두 출력 k와 k + p는 같은 채널 묶음입니다."""
    layer = ShiftedConv2d(7, 14, 0, 1, 0, mask="B", data_channels=3, gates=2)
    assert torch.equal(layer.mask[:7], layer.mask[7:])
    assert (layer.mask[..., 0] == 1).all() and (layer.mask[0, :, 0, 1] == 0).any()
