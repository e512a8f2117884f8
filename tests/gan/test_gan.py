"""GAN, DCGAN, BiGAN: 정답을 아는 문제, 구조의 규칙, 손으로 센 매개변수."""

import math

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan import losses
from course_lib.gan.bigan import BiGAN, pair_players
from course_lib.gan.dcgan import dcgan
from course_lib.gan.gan import (
    GAN,
    DecayingSGD,
    Discriminator,
    Generator,
    mnist_gan,
    optimal_discriminator,
    players,
    toy_gan,
    uniform_noise,
)
from course_lib.nn import MLP, Maxout
from course_lib.training import fit, fit_gan

BUILDERS = {
    "2차원": (lambda: toy_gan(3, (8,)), (2,)),
    "논문의 MLP": (mnist_gan, (784,)),
    "DCGAN 8×8": (lambda: dcgan(8, width=4, latent_dim=5), (1, 8, 8)),
    "DCGAN 32×32": (lambda: dcgan(32, 3, 4, 3, 7), (3, 32, 32)),
}


def count(module):
    return sum(p.numel() for p in module.parameters())


# ── 이론: 최적의 판별자와 그때의 값 ─────────────────────────────────────────────────────────────


def two_normals():
    """[−12, 12] 격자 위의 log p와 log g, 그리고 칸의 너비."""
    x = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    p = torch.distributions.Normal(0.0, 1.0).log_prob(x)
    g = torch.distributions.Normal(1.3, 1.8).log_prob(x)
    return x, p, g, 24 / 4800


def test_no_discriminator_beats_the_optimal_one_and_its_value_is_the_jsd():
    _, log_p, log_g, cell = two_normals()
    p, g = log_p.exp(), log_g.exp()

    def value(d):
        return float((p * d.log() + g * (1 - d).log()).sum() * cell)

    best = optimal_discriminator(log_p, log_g)
    torch.testing.assert_close(best, p / (p + g))
    m = (p + g) / 2
    jsd = float(0.5 * (p * (p / m).log() + g * (g / m).log()).sum() * cell)
    assert value(best) == pytest.approx(-math.log(4) + 2 * jsd, abs=1e-7)
    for seed in range(5):
        bend = torch.randn(len(p), generator=torch.Generator().manual_seed(seed)).double()
        assert value(torch.sigmoid(best.logit() + 0.3 * bend)) < value(best)
    assert value(optimal_discriminator(log_p, log_p)) < value(best)


def test_the_loss_of_the_optimal_scores_is_minus_the_value():
    torch.manual_seed(0)
    p, g = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(1.0, 1.0)
    x, fake = p.sample((200_000,)).double(), g.sample((200_000,)).double()

    def score(v):
        return p.log_prob(v) - g.log_prob(v)

    grid = torch.linspace(-9, 10, 4001).double()
    a, b = p.log_prob(grid).exp(), g.log_prob(grid).exp()
    jsd = 0.5 * torch.trapezoid(a * (2 * a / (a + b)).log() + b * (2 * b / (a + b)).log(), grid)
    got = -float(losses.minimax.discriminator(score(x), score(fake)))
    assert got == pytest.approx(-math.log(4) + 2 * float(jsd), abs=5e-3)


def test_a_trained_discriminator_approaches_the_optimal_one():
    torch.manual_seed(1)
    p, g = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(1.5, 1.0)
    net = Discriminator(MLP(1, (32,), 1))

    def loss(d, batch):
        real, fake = batch
        return losses.minimax.discriminator(d(real), d(fake))

    def batches(generator):
        noise = torch.randn(2, 512, 1, generator=generator)
        return noise[0], noise[1] + 1.5

    for _ in fit(net, loss, batches, steps=600, lr=1e-2):
        pass
    x = torch.linspace(-2, 3.5, 50)[:, None]
    want = optimal_discriminator(p.log_prob(x), g.log_prob(x))[:, 0]
    assert (net(x).detach().sigmoid() - want).abs().max() < 0.08


