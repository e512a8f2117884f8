"""조건부 GAN: 손으로 센 매개변수, 조건이 두 신경망에 닿는가, 최적의 판별자, 빈 곳 채우기, 가장 좋은 때."""

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan import losses
from course_lib.gan.cgan import (
    BestWeights,
    ConditionalDiscriminator,
    ConditionalGenerator,
    as_condition,
    cgan,
    join_image,
    split_image,
    unit_cube,
)
from course_lib.gan.gan import DecayingSGD, players
from course_lib.nn import Maxout
from course_lib.training import fit, fit_gan


def small(**settings):
    sizes = dict(g_units=(6, 7, 9), d_units=((5, 3), (4, 2), (6, 2)), irange=None)
    return cgan(12, 4, 3, **sizes | settings)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_papers_networks_by_hand():
    gan = cgan()
    generator = 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
    discriminator = 785 * 240 * 5 + 11 * 50 * 5 + 291 * 240 * 4 + 241
    assert (generator, discriminator) == (2_413_984, 1_224_351)
    assert count(gan.generator) == generator and count(gan.discriminator) == discriminator
    pieces = [(m.in_features, m.out_features // m.pieces, m.pieces)
              for m in gan.discriminator.modules() if isinstance(m, Maxout)]  # fmt: skip
    assert pieces == [(784, 240, 5), (10, 50, 5), (290, 240, 4)]
    linear = [(m.in_features, m.out_features)
              for m in gan.generator.modules() if isinstance(m, nn.Linear)]  # fmt: skip
    assert linear == [(100, 200), (10, 1000), (1200, 1200), (1200, 784)]
    for net, half, hidden in ((gan.generator, 0.05, 3), (gan.discriminator, 0.005, 3)):
        weights = [m.weight for m in net.modules() if isinstance(m, nn.Linear)]
        assert max(float(w.detach().abs().max()) for w in weights) <= half
        dropouts = [m.p for m in net.modules() if isinstance(m, nn.Dropout)]
        assert dropouts == [0.5] * hidden
    assert isinstance(gan.generator.joint[-1], nn.Sigmoid)


def test_noise_fills_the_unit_cube():
    z = cgan().latent(4000)
    assert z.shape == (4000, 100) and float(z.min()) >= 0 and 0.99 < float(z.max()) <= 1
    assert float(z.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(z.var()) == pytest.approx(1 / 12, abs=0.005)
    assert unit_cube(torch.zeros(3)).log_prob(torch.full((2, 3), 0.3)).tolist() == [0, 0]


def test_relu_discriminators_have_no_maxout():
    gan = small(d_units=((5, 1), (4, 1), (6, 1)))
    assert not any(isinstance(m, Maxout) for m in gan.discriminator.modules())
    assert count(gan.discriminator) == 13 * 5 + 5 * 4 + 10 * 6 + 7


@pytest.mark.parametrize("label", [True, False])
def test_rows_one_by_one_and_nothing_moves(label):
    gan = randomise_(small().double().eval())
    y = torch.tensor([0, 3, 1, 1]) if label else torch.randn(4, 4).double()
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    z = gan.latent(4)
    with torch.no_grad():
        x, rows = gan.generator(z, y), [gan.generator(z[i : i + 1], y[i : i + 1]) for i in range(4)]
        scores = gan.discriminator(x, y)
        alone = [gan.discriminator(x[i : i + 1], y[i : i + 1]) for i in range(4)]
    assert x.shape == (4, 12) and scores.shape == (4,) and gan.sample(4, y).shape == (4, 12)
    torch.testing.assert_close(x, torch.cat(rows))
    torch.testing.assert_close(scores, torch.cat(alone))
    assert all(torch.equal(v, before[k]) for k, v in gan.state_dict().items())
    assert not gan.sample(4, y).requires_grad and not hasattr(gan, "log_prob")


def test_the_condition_reaches_both_networks_and_a_label_is_its_one_hot():
    gan = randomise_(small().double().eval())
    z = gan.latent(1).expand(4, -1)
    y = torch.arange(4)
    with torch.no_grad():
        x = gan.generator(z, y)
        same = x[:1].expand(4, -1)
        scores = gan.discriminator(same, y)
        assert torch.pdist(x).min() > 1e-3 and torch.pdist(scores[:, None]).min() > 1e-4
        hot = torch.eye(4).double()
        torch.testing.assert_close(gan.generator(z, hot), x)
        torch.testing.assert_close(gan.discriminator(same, hot), scores)
        other = gan.generator(gan.latent(1).expand(4, -1), y)
        assert (other - x).abs().max() > 1e-3  # 같은 조건, 다른 z


def test_the_slow_form_of_both_networks():
    """식을 손으로 옮긴 것과 같습니다: 두 갈래, 이어 붙이기, 합친 층."""
    gan = randomise_(small().double().eval())
    z, y, x = gan.latent(3), torch.tensor([2, 0, 1]), torch.rand(3, 12).double()
    hot = torch.eye(4).double()[y]
    g = gan.generator
    both = torch.cat([(z @ g.from_z[0].weight.T + g.from_z[0].bias).relu(),
                      (hot @ g.from_y[0].weight.T + g.from_y[0].bias).relu()], 1)  # fmt: skip
    hidden = (both @ g.joint[0].weight.T + g.joint[0].bias).relu()
    last = [m for m in g.joint if isinstance(m, nn.Linear)][-1]
    torch.testing.assert_close(gan.generator(z, y), (hidden @ last.weight.T + last.bias).sigmoid())

    def maxout(layer, v):
        rows = (v @ layer.weight.T + layer.bias).reshape(len(v), -1, layer.pieces)
        return rows.max(2).values

    d = gan.discriminator
    both = torch.cat([maxout(d.from_x[0], x), maxout(d.from_y[0], hot)], 1)
    last = d.joint[-1]
    want = (maxout(d.joint[0], both) @ last.weight.T + last.bias)[:, 0]
    torch.testing.assert_close(d(x, y), want)


def test_dropout_acts_only_while_training():
    gan = small(dropout=0.5)
    z, y = gan.latent(50), torch.arange(50) % 4
    assert not torch.equal(gan.train().generator(z, y), gan.generator(z, y))
    assert torch.equal(gan.eval().generator(z, y), gan.generator(z, y))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (None, "조건 y가 필요"),
        (torch.tensor([0, 1]), "2개, 짝은 3개"),
        (torch.tensor([0, 1, 4]), "0에서 3까지"),
        (torch.tensor([0, -1, 2]), "0에서 3까지"),
        (torch.zeros(3), "y.long"),
        (torch.zeros(3, 5), r"\(B, 4\)"),
    ],
)
def test_bad_conditions_say_what_to_do(y, words):
    gan = small()
    with pytest.raises(ValueError, match=words):
        gan.generator(gan.latent(3), y)
    with pytest.raises(ValueError, match=words):
        gan.discriminator(torch.rand(3, 12), y)
    with pytest.raises(ValueError, match=words):
        as_condition(y, 4, torch.zeros(3, 12))


