"""InfoGAN: 상호정보량의 하한, 부호의 분포, Q가 D의 몸통을 함께 쓰는가, 짝짓기, 그림의 모멘트."""

import itertools
import math

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan import losses
from course_lib.gan.gan import Generator
from course_lib.gan.infogan import (
    InfoDiscriminator,
    InfoGAN,
    code_effects,
    image_moments,
    info_players,
    infogan,
    information,
    matched_accuracy,
)
from course_lib.training import fit_gan


def small(**settings):
    sizes = dict(noise_dim=3, classes=4, continuous=2, width=4, hidden=8, code_hidden=6)
    return infogan(8, **sizes | settings)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_authors_networks_by_hand():
    gan = infogan()
    generator = (74 + 2) * 1024 + (1024 + 2) * 6272 + 128 * 64 * 16 + 2 * 64 + 64 * 16 + 1
    body = 16 * 64 + 64 + 64 * 128 * 16 + 2 * 128 + (6272 + 2) * 1024
    heads = 1025 + (1024 + 2) * 128 + 129 * 12
    assert count(gan.generator) == generator and count(gan.discriminator) == body + heads
    assert gan.latent_dim == 74
    slopes = {m.negative_slope for m in gan.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.1}


def test_codes_are_one_hot_uniform_and_come_back():
    gan = small()
    z = gan.latent(8000)
    noise, kinds, levels = gan.split(z)
    assert z.shape == (8000, 9) and noise.shape == (8000, 3) and levels.shape == (8000, 2)
    hot = z[:, 3:7]
    assert torch.equal(hot.sum(1), torch.ones(8000)) and set(hot.unique().tolist()) == {0, 1}
    assert torch.bincount(kinds, minlength=4).float().div(8000).sub(0.25).abs().max() < 0.03
    for part in (noise, levels):
        assert float(part.abs().max()) <= 1 and float(part.var()) == pytest.approx(1 / 3, abs=0.02)
    again = gan.with_codes(z, kinds, levels)
    assert torch.equal(again, z) and torch.equal(gan.with_codes(z), z)
    new = gan.with_codes(z[:5], 2, torch.tensor([0.5, -1.0]))
    assert torch.equal(new[:, :3], z[:5, :3]) and gan.split(new)[1].tolist() == [2] * 5
    assert torch.equal(gan.split(new)[2], torch.tensor([[0.5, -1.0]] * 5))
    with pytest.raises(ValueError, match="0에서 3까지"):
        gan.with_codes(z, 4)


def test_shapes_and_rows_one_by_one():
    gan = randomise_(small().double().eval())
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    z = gan.latent(4)
    with torch.no_grad():
        x = gan.generator(z)
        rows = torch.cat([gan.generator(v[None]) for v in z])
        scores, (logits, means) = gan.discriminator(x), gan.discriminator.posterior(x)
        alone = [gan.discriminator.posterior(v[None]) for v in x]
    assert x.shape == (4, 1, 8, 8) and scores.shape == (4,)
    assert logits.shape == (4, 4) and means.shape == (4, 2)
    torch.testing.assert_close(x, rows)
    torch.testing.assert_close(logits, torch.cat([a for a, _ in alone]))
    torch.testing.assert_close(means, torch.cat([b for _, b in alone]))
    assert all(torch.equal(v, before[k]) for k, v in gan.state_dict().items())
    assert gan.sample(3).shape == (3, 1, 8, 8)


class Known(nn.Module):
    """그림이 부호 그 자체인 생성자. 범주는 확률 1 − noise로만 남습니다."""

    def forward(self, z, y=None):
        return z


def exact(noise):
    """x = [부호를 잘못 옮길 수 있는 one-hot, 연속형]인 InfoGAN과, 참 사후분포를 아는 Q."""

    class Posterior(nn.Module):
        def forward(self, x):
            right, wrong = math.log(1 - noise), math.log(noise / 3)
            logits = torch.where(x[:, :4] > 0.5, right, wrong)
            return torch.cat([logits, x[:, 4:]], 1)

    judge = InfoDiscriminator(nn.Identity(), nn.Linear(5, 1), Posterior(), 4)
    return InfoGAN(Generator(Known()), judge, 0, 4, 1)


