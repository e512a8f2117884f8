import pytest
import torch

from course_lib.checks import check_flow, check_normalised, dependency, randomise_
from course_lib.flows.mintnet import MintNet, TriangularBlock


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(
    "channels, kernel, shape", [(1, 3, (1, 3, 3)), (3, 3, (3, 2, 2)), (5, 1, (5, 1, 1))]
)
def test_block(channels, kernel, shape, upper):
    check_flow(TriangularBlock(channels, 3, kernel, upper), shape)


def test_whole_models():
    check_flow(MintNet((5,), layers=2, latent=4).flow, (5,))
    image = MintNet((1, 4, 4), layers=2, latent=2, squeeze_after=(1,))
    check_flow(image.flow, image.latent_shape, out_shape=(1, 4, 4), batch=2)
    check_normalised(randomise_(MintNet((2,), layers=2, latent=6)), box=(-12, 12), points=300)


@pytest.mark.parametrize("upper", [False, True])
def test_the_jacobian_is_triangular_and_positive_on_the_diagonal(upper):
    block = randomise_(TriangularBlock(2, 3, upper=upper).double(), 2.0)
    support = dependency(lambda v: block.inverse(v)[0], (2, 3, 3))
    # 순서는 화소가 먼저, 그 안에서 채널: (H, W, C)
    order = torch.arange(18).view(2, 9).T.flatten()
    support = support[order][:, order]
    triangle = torch.ones(18, 18).bool().tril() if not upper else torch.ones(18, 18).bool().triu()
    assert not (support & ~triangle).any()
    assert support.diagonal().all()
    # 3×3 합성곱 셋이면 앞 화소를 대부분 봅니다(맹점은 논문에도 있는 마스크 합성곱의 것)
    assert (support & triangle).sum() > 0.8 * triangle.sum()


def test_the_diagonal_is_exact_for_any_signs():
    block = randomise_(TriangularBlock(2, 4).double(), 3.0)
    with torch.no_grad():
        block.third.weight.mul_(10)
    x = 3 * torch.randn(2, 2, 3, 3).double()
    _, diagonal = block._f(x)
    for b in range(2):
        auto = torch.autograd.functional.jacobian(lambda v: block._f(v[None])[0][0], x[b])
        auto = auto.reshape(18, 18).diagonal().reshape(2, 3, 3)
        assert torch.allclose(auto, diagonal[b], rtol=1e-10)
    assert (diagonal >= block.t * (1 - 1e-12)).all()
    raw = block.centres()[1].sign()
    assert (raw < 0).any() and (raw > 0).any()  # 강제하지 않은 부호는 섞여 있습니다


def test_fixed_point_equals_sequential():
    block = randomise_(TriangularBlock(2, 4, upper=True).double(), 1.0)
    z = 2 * torch.randn(3, 2, 3, 3).double()
    x, gaps = block.fixed_point(z)
    assert gaps[-1] < 1e-11 and len(gaps) < 60
    assert torch.allclose(x, block.sequential(z), atol=1e-11)
    with torch.no_grad():
        assert torch.allclose(block.inverse(x)[0], z, atol=1e-11)


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.5])
def test_the_rate_is_one_minus_one_over_alpha(alpha):
    """좌표 하나면 삼각행렬의 비대각이 없으므로 오차의 비가 곧 1 − 1/α입니다."""
    block = randomise_(TriangularBlock(1, 6, 1).double(), 1.0)
    _, gaps = block.fixed_point(torch.randn(4, 1, 1, 1).double(), alpha, 25)
    assert gaps[24] / gaps[23] == pytest.approx(1 - 1 / alpha, abs=0.01)


def test_it_falls_back_to_the_exact_solution(monkeypatch):
    block = randomise_(TriangularBlock(1, 4).double(), 1.0)
    block.max_steps = 1
    z = torch.randn(2, 1, 2, 2).double()
    with torch.no_grad():
        x, log_det = block(z)
        again, back = block.inverse(x)
    assert torch.allclose(again, z, atol=1e-11) and torch.allclose(log_det, -back)


def test_generation_gradients_match_finite_differences():
    block = randomise_(TriangularBlock(2, 3).double(), 1.0)
    z = torch.randn(2, 2, 2, 2).double()

    def total():
        x, log_det = block(z)
        return x.sin().sum() + log_det.sum()

    total().backward()
    for p in (block.first.weight, block.second.bias, block.log_t):
        at = (0,) * p.ndim
        with torch.no_grad():
            step = 1e-5
            p[at] += step
            up = total()
            p[at] -= 2 * step
            down = total()
            p[at] += step
        assert float(p.grad[at]) == pytest.approx(float(up - down) / (2 * step), rel=1e-5)


def test_float32_samples_come_back():
    torch.manual_seed(1)
    model = randomise_(MintNet((1, 4, 4), layers=2, latent=4, squeeze_after=(1,)), 0.5).eval()
    x = model.sample(20)
    assert x.shape == (20, 1, 4, 4)
    with torch.no_grad():
        again = model.flow(model.flow.inverse(x)[0])[0]
    assert torch.allclose(again, x, atol=1e-3)


def test_arguments():
    with pytest.raises(ValueError, match="alpha"):
        TriangularBlock(1, 2, alpha=0.4)
    with pytest.raises(ValueError, match="shape"):
        MintNet((2, 2))
    with pytest.raises(ValueError, match="나눌 수 없습니다"):
        MintNet((1, 3, 3), layers=1, squeeze_after=(1,))
