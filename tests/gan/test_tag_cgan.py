"""태그 cGAN과 skip-gram: 논문의 크기, 손실의 값, 가까운 낱말과 투표, 태그 자료의 성질."""

import math

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.datasets.tags import NOTHING, SLOTS, USERS, TagWorld
from course_lib.gan.gan import GAN
from course_lib.gan.tag_cgan import (
    SkipGram,
    SkipGramBatches,
    nearest_words,
    predict_tags,
    tag_cgan,
)
from course_lib.training import fit


@pytest.fixture(scope="module")
def world():
    return TagWorld(feature_dim=20)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ── 모델 ────────────────────────────────────────────────────────────────────────────────────────


def test_paper_sizes():
    gan = tag_cgan()
    count = {k: sum(p.numel() for p in v.parameters()) for k, v in gan.named_children()}
    assert count["generator"] == 101 * 500 + 4097 * 2000 + 2501 * 200
    assert count["discriminator"] == 201 * 500 + 4097 * 1200 + 1701 * 3000 + 1001
    assert gan.latent_dim == 100 and sum(isinstance(m, nn.Dropout) for m in gan.modules()) == 5


def small(joint=()):
    torch.manual_seed(0)
    gan = tag_cgan(7, 5, 3, generator=(6, 8), joint=joint, discriminator=(6, 8), maxout=(5, 2), dropout=0.0)  # fmt: skip
    return randomise_(gan.double().eval())