def test_the_bound_is_the_information_at_the_true_posterior_and_below_it_elsewhere():
    noise, n = 0.2, 40_000
    torch.manual_seed(0)
    gan = exact(noise)
    z = gan.latent(n)
    _, kinds, _ = gan.split(z)
    wrong = (kinds + torch.randint(1, 4, (n,))) % 4
    x = gan.with_codes(z, torch.where(torch.rand(n) < noise, wrong, kinds))
    true = math.log(4) + (1 - noise) * math.log(1 - noise) + noise * math.log(noise / 3)
    discrete, continuous = information(gan, z, x)
    assert float(discrete) == pytest.approx(true, abs=0.02)
    assert float(continuous) == pytest.approx(math.log(2) - 0.5 * math.log(2 * math.pi), abs=1e-6)
    narrow = information(gan, z, x, std=0.1)[1]
    assert float(narrow) == pytest.approx(float(continuous) + math.log(10), abs=1e-5)
    for seed in range(4):  # 다른 Q는 모두 낮습니다
        bend = torch.randn(4, 4, generator=torch.Generator().manual_seed(seed))
        gan.discriminator.code.forward = lambda v, bend=bend: torch.cat(
            [torch.where(v[:, :4] > 0.5, 1.4, -1.4) + v[:, :4] @ bend, v[:, 4:]], 1
        )
        assert float(information(gan, z, x)[0]) < float(discrete)


def test_an_ignored_code_carries_nothing():
    """부호와 무관한 그림이면 어떤 Q로도 하한이 (표본 오차를 빼면) 0을 넘지 못합니다."""
    torch.manual_seed(0)
    gan = randomise_(small().eval())
    z = gan.latent(4000)
    x = torch.rand(4000, 1, 8, 8)
    with torch.no_grad():
        discrete, continuous = information(gan, z, x)
    assert float(discrete) < 0.02 and float(continuous) < 2 * (math.log(2) - 0.919 - 1 / 6) + 0.03


def test_who_learns_from_the_bound():
    """판별자의 손실은 D와 Q를, 생성자의 손실은 G를 움직입니다. λ = 0인 대조군에서는 Q만 부호를 배웁니다."""
    x = torch.rand(8, 1, 8, 8)

    def gradients(player, **settings):
        torch.manual_seed(0)
        gan = randomise_(small(), seed=1)
        pair = info_players(losses.wasserstein, **settings)
        torch.manual_seed(1)
        pair[player](gan, x).backward()
        return gan, {k: p.grad for k, p in gan.named_parameters() if p.grad is not None}

    gan, d = gradients(0)
    assert not any(k.startswith("generator") for k in d)
    assert any(k.startswith("discriminator.code") for k in d)
    plain, rewarded = (
        gradients(1, reward_generator=False)[1],
        gradients(1)[1],
    )
    assert not any(k.startswith("discriminator.code") for k in plain)
    moved = [
        k for k in plain if k.startswith("generator") and not torch.equal(plain[k], rewarded[k])
    ]
    assert len(moved) == sum(1 for _ in gan.generator.parameters())
    same = gradients(1, weight=0.0)[1]  # λ = 0이면 생성자에게는 같은 손실입니다
    assert all(torch.allclose(plain[k], same[k]) for k in plain if k.startswith("generator"))
    for control in (0, 1):  # 대조군의 Q는 똑같이 배웁니다
        if control == 0:
            a, b = gradients(0, reward_generator=False)[1], gradients(0)[1]
            assert all(torch.equal(a[k], b[k]) for k in a)


def test_the_losses_are_the_game_minus_the_bound():
    torch.manual_seed(0)
    gan, x = randomise_(small().double()).eval(), torch.rand(6, 1, 8, 8).double()
    for player, weights in itertools.product((0, 1), ((1.0, None), (0.5, 0.1))):
        pair = info_players(losses.non_saturating, weights[0], continuous_weight=weights[1])
        torch.manual_seed(3)
        got = pair[player](gan, x)
        torch.manual_seed(3)
        z = gan.latent(6)
        fake = gan.generator(z)
        discrete, continuous = information(gan, z, fake)
        fine = weights[0] if weights[1] is None else weights[1]
        if player == 0:
            game = losses.non_saturating.discriminator(
                gan.discriminator(x), gan.discriminator(fake)
            )
        else:
            game = losses.non_saturating.generator(gan.discriminator(fake))
        torch.testing.assert_close(got, game - weights[0] * discrete - fine * continuous)


def test_q_shares_the_body_of_d():
    gan = randomise_(small().double().eval())
    x = torch.rand(3, 1, 8, 8).double()
    judge, calls = gan.discriminator, []
    judge.body.register_forward_hook(lambda *_: calls.append(1))
    score, (logits, _) = judge(x), judge.posterior(x)
    assert len(calls) == 2
    h = judge.body(x)
    torch.testing.assert_close(judge.score(h)[:, 0], score)
    torch.testing.assert_close(judge.code(h)[:, :4], logits)


