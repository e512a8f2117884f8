"""WGAN과 WGAN-GP: 알고리즘 1을 손으로 돌린 것, 자르기, 벌점을 재는 자리, 상수에 무관함."""

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan import losses
from course_lib.gan.gan import GAN, Discriminator, players, toy_gan
from course_lib.gan.wgan import at_the_ends, critic_estimate, fit_wgan, slopes
from course_lib.gan.wgan_gp import BATCH_NORMS, conv_wgan_gp, fit_wgan_gp, wgan_gp_players


class Shift(nn.Module):
    """G(z) = z + θ."""

    def __init__(self, dim=2):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(dim))

    def forward(self, z, y=None):
        return z + self.theta


def linear_gan(dim=2):
    """G(z) = z + θ, f(x) = w·x + b: 기울기를 손으로 셀 수 있습니다."""
    return GAN(Shift(dim), Discriminator(nn.Linear(dim, 1)), dim).double()


def fixed(x):
    return lambda generator: x


def run(training):
    return list(training)


# ── 알고리즘 1 ──────────────────────────────────────────────────────────────────────────────────


def by_hand(real, w, steps, n_critic, lr, c):
    """잡음이 0이라 가짜가 θ인 알고리즘 1. RMSProp은 v ← .99v + .01g², w ← w − lr·g/(√v + 1e-8)."""
    theta, v_w, v_theta = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
    for _ in range(steps):
        for _ in range(n_critic):
            g = theta - real.mean(0)  # ∇_w (E f(x̃) − E f(x))
            v_w = 0.99 * v_w + 0.01 * g**2
            w = (w - lr * g / (v_w.sqrt() + 1e-8)).clamp(-c, c)
        v_theta = 0.99 * v_theta + 0.01 * w**2  # ∇_θ (−E f(G(z))) = −w
        theta = theta + lr * w / (v_theta.sqrt() + 1e-8)
    return w, theta


def test_three_steps_are_algorithm_1():
    gan = linear_gan()
    gan.latent = lambda n: torch.zeros(n, 2).double()
    real = torch.tensor([[1.0, -0.3], [0.4, 0.1]]).double()
    with torch.no_grad():
        gan.discriminator.net.weight.copy_(torch.tensor([[0.002, 0.004]]))
    start = gan.discriminator.net.weight.detach()[0].clone()
    run(fit_wgan(gan, fixed(real), steps=3, lr=1e-3, c=0.01, n_critic=4))
    w, theta = by_hand(real, start, 3, 4, 1e-3, 0.01)
    torch.testing.assert_close(gan.discriminator.net.weight.detach()[0], w, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gan.generator.theta.detach(), theta, rtol=1e-9, atol=1e-12)
    assert w.abs().max() == 0.01 and (theta != 0).all()  # 자르기가 실제로 일어난 예입니다


def test_the_defaults_are_the_papers(monkeypatch):
    seen = {}

    def spy(gan, d_loss, g_loss, batches, **options):
        seen.update(options)
        return iter(())

    monkeypatch.setattr("course_lib.gan.wgan.fit_gan", spy)
    monkeypatch.setattr("course_lib.gan.wgan_gp.fit_gan", spy)
    gan = toy_gan(2, (8,))
    fit_wgan(gan, fixed(None), steps=1)
    assert seen["d_steps"] == 5
    for optimizer, player in zip(
        seen["optimizers"], (gan.discriminator, gan.generator), strict=True
    ):
        assert type(optimizer) is torch.optim.RMSprop
        assert optimizer.defaults["lr"] == 5e-5 and optimizer.defaults["momentum"] == 0
        assert {id(p) for p in player.parameters()} == {
            id(p) for group in optimizer.param_groups for p in group["params"]
        }
    randomise_(gan.discriminator, 5.0)
    seen["after_d"](gan.discriminator)
    assert max(float(p.detach().abs().max()) for p in gan.discriminator.parameters()) == (
        pytest.approx(0.01)
    )
    seen.clear()
    fit_wgan_gp(gan, fixed(None), steps=1)
    assert (seen["d_steps"], seen["lr"], seen["betas"]) == (5, 1e-4, (0.0, 0.9))
    assert "after_d" not in seen and "optimizers" not in seen


