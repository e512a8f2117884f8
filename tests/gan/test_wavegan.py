"""WaveGAN: 위상 섞기, 층의 길이, 손실, 결정성."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan.wavegan import (
    PhaseShuffle,
    WaveGANGenerator,
    shift_reflect,
    wavegan,
    wavegan_losses,
)
from course_lib.training import fit_gan


def small(**kwargs):
    torch.manual_seed(0)
    return wavegan(**({"width": 2, "length": 256, "latent_dim": 5, "blocks": 3} | kwargs))


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 12), st.lists(st.integers(-2, 2), min_size=1, max_size=4))
def test_shift_is_a_roll_with_mirrored_ends(length, shifts):
    x = torch.randn(len(shifts), 2, length, generator=torch.Generator().manual_seed(length))
    y = shift_reflect(x, torch.tensor(shifts))
    padded = nn.functional.pad(x, (2, 2), mode="reflect")  # torch의 반사 채우기가 독립된 답입니다
    for b, k in enumerate(shifts):
        assert torch.equal(y[b], padded[b, :, 2 + k : 2 + k + length])


def test_phase_shuffle_draws_every_shift_per_signal_and_rests_in_eval():
    layer, x = PhaseShuffle(2), torch.arange(50.0).expand(400, 3, 50)
    y = layer(x)
    shifts = y[:, 0, 20] - 20
    assert {int(v) for v in shifts} == {-2, -1, 0, 1, 2}
    assert (torch.bincount((shifts + 2).long()) > 40).all()  # 다섯 가지가 고르게
    assert torch.equal(y[:, 0], y[:, 1]) and torch.equal(y[:, 0], y[:, 2])
    assert torch.equal(layer.eval()(x), x) and torch.equal(PhaseShuffle(0)(x), x)
    for wrong in (-1, 1.5, True):
        with pytest.raises(ValueError, match="0 이상의 정수"):
            PhaseShuffle(wrong)
    with pytest.raises(ValueError, match="밀 수 없습니다"):
        shift_reflect(torch.zeros(1, 1, 3), torch.tensor([3]))


def test_layer_plan_of_the_paper_at_8_khz():
    gan = wavegan()
    lengths, shuffles = [], 0
    x = torch.zeros(1, 100)
    with torch.no_grad():
        for layer in gan.generator.net:
            x = layer(x)
            lengths += [tuple(x.shape[1:])] * isinstance(layer, nn.Unflatten | nn.ConvTranspose1d)
    assert lengths == [(1024, 8), (512, 32), (256, 128), (128, 512), (64, 2048), (1, 8192)]
    kinds = [type(layer).__name__ for layer in gan.discriminator.net]
    shuffles = [i for i, kind in enumerate(kinds) if kind == "PhaseShuffle"]
    assert len(shuffles) == 4 and kinds.count("Conv1d") == 5  # 마지막 합성곱 뒤에는 없습니다
    assert shuffles[-1] < max(i for i, kind in enumerate(kinds) if kind == "Conv1d")
    assert not any("Norm" in type(m).__name__ for m in gan.modules())
    assert sum(p.numel() for p in gan.generator.parameters()) == (
        101 * 8192 + sum(a * b * 25 + b for a, b in ((1024, 512), (512, 256), (256, 128), (128, 64), (64, 1)))
    )  # fmt: skip
    for wrong in (8000, 512):
        with pytest.raises(ValueError, match="배수"):
            WaveGANGenerator(2, wrong)


def test_eval_is_row_by_row_and_nothing_moves():
    gan = randomise_(small().double().eval())
    before = copy.deepcopy(gan.state_dict())
    x = gan.sample(4)
    assert x.shape == (4, 256) and x.abs().max() <= 1
    with torch.no_grad():
        score = gan.discriminator(x)
        torch.testing.assert_close(score, torch.cat([gan.discriminator(v[None]) for v in x]))
    assert score.shape == (4,)
    assert all(torch.equal(v, gan.state_dict()[k]) for k, v in before.items())


def test_signal_keeps_its_size_through_both_networks_at_the_start():
    gan = wavegan(width=8)
    with torch.no_grad():
        h = gan.latent(64)
        for layer in gan.generator.net[:-2]:  # tanh 앞까지
            h = layer(h)
        score = gan.discriminator(torch.randn(64, 8192))
    assert 0.15 < float(h.std()) < 4 and 0.15 < float(score.std()) < 4


def test_critic_loss_is_the_paper_and_ignores_a_shared_constant():
    gan = randomise_(small().double().eval())
    x = 0.3 * torch.randn(6, 256, dtype=torch.float64)

    def value(penalty, shift=0.0):
        torch.manual_seed(3)
        with torch.no_grad():
            gan.discriminator.net[-1].bias.add_(shift)
        d, g = wavegan_losses(penalty)
        torch.manual_seed(3)
        out = d(gan, x)
        torch.manual_seed(3)
        return float(out.detach()), float(g(gan, x).detach())

    plain, up = value(0.0)
    torch.manual_seed(3)
    fake = gan.sample(6)
    with torch.no_grad():
        difference = gan.discriminator(fake).mean() - gan.discriminator(x).mean()
    assert plain == pytest.approx(float(difference), abs=1e-12)
    assert up == pytest.approx(-float(gan.discriminator(fake).mean().detach()), abs=1e-12)
    assert value(0.0, 5.0)[0] == pytest.approx(plain, abs=1e-9)
    # 벌점은 λ에 비례하고, 자동미분으로 따로 구한 기울기의 길이와 맞습니다
    one, ten = value(1.0)[0] - plain, value(10.0)[0] - plain
    assert ten == pytest.approx(10 * one, rel=1e-9) and one > 0
    torch.manual_seed(3)
    gan.latent(6)
    eps = torch.rand(6, 1, dtype=torch.float64)
    between = eps * x + (1 - eps) * fake
    slope = torch.stack([torch.autograd.functional.jacobian(
        lambda v: gan.discriminator(v[None])[0], row).norm() for row in between])  # fmt: skip
    assert one == pytest.approx(float((slope - 1).square().mean()), rel=1e-9)
    with pytest.raises(ValueError, match="벌점"):
        wavegan_losses(-1.0)


def test_players_move_only_themselves_and_three_steps_repeat_bit_for_bit():
    x = 0.3 * torch.randn(4, 256)

    def train():
        gan = small()
        run = fit_gan(gan, *wavegan_losses(), lambda g: x, steps=3, d_steps=2, seed=1)
        return [m["d_loss"] for m in run], gan

    (first, a), (second, b) = train(), train()
    assert first == second
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    d_loss, g_loss = wavegan_losses()
    gan = small()
    d_loss(gan, x).backward()
    assert all(p.grad is None for p in gan.generator.parameters())
    assert all(p.grad is not None for n, p in gan.discriminator.named_parameters() if "weight" in n)