def test_training_raises_the_bound_and_three_steps_repeat():
    def run(steps):
        torch.manual_seed(0)
        gan = small(classes=2, continuous=1)
        x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        training = fit_gan(
            gan, *info_players(losses.non_saturating), lambda g: x, steps=steps, lr=(5e-3, 5e-3)
        )
        for _ in training:
            pass
        return gan

    a, b = run(3), run(3)
    assert all(torch.equal(v, w) for v, w in zip(a.state_dict().values(), b.state_dict().values(), strict=True))  # fmt: skip
    gan = run(60)
    torch.manual_seed(0)
    z = gan.latent(400)
    with torch.no_grad():
        discrete, _ = information(gan, z, gan.generator(z))
    assert 0.5 < float(discrete) <= math.log(2)


def test_matching_ignores_the_names_of_the_codes():
    torch.manual_seed(0)
    labels = torch.randint(5, (300,))
    names = torch.randperm(5)
    assert matched_accuracy(names[labels], labels, 5) == 1
    noisy = torch.where(torch.rand(300) < 0.3, torch.randint(5, (300,)), labels)
    direct = float((noisy == labels).double().mean())
    assert matched_accuracy(names[noisy], labels, 5) == pytest.approx(direct)
    best = max(
        float((torch.tensor(p)[noisy] == labels).double().mean())
        for p in itertools.permutations(range(5))
    )
    assert matched_accuracy(noisy, labels, 5) == pytest.approx(best)
    # 한 번호만 쓰면 가장 많은 클래스의 비율입니다: 두 번호가 같은 클래스를 차지할 수 없습니다
    alone = float(torch.bincount(labels).max()) / 300
    assert matched_accuracy(torch.zeros_like(labels), labels, 5) == pytest.approx(alone)
    found, two = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 0, 0, 1])
    assert matched_accuracy(found, two, 2) == pytest.approx(4 / 6)  # 5/6가 아닙니다
    with pytest.raises(ValueError, match="길이"):
        matched_accuracy(labels, labels[1:], 5)


def test_moments_know_slant_width_and_ink():
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")

    def stroke(slope, sd):  # 가운데를 지나는 획: 한 줄 올라갈 때 slope칸 오른쪽으로
        middle = 10 + slope * (10 - rows)
        return torch.exp(-0.5 * ((columns - middle) / sd) ** 2)

    images = torch.stack([stroke(0, 1), stroke(0.4, 1), stroke(-0.3, 1), stroke(0, 2)]).double()
    found = image_moments(images)
    assert found["기울기"].tolist() == pytest.approx([0, 0.4, -0.3, 0], abs=0.01)
    assert found["너비"].tolist() == pytest.approx([1, 1, 1, 2], abs=0.02)
    moved = image_moments(images.roll((2, -1), (1, 2)) * 3)
    assert moved["너비"][0] == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(moved["잉크"], 3 * found["잉크"])
    assert all(v.isfinite().all() for v in image_moments(torch.zeros(2, 5, 5)).values())
    with pytest.raises(ValueError, match="N, H, W"):
        image_moments(torch.zeros(3, 5))


def test_effects_find_the_coordinate_that_slants_the_picture():
    class Slanting(nn.Module):  # 좌표 1(잡음)은 아무것도, 마지막 부호는 기울기를 바꿉니다
        def forward(self, z, y=None):
            rows = 10 - torch.arange(21.0)[:, None]
            middle = 10 + (0.3 * z[:, -1] + 0.05 * z[:, 0])[:, None, None] * rows
            return torch.exp(-0.5 * (torch.arange(21.0) - middle) ** 2)[:, None]

    gan = InfoGAN(Slanting(), nn.Identity(), 2, 3, 2)
    z = gan.latent(500)
    found = code_effects(gan, z, [0, 1, 5, 6])
    spread = float(image_moments(gan.generator(z)[:, 0])["기울기"].std())
    assert found["기울기"].tolist() == pytest.approx([0.1 / spread, 0, 0, 0.6 / spread], rel=0.02)
    torch.testing.assert_close(code_effects(gan, z)["기울기"], found["기울기"][2:])


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="4의 배수"):
        infogan(10)
    with pytest.raises(ValueError, match="둘 이상"):
        small(classes=1)
    with pytest.raises(ValueError, match="0 이상"):
        info_players(losses.minimax, -1.0)
    with pytest.raises(ValueError, match="y 없이"):
        small().discriminator(torch.zeros(2, 1, 8, 8), torch.zeros(2))