# ── 인터페이스 ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", BUILDERS)
def test_shapes_and_rows_one_by_one(name):
    build, shape = BUILDERS[name]
    gan = randomise_(build().double().eval())
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    z = gan.latent(4)
    with torch.no_grad():
        x = gan.generator(z)
        scores = gan.discriminator(x)
        rows = torch.cat([gan.generator(v[None]) for v in z])
        alone = torch.cat([gan.discriminator(v[None]) for v in x])
    assert x.shape == (4, *shape) and scores.shape == (4,) and gan.sample(3).shape == (3, *shape)
    torch.testing.assert_close(x, rows, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(scores, alone, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(v, before[k]) for k, v in gan.state_dict().items())
    assert not hasattr(gan, "log_prob") and not gan.sample(2).requires_grad
    assert scores.std() > 0 and (scores.abs() > 0).all()


def test_scores_are_raw():
    """sigmoid가 없으므로 마지막 층을 키우면 점수가 그만큼 커집니다."""
    for build, shape in BUILDERS.values():
        gan = build().eval()
        x = torch.rand(3, *shape)
        with torch.no_grad():
            last = [m for m in gan.discriminator.modules() if isinstance(m, nn.Linear)][-1]
            last.weight.mul_(0).add_(1)
            last.bias.zero_()
            small = gan.discriminator(x)
            last.weight.mul_(100)
            torch.testing.assert_close(gan.discriminator(x), 100 * small)


def test_one_forward_pass_a_sample_and_no_inference():
    gan = toy_gan()
    calls = []
    gan.generator.register_forward_hook(lambda *_: calls.append("G"))
    gan.discriminator.register_forward_hook(lambda *_: calls.append("D"))
    gan.sample(1000)
    assert calls == ["G"]


def test_latents_have_unit_variance_and_bad_counts_are_refused():
    for gan in (toy_gan(), mnist_gan()):
        z = gan.latent(4000)
        assert z.var().item() == pytest.approx(1, abs=0.05) and abs(z.mean()) < 0.05
    assert float(mnist_gan().latent(4000).abs().max()) <= math.sqrt(3)
    z = dcgan().latent(2000)
    assert z.abs().max() <= 1 and z.var().item() == pytest.approx(1 / 3, abs=0.02)
    prior = uniform_noise(torch.zeros(3), 2.0)
    assert prior.log_prob(torch.zeros(5, 3)).tolist() == pytest.approx([-3 * math.log(4)] * 5)
    for n in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="표본 수"):
            toy_gan().sample(n)
    with pytest.raises(ValueError, match="조건"):
        toy_gan().sample(2, torch.zeros(2))
    with pytest.raises(ValueError, match="조건"):
        toy_gan().discriminator(torch.zeros(2, 2), torch.zeros(2))


def test_players_use_the_right_scores():
    """생성자를 상수로, 판별자를 항등으로 두면 손실을 손으로 셀 수 있습니다."""

    class Constant(nn.Module):
        def forward(self, z, y=None):
            return torch.full((len(z), 1), -2.0)

    gan = GAN(Constant(), Discriminator(nn.Identity()), 1)
    x = torch.tensor([[1.0], [3.0]])
    d_loss, g_loss = players(losses.wasserstein)
    assert float(d_loss(gan, x)) == pytest.approx(-2 - 2) and float(g_loss(gan, x)) == 2
    d_loss, _ = players(losses.wasserstein, r1=3.0)  # 기울기 1 → 벌점 3·½
    assert float(d_loss(gan, x).detach()) == pytest.approx(-4 + 1.5)
    with pytest.raises(ValueError, match="r1"):
        players(losses.minimax, r1=-1)


def test_players_pass_labels_to_both():
    class Labelled(nn.Module):
        def forward(self, v, y=None):
            return v.sum(1) * 0 + y

    class Copy(nn.Module):
        def forward(self, z, y=None):
            return z * 0 + y[:, None]

    gan = GAN(Copy(), Labelled(), 2)
    d_loss, g_loss = players(losses.wasserstein)
    batch = torch.zeros(4, 2), torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert float(d_loss(gan, batch)) == 0 and float(g_loss(gan, batch)) == -3


def test_batch_norm_sees_real_and_fake_batches_apart():
    gan, sizes = dcgan(8, width=4, latent_dim=5), []
    gan.discriminator.register_forward_hook(lambda m, inputs, out: sizes.append(len(out)))
    d_loss, g_loss = players(losses.non_saturating)
    d_loss(gan, torch.randn(6, 1, 8, 8)), g_loss(gan, torch.randn(6, 1, 8, 8))
    assert sizes == [6, 6, 6]