def test_rows_one_by_one_and_shapes():
    gan = small((9,))
    z, y = gan.latent(4), torch.randn(4, 7).double()
    with torch.no_grad():
        x = gan.generator(z, y)
        scores = gan.discriminator(x, y)
        rows = torch.cat([gan.generator(a[None], b[None]) for a, b in zip(z, y, strict=True)])
        alone = torch.cat([gan.discriminator(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    assert x.shape == (4, 5) and scores.shape == (4,)
    torch.testing.assert_close(x, rows)
    torch.testing.assert_close(scores, alone)


@pytest.mark.parametrize("joint", [(), (9,)])
def test_the_paper_generator_only_translates_one_cloud(joint):
    """논문의 구조(선형 결합)에서는 G(z, y) − G(z', y)가 y와 무관합니다. 은닉층을 하나 넣으면 그렇지 않습니다."""
    gan = small(joint)
    z, y = torch.randn(2, 3).double(), torch.randn(2, 7).double()
    with torch.no_grad():
        step = [gan.generator(z[:1], v[None]) - gan.generator(z[1:], v[None]) for v in y.unbind(0)]
    assert torch.allclose(step[0], step[1]) is (joint == ())


def test_skip_gram_loss_by_hand_and_its_fixed_point():
    torch.manual_seed(0)
    model = SkipGram(6, 3).double()
    words, contexts = torch.tensor([0, 4]), torch.tensor([1, 2])
    negatives = torch.tensor([[3, 5, 3], [0, 0, 1]])
    u, v = model.word.weight.detach(), model.context.weight.detach()
    want = 0.0
    for w, c, row in zip(words, contexts, negatives, strict=True):
        want -= math.log(torch.sigmoid(u[w] @ v[c]))
        want -= sum(math.log(torch.sigmoid(-u[w] @ v[n])) for n in row)
    assert float(model.loss(words, contexts, negatives).detach()) == pytest.approx(want / 2)
    assert model.vectors().norm(dim=1).tolist() == pytest.approx([math.sqrt(3)] * 6)


def test_skip_gram_finds_words_used_in_the_same_places():
    """0과 1은 한 번도 함께 쓰이지 않지만 늘 2, 3 곁에 나옵니다. 4와 5는 다른 곳에서 쓰입니다."""
    lists = torch.tensor([[0, 2, 3], [1, 2, 3], [4, 6, 7], [5, 6, 7]]).repeat(50, 1)
    torch.manual_seed(0)
    model = SkipGram(8, 4)
    batches = SkipGramBatches(lists, 8, 128, 3)
    for _ in fit(model, lambda m, b: m.loss(*b), batches, steps=150, lr=3e-2):
        pass
    x = model.vectors()
    assert (
        torch.cosine_similarity(x[0], x[1], 0)
        > 0.95
        > 0.85
        > torch.cosine_similarity(x[0], x[4], 0)
    )


def test_batches_pair_words_of_one_list_and_draw_by_frequency():
    lists = torch.tensor([[0, 1, NOTHING], [2, NOTHING, NOTHING], [3, 3, 1]])
    batches = SkipGramBatches(lists, 5, 4000, 2)
    words, contexts, negatives = batches(rng())
    pairs = set(zip(words.tolist(), contexts.tolist(), strict=True))
    assert pairs == {(0, 1), (1, 0), (3, 3), (3, 1), (1, 3)}
    share = torch.bincount(negatives.flatten(), minlength=5) / negatives.numel()
    want = torch.tensor([1.0, 2, 1, 2, 0]) ** 0.75
    torch.testing.assert_close(share, want / want.sum(), atol=0.02, rtol=0)
    with pytest.raises(ValueError, match="곁의 낱말"):
        SkipGramBatches(torch.tensor([[0, NOTHING]]), 2)
    with pytest.raises(ValueError, match="태그는"):
        SkipGramBatches(torch.full((2, 3), NOTHING), 2)


def test_nearest_words_and_votes():
    vectors = torch.eye(4)
    x = torch.tensor([[3.0, 1, 0, -1], [0, 0, 0.1, 0.05]])
    assert nearest_words(x, vectors, 2).tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="낱말"):
        nearest_words(x, vectors, 5)

    class Alternating(nn.Module):  # z의 부호에 따라 낱말 0이나 2 곁에 떨어집니다
        def forward(self, z, y):
            right = torch.tensor([1.0, 0.2, 0, 0]), torch.tensor([0, 0, 1.0, 0.1])
            return torch.where(z[:, :1] > 0, right[0], right[1]) * y[:, :1].sign()

    gan = GAN(Alternating(), nn.Identity(), 1)
    torch.manual_seed(0)
    tags = predict_tags(gan, torch.ones(2, 1), vectors, samples=50, near=1, count=2)
    assert [sorted(row) for row in tags.tolist()] == [[0, 2], [0, 2]]
    # 낱말 4는 두 표본 모두와 조금씩 닮아 코사인의 합이 크지만, 둘째로 가까운 적도 없습니다
    five = torch.eye(5)
    five[4] = torch.tensor([0.4, 0.1, 0.4, 0.05, 0.8])

    class Wide(Alternating):
        def forward(self, z, y):
            x = super().forward(z, y)
            return torch.cat([x[:, :1], 3 * x[:, 1:2], x[:, 2:3], 6 * x[:, 3:4], 0 * x[:, :1]], 1)

    tags = predict_tags(GAN(Wide(), nn.Identity(), 1), torch.ones(1, 1), five, samples=50, near=2, count=4)  # fmt: skip
    assert sorted(tags[0].tolist()) == [0, 1, 2, 3]
    tags = predict_tags(GAN(Wide(), nn.Identity(), 1), torch.ones(1, 1), five, samples=50, near=1, count=3)  # fmt: skip
    assert sorted(tags[0].tolist()) == [0, 2, 4]
    for bad in ({"near": 5}, {"count": 0}):
        with pytest.raises(ValueError, match="near와 count"):
            predict_tags(gan, torch.ones(1, 1), vectors, **({"near": 1, "count": 1} | bad))
    with pytest.raises(ValueError, match="특징"):
        predict_tags(gan, torch.ones(1), vectors, near=1, count=1)


# ── 자료 ────────────────────────────────────────────────────────────────────────────────────────


def test_words_concepts_and_groups_fit_together(world):
    assert len(set(world.words)) == len(world.words) == len(world.concept) == len(world.group)
    assert len(world.concepts) == 30 and world.concept.max() == 29
    named = world.concept >= 0
    assert (world.group[named] == world.concept_group[world.concept[named]]).all()
    for k, name in enumerate(world.concepts):
        own = [w for w, c in zip(world.words, world.concept.tolist(), strict=True) if c == k]
        assert own[0] == name and 2 <= len(own) <= 3


def test_one_user_never_uses_two_synonyms_and_names_only_what_is_there(world):
    photos = world.photos(300, rng())
    assert photos.features.shape == (300, 20) and photos.tags.shape == (300, USERS, SLOTS)
    tags = photos.tags.flatten(0, 1)
    concept = torch.where(tags >= 0, world.concept[tags.clamp_min(0)], -1)
    there = photos.objects.repeat_interleave(USERS, 0)
    for row, present in zip(concept, there, strict=True):
        used = row[row >= 0]
        assert len(used) == len(set(used.tolist())) >= 1 and present[used].all()
    assert (photos.objects.sum(1) >= 1).all() and (photos.objects.sum(1) <= 3).all()
    # 한 사진의 태그가 사람마다 다릅니다
    assert (photos.tags[:, 0] != photos.tags[:, 1]).any(1).float().mean() > 0.8


def test_same_seed_same_world_and_pairs_repeat_photos(world):
    again = TagWorld(feature_dim=20).photos(50, rng(3))
    photos = world.photos(50, rng(3))
    assert torch.equal(photos.features, again.features) and torch.equal(photos.tags, again.tags)
    features, words = photos.pairs()
    assert len(features) == len(words) == int((photos.tags >= 0).sum())
    first = int((photos.tags[0] >= 0).sum())
    assert torch.equal(features[:first], photos.features[:1].expand(first, -1))


def test_withheld_objects_do_not_appear_and_described_ones_do(world):
    without = torch.tensor([0, 7, 29])
    assert not world.photos(200, rng(), without=without).objects[:, without].any()
    objects = torch.tensor([[3, NOTHING, NOTHING], [5, 6, 29]])
    photos = world.describe(objects, rng())
    assert photos.objects.nonzero().tolist() == [[0, 3], [1, 5], [1, 6], [1, 29]]
    with pytest.raises(ValueError, match="사진"):
        world.corpus(0, rng())
    with pytest.raises(ValueError, match="특징"):
        TagWorld(feature_dim=0)


def test_features_tell_the_objects_apart(world):
    """같은 사물의 사진끼리가 다른 사물의 사진보다 가깝습니다(잡음이 특징을 지우지 않습니다)."""
    objects = torch.full((60, 3), NOTHING)
    objects[:, 0] = torch.arange(30).repeat(2)
    x = world.describe(objects, rng()).features
    gap = torch.cdist(x[:30], x[30:])
    assert (gap.argmin(1) == torch.arange(30)).float().mean() > 0.8
