"""소리의 손실: 파워는 위상을 보지 않고, 지각은 특징을 보고, 대조는 조건을 무시하는 학생을 벌합니다."""

import math

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.datasets.vowels import make_vowels
from course_lib.parallel_wavenet.audio_losses import (
    Distillation,
    Listener,
    contrastive_loss,
    gram,
    log_power_loss,
    mismatched,
    perceptual_loss,
    power_loss,
)
from course_lib.parallel_wavenet.distillation import fingerprint, gaussian_kl
from course_lib.parallel_wavenet.student import ParallelWaveNet, Sampled
from course_lib.training import fit

T = 600


class ToyTeacher(nn.Module):
    """WaveNet과 인터페이스가 같은 교사: x_t | x_<t ~ N(μ, σ²), μ와 log σ는 앞의 표본 둘과 클래스의 선형 함수."""

    def __init__(self, classes=3):
        super().__init__()
        self.conv, self.embedding = nn.Conv1d(1, 2, 2), nn.Embedding(classes, 2)

    def parameters_at(self, x, y=None):
        past = nn.functional.pad(x, (2, -1))[:, None]
        out = self.conv(past) + (0 if y is None else self.embedding(y)[:, :, None])
        return torch.stack([out[:, 0], 0.2 * out[:, 1].tanh() - 2], 1)

    def log_prob_given(self, parameters, v):
        mean, log_sd = parameters.unbind(1)
        u = (v - mean) * (-log_sd).exp()
        return -0.5 * u.square() - log_sd - 0.5 * math.log(2 * math.pi)


def pair(base="gaussian", seed=0, **options):
    torch.manual_seed(seed)
    teacher = randomise_(ToyTeacher().double(), 0.5, seed)
    student = ParallelWaveNet(T, layers=(2, 2), channels=6, base=base, classes=3, **options)
    return randomise_(student.double(), 0.3, seed + 1), teacher


def vowels(n=6, f0=(120.0, 120.0), length=2048, seed=0):
    return make_vowels(n, length, f0=f0, generator=torch.Generator().manual_seed(seed))


def test_power_loss_is_zero_for_equal_sounds_and_blind_to_sign_and_phase():
    made = vowels(40)
    x = made.x[:1]
    same = made.x[1:][made.vowel[1:] == made.vowel[0]]
    other = made.x[1:][made.vowel[1:] != made.vowel[0]]
    for options in ({}, {"power": 2.0, "average": True}, {"average": True}):
        assert power_loss(x, x, **options).item() == 0
        torch.testing.assert_close(power_loss(-same, same, **options), torch.zeros(len(same)))
        phase = power_loss(x.expand_as(same), same, **options)  # 시작하는 순간만 다릅니다
        timbre = power_loss(x.expand_as(other), other, **options)
        assert phase.max() < 0.8 * timbre.min() and phase.max() < 0.15 * timbre.median()
        # 둘을 함께 키워도 값이 같습니다
        torch.testing.assert_close(power_loss(3 * x, 3 * same[:1], **options), phase[:1])
    assert power_loss(0.5 * x, x).item() == pytest.approx(0.25, rel=1e-4)
    assert power_loss(0 * x, x).item() == pytest.approx(1)  # 침묵의 벌
    assert power_loss(x, 0 * x).isfinite().all()


def test_power_loss_in_time_sees_when_and_the_average_does_not():
    sound = torch.zeros(1, 4096)
    sound[:, 512:1536] = vowels(1, length=1024).x
    late = sound.roll(2048, 1)
    assert power_loss(sound, late).item() > 1
    assert power_loss(sound, late, average=True).item() < 0.02


