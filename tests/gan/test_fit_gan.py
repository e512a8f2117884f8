"""두 최적화기의 루프: 한쪽 단계가 다른 쪽을 움직이지 않고, 이어 가도 같고, NaN에서 멈춥니다."""

import math

import pytest
import torch
from torch import nn

from course_lib.gan import losses
from course_lib.training import TrainingDiverged, fit_gan


class Tiny(nn.Module):
    def __init__(self, batch_norm=False):
        super().__init__()
        norm = [nn.BatchNorm1d(8)] if batch_norm else []
        self.generator = nn.Sequential(nn.Linear(2, 8), *norm, nn.ReLU(), nn.Linear(8, 2))
        self.discriminator = nn.Sequential(
            nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1), nn.Flatten(0)
        )


def d_loss(gan, x):
    fake = gan.generator(torch.randn(len(x), 2))
    return losses.non_saturating.discriminator(gan.discriminator(x), gan.discriminator(fake))


def g_loss(gan, x):
    return losses.non_saturating.generator(gan.discriminator(gan.generator(torch.randn(len(x), 2))))


def batches(generator):
    return torch.randn(16, 2, generator=generator) + 3


def build(seed=0, **kwargs):
    torch.manual_seed(seed)
    return Tiny(**kwargs)


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


def unchanged(before, module):
    return all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_each_step_moves_only_its_own_player():
    gan = build()
    start = {"d": weights(gan.discriminator), "g": weights(gan.generator)}
    seen = []

    def spy_d(gan, x):
        seen.append(("d", unchanged(start["g"], gan.generator)))
        return d_loss(gan, x)

    def spy_g(gan, x):
        seen.append(("g", unchanged(start["d"], gan.discriminator)))
        return g_loss(gan, x)

    metrics = next(fit_gan(gan, spy_d, spy_g, batches, steps=1, d_steps=3))
    # 판별자 세 번 동안 생성자는 그대로이고, 생성자 차례에는 판별자가 이미 움직였습니다.
    assert seen == [("d", True)] * 3 + [("g", False)]
    assert not unchanged(start["g"], gan.generator)
    assert metrics["loss"] == metrics["d_loss"] and metrics["g_grad_norm"] > 0
    assert all(p.requires_grad for p in gan.parameters())


def test_the_opponent_is_frozen_and_gets_no_gradient():
    gan, trainable = build(), []

    def spy(loss):
        def wrapped(gan, x):
            players = (gan.discriminator, gan.generator)
            trainable.append([all(p.requires_grad for p in m.parameters()) for m in players])
            for m in players:
                m.zero_grad()
            return loss(gan, x)

        return wrapped

    list(fit_gan(gan, spy(d_loss), spy(g_loss), batches, steps=1))
    assert trainable == [[True, False], [False, True]]
    assert all(
        p.grad is None for p in gan.discriminator.parameters()
    )  # 생성자 차례의 것이 없습니다
    assert all(p.grad is not None for p in gan.generator.parameters())


def test_it_learns_the_mean():
    gan = build()
    for _ in fit_gan(gan, d_loss, g_loss, batches, steps=400, lr=5e-3):
        pass
    assert not gan.training
    assert float((gan.generator(torch.randn(500, 2)).detach().mean(0) - 3).abs().max()) < 0.7


def test_same_seed_same_bits_and_resuming_changes_nothing(tmp_path):
    runs = []
    for stop in (None, 5):
        gan, file = build(batch_norm=True), tmp_path / f"{stop}.safetensors"
        options = {"steps": 9, "state": file, "save_every": 5, "schedule": "cosine"}
        training = fit_gan(gan, d_loss, g_loss, batches, **options)
        if stop:
            for _ in range(stop + 1):
                next(training)
            gan = build(seed=7, batch_norm=True)
            training = fit_gan(gan, d_loss, g_loss, batches, **options)
        last = list(training)[-1]
        runs.append((last, gan.state_dict()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(v, runs[1][1][k]) for k, v in runs[0][1].items())


def test_the_outer_random_stream_is_left_alone():
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    list(fit_gan(build_without_seed(), d_loss, g_loss, batches, steps=2))
    assert torch.rand(1) == want


def build_without_seed():
    with torch.random.fork_rng():
        return build()


def test_after_d_is_called_after_every_discriminator_step():
    gan, calls = build(), []

    def clip(module):
        calls.append(module)
        losses.clip_weights_(module, 0.01)

    list(fit_gan(gan, d_loss, g_loss, batches, steps=2, d_steps=3, after_d=clip))
    assert len(calls) == 6 and calls[0] is gan.discriminator
    assert max(float(p.detach().abs().max()) for p in gan.discriminator.parameters()) <= 0.01


def test_divergence_keeps_the_last_finite_weights():
    gan = build()
    before = weights(gan)
    with pytest.raises(TrainingDiverged, match="1번째 단계"):
        list(fit_gan(gan, lambda g, x: d_loss(g, x) * math.nan, g_loss, batches, steps=2))
    assert unchanged(before, gan) and all(p.requires_grad for p in gan.parameters())


def test_bad_arguments():
    with pytest.raises(ValueError, match="d_steps"):
        next(fit_gan(build(), d_loss, g_loss, batches, steps=1, d_steps=0))
    with pytest.raises(ValueError, match="스칼라"):
        next(fit_gan(build(), lambda g, x: g.discriminator(x), g_loss, batches, steps=1))
