import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.checks import CheckError, check_flow
from course_lib.units import LogitPreprocess, bits_per_dim, dequantise


def test_a_uniform_eight_bit_model_is_eight_bits():
    assert float(bits_per_dim(torch.zeros(()), 784, 256)) == 8
    assert float(bits_per_dim(torch.zeros(()), 64, 17)) == pytest.approx(4.0875, abs=1e-4)


def test_nice_worked_example():
    """NICE의 MNIST 1980.50 nats는 4.36 bits/dim입니다."""
    assert float(bits_per_dim(torch.tensor(1980.50), 784, 256)) == pytest.approx(4.36, abs=0.005)


def test_discrete_models_use_one_level():
    log_p = torch.tensor(-10 * math.log(2.0))
    assert float(bits_per_dim(log_p, 10, 1)) == pytest.approx(1)
    with pytest.raises(ValueError, match="1 이상"):
        bits_per_dim(log_p, 0, 256)


@given(levels=st.integers(2, 256), seed=st.integers(0, 1000))
def test_dequantise_stays_in_its_bin(levels, seed):
    generator = torch.Generator().manual_seed(seed)
    k = torch.arange(levels).repeat(20)
    x = dequantise(k, levels, generator)
    assert torch.equal((x * levels).floor().long(), k)
    assert 0 < float(x.min()) and float(x.max()) < 1


@pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
def test_dequantise_at_the_edges_of_a_bin(u, monkeypatch):
    k = torch.arange(256)
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, u))
    for levels in (17, 256):
        k = torch.arange(levels)
        assert torch.equal((dequantise(k, levels) * levels).floor().long(), k)


def test_dequantise_takes_bytes_up_to_255():
    k = torch.arange(256).to(torch.uint8)
    x = dequantise(k, 256, torch.Generator().manual_seed(0))
    same = dequantise(k.long(), 256, torch.Generator().manual_seed(0))
    assert torch.equal(x, same) and torch.equal((x * 256).floor().long(), k.long())


def test_dequantise_covers_the_whole_bin():
    """(0, ½]만 덮으면 64차원에서 44 nats를 버는 척합니다."""
    x = dequantise(torch.zeros(100_000, dtype=torch.long), 4, torch.Generator().manual_seed(0)) * 4
    assert float(x.max()) > 0.99 and float(x.mean()) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (torch.rand(3), "정수"),
        (torch.tensor([True]), "정수"),
        (torch.tensor([0, 17]), "levels"),
        (torch.tensor([-1]), "levels"),
    ],
)
def test_dequantise_bad_input(k, message):
    with pytest.raises(ValueError, match=message):
        dequantise(k, 17)


def test_logit_preprocess():
    check_flow(LogitPreprocess(0.05), (5,))
    check_flow(LogitPreprocess(1e-3), (1, 3, 3))
    layer = LogitPreprocess(0.05)
    z, _ = layer.inverse(torch.tensor([[0.0, 1.0]]))
    assert torch.allclose(z, torch.logit(torch.tensor([[0.05, 0.95]])))
    with pytest.raises(ValueError, match="alpha"):
        LogitPreprocess(0.5)


def test_forgetting_the_range_of_alpha_is_caught():
    class Forgetful(LogitPreprocess):
        def _log_slope(self, z):
            return super()._log_slope(z) - math.log1p(-2 * self.alpha) * z[0].numel()

    with pytest.raises(CheckError, match="자동미분"):
        check_flow(Forgetful(), (5,))


def test_logit_matches_the_published_conversion():
    """MAF 공식 코드의 bits/dim 환산과 같은 값이 나와야 합니다."""
    alpha, dims = 1e-2, 6
    layer = LogitPreprocess(alpha)
    x = torch.rand(4, dims).double()
    y, log_det = layer.inverse(x)
    log_p_y = -0.5 * (y**2).sum(1)  # 아무 밀도
    ours = bits_per_dim(log_p_y + log_det, dims, 256)
    sigmoid = torch.sigmoid(y)
    published = (
        -log_p_y / (dims * math.log(2))
        - math.log2(1 - 2 * alpha)
        + 8
        + (sigmoid.log2() + (1 - sigmoid).log2()).mean(1)
    )
    assert torch.allclose(ours, published)
