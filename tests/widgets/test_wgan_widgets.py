"""09장의 위젯: 그리는 수가 식과 같은지, 끝에서 끝까지 그려지는지, 세 모습이 있는지."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from course_lib.gan.gan import Discriminator, toy_gan
from course_lib.gan.wasserstein import wasserstein_1d
from course_lib.widgets import critic_landscape as cl
from course_lib.widgets import distance_explorer as de


@pytest.mark.parametrize("pair", de.PAIRS)
@pytest.mark.parametrize("theta", [-3.0, -0.35, 0.0, 1.2, 3.0])
def test_values_of_every_pair(pair, theta):
    log_p, log_q = de.masses(pair, theta)
    kl, jsd, w = de.divergences(log_p, log_q)
    p, q = np.exp(log_p), np.exp(log_q)
    assert p.sum() == pytest.approx(1) and q.sum() == pytest.approx(1)
    cells = torch.from_numpy(de.MIDDLE)
    assert w == pytest.approx(wasserstein_1d(cells, cells, *map(torch.from_numpy, (p, q))))
    assert 0 <= jsd <= math.log(2) + 1e-12
    m = (p + q) / 2
    assert jsd == pytest.approx((stats.entropy(p, m) + stats.entropy(q, m)) / 2, abs=1e-9)
    if pair != "봉우리 둘과 하나":
        assert w == pytest.approx(abs(theta), abs=2e-3)
    if pair == "정규분포 둘":
        assert kl == pytest.approx(theta**2 / (2 * 0.25), abs=1e-3)
    if "폭" in pair:
        width = 0.1 if "0.1" in pair else 1.0
        assert kl == (math.inf if theta else 0.0)
        assert jsd == pytest.approx(min(abs(theta) / width, 1) * math.log(2), abs=1e-9)


def test_quantiles_are_the_inverse_of_the_distribution_function():
    levels = np.array([0.1, 0.5, 0.9])
    log_p, log_q = de.masses("정규분포 둘", 1.0)
    want = stats.norm.ppf(levels, 0, 0.5)
    assert de.quantiles(log_p, levels) == pytest.approx(want, abs=2e-3)
    assert de.quantiles(log_q, levels) == pytest.approx(want + 1, abs=2e-3)
    box, _ = de.masses("고른 분포 둘(폭 1)", 0.0)
    assert de.quantiles(box, levels) == pytest.approx([-0.4, 0.0, 0.4], abs=1e-9)
    # 잇는 선의 평균 길이가 W₁입니다
    fine = (np.arange(4000) + 0.5) / 4000
    for theta in (-2.0, 0.4):
        logs = de.masses("봉우리 둘과 하나", theta)
        gaps = np.abs(de.quantiles(logs[0], fine) - de.quantiles(logs[1], fine))
        assert gaps.mean() == pytest.approx(de.divergences(*logs)[2], abs=2e-3)


@pytest.mark.parametrize("pair", de.PAIRS)
def test_every_pair_is_drawn_from_end_to_end(pair):
    stage = de.DistanceStage(pair, 50)
    pictures = {stage.draw(t) for t in (0, de.TICKS // 2, 84, de.TICKS)}
    assert len(pictures) == 4 and all(p.startswith(b"\x89PNG") for p in pictures)


def test_distance_view_moves_and_changes_pairs():
    view = de.distance_explorer()
    menu, picture, bar = view.live.children
    slider = bar.children[1]
    seen = [picture.value]
    for value in (slider.min, slider.max):
        slider.value = value
        seen.append(picture.value)
    menu.value = "정규분포 둘"
    seen.append(picture.value)
    assert len(set(seen)) == 4 and len(view.html) <= 300_000
    assert set(view._repr_mimebundle_()) >= {"text/html", "image/png", "text/plain"}


def small_run(seed=0, count=3):
    torch.manual_seed(seed)
    gan, real, z = toy_gan(2, (8,)), torch.randn(60, 2), torch.randn(60, 2)
    return gan, real, z, [cl.shoot(gan, real, z, 10 * k) for k in range(count)]


def test_a_shot_holds_the_critic_seen_from_above():
    gan, real, z, _ = small_run()
    gan.discriminator = Discriminator(torch.nn.Linear(2, 1))
    with torch.no_grad():
        gan.discriminator.net.weight.copy_(torch.tensor([[0.0, 3.0]]))
        gan.discriminator.net.bias.fill_(100.0)
    before = torch.get_rng_state()
    shot = cl.shoot(gan, real, z, 7)
    assert torch.equal(before, torch.get_rng_state())
    assert (np.diff(shot.field, axis=0) > 0).all() and np.ptp(shot.field, axis=1).max() < 1e-4
    assert shot.slopes == pytest.approx(np.full(60, 3.0)) and shot.step == 7
    assert shot.arrows[:, 0] == pytest.approx(0) and shot.arrows[:, 1] == pytest.approx(3)
    fake = gan.generator(z).detach()
    want = 3 * float(real[:, 1].mean() - fake[:, 1].mean())
    assert shot.value == pytest.approx(want, abs=1e-3)
    with pytest.raises(ValueError, match="수가 같아야"):
        cl.shoot(gan, real, z[:-1], 0)


def test_landscape_is_drawn_from_end_to_end_and_ignores_a_constant():
    _, real, _, shots = small_run()
    stage = cl.LandscapeStage(real.numpy(), 50)
    stage.load("가", shots)
    first = stage.draw(0)
    assert first.startswith(b"\x89PNG") and stage.draw(99) == stage.draw(2)
    stage.load("가", [s._replace(field=s.field + 5) for s in shots])
    assert stage.draw(0) == first
    flat = [s._replace(field=0 * s.field, arrows=0 * s.arrows, slopes=0 * s.slopes) for s in shots]
    stage.load("평평", flat)
    assert stage.draw(1).startswith(b"\x89PNG")


def test_landscape_view_moves_and_changes_runs():
    _, real, _, shots = small_run()
    other = small_run(1)[3]
    view = cl.critic_landscape({"자르기": shots, "벌점": other}, real)
    menu, picture, bar = view.live.children
    slider = bar.children[1]
    seen = [picture.value]
    for value in (slider.min, slider.max):
        slider.value = value
        seen.append(picture.value)
    menu.value = "벌점"
    seen.append(picture.value)
    assert len(set(seen)) == 4
    assert set(view._repr_mimebundle_()) >= {"text/html", "image/png", "text/plain"}
    with pytest.raises(ValueError, match="기록의 수"):
        cl.critic_landscape({"자르기": shots, "벌점": other[:1]}, real)
