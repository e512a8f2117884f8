"""GAN 손실의 값과 기울기, 벌점의 성질."""

import math

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan import losses

REAL, FAKE = torch.tensor([2.0, -0.5]).double(), torch.tensor([-1.0, 3.0]).double()


def log_sigmoid(s):
    return -math.log1p(math.exp(-s))


def gradient(function, *scores):
    scores = [s.clone().requires_grad_() for s in scores]
    return torch.autograd.grad(function(*scores), scores)


def test_cross_entropy_of_the_discriminator():
    want = -sum(log_sigmoid(float(s)) for s in REAL) / 2
    want -= sum(log_sigmoid(-float(s)) for s in FAKE) / 2
    for loss in (losses.minimax, losses.non_saturating):
        assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(want, rel=1e-12)
        d_real, d_fake = gradient(loss.discriminator, REAL, FAKE)
        torch.testing.assert_close(d_real, -(1 - REAL.sigmoid()) / 2)
        torch.testing.assert_close(d_fake, FAKE.sigmoid() / 2)


def test_saturating_and_non_saturating_generators_differ_where_it_matters():
    (saturating,) = gradient(losses.minimax.generator, FAKE)
    (other,) = gradient(losses.non_saturating.generator, FAKE)
    torch.testing.assert_close(saturating, -FAKE.sigmoid() / 2)
    torch.testing.assert_close(other, -(1 - FAKE.sigmoid()) / 2)
    # 판별자가 가짜를 확신하면(점수 −10) minimax의 기울기는 사라지고 다른 쪽은 남습니다.
    sure = torch.full((1,), -10.0).double()
    assert gradient(losses.minimax.generator, sure)[0].abs() < 1e-4
    assert gradient(losses.non_saturating.generator, sure)[0].abs() > 0.99
    assert float(losses.minimax.generator(FAKE)) == pytest.approx(
        sum(log_sigmoid(-float(s)) for s in FAKE) / 2
    )


def test_wasserstein_is_a_difference_and_ignores_a_constant():
    assert float(losses.wasserstein.discriminator(REAL, FAKE)) == pytest.approx(1.0 - 0.75)
    shifted = losses.wasserstein.discriminator(REAL + 7, FAKE + 7)
    assert float(shifted) == pytest.approx(0.25)
    d_real, d_fake = gradient(losses.wasserstein.discriminator, REAL, FAKE)
    assert d_real.tolist() == [-0.5, -0.5] and d_fake.tolist() == [0.5, 0.5]
    assert gradient(losses.wasserstein.generator, FAKE)[0].tolist() == [-0.5, -0.5]


def test_hinge_stops_beyond_the_margin():
    # max(0, 1−2) + max(0, 1.5) = 1.5, max(0, 0) + max(0, 4) = 4, 각각 평균
    assert float(losses.hinge.discriminator(REAL, FAKE)) == pytest.approx(1.5 / 2 + 4 / 2)
    d_real, d_fake = gradient(losses.hinge.discriminator, REAL, FAKE - 0.5)
    assert d_real.tolist() == [0.0, -0.5] and d_fake.tolist() == [0.0, 0.5]
    assert gradient(losses.hinge.generator, FAKE)[0].tolist() == [-0.5, -0.5]


def test_huge_scores_do_not_overflow():
    for name in ("minimax", "non_saturating", "wasserstein", "hinge"):
        loss = getattr(losses, name)
        assert loss.discriminator(REAL * 1e4, FAKE * 1e4).isfinite()
        assert loss.generator(FAKE * 1e4).isfinite()


def test_penalty_is_zero_exactly_for_unit_slope():
    direction = torch.randn(5).double()
    direction = direction / direction.norm()
    real, fake = torch.randn(2, 40, 5).double()
    for slope, want in ((1.0, 0.0), (3.0, 4.0), (0.0, 1.0)):
        penalty = losses.gradient_penalty(lambda x, k=slope: k * x @ direction, real, fake)
        assert float(penalty.detach()) == pytest.approx(want, abs=1e-9)
    assert float(losses.r1_penalty(lambda x: 3 * x @ direction, real)) == pytest.approx(4.5)


def test_penalty_looks_between_the_points_and_r1_at_the_data():
    """D(x) = |x|²/2의 기울기 크기는 |x|이므로 잰 자리를 알 수 있습니다."""
    seen = []

    def discriminator(x):
        seen.append(x.detach())
        return 0.5 * x.square().sum(1)

    real, fake = torch.zeros(2000, 1).double(), torch.ones(2000, 1).double()
    penalty = losses.gradient_penalty(discriminator, real, fake)
    # E(u − 1)² = 1/3, u ~ U[0, 1]
    assert float(penalty.detach()) == pytest.approx(1 / 3, abs=0.03)
    assert seen[0].min() > 0 and seen[0].max() < 1 and seen[0].std() > 0.25
    assert float(losses.r1_penalty(discriminator, real).detach()) < 1e-20
    assert float(losses.r1_penalty(discriminator, fake).detach()) == pytest.approx(0.5)


def test_each_picture_is_mixed_as_a_whole():
    seen = []

    def discriminator(x):
        seen.append(x)
        return x.flatten(1).sum(1)

    losses.gradient_penalty(discriminator, torch.zeros(6, 1, 3, 3), torch.ones(6, 1, 3, 3))
    assert (seen[0].flatten(1).std(1) < 1e-6).all() and seen[0].flatten(1)[:, 0].std() > 0


def test_penalties_reach_the_weights():
    for penalty in (
        lambda d: losses.gradient_penalty(d, torch.randn(4, 3), torch.randn(4, 3)),
        lambda d: losses.r1_penalty(d, torch.randn(4, 3)),
    ):
        net = randomise_(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)))
        penalty(net).backward()
        assert net[0].weight.grad.abs().sum() > 0 and net[2].weight.grad.isfinite().all()


def test_clipping_bounds_every_weight():
    net = randomise_(nn.Linear(4, 4), scale=5)
    losses.clip_weights_(net, 0.01)
    assert max(float(p.detach().abs().max()) for p in net.parameters()) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="0보다"):
        losses.clip_weights_(net, 0)


@pytest.mark.parametrize("scores", [torch.zeros(3, 1), torch.zeros(0)])
def test_bad_scores(scores):
    for name in ("minimax", "non_saturating", "wasserstein", "hinge"):
        with pytest.raises(ValueError, match="점수는"):
            getattr(losses, name).generator(scores)
        with pytest.raises(ValueError, match="점수는"):
            getattr(losses, name).discriminator(scores, scores)
    with pytest.raises(ValueError, match="모양이 같아야"):
        losses.gradient_penalty(lambda x: x.sum(1), torch.zeros(2, 3), torch.zeros(3, 3))