def test_log_power_loss_weighs_quiet_as_loud_down_to_its_floor():
    x = torch.randn(4, 2048, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert log_power_loss(x, -x).abs().max() == 0
    for size in (1.0, 0.2):  # 크기와 무관하게 배수의 로그만 봅니다
        torch.testing.assert_close(
            log_power_loss(size * x, 3 * size * x),
            torch.full((4,), math.log(3), dtype=x.dtype),
            atol=2e-3, rtol=0,
        )  # fmt: skip
    # 바닥과 같은 크기의 잡음: |X|²/ε² ~ Exp(1)이므로 E ½ log(1 + |X|²/ε²) = ½ e E₁(1) = 0.298
    for floor in (0.01, 0.5):
        noise = log_power_loss(floor * x, 0 * x, floor=floor)
        assert noise.mean().item() == pytest.approx(0.298, abs=0.02)
    with pytest.raises(ValueError, match="모양"):
        log_power_loss(x, x[:, 1:])


def test_balanced_divergence_moves_the_mean_by_its_own_error_at_every_step():
    generator = torch.Generator().manual_seed(0)
    mean, log_sd = torch.randn(2, 3, T, generator=generator, dtype=torch.float64)
    log_sd = 2 * log_sd - 2  # σ가 e^±4배까지 다릅니다
    mu, log_s = torch.randn(2, 3, T, generator=generator, dtype=torch.float64).requires_grad_()

    class Given(nn.Module):
        def parameters_at(self, x, y=None):
            return torch.stack([mean, log_sd], 1)

    student, _ = pair()
    sampled = Sampled(mu, mu, log_s, mu.sum(1))
    slopes = {}
    for balanced in (False, True):
        loss = Distillation(Given(), balanced=balanced, floor=-30.0)
        kl, pull = loss.divergence(student, sampled, None)
        slopes[balanced] = torch.autograd.grad(kl.sum(), mu, retain_graph=True)[0] * T
        (pulled,) = torch.autograd.grad(pull.sum(), log_s)
        want = 8 * (log_s - log_sd) / T
        if balanced:
            want = want * (2 * log_sd).exp() / (2 * log_sd).exp().mean()
        torch.testing.assert_close(pulled, want.detach())
    torch.testing.assert_close(slopes[False], ((mu - mean) * (-2 * log_sd).exp()).detach())
    even = (mu - mean).detach() / (2 * log_sd).exp().mean()
    torch.testing.assert_close(slopes[True], even)
    with pytest.raises(ValueError, match="closed_form"):
        Distillation(Given(), balanced=True, closed_form=False)


def test_losses_have_finite_gradients_that_lower_them():
    listener = Listener().eval()
    for loss in (power_loss, log_power_loss, lambda a, b: perceptual_loss(listener.features, a, b)):
        y = vowels(2).x
        x = (
            0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
        ).requires_grad_()
        value = loss(x, y).sum()
        (slope,) = torch.autograd.grad(value, x)
        assert slope.isfinite().all() and slope.abs().max() > 0
        assert loss((x - 1e-3 * slope / slope.norm()).detach(), y).sum() < value


def test_style_forgets_when_and_feature_does_not():
    torch.manual_seed(0)
    feature = torch.randn(2, 3, 4, 9)
    want = torch.einsum("bim,bjm->bij", feature.flatten(1, 2), feature.flatten(1, 2)) / 9
    torch.testing.assert_close(gram(feature), want)
    shuffled = feature[..., torch.randperm(9)]
    torch.testing.assert_close(gram(feature), gram(shuffled))

    def reverse(x):  # 한 표본이 한 시각인 특징
        return [torch.stack([x, x.square()], 1)]

    x = torch.randn(2, 50)
    back = x.flip(1)
    assert perceptual_loss(reverse, back, x).max() < 1e-10
    assert perceptual_loss(reverse, back, x, kind="feature").min() > 0.5
    assert perceptual_loss(reverse, x, x).max() == 0
    with pytest.raises(ValueError, match="style"):
        perceptual_loss(reverse, x, x, kind="gram")


def test_perceptual_target_gets_no_gradient():
    scale = torch.ones((), requires_grad=True)

    def features(v):
        return [scale * v[:, None]]

    x, y = torch.randn(1, 8, requires_grad=True), torch.randn(1, 8, requires_grad=True)
    perceptual_loss(features, x, y, kind="feature").sum().backward()
    assert x.grad is not None and y.grad is None
    wrong = 2 * ((x - y) * x).sum() / y.square().sum()
    assert scale.grad.item() == pytest.approx(wrong.item(), rel=1e-5)


def test_contrastive_sign_and_bounds():
    same, other = torch.tensor([2.0, 2.0]), torch.tensor([2.0, 8.0])
    value = contrastive_loss(same, other)
    assert value.tolist() == pytest.approx([1.4, -0.4])  # 조건이 다르게 들릴수록 손실이 작습니다
    assert torch.equal(contrastive_loss(same, other, 0.0), same)
    for gamma in (-0.1, 1.0):
        with pytest.raises(ValueError, match="γ"):
            contrastive_loss(same, other, gamma)


def test_mismatched_changes_every_row_of_every_part():
    frames, y = torch.randn(4, 2, 3), torch.arange(4)
    assert mismatched(y).tolist() == [3, 0, 1, 2]
    a, b = mismatched((frames, y))
    assert torch.equal(a[1], frames[0]) and b.tolist() == [3, 0, 1, 2]
    for wrong in (None, torch.arange(1)):
        with pytest.raises(ValueError, match="둘 이상"):
            mismatched(wrong)


def test_closed_form_equals_the_sampled_cross_entropy_minus_entropy():
    student, teacher = pair()
    y = torch.tensor([0, 1])
    noise = student.noise((2, T), torch.Generator().manual_seed(0))
    with torch.no_grad():
        sampled = student.rsample_and_parameters(2, T, y, noise=noise)
        exact, pull = Distillation(teacher).divergence(student, sampled, y)
        torch.manual_seed(1)
        rough = Distillation(teacher, closed_form=False, samples=400).divergence(student, sampled, y)[0]  # fmt: skip
    torch.testing.assert_close(exact, rough, atol=0.02, rtol=0.01)
    assert exact.min() > 0.1
    # 기울기도 같습니다: 학생에게 가는 길(교사의 매개변수와 다시 뽑은 값)이 하나라도 끊기면 달라집니다
    bias = student.flows[-1].last[-1].bias
    slopes = []
    for loss in (Distillation(teacher, regularise=0.0), Distillation(teacher, closed_form=False, samples=400)):  # fmt: skip
        sampled = student.rsample_and_parameters(2, T, y, noise=noise)
        slopes.append(torch.autograd.grad(loss.divergence(student, sampled, y)[0].sum(), bias)[0])
    torch.testing.assert_close(*slopes, rtol=0.05, atol=0.1)
    # 학생을 교사의 조건부 분포에 정확히 놓으면 0
    mean, log_sd = teacher.parameters_at(sampled.x, y).unbind(1)
    same = sampled._replace(mu=mean, log_s=log_sd)
    for zero in Distillation(teacher).divergence(student, same, y):
        torch.testing.assert_close(zero, torch.zeros_like(zero))
    gap = teacher.parameters_at(sampled.x, y)[:, 1] - sampled.log_s
    torch.testing.assert_close(pull, 4 * gap.square().mean(1))


def test_contrastive_distillation_matches_its_formula_and_adds_the_parts():
    student, teacher = pair()
    x, y = vowels(3, length=T).x.double(), torch.tensor([0, 1, 2])
    listener = Listener(3).double().eval()
    loss = Distillation(
        teacher,
        kl=0.5,
        power=2.0,
        log_power=0.7,
        perceptual=3.0,
        contrastive=0.3,
        features=listener.features,
        regularise=0.0,
    )
    torch.manual_seed(0)
    terms = loss.parts(student, x, y)
    torch.manual_seed(0)
    sampled = student.rsample_and_parameters(3, T, y)
    kl, other = (
        gaussian_kl(
            sampled.mu, sampled.log_s, *teacher.parameters_at(sampled.x, c).unbind(1), regularise=0.0
        ).mean()
        for c in (y, y.roll(1, 0))
    )  # fmt: skip
    torch.testing.assert_close(terms["KL"], kl)
    torch.testing.assert_close(terms["다른 조건의 KL"], other)
    want = 0.5 * (kl - 0.3 * other) + 2 * terms["파워"] + 3 * terms["지각"]
    want = want + 0.7 * terms["로그 파워"]
    torch.testing.assert_close(terms["합"], want)
    torch.testing.assert_close(terms["파워"], power_loss(sampled.x, x).mean())
    torch.testing.assert_close(terms["로그 파워"], log_power_loss(sampled.x, x).mean())
    entropy = sampled.log_s.mean() + 0.5 * math.log(2 * math.pi * math.e)
    torch.testing.assert_close(terms["엔트로피"], entropy)
    torch.testing.assert_close(terms["교차 엔트로피"] - terms["엔트로피"], terms["KL"])
    nats_only = Distillation(teacher, entropy=0.0, regularise=0.0)
    torch.manual_seed(0)
    terms = nats_only.parts(student, x, y)
    torch.testing.assert_close(terms["합"], terms["교차 엔트로피"])
    away = Distillation(teacher, contrastive=0.3, mismatch=lambda y: y, regularise=0.0)
    torch.manual_seed(0)
    torch.testing.assert_close(away.parts(student, x, y)["합"], 0.7 * kl)


@pytest.mark.parametrize("base", ["gaussian", "logistic"])
def test_distillation_lowers_the_kl_and_leaves_the_teacher_bit_for_bit(base):
    torch.manual_seed(0)
    teacher = ToyTeacher()
    with torch.no_grad():  # 발산하지 않는 교사
        for p in teacher.parameters():
            p.mul_(0.3)
    student = ParallelWaveNet(64, layers=(2,), channels=8, base=base, classes=3)
    before = fingerprint(teacher)
    loss = Distillation(teacher, closed_form=base == "gaussian", regularise=0.0)
    x = torch.zeros(8, 64)

    def batches(generator):
        return x, torch.randint(3, (8,), generator=generator)

    values = [m["loss"] for m in fit(student, loss, batches, steps=80, lr=2e-2)]
    assert sum(values[-10:]) < 0.2 * sum(values[:10])
    assert fingerprint(teacher) == before
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert set(loss.last) == {"교차 엔트로피", "엔트로피", "KL", "합"}


def test_gradients_pass_through_the_teacher_to_the_sound():
    student, teacher = pair()
    y = torch.tensor([0, 1])
    sampled = student.rsample_and_parameters(2, T, y)
    x = sampled.x.detach().requires_grad_()
    still = sampled._replace(x=x, mu=sampled.mu.detach(), log_s=sampled.log_s.detach())
    Distillation(teacher).divergence(student, still, y)[0].sum().backward()
    assert x.grad.abs().max() > 0


def test_listener_learns_vowels_and_gives_maps_in_time():
    torch.manual_seed(0)
    listener = Listener()
    maps = listener.features(torch.randn(2, 2048))
    assert [tuple(m.shape) for m in maps] == [(2, 12, 20, 17), (2, 24, 10, 17), (2, 24, 5, 17)]

    def batches(generator):
        made = make_vowels(32, 1024, generator=generator)
        return made.x, made.vowel

    def loss(model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    for _ in fit(listener, loss, batches, steps=40, lr=5e-3):
        pass
    made = vowels(100, (100.0, 220.0), 1024, 9)
    with torch.no_grad():
        assert (listener(made.x).argmax(1) == made.vowel).double().mean() > 0.9


def test_bad_input_gets_one_clear_error():
    x = torch.randn(2, 600)
    for a, b in ((x, x[:1]), (x[0], x[0]), (x[:0], x[:0])):
        with pytest.raises(ValueError, match="모양이 같은"):
            power_loss(a, b)
    with pytest.raises(ValueError, match="features"):
        Distillation(ToyTeacher(), perceptual=1.0)
