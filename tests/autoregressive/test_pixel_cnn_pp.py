"""PixelCNN++: 칸의 확률, 채널 조건, 누출, 정규화, 빠른 표본 추출."""

import pytest
import torch

from course_lib import checks
from course_lib.autoregressive.pixel_cnn_pp import PixelCNNPP, bin_log_prob
from course_lib.autoregressive.pixels import PixelModel


def tiny(shape=(1, 4, 4), levels=5, classes=0, **options):
    options = {"mixtures": 2, "width": 6, "blocks": 1, "scales": 2} | options
    model = PixelCNNPP(shape, levels, classes, **options)
    return checks.randomise_(model.double(), 1.0).eval()


def grid(levels):
    return torch.arange(levels).double() * 2 / (levels - 1) - 1


EXTREME = [-1e6, -40.0, -1.0, -0.999, 0.0, 0.3, 1.0, 25.0, 1e6]


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 8.0, 20.0])
def test_bins_sum_to_one_for_every_parameter(levels, log_scale):
    mean = torch.tensor(EXTREME, dtype=torch.float64)
    log_p = bin_log_prob(grid(levels)[:, None], mean, torch.tensor(log_scale).double(), levels)
    assert log_p.isfinite().all()
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(9).double(), rtol=0, atol=1e-9)


