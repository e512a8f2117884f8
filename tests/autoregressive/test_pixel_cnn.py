"""PixelCNN: 누출과 맹점, 채널 순서, 정규화, 빠른 표본 추출."""

import pytest
import torch

from course_lib import checks
from course_lib.autoregressive.pixel_cnn import PixelCNN


def rank(shape):
    """(C, H, W)로 편 자리마다의 순번: 화소가 먼저, 그 안에서 채널."""
    c, h, w = shape
    return torch.arange(c * h * w).reshape(h, w, c).permute(2, 0, 1).flatten()


def report(model, unseen, **options):
    """입력을 0 … L − 1의 실수로 옮겨 로짓의 합이 무엇에 의존하는지 봅니다."""
    return checks.check_autoregressive(
        model,
        lambda m, x: m.logits(x.sigmoid() * (m.levels - 1)).sum(1),
        model.event_shape,
        order=rank(model.event_shape),
        unseen=unseen,
        **options,
    )


def in_view(height, width, first, kernel, layers):
    """닫힌 꼴: d ≥ 1줄 위에서는 열 차이 |e| ≤ a + b·min(n, d − 1)까지, 같은 줄에서는 왼쪽 a + n·b칸까지.

    a = first // 2, b = kernel // 2, n = 마스크 B 층의 수. b = 1일 때의 식입니다.
    """
    a, n = first // 2, layers - 1
    i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    i, j = i.flatten(), j.flatten()
    d, e = i[:, None] - i, j - j[:, None]  # 위로 d줄, 오른쪽으로 e칸
    above = (d >= 1) & (d <= a + n) & (e <= a + (d - 1).clamp(max=n))
    above &= -e <= a + n
    same = (d == 0) & (e < 0) & (-e <= a + n)
    return above | same


@pytest.mark.parametrize(("first", "layers"), [(3, 1), (3, 3), (7, 2), (5, 6), (3, 9)])
def test_blind_spot_is_exactly_where_theory_says(first, layers):
    model = PixelCNN((1, 6, 9), 2, width=8, layers=layers, first=first)
    want = in_view(6, 9, first, 3, layers)
    past = torch.ones(54, 54).tril(-1).bool()
    found = report(model, unseen=int((past & ~want).sum()))
    assert torch.equal(found.support, want)
    told = torch.stack([model.sees(i, j).flatten() for i in range(6) for j in range(9)])
    assert torch.equal(told, want)


def test_depth_does_not_cure_the_blind_spot():
    """그림을 덮고도 남는 깊이에서도 오른쪽 위의 화소가 보이지 않습니다."""
    counts = [
        report(PixelCNN((1, 4, 7), 2, width=6, layers=n, first=3), unseen=None).unseen
        for n in (5, 8, 11)
    ]
    assert counts[1] == counts[2] > 0


def test_channels_follow_red_green_blue():
    """R은 앞 화소만, G는 R까지, B는 R과 G까지: 같은 화소의 채널끼리는 빠짐도 누출도 없습니다."""
    model = PixelCNN((3, 3, 3), 4, width=6, layers=4, first=5)
    found = report(model, unseen=None)
    here = found.support.reshape(3, 9, 3, 9)[:, 4, :, 4]
    assert torch.equal(here, torch.ones(3, 3).tril(-1).bool())
    assert report(PixelCNN((3, 2, 2), 3, width=7, layers=3), unseen=0).leaks == 0


@pytest.mark.parametrize(("shape", "levels"), [((1, 2, 3), 2), ((3, 1, 2), 2), ((1, 2, 2), 5)])
def test_probabilities_sum_to_one(shape, levels):
    model = checks.randomise_(PixelCNN(shape, levels, width=6, layers=3).double(), 1.0)
    total = checks.check_normalised(model, levels=levels, tolerance=1e-9)
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("shape", "levels"), [((1, 5, 6), 4), ((3, 3, 4), 3)])
def test_cached_samples_are_the_naive_ones(shape, levels):
    model = checks.randomise_(PixelCNN(shape, levels, width=6, layers=4).double(), 1.0)
    noise = torch.rand(4, *shape).double()
    fast = model.sample(4, noise=noise)
    assert torch.equal(fast, model.sample(4, noise=noise, cached=False))
    assert fast.unique().numel() == levels
    # 화소마다, 심지어 채널마다 아는 자리가 달라도 같습니다.
    known = torch.rand(4, *shape) < 0.6
    known[:, :, 1] = True
    fast = model.complete(fast.flip(0), known, noise=noise)
    assert torch.equal(fast, model.complete(fast, known, noise=noise, cached=False))


def test_cached_logits_equal_the_full_ones():
    model = checks.randomise_(PixelCNN((1, 4, 5), 3, width=6, layers=3).double(), 1.0)
    x = torch.randint(3, (2, 1, 4, 5)).double()
    at, full = model.incremental(x, None), model.logits(x)
    for i, j in [(0, 0), (0, 3), (2, 1), (3, 4)]:
        torch.testing.assert_close(at(i, j), full[..., i, j], rtol=0, atol=1e-12)


def test_a_batch_equals_its_rows_and_nothing_changes():
    model = checks.randomise_(PixelCNN((1, 4, 4), 3, width=6, layers=3).double()).eval()
    x, before = torch.randint(3, (3, 1, 4, 4)).double(), list(map(torch.clone, model.parameters()))
    together = model.log_prob(x)
    torch.testing.assert_close(together, torch.cat([model.log_prob(row[None]) for row in x]))
    assert all(map(torch.equal, before, model.parameters()))
    with pytest.raises(ValueError, match="layers"):
        PixelCNN((1, 4, 4), 3, layers=0)