def test_a_trained_conditional_discriminator_approaches_the_conditional_density_ratio():
    """p(x|y) = N(±1.5, 1), 가짜는 조건과 무관하게 N(0, 1): log D*/(1 − D*) = ±1.5x − 1.125."""
    torch.manual_seed(0)
    judge = ConditionalDiscriminator(
        nn.Sequential(nn.Linear(1, 16), nn.ReLU()),
        nn.Sequential(nn.Linear(2, 16), nn.ReLU()),
        nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)), 2,
    )  # fmt: skip

    def batches(generator):
        y = torch.randint(0, 2, (512,), generator=generator)
        noise = torch.randn(2, 512, 1, generator=generator)
        return noise[0] + (3.0 * y - 1.5)[:, None], noise[1], y

    def loss(d, batch):
        real, fake, y = batch
        return losses.minimax.discriminator(d(real, y), d(fake, y))

    for _ in fit(judge, loss, batches, steps=500, lr=1e-2):
        pass
    x = torch.linspace(-2, 2, 41)[:, None]
    for kind, sign in ((0, -1.5), (1, 1.5)):
        want = (sign * x[:, 0] - 1.125).sigmoid()
        got = judge(x, torch.full((41,), kind)).detach().sigmoid()
        assert (got - want).abs().max() < 0.1


def test_the_pair_of_labels_goes_to_both_players_and_only_one_moves():
    gan = small(dropout=0.0)
    batch = torch.rand(8, 12), torch.arange(8) % 4
    start = {k: v.clone() for k, v in gan.state_dict().items()}
    d_loss, g_loss = players(losses.non_saturating)
    d_loss(gan, batch).backward()
    assert all(p.grad is None for p in gan.generator.parameters())
    assert all(p.grad is not None for p in gan.discriminator.parameters())
    rate = {"lr": 0.1, "decay": 1.00004, "ramp": 10}
    both = tuple(DecayingSGD(p.parameters(), **rate) for p in (gan.discriminator, gan.generator))
    for _ in fit_gan(gan, d_loss, g_loss, lambda g: batch, steps=2, optimizers=both):
        pass
    assert all(not torch.equal(v, start[k]) for k, v in gan.state_dict().items())
    assert both[0].param_groups[0]["momentum"] == pytest.approx(0.52)


def test_a_generator_of_the_condition_alone_gives_copies():
    gan = small()
    with torch.no_grad():
        gan.generator.from_z[0].weight.zero_()
    x = gan.eval().sample(6, torch.zeros(6, dtype=torch.long))
    assert torch.pdist(x).max() < 1e-6
    assert isinstance(gan.generator, ConditionalGenerator)


# ── 빈 곳 채우기와 가장 좋은 때 ─────────────────────────────────────────────────────────────────


def test_split_and_join_are_inverse_and_keep_the_known_pixels():
    x, known = torch.rand(5, 12), torch.rand(12) < 0.4
    missing, seen = split_image(x, known)
    assert missing.shape[1] + seen.shape[1] == 12 and torch.equal(seen, x[:, known])
    assert torch.equal(join_image(missing, seen, known), x)
    filled = join_image(torch.zeros_like(missing), seen, known)
    assert torch.equal(filled[:, known], seen) and float(filled[:, ~known].abs().sum()) == 0
    for bad in (known.float(), known[:-1], torch.ones(12, dtype=torch.bool)):
        with pytest.raises(ValueError, match="known"):
            split_image(x, bad)


def test_best_weights_remember_the_best_and_survive_a_restart(tmp_path):
    model, path = nn.Linear(2, 1), tmp_path / "a" / "best.safetensors"
    best = BestWeights(model, path)
    with pytest.raises(ValueError, match="update"):
        best.restore()
    kept = {}
    for step, score in enumerate([-3.0, 1.5, float("nan"), 0.5], 1):
        with torch.no_grad():
            model.weight.fill_(step)
        kept[step] = best.update(score, step)
    assert kept == {1: True, 2: True, 3: False, 4: False}
    again = BestWeights(nn.Linear(2, 1), path)
    assert (again.score, again.step) == (best.score, best.step) == (1.5, 2)
    assert again.restore().weight.tolist() == best.restore().weight.tolist() == [[2, 2]]
    assert not again.update(1.4, 9) and again.update(1.6, 9)