def test_every_weight_stays_within_the_bound_after_every_critic_step():
    gan = toy_gan(2, (16, 16))
    randomise_(gan, 2.0)
    bounds = []

    class Watch(nn.Module):
        """비평자가 불릴 때마다 가장 큰 가중치를 적습니다. 생성자가 보는 비평자도 여기에 들어갑니다."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, y=None):
            bounds.append(max(float(p.detach().abs().max()) for p in self.inner.parameters()))
            return self.inner(x, y)

    gan.discriminator = Watch(gan.discriminator)
    x = torch.randn(32, 2)
    run(fit_wgan(gan, fixed(x), steps=3, lr=1e-2, c=0.05, n_critic=2))
    assert max(bounds[:2]) > 0.5 and max(bounds[2:]) <= 0.05 + 1e-9
    weights = torch.cat([p.detach().flatten() for p in gan.discriminator.parameters()])
    assert weights.abs().max() <= 0.05 + 1e-9
    assert all(p.detach().abs().max() > 0.1 for p in gan.generator.parameters())


def test_the_critic_moves_n_critic_times_and_the_generator_once():
    for fit_it in (fit_wgan, fit_wgan_gp):
        gan = toy_gan(2, (8,))
        seen = []

        def snapshot(net):
            return torch.cat([p.detach().flatten() for p in net.parameters()])

        def batches(generator, gan=gan, seen=seen):
            seen.append((snapshot(gan.discriminator), snapshot(gan.generator)))
            return torch.ones(16, 2)

        run(fit_it(gan, batches, steps=2, n_critic=3))
        seen.append((snapshot(gan.discriminator), snapshot(gan.generator)))
        moved = [
            tuple(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
            for old, new in zip(seen, seen[1:], strict=False)
        ]
        assert moved == 2 * ([(True, False)] * 3 + [(False, True)])


# ── 손실: 힌지로 둔갑하지 않았는가 ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [lambda: players(losses.wasserstein), wgan_gp_players])
def test_a_constant_added_to_all_scores_changes_nothing(make):
    gan = randomise_(toy_gan(2, (8,)).double())
    x = torch.randn(20, 2).double()
    values = []
    for bias in (0.0, 3.0, -50.0):
        with torch.no_grad():
            gan.discriminator.net[-1].bias.fill_(bias)
        torch.manual_seed(0)
        d_loss, _ = make()
        value = d_loss(gan, x)
        gradient = torch.autograd.grad(value, gan.discriminator.net[0].weight)[0]
        values.append((value.detach(), gradient))
    for value, gradient in values[1:]:
        torch.testing.assert_close(value, values[0][0], rtol=0, atol=1e-9)
        torch.testing.assert_close(gradient, values[0][1], rtol=0, atol=1e-9)


def test_the_losses_used_by_fit_wgan_are_differences_without_a_margin(monkeypatch):
    seen = []
    monkeypatch.setattr("course_lib.gan.wgan.fit_gan", lambda g, d, o, b, **k: seen.append((d, o)))
    gan = linear_gan()
    gan.latent = lambda n: torch.zeros(n, 2).double()
    with torch.no_grad():
        gan.discriminator.net.weight.copy_(torch.tensor([[40.0, -9.0]]))
        gan.generator.theta.copy_(torch.tensor([0.5, 2.0]))
    fit_wgan(gan, fixed(None), steps=1)
    d_loss, g_loss = seen[0]
    real = torch.tensor([[3.0, -1.0], [5.0, 0.0]]).double()
    bias = float(gan.discriminator.net.bias.detach())
    # f(θ) = 20 − 18 = 2, f(x) = 129와 200
    assert float(d_loss(gan, real).detach()) == pytest.approx(2 - 164.5)
    assert float(g_loss(gan, real).detach()) == pytest.approx(-2 - bias)


# ── 벌점 ────────────────────────────────────────────────────────────────────────────────────────


def test_the_penalty_of_a_linear_critic_is_known():
    gan = linear_gan()
    with torch.no_grad():
        gan.discriminator.net.weight.copy_(torch.tensor([[3.0, 4.0]]))  # 기울기 5
    gan.latent = lambda n: torch.zeros(n, 2).double()
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()
    plain = -(3 + 8) / 2
    for weight in (0.0, 10.0, 2.5):
        d_loss, g_loss = wgan_gp_players(weight)
        value = float(d_loss(gan, x).detach())
        assert value == pytest.approx(plain + weight * (5 - 1) ** 2)
    bias = float(gan.discriminator.net.bias.detach())
    assert float(g_loss(gan, x).detach()) == pytest.approx(-bias)


def test_the_penalty_is_taken_on_segments_between_each_real_and_its_fake():
    seen = []

    class Spy(nn.Module):
        def forward(self, x, y=None):
            seen.append(x.detach().clone())
            return x.square().sum(1)

    gan = GAN(Shift(3), Spy(), 3).double()
    fake = torch.randn(200, 3).double()
    gan.latent = lambda n: fake
    x = torch.randn(200, 3).double() + 5
    wgan_gp_players()[0](gan, x)
    assert torch.equal(seen[0], x) and torch.equal(seen[1], fake) and len(seen) == 3
    eps = (seen[2] - fake) / (x - fake)  # 모든 좌표에서 같은 ε ∈ (0, 1)
    torch.testing.assert_close(eps, eps[:, :1].expand(-1, 3), rtol=1e-7, atol=1e-9)
    assert eps.min() > 0 and eps.max() < 1
    assert eps[:, 0].std() == pytest.approx(12**-0.5, abs=0.04) and len(eps[:, 0].unique()) == 200


def test_labels_reach_both_players():
    class Labelled(nn.Module):
        def forward(self, v, y=None):
            return v.sum(1) * y

    class Copy(nn.Module):
        def forward(self, z, y=None):
            return 0 * z + y[:, None]

    gan = GAN(Copy(), Labelled(), 2).double()
    x, y = torch.zeros(3, 2).double(), torch.tensor([1.0, 2.0, 3.0]).double()
    d_loss, g_loss = wgan_gp_players(1.0)
    # 가짜의 점수는 2y·y, 기울기의 크기는 y√2
    want = 2 * (1 + 4 + 9) / 3 + sum((k * 2**0.5 - 1) ** 2 for k in (1, 2, 3)) / 3
    assert float(d_loss(gan, (x, y)).detach()) == pytest.approx(want)
    assert float(g_loss(gan, (x, y)).detach()) == pytest.approx(-2 * 14 / 3)


def test_a_trained_critic_has_slope_near_one_and_reads_the_distance():
    """가짜를 얼려 두면 벌점이 있는 비평자의 차이는 두 표본의 W₁(여기서는 1.5)에 다가갑니다."""
    gan = toy_gan(1, (32,), dim=1)
    gan.generator = Shift(1)
    with torch.no_grad():
        gan.generator.theta.fill_(1.5)

    def batches(generator):
        return torch.randn(128, 1, generator=generator)

    run(fit_wgan_gp(gan, batches, steps=120, lr=(5e-3, 0.0), betas=(0.5, 0.9)))
    real, fake = torch.randn(4000, 1), torch.randn(4000, 1) + 1.5
    assert critic_estimate(gan.discriminator, real, fake) == pytest.approx(1.5, abs=0.25)
    between = torch.linspace(-0.5, 2, 50)[:, None]
    assert slopes(gan.discriminator, between).mean() == pytest.approx(1, abs=0.15)


# ── 구조와 도구 ─────────────────────────────────────────────────────────────────────────────────


def test_the_convolutional_critic_has_no_batch_norm_and_judges_each_picture_alone():
    for size, channels, width, blocks in ((8, 1, 4, 2), (16, 3, 4, 3)):
        gan = conv_wgan_gp(size, channels, width, blocks, 5).double()
        assert not any(isinstance(m, BATCH_NORMS) for m in gan.discriminator.modules())
        randomise_(gan)
        x = gan.sample(4)
        assert x.shape == (4, channels, size, size) and x.abs().max() <= 1
        scores = gan.discriminator.train()(x).detach()
        alone = torch.cat([gan.discriminator(v[None]).detach() for v in x])
        torch.testing.assert_close(scores, alone, rtol=1e-9, atol=1e-12)
        assert scores.std() > 0
    run(fit_wgan_gp(conv_wgan_gp(8, 1, 4, 2, 5), fixed(torch.zeros(4, 1, 8, 8)), steps=1))


def test_the_same_seed_gives_the_same_three_steps():
    for fit_it in (fit_wgan, fit_wgan_gp):
        weights = []
        for _ in range(2):
            torch.manual_seed(0)
            gan = toy_gan(2, (8,))
            run(fit_it(gan, lambda g: torch.randn(8, 2, generator=g), steps=3, seed=4))
            weights.append(torch.cat([p.detach().flatten() for p in gan.parameters()]))
        assert torch.equal(*weights)


def test_estimate_slopes_and_ends():
    critic = Discriminator(nn.Linear(2, 1)).double()
    with torch.no_grad():
        critic.net.weight.copy_(torch.tensor([[0.6, -0.8]]))
        critic.net.bias.fill_(100.0)
    real, fake = torch.ones(3, 2).double(), torch.zeros(7, 2).double()
    assert critic_estimate(critic, real, fake) == pytest.approx(-0.2)
    assert slopes(critic, real).tolist() == pytest.approx([1.0] * 3)
    images = slopes(lambda x: 3 * x.flatten(1).sum(1), torch.zeros(2, 1, 4, 4))
    assert images.tolist() == pytest.approx([12.0, 12.0])
    with torch.no_grad():
        critic.net.weight.copy_(torch.tensor([[0.0099, -0.005]]))
    assert at_the_ends(critic, 0.01) == 0.5 and at_the_ends(critic, 0.01, 0.001) == 0.0


def test_bad_input():
    gan = toy_gan(2, (4,))
    for c in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="c는 0보다"):
            fit_wgan(gan, fixed(None), steps=1, c=c)
    for penalty in (-1, float("nan")):
        with pytest.raises(ValueError, match="penalty는 0 이상"):
            wgan_gp_players(penalty)
    with pytest.raises(ValueError, match="n_critic|d_steps"):
        run(fit_wgan(gan, fixed(torch.zeros(2, 2)), steps=1, n_critic=0))
    gan.discriminator.net.insert(1, nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="배치 정규화"):
        fit_wgan_gp(gan, fixed(None), steps=1)
    with pytest.raises(ValueError, match="가중치"):
        at_the_ends(nn.BatchNorm1d(3), 0.01)