def test_square_invertible_generator_has_a_density():
    """x = G(z)가 가역이면 log p(x) = log p(z) − log|det ∂G/∂z|. 아핀 G에서 정규분포와 견줍니다."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 3).double()
    gan = GAN(Generator(layer), Discriminator(nn.Linear(3, 1)), 3).double()
    z = gan.latent(6).double()
    log_det = torch.stack(
        [
            torch.linalg.slogdet(torch.autograd.functional.jacobian(lambda v: gan.generator(v), v))[
                1
            ]
            for v in z
        ]
    )
    cov = layer.weight.detach() @ layer.weight.detach().T
    want = torch.distributions.MultivariateNormal(layer.bias.detach(), cov)
    got = gan.prior().log_prob(z) - log_det
    torch.testing.assert_close(got, want.log_prob(gan.generator(z).detach()))


# ── 논문의 구조 ─────────────────────────────────────────────────────────────────────────────────


def test_parameters_of_the_papers_networks_by_hand():
    gan = mnist_gan()
    assert count(gan.generator) == 100 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 784 + 784
    assert count(gan.discriminator) == 785 * 240 * 5 + 241 * 240 * 5 + 241
    gan = dcgan()
    generator = 100 * 128 * 49 + 2 * 128 + 128 * 64 * 25 + 2 * 64 + 64 * 25 + 1
    discriminator = 25 * 64 + 64 + 64 * 128 * 25 + 2 * 128 + 128 * 49 + 1
    assert count(gan.generator) == generator and count(gan.discriminator) == discriminator


def test_initial_weights_and_the_mean_image():
    mean = torch.rand(784)
    gan = mnist_gan(mean)
    layers = [m for m in gan.generator.modules() if isinstance(m, nn.Linear)]
    assert max(float(m.weight.detach().abs().max()) for m in layers) <= 0.05
    torch.testing.assert_close(layers[-1].bias.detach().sigmoid(), mean, atol=2e-3, rtol=0)
    judge = [m for m in gan.discriminator.modules() if isinstance(m, nn.Linear)]
    assert max(float(m.weight.detach().abs().max()) for m in judge) <= 0.005
    for m in dcgan().modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            assert float(m.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_dcgan_follows_the_five_rules(blocks):
    gan = dcgan(16, 2, 8, blocks, 6)
    to_x, judge = list(gan.generator.net), list(gan.discriminator.net)
    every = [*gan.generator.modules(), *gan.discriminator.modules()]
    assert not any(isinstance(m, nn.MaxPool2d | nn.AvgPool2d | nn.Upsample) for m in every)
    # 배치 정규화: G의 출력과 D의 입력에만 없습니다
    for net, conv, bare in ((to_x, nn.ConvTranspose2d, -1), (judge, nn.Conv2d, 0)):
        convs = [k for k, m in enumerate(net) if isinstance(m, conv)]
        assert len(convs) == blocks and all(net[k].stride == (2, 2) for k in convs)
        followed = [isinstance(net[k + 1], nn.BatchNorm2d) for k in convs]
        assert followed == [k != range(blocks)[bare] for k in range(blocks)]
    assert isinstance(to_x[2], nn.BatchNorm2d) and isinstance(to_x[-1], nn.Tanh)
    # 완전연결은 z를 펴는 층과 점수를 내는 층뿐
    assert [type(m) for m in to_x + judge].count(nn.Linear) == 2
    assert not any(isinstance(m, nn.LeakyReLU) for m in to_x)
    assert {m.negative_slope for m in judge if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert not any(type(m) is nn.ReLU for m in judge)


def test_dcgan_samples_lie_in_the_range_and_features_have_no_gradient():
    gan = randomise_(dcgan(8, width=4, latent_dim=5), 2.0).eval()
    x = gan.sample(50)
    assert x.min() < -0.2 and x.max() > 0.2 and x.abs().max() <= 1
    features = gan.discriminator.features(x)
    assert features.shape == (50, 4 * 16 + 8 * 4) and not features.requires_grad
    big = dcgan().discriminator.eval().features(torch.zeros(2, 1, 28, 28))
    assert big.shape == (2, 64 * 16 + 128 * 16)
    with pytest.raises(ValueError, match="2\\^blocks"):
        dcgan(28, blocks=3)


def test_maxout_is_the_largest_of_its_pieces():
    layer = randomise_(Maxout(5, 3, 4).double())
    x = torch.randn(7, 5).double()
    out = layer(x)
    for unit in range(3):
        rows = slice(4 * unit, 4 * unit + 4)
        pieces = x @ layer.weight[rows].T + layer.bias[rows]
        torch.testing.assert_close(out[:, unit], pieces.max(1).values)
    assert count(layer) == 4 * (5 * 3 + 3)
    middle = layer((x[0] + x[1])[None] / 2)
    assert (middle <= (out[0] + out[1]) / 2 + 1e-12).all()  # 볼록
    with pytest.raises(ValueError, match="1 이상"):
        Maxout(3, 2, 0)


def test_decaying_sgd_follows_its_schedule_and_survives_a_restart(tmp_path):
    def run(stop):
        torch.manual_seed(0)
        gan = toy_gan(2, (4,))
        both = tuple(
            DecayingSGD(p.parameters(), lr=0.1, decay=1.5, lowest=0.02, ramp=4)
            for p in (gan.discriminator, gan.generator)
        )
        seen = []
        training = fit_gan(
            gan, *players(losses.non_saturating), lambda g: torch.randn(8, 2, generator=g),
            steps=6, optimizers=both, state=tmp_path / f"{stop[0]}.safetensors", save_every=2,
        )  # fmt: skip
        for metrics in training:
            group = both[0].param_groups[0]
            seen.append((metrics["step"], round(group["lr"], 6), round(group["momentum"], 6)))
            if metrics["step"] == stop[1]:
                break
        return seen, gan.state_dict()

    rates = [max(0.02, 0.1 / 1.5**k) for k in range(6)]
    want = [(k + 1, round(rates[k], 6), round(0.5 + 0.05 * min(k, 4), 6)) for k in range(6)]
    whole, final = run(("a", None))
    assert whole == want
    first, _ = run(("b", 4))
    rest, again = run(("b", None))
    assert first == want[:4] and rest == want[4:]
    assert all(torch.equal(final[k], again[k]) for k in final)


# ── BiGAN ───────────────────────────────────────────────────────────────────────────────────────


def test_bigan_shapes_and_who_learns_what():
    gan = BiGAN(5, 3, (8,), nn.Sigmoid())
    x = torch.rand(6, 5)
    assert gan.encode(x).shape == (6, 3) and gan.reconstruct(x).shape == (6, 5)
    assert gan.sample(4).shape == (4, 5) and gan.discriminator(x, gan.latent(6)).shape == (6,)
    start = {k: v.clone() for k, v in gan.state_dict().items()}
    next(fit_gan(gan, *pair_players(losses.non_saturating, 0.1), lambda g: x, steps=1))
    moved = {k.split(".")[0] + "." + k.split(".")[1] for k, v in gan.state_dict().items()
             if not torch.equal(v, start[k])}  # fmt: skip
    assert moved == {"generator.net", "generator.encoder", "discriminator.net"}


def test_the_pair_losses_swap_sides():
    gan = randomise_(BiGAN(2, 2, (4,)).double())
    d_loss, g_loss = pair_players(losses.wasserstein)
    x = torch.randn(5, 2).double()
    torch.manual_seed(0)
    d = d_loss(gan, x)
    torch.manual_seed(0)
    assert float((d + g_loss(gan, x)).detach()) == pytest.approx(0, abs=1e-12)
    torch.manual_seed(0)
    z = gan.latent(5)
    want = (
        gan.discriminator(gan.generator(z), z).mean() - gan.discriminator(x, gan.encode(x)).mean()
    )
    torch.testing.assert_close(d, want)


def test_an_inverse_encoder_makes_the_pairs_indistinguishable():
    """G가 가역이고 E = G⁻¹, x = G(z)이면 (x, E(x))와 (G(z), z)는 같은 쌍입니다."""
    gan = BiGAN(3, 3, ()).double()
    weight = torch.randn(3, 3).double()
    with torch.no_grad():
        gan.generator.net[0].weight.copy_(weight)
        gan.generator.encoder[0].weight.copy_(weight.inverse())
        gan.generator.encoder[0].bias.copy_(-weight.inverse() @ gan.generator.net[0].bias)
    x = gan.sample(7)
    torch.testing.assert_close(gan.reconstruct(x), x)
