"""스펙트럼 정규화의 성질, 합성곱의 참 노름, 투영 판별자, SNGAN의 구조."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad
from torch.nn.utils import parametrizations

from course_lib.checks import randomise_
from course_lib.gan import losses, sngan
from course_lib.gan.gan import players
from course_lib.training import fit_gan

LAYERS = {
    "선형": (lambda: sngan.SNLinear(7, 5), (7,)),
    "합성곱": (lambda: sngan.SNConv2d(3, 5, (3, 4), 2, 1), (3, 8, 9)),
}


def layer(name, seed=0):
    torch.manual_seed(seed)
    build, shape = LAYERS[name]
    return randomise_(build().double(), 1.0, seed), torch.randn(4, *shape).double()


def top(weight):
    """가장 큰 특잇값과 그 벡터들."""
    u, s, vh = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
    return u[:, 0], float(s[0]), vh[0], float(s[1:2].sum() / s[0])


# ── σ, u ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", range(3))
def test_after_convergence_the_normalised_weight_has_norm_one(name, seed):
    module, _ = layer(name, seed)
    assert abs(top(module.weight)[1] - 1) > 0.05  # 나누기 전에는 1이 아닙니다
    sngan.converge_(module, 300)
    for mode in (True, False):
        module.train(mode)
        assert top(module.normalised_weight())[1] == pytest.approx(1, abs=1e-3)
        assert float(module.sigma().detach()) == pytest.approx(top(module.weight)[1], rel=1e-6)


def test_one_training_forward_is_one_power_step():
    module, x = layer("선형")
    before = module.u.clone()
    want, v = sngan.power_step(module.weight.detach(), before)
    out = module(x)
    torch.testing.assert_close(module.u, want)
    sigma = want @ module.weight @ v
    torch.testing.assert_close(out, x @ (module.weight / sigma).T + module.bias)
    again, _ = sngan.power_step(module.weight.detach(), want)
    module(x)
    torch.testing.assert_close(module.u, again)
    assert float(again.norm()) == pytest.approx(1) and not torch.equal(before, again)


@pytest.mark.parametrize("name", LAYERS)
def test_training_keeps_u_in_the_state_and_eval_touches_nothing(name):
    module, x = layer(name)
    module(x)
    assert "u" in module.state_dict() and "u" not in dict(module.named_parameters())
    module.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    first = module(x)
    rows = torch.cat([module(row[None]) for row in x])
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    torch.testing.assert_close(first, rows)
    assert torch.equal(first, module(x))


def test_the_angle_shrinks_by_the_squared_ratio_and_sigma_by_the_fourth_power():
    """2×2에서는 tan θ가 걸음마다 정확히 (σ₂/σ₁)²배이고 1 − (σ̂/σ)²이 그 제곱을 따릅니다."""
    torch.manual_seed(3)
    matrix = torch.randn(2, 2).double()
    u_1, sigma, v_1, ratio = top(matrix)
    u, v, tangents, gaps = torch.randn(2).double(), None, [], []
    for _ in range(6):
        u, v = sngan.power_step(matrix, u)
        cosine = float((v @ v_1).abs())
        tangents.append(math.tan(math.acos(min(cosine, 1.0))))
        gaps.append(1 - (float(u @ matrix @ v) / sigma) ** 2)
        sine = 1 - cosine**2
        assert gaps[-1] == pytest.approx((1 - ratio**2) * sine, abs=1e-12)
    for a, b in zip(tangents[:4], tangents[1:], strict=False):
        assert b / a == pytest.approx(ratio**2, rel=1e-4)
    for k in range(3):
        assert gaps[k + 1] / gaps[k] <= ratio**4 * (1 + tangents[0] ** 2)


def test_zero_weight_does_not_become_nan_and_recovers():
    module, x = layer("선형")
    kept = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.zero_()
    assert module(x).isfinite().all() and float(module.u.norm()) == pytest.approx(1)
    with torch.no_grad():
        module.weight.copy_(kept)
    sngan.converge_(module)
    assert top(module.normalised_weight())[1] == pytest.approx(1, abs=1e-3)


# ── 기울기 ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_is_the_papers_with_its_rank_one_term(name):
    module, x = layer(name)
    sngan.converge_(module, 300)
    module.eval()
    weights = module(x).detach() + torch.randn(module(x).shape).double()
    (got,) = torch.autograd.grad((module(x) * weights).sum(), module.weight)
    u, sigma, v, _ = top(module.weight)
    bar = (module.weight / sigma).detach().requires_grad_()
    plain = copy.deepcopy(module)
    plain.normalised_weight = lambda: bar
    (g,) = torch.autograd.grad((plain(x) * weights).sum(), bar)
    rank_one = (g * bar.detach()).sum() * torch.outer(u, v).reshape(g.shape)
    torch.testing.assert_close(got, (g - rank_one) / sigma)
    assert (rank_one / sigma).norm() > 0.05 * got.norm()  # 빼는 항이 하찮지 않습니다
    # W의 크기를 바꾸는 방향으로는 기울기가 없습니다: W̄은 cW에 대해 같습니다
    assert abs(float((got * module.weight.detach()).sum())) < 1e-9 * float(got.norm())


def test_gradient_equals_finite_differences_of_the_exact_ratio():
    """수렴한 u와 v를 상수로 보아도 W/σ(W)의 참 기울기와 같습니다(∂σ/∂W = uvᵀ)."""
    module, x = layer("선형", 1)
    sngan.converge_(module, 500)
    module.eval()

    def value(weight):
        return (x @ (weight / torch.linalg.matrix_norm(weight, 2)).T).sin().sum()

    (got,) = torch.autograd.grad((module(x) - module.bias).sin().sum(), module.weight)
    weight, h = module.weight.detach(), 1e-6
    for place in ((0, 0), (2, 3), (4, 6)):
        step = torch.zeros_like(weight)
        step[place] = h
        slope = (value(weight + step) - value(weight - step)) / (2 * h)
        assert float(got[place]) == pytest.approx(float(slope), rel=1e-5, abs=1e-8)


def test_two_training_forwards_before_one_backward():
    """판별자는 진짜와 가짜를 따로 본 뒤에 역전파합니다. 버퍼가 두 번 바뀌어도 기울기가 나옵니다."""
    module, x = layer("합성곱")
    out = module(x).sum() + module(2 * x).sum()
    module.eval()
    late = module(x).sum()
    module.train()
    module(x)
    (out + late).backward()
    assert module.weight.grad.isfinite().all()


# ── torch의 것과 견주기 ─────────────────────────────────────────────────────────────────────────


def torch_twin(module):
    """같은 가중치의 torch 층에 torch.nn.utils.parametrizations.spectral_norm을 씌운 것."""
    if isinstance(module, nn.Linear):
        twin = nn.Linear(module.in_features, module.out_features)
    else:
        sizes = module.in_channels, module.out_channels, module.kernel_size
        twin = nn.Conv2d(*sizes, module.stride, module.padding)
    twin = twin.double()
    twin.load_state_dict({"weight": module.weight, "bias": module.bias})
    twin = parametrizations.spectral_norm(twin, n_power_iterations=1)
    norm = twin.parametrizations.weight[0]
    matrix = module.weight.detach().flatten(1)
    with torch.no_grad():
        norm._u.copy_(module.u)
        norm._v.copy_(nn.functional.normalize(matrix.T @ module.u, dim=0))
    return twin, norm


@pytest.mark.parametrize("name", LAYERS)
def test_parity_with_torch_in_eval(name):
    """같은 u에서 출력과 기울기가 같습니다. 수렴하기 전에도 그렇습니다."""
    module, x = layer(name)
    twin, _ = torch_twin(module)
    module.eval(), twin.eval()
    torch.testing.assert_close(module(x), twin(x))
    weights = torch.randn(module(x).shape).double()
    (mine,) = torch.autograd.grad((module(x) * weights).sum(), module.weight)
    theirs = twin.parametrizations.weight.original
    (other,) = torch.autograd.grad((twin(x) * weights).sum(), theirs)
    torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("name", LAYERS)
def test_parity_with_torch_in_training(name):
    """u는 걸음마다 같습니다. torch의 σ는 v까지 고친 뒤의 것이라 우리의 k번째와 k + 1번째 사이입니다."""
    module, x = layer(name)
    twin, norm = torch_twin(module)
    mine, theirs = [], []
    for _ in range(5):
        mine.append(float(module.sigma().detach()))
        twin(x)
        torch.testing.assert_close(norm._u, module.u)
        theirs.append(float(norm._u @ module.weight.detach().flatten(1) @ norm._v))
    slack = 1e-12
    for k in range(4):
        assert mine[k] <= theirs[k] + slack and theirs[k] <= mine[k + 1] + slack
    assert mine[0] < mine[1] <= top(module.weight)[1] + slack
    sngan.converge_(module, 300)
    twin, _ = torch_twin(module)
    torch.testing.assert_close(module(x), twin(x))


# ── 립시츠 ──────────────────────────────────────────────────────────────────────────────────────


def slopes(net, x):
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(net(x).sum(), x)
    return g.flatten(1).norm(dim=1)


@pytest.mark.parametrize("seed", range(3))
def test_linear_layers_with_exact_sigma_give_a_1_lipschitz_net(seed):
    torch.manual_seed(seed)
    net = randomise_(sngan.sn_mlp(3, (16, 16), 1).double(), 3.0, seed)
    x = 3 * torch.randn(2000, 3).double()
    sngan.converge_(net, 400).eval()
    assert 0.005 < float(slopes(net, x).max()) <= 1 + 1e-6
    a, b = net(x[:1000]).detach(), net(x[1000:]).detach()
    assert float(((a - b).norm(dim=1) / (x[:1000] - x[1000:]).norm(dim=1)).max()) <= 1 + 1e-6
    bare = nn.Sequential(*[copy.deepcopy(m) for m in net])
    for module in bare:
        if isinstance(module, sngan.SNLinear):
            module.normalised_weight = lambda module=module: module.weight
    assert float(slopes(bare, x).max()) > 1.5  # 나누지 않으면 넘습니다


def test_the_bound_of_one_is_attained_when_the_layers_line_up():
    net = sngan.sn_mlp(2, (8, 8), 1).double()
    for module in net[::2]:
        nn.init.constant_(module.weight, 7.0), nn.init.zeros_(module.bias)
    sngan.converge_(net).eval()
    x = torch.rand(10, 2).double()
    torch.testing.assert_close(slopes(net, x), torch.ones(10).double())


# ── 합성곱의 참 노름 ────────────────────────────────────────────────────────────────────────────


def circular(weight):
    kh, kw = weight.shape[2:]

    def function(x):
        return conv2d(pad(x, (kw - 1, 0, kh - 1, 0), mode="circular"), weight)

    return function


def dense(function, shape):
    """선형 사상의 행렬: 단위벡터를 하나씩 넣어 만듭니다."""
    eye = torch.eye(math.prod(shape)).double()
    return torch.cat([function(row.reshape(1, *shape)).flatten()[None] for row in eye]).T


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 1)])
def test_true_norm_of_a_convolution_three_ways(kernel):
    torch.manual_seed(1)
    weight, shape = torch.randn(3, 2, *kernel).double(), (2, 6, 6)
    around = circular(weight)
    want = float(torch.linalg.matrix_norm(dense(around, shape), 2))
    assert sngan.circular_conv_norm(weight, 6) == pytest.approx(want, rel=1e-9)
    assert sngan.operator_norm(around, shape, steps=500) == pytest.approx(want, rel=1e-4)
    reshaped = top(weight)[1]
    assert 1 - 1e-9 <= want / reshaped <= math.sqrt(math.prod(kernel)) + 1e-9


def test_the_reshaped_kernel_misses_by_the_full_factor_for_a_blur():
    blur = torch.ones(1, 1, 3, 3).double() / 3  # 편 가중치의 σ = ‖·‖_F = 1
    assert top(blur)[1] == pytest.approx(1)
    assert sngan.circular_conv_norm(blur, 8) == pytest.approx(3)
    zero = sngan.operator_norm(lambda x: conv2d(x, blur, padding=1), (1, 8, 8))
    assert 2 < zero < 3  # 0으로 채우면 테두리에서 조금 작습니다


def test_operator_norm_ignores_the_bias_and_finds_zero():
    torch.manual_seed(0)
    plain = nn.Linear(6, 4).double()
    want = float(torch.linalg.matrix_norm(plain.weight.detach(), 2))
    assert sngan.operator_norm(plain, (6,), steps=500) == pytest.approx(want, rel=1e-6)
    assert sngan.operator_norm(plain, (6,), steps=3) <= want
    assert sngan.operator_norm(lambda x: 0 * x, (4,)) == 0


# ── 투영 판별자와 신경망 ────────────────────────────────────────────────────────────────────────


def test_projection_score_is_linear_in_the_embedding():
    torch.manual_seed(0)
    judge = sngan.ProjectionDiscriminator(sngan.sn_mlp(2, (8,)), 8, 3)
    judge = sngan.converge_(randomise_(judge.double()), 300).eval()
    x, y = torch.randn(5, 2).double(), torch.tensor([0, 1, 2, 2, 0])
    phi = judge.features(x)
    table = judge.embedding.weight / torch.linalg.matrix_norm(judge.embedding.weight, 2)
    want = judge(x) + (table[y] * phi).sum(1)
    torch.testing.assert_close(judge(x, y), want)
    same = torch.full((5,), 1)
    assert not torch.allclose(judge(x, y), judge(x, same))
    assert judge(x, y).shape == (5,)


@pytest.mark.parametrize("y", [torch.tensor([0, 3]), torch.tensor([0.0, 1.0]), torch.tensor([1])])
def test_bad_labels(y):
    gan = sngan.toy_sngan(2, (4,), classes=3)
    with pytest.raises(ValueError, match="정수"):
        gan.discriminator(torch.zeros(2, 2), y)
    with pytest.raises(ValueError, match="정수"):
        gan.generator(torch.zeros(2, 2), y)
    with pytest.raises(ValueError, match="레이블"):
        gan.generator(torch.zeros(2, 2))


NETS = {
    "2차원": (lambda: sngan.toy_sngan(3, (8,)), (2,), None),
    "2차원 조건부": (lambda: sngan.toy_sngan(3, (8,), classes=4), (2,), 4),
    "8×8": (lambda: sngan.sngan(8, width=4, latent_dim=5), (1, 8, 8), None),
    "28×28 조건부": (lambda: sngan.sngan(28, width=2, latent_dim=5, classes=10), (1, 28, 28), 10),
}


@pytest.mark.parametrize("name", NETS)
def test_every_weight_of_the_discriminator_is_normalised(name):
    build, shape, classes = NETS[name]
    torch.manual_seed(0)
    gan = build()
    kinds = (nn.Linear, nn.Conv2d, nn.Embedding)
    weights = [m for m in gan.discriminator.modules() if isinstance(m, kinds)]
    assert weights and all(isinstance(m, sngan.SpectralNorm) for m in weights)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in gan.discriminator.modules())
    bends = [m for m in gan.discriminator.modules() if isinstance(m, nn.LeakyReLU)]
    assert bends and all(
        m.negative_slope == 0.1 for m in bends
    )  # 기울기가 1을 넘으면 립시츠가 깨집니다
    assert not any(isinstance(m, sngan.SpectralNorm) for m in gan.generator.modules())
    gan.eval()
    y = None if classes is None else torch.arange(6) % classes
    x = gan.sample(6, y)
    assert x.shape == (6, *shape) and gan.discriminator(x, y).shape == (6,)
    if len(shape) == 3:
        assert x.abs().max() <= 1


def test_paper_network_has_the_parameters_counted_by_hand():
    judge = sngan.sngan(32, 3, 64, 3).discriminator
    channels = [(3, 64, 9), (64, 64, 16), (64, 128, 9), (128, 128, 16), (128, 256, 9)]
    channels += [(256, 256, 16), (256, 512, 9)]
    want = sum(a * b * k + b for a, b, k in channels) + 512 * 16 + 1
    assert sum(p.numel() for p in judge.parameters()) == want


@pytest.mark.parametrize("classes", [None, 3])
def test_training_moves_both_and_repeats_exactly(classes):
    def run():
        torch.manual_seed(0)
        gan = sngan.toy_sngan(2, (8,), classes=classes)
        start = copy.deepcopy(gan.state_dict())

        def batches(g):
            x = torch.randn(16, 2, generator=g)
            return x if classes is None else (x, (x[:, 0] > 0).long())

        training = fit_gan(gan, *players(losses.hinge), batches, steps=3, d_steps=2, seed=0)
        return gan, start, list(training)

    (gan, start, history), (other, *_) = run(), run()
    # 점수가 모두 (−1, 1) 안이면 힌지는 진짜와 가짜의 차이뿐이라 마지막 편향의 기울기는 0입니다
    last = "discriminator.net.2.bias" if classes is None else "discriminator.score.bias"
    for key, value in gan.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
        fixed = (last, last.replace("bias", "u"))  # 출력이 하나인 층의 u는 ±1뿐입니다
        assert not torch.equal(value, start[key]) or key in fixed, key
    assert all(math.isfinite(h["d_loss"]) for h in history)


def test_bad_input():
    with pytest.raises(ValueError, match="반으로"):
        sngan.sngan(9)
    with pytest.raises(ValueError, match="steps"):
        sngan.converge_(nn.Linear(2, 2), 0)
    with pytest.raises(ValueError, match="커널"):
        sngan.circular_conv_norm(torch.zeros(1, 1, 5, 5), 4)
