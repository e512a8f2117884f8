"""Gated PixelCNN: 누출도 맹점도 없음, 채널 순서, 조건, 빠른 표본 추출."""

import pytest
import torch

from course_lib import checks
from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN, gate


def rank(shape):
    c, h, w = shape
    return torch.arange(c * h * w).reshape(h, w, c).permute(2, 0, 1).flatten()


def report(model, unseen, y=None):
    return checks.check_autoregressive(
        model,
        lambda m, x: m.logits(x.sigmoid() * (m.levels - 1), y).sum(1),
        model.event_shape,
        order=rank(model.event_shape),
        unseen=unseen,
    )


@pytest.mark.parametrize(("first", "kernel", "layers"), [(7, 3, 3), (3, 3, 5), (5, 5, 3)])
@pytest.mark.parametrize("shape", [(1, 6, 6), (1, 4, 6), (1, 6, 4)])
def test_no_leak_and_no_blind_spot_once_the_depth_covers_the_image(shape, first, kernel, layers):
    model = GatedPixelCNN(shape, 3, width=10, layers=layers, first=first, kernel=kernel)
    assert model.reach() >= 5
    assert report(model, unseen=0).leaks == 0


@pytest.mark.parametrize(
    ("first", "kernel", "layers"), [(3, 3, 1), (3, 3, 3), (5, 3, 2), (3, 5, 2)]
)
def test_a_shallow_one_sees_exactly_its_rectangle(first, kernel, layers):
    model = GatedPixelCNN((1, 6, 7), 2, width=6, layers=layers, first=first, kernel=kernel)
    reach = model.reach()
    i, j = torch.arange(42) // 7, torch.arange(42) % 7
    d, e = i[:, None] - i, j - j[:, None]
    want = ((d >= 1) & (d <= reach) & (e.abs() <= reach)) | ((d == 0) & (e < 0) & (-e <= reach))
    past = torch.ones(42, 42).tril(-1).bool()
    assert torch.equal(report(model, unseen=int((past & ~want).sum())).support, want)
    told = torch.stack([model.sees(i, j).flatten() for i in range(6) for j in range(7)])
    assert torch.equal(told, want)


@pytest.mark.parametrize("width", [36, 37, 38])
def test_channels_follow_red_green_blue(width):
    """특징 채널이 셋으로 나누어떨어지지 않아도 R → G → B입니다(gate의 두 절반이 같은 묶음).

    좁으면 한 색의 ReLU가 우연히 모두 꺼져 의존성이 사라지므로 넉넉한 너비에서 봅니다.
    """
    model = GatedPixelCNN((3, 3, 3), 4, width=width, layers=3, first=3)
    assert report(model, unseen=0).leaks == 0


def test_conditional_model_sees_the_same_pixels():
    model = GatedPixelCNN((1, 4, 4), 2, classes=3, width=5, layers=2)
    assert report(model, 0, torch.tensor([2])).leaks == 0


@pytest.mark.parametrize(
    ("shape", "levels", "classes"), [((1, 2, 3), 2, 0), ((3, 1, 2), 2, 0), ((1, 2, 2), 5, 3)]
)
def test_probabilities_sum_to_one(shape, levels, classes):
    model = GatedPixelCNN(shape, levels, classes, width=6, layers=2)
    model = checks.randomise_(model.double(), 1.0)
    for k in range(max(classes, 1)):
        log_prob = model.log_prob
        if classes:
            model.log_prob = lambda x, k=k, f=log_prob: f(x, torch.full((len(x),), k))
        assert checks.check_normalised(model, levels=levels, tolerance=1e-9) == pytest.approx(1)
        model.log_prob = log_prob


@pytest.mark.parametrize(
    ("shape", "levels", "classes"), [((1, 5, 6), 4, 0), ((1, 6, 5), 2, 3), ((3, 3, 4), 3, 2)]
)
def test_cached_samples_are_the_naive_ones(shape, levels, classes):
    model = GatedPixelCNN(shape, levels, classes, width=6, layers=3, first=5, kernel=5)
    model = checks.randomise_(model.double(), 1.0)
    noise, y = torch.rand(4, *shape).double(), torch.arange(4) % classes if classes else None
    fast = model.sample(4, y, noise=noise)
    assert torch.equal(fast, model.sample(4, y, noise=noise, cached=False))
    assert fast.unique().numel() == levels
    known = torch.rand(4, *shape) < 0.6
    known[:, :, 1] = True
    fast = model.complete(fast.flip(0), known, y, noise)
    assert torch.equal(fast, model.complete(fast, known, y, noise, cached=False))


def test_cached_sampling_computes_one_column_per_pixel_and_one_row_per_row(monkeypatch):
    from course_lib.autoregressive import pixels

    calls = {"row": 0, "column": 0}
    for name in calls:
        real = getattr(pixels.WindowCache, name)

        def counted(self, *arguments, name=name, real=real):
            calls[name] += 1
            return real(self, *arguments)

        monkeypatch.setattr(pixels.WindowCache, name, counted)
    GatedPixelCNN((1, 5, 4), 2, width=4, layers=3).sample(2)
    assert calls == {"row": 5 * 3, "column": 20 * 3}


def test_every_layer_has_its_own_class_bias():
    """한 층의 편향만 바꾸어도 그 클래스의 확률만 바뀝니다."""
    model = checks.randomise_(GatedPixelCNN((1, 4, 4), 3, 4, width=12, layers=3).double())
    x = torch.randint(3, (2, 1, 4, 4)).double()
    y = torch.tensor([1, 2])
    for layer in model.layers:
        for part in layer.label.weight[1].detach().chunk(4):  # tanh와 σ, 세로와 가로
            before = model.log_prob(x, y)
            with torch.no_grad():
                part += 0.5
            after = model.log_prob(x, y)
            assert abs(after[0] - before[0]) > 1e-6 and after[1] == before[1]


def test_gate_pairs_the_halves():
    s = torch.randn(2, 6, 1, 1).double()
    torch.testing.assert_close(gate(s), s[:, :3].tanh() / (1 + (-s[:, 3:]).exp()))


def test_a_batch_equals_its_rows_and_dropout_is_off_in_eval():
    model = GatedPixelCNN((1, 4, 4), 3, width=6, layers=3, dropout=0.5)
    model = checks.randomise_(model.double()).eval()
    x, before = torch.randint(3, (3, 1, 4, 4)).double(), list(map(torch.clone, model.parameters()))
    together = model.log_prob(x)
    torch.testing.assert_close(together, torch.cat([model.log_prob(row[None]) for row in x]))
    assert all(map(torch.equal, before, model.parameters()))
    model.train()
    assert not torch.equal(model.log_prob(x), together)


def test_half_precision_network_full_precision_probability():
    model = GatedPixelCNN((1, 6, 6), 2, 3, width=8, layers=2)
    x, y = torch.randint(2, (2, 1, 6, 6)).float(), torch.tensor([0, 2])
    with torch.autocast("cpu", torch.bfloat16):
        half = model.log_prob(x, y)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, model.log_prob(x, y), rtol=1e-2, atol=0)


@pytest.mark.parametrize("arguments", [{"layers": 0}, {"first": 4}, {"kernel": 1}])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="홀수"):
        GatedPixelCNN((1, 4, 4), 3, **arguments)
