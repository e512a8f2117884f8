"""도형 자료: 윤곽의 기하, 밝기가 같은 색, 설명의 문법, 속성 읽기."""

import math

import pytest
import torch

from course_lib.datasets import shapes as S


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_distance_has_unit_slope_and_the_right_areas():
    kind = torch.arange(3)
    ones = torch.ones(3)
    d = S.distance(kind, 32.0 * torch.ones(3, 2), 20 * ones, 0.3 * ones, 64)
    area = (d < 0).float().sum((1, 2))
    want = [math.pi * 400, (2 * 0.75 * 20) ** 2, 3 * math.sqrt(3) * (0.58 * 20) ** 2]
    for got, exact in zip(area.tolist(), want, strict=True):
        assert got == pytest.approx(exact, rel=0.03)
    slope = d[:, 1:, :-1] - d[:, :-1, :-1], d[:, :-1, 1:] - d[:, :-1, :-1]
    length = (slope[0].square() + slope[1].square()).sqrt()
    assert ((length - 1).abs() < 0.05).float().mean() > 0.9


def test_edges_lie_on_the_outline_and_paint_inside():
    shapes = S.outlines(20, 32, rng())
    d, edges = shapes.distance()[:, None], S.draw_edges(shapes)
    assert edges.shape == (20, 1, 32, 32) and (edges[d.abs() < 0.3] < 0).all()
    assert (edges[d.abs() > 3] > 0.99).all()
    assert (d[:, :, [0, -1]] > 0).all() and (d[..., [0, -1]] > 0).all()  # 그림 안에 있습니다
    painted, colour = S.random_paint(shapes, rng(1))
    assert (painted[(d > 2).expand_as(painted)] > 0.97).all() and set(colour.tolist()) == {0, 1, 2}
    plain = S.paint(shapes, S.PAINTS[colour], torch.zeros(20), striped=False)
    deep = (d < -2.5).expand_as(plain)
    want = (2 * S.PAINTS[colour] - 1)[:, :, None, None].expand_as(plain)
    torch.testing.assert_close(plain[deep], want[deep], atol=0.01, rtol=0)


def test_the_three_colours_look_the_same_in_grey():
    light = S.PAINTS @ S.LUMA
    assert float(light.max() - light.min()) < 0.003
    shapes = S.outlines(6, 24, rng())
    phase = torch.zeros(6)
    greys = [S.grey(S.paint(shapes, S.PAINTS[[k] * 6], phase)) for k in range(3)]
    assert max(float((g - greys[0]).abs().max()) for g in greys) < 0.005
    x, y = S.colour_pairs(5, 24, rng())
    torch.testing.assert_close(x, S.grey(y))


def test_stripes_cover_a_third_in_every_phase():
    """어느 화소든 여섯 위상 가운데 둘에서만 짙으므로, 조건부 중앙값에는 줄무늬가 없습니다."""
    shapes = S.outlines(1, 32, rng())
    many = S.Outlines(*(getattr(shapes, f).repeat_interleave(S.STRIPE, 0) for f in ("kind", "centre", "radius", "angle")), 32)  # fmt: skip
    pictures = S.paint(many, S.PAINTS[[0] * S.STRIPE], torch.arange(S.STRIPE))
    inside = many.distance()[0] < -2.5
    levels = ((pictures[:, 0][:, inside] + 1) / 2 / S.PAINTS[0, 0]).round(decimals=2)
    assert ((levels - S.DARK).abs() < 0.02).float().sum(0).eq(S.STRIPE // 3).all()


def test_captions_say_the_attributes_and_encode_uniquely():
    everything = S.all_attributes()
    assert everything.shape == (48, 4)
    seen = {}
    for row in everything:
        sentences = S.every_caption(row)
        assert len(set(sentences)) == 16 * 5
        for sentence in sentences:
            assert seen.setdefault(sentence, tuple(row.tolist())) == tuple(row.tolist())
    codes = S.encode(list(seen))
    assert len(codes.unique(dim=0)) == len(seen) and codes.max() == len(S.LETTERS)
    assert set(S.caption(everything, rng())) <= set(seen)
    for bad in ("보라색 별", "", "빨간 " * 20):
        with pytest.raises(ValueError, match="설명은"):
            S.encode([bad])


def test_reading_attributes_is_exact_on_clean_pictures_and_says_when_far():
    x, text, attributes = S.captioned(200, rng(2))
    assert x.shape == (200, 3, 16, 16) and text.shape == (200, S.LENGTH)
    read, gap = S.read_attributes(x)
    assert torch.equal(read, attributes) and gap.max() < 0.02
    noisy, far = S.read_attributes(x + 0.3 * torch.randn(x.shape, generator=rng()))
    assert (noisy == attributes).float().mean() > 0.97 and far.min() > 0.05
    few = S.all_attributes()[:3]
    assert len(S.captioned(50, rng(), choices=few)[2].unique(dim=0)) == 3


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="16 이상"):
        S.outlines(3, 8, rng())
    with pytest.raises(ValueError, match="1장"):
        S.edge_pairs(0, 32, rng())