def test_bins_are_differences_of_the_cdf():
    """σ를 그대로 빼서 구한 값과 견줍니다(빼도 안전한 가운데에서)."""
    mean, scale = torch.tensor([-0.4, 0.1, 0.9]).double(), torch.tensor(0.25).double()
    v, d = grid(17)[:, None], 1 / 16
    cdf = lambda t: torch.sigmoid((t - mean) / scale)  # noqa: E731
    want = cdf(v + d) - cdf(v - d)
    want[0], want[-1] = cdf(v[0] + d), 1 - cdf(v[-1] - d)
    got = bin_log_prob(v, mean, scale.log(), 17).exp()
    torch.testing.assert_close(got, want, rtol=1e-10, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_stay_finite_at_the_extremes(dtype):
    mean = torch.tensor(EXTREME, dtype=dtype, requires_grad=True)
    for value in (-7.0, 0.0, 20.0):
        log_scale = torch.tensor(value, dtype=dtype, requires_grad=True)
        for v in grid(256)[[0, 1, 128, 254, 255]].to(dtype):
            log_p = bin_log_prob(v, mean, log_scale, 256)
            assert log_p.isfinite().all()
            for slope in torch.autograd.grad(log_p.sum(), [mean, log_scale]):
                assert slope.isfinite().all()


def test_scale_parameter_is_bounded():
    """신경망이 무엇을 내놓아도 log s는 [−7, 20] 안이고, 그 밖에서도 손실과 기울기는 유한합니다."""
    model = tiny(levels=256)
    for big in (-1e4, 1e4):
        with torch.no_grad():
            model.out.bias.fill_(big)
        loss = -model.log_prob(torch.randint(256, (2, 1, 4, 4)).double()).sum()
        slopes = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        assert loss.isfinite() and all(s.isfinite().all() for s in slopes if s is not None)


@pytest.mark.parametrize(
    ("shape", "levels", "options"),
    [
        ((1, 2, 2), 5, {}),
        ((1, 2, 4), 2, {}),
        ((3, 1, 2), 3, {"scales": 1}),
        ((2, 2, 2), 2, {"mixtures": 3}),
    ],
)
def test_probabilities_sum_to_one(shape, levels, options):
    model = tiny(shape, levels, **options)
    assert checks.check_normalised(model, levels=levels, tolerance=1e-9) == pytest.approx(1)


def rank(shape):
    c, h, w = shape
    return torch.arange(c * h * w).reshape(h, w, c).permute(2, 0, 1).flatten()


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_no_leak_and_no_blind_spot(scales):
    """해상도를 몇 번 오르내려도 앞선 화소만, 그리고 빠짐없이 봅니다."""
    model = PixelCNNPP((1, 4, 8), 5, width=6, scales=scales, blocks=5 - scales)
    checks.check_autoregressive(
        model, lambda m, x: m.parameters_of(x).sum(1), (1, 4, 8), order=rank((1, 4, 8)), unseen=0
    )


def test_channels_follow_red_green_blue():
    """같은 화소 안에서 G의 평균은 R을, B의 평균은 R과 G를 봅니다."""
    shape = (3, 2, 4)
    report = checks.check_autoregressive(
        PixelCNNPP(shape, 4, width=6, scales=2, blocks=2),
        lambda m, x: m.logits(x.sigmoid() * 3)[:, :2].sum(1),
        shape,
        order=rank(shape),
        unseen=0,
    )
    here = report.support.reshape(3, 8, 3, 8)[:, 5, :, 5]
    assert torch.equal(here, torch.ones(3, 3).tril(-1).bool())


def test_log_prob_equals_the_table_and_shares_one_indicator():
    """한꺼번에 고르는 혼합 = 채널마다 베이즈 정리로 고친 비율로 고르는 혼합."""
    model = tiny((3, 2, 2), 4, classes=3, mixtures=3)
    x, y = torch.randint(4, (5, 3, 2, 2)).double(), torch.arange(5) % 3
    torch.testing.assert_close(model.log_prob(x, y), PixelModel.log_prob(model, x, y))
    table = model.logits(x, y)
    torch.testing.assert_close(table.exp().sum(1), torch.ones_like(x))


def test_mixture_by_hand():
    """화소 하나, 채널 둘: Σ_k π_k P_k(x_1) P_k(x_2 | x_1), 식 (3)을 그대로 씁니다."""
    model = tiny((2, 1, 1), 7, mixtures=3, scales=1)
    x = torch.tensor([2.0, 5.0]).double().view(1, 2, 1, 1)
    theta = model.parameters_of(x)[0, :, 0, 0].detach()
    v, total = x.flatten() / 3 - 1, 0.0
    pi, rest = theta[:3].softmax(0), theta[3:].view(3, 5)
    for k in range(3):
        m1, m2, s1, s2, alpha = rest[k]
        m2 = m2 + alpha.tanh() * v[0]
        inside = 1.0
        for value, m, s in ((v[0], m1, s1), (v[1], m2, s2)):
            edges = torch.tensor([value - 1 / 6, value + 1 / 6]).double()
            low, high = torch.sigmoid((edges - m) / s.exp())
            inside = inside * (high - low)
        total += pi[k] * inside
    torch.testing.assert_close(model.log_prob(x).exp()[0].detach(), total)


@pytest.mark.parametrize(
    ("shape", "levels", "classes", "scales"),
    [((1, 6, 5), 6, 0, 1), ((1, 8, 4), 5, 3, 3), ((3, 4, 6), 4, 0, 2)],
)
def test_cached_samples_are_the_naive_ones(shape, levels, classes, scales):
    model = tiny(shape, levels, classes, scales=scales, blocks=2)
    noise, y = torch.rand(3, *shape).double(), torch.arange(3) if classes else None
    fast = model.sample(3, y, noise=noise)
    assert torch.equal(fast, model.sample(3, y, noise=noise, cached=False))
    assert fast.unique().numel() == levels
    known = torch.rand(3, *shape) < 0.6
    known[:, :, 1] = True
    fast = model.complete(fast.flip(0), known, y, noise)
    assert torch.equal(fast, model.complete(fast, known, y, noise, cached=False))


def test_every_block_has_its_own_class_bias():
    model = tiny(classes=3, width=12)
    x, y = torch.randint(5, (2, 1, 4, 4)).double(), torch.tensor([0, 1])
    for block in [b for b in model.modules() if hasattr(b, "label")]:
        before = model.log_prob(x, y)
        with torch.no_grad():
            block.label.weight[0] += 1.0
        after = model.log_prob(x, y)
        assert after[0] != before[0] and after[1] == before[1]


def test_a_batch_equals_its_rows_and_dropout_is_off_in_eval():
    model = tiny(dropout=0.5)
    x, before = torch.randint(5, (3, 1, 4, 4)).double(), list(map(torch.clone, model.parameters()))
    together = model.log_prob(x)
    torch.testing.assert_close(together, torch.cat([model.log_prob(row[None]) for row in x]))
    assert all(map(torch.equal, before, model.parameters()))
    assert not torch.equal(model.train().log_prob(x), together)


def test_a_spike_has_probability_one_and_never_more():
    """밀도라면 폭을 줄일수록 끝없이 커지지만, 칸의 확률은 1에서 멈춥니다."""
    v = grid(17)
    log_p = bin_log_prob(v, v, torch.tensor(-7.0).double(), 17)
    assert log_p.max() <= 0 and log_p.min() > -1e-12


@pytest.mark.parametrize("options", [{"scales": 4}, {"scales": 0}, {"mixtures": 0}, {"blocks": 0}])
def test_bad_arguments(options):
    with pytest.raises(ValueError, match="나누어떨어져야"):
        PixelCNNPP((1, 4, 4), 5, **options)
