"""학생: 인과성, 닫힌 식, 한 번의 밀도 = 차례로 푼 밀도 = 자동미분, 신경망의 횟수, 조건."""

import math

import pytest
import torch
from torch.distributions import Normal

from course_lib.base import Logistic
from course_lib.checks import check_flow, dependency, randomise_
from course_lib.parallel_wavenet.student import CausalFlow, ParallelWaveNet, stretch

T, HOP = 14, 4
CONDITIONS = {
    "없음": ({}, lambda n: None),
    "클래스": ({"classes": 3}, lambda n: torch.arange(n) % 3),
    "프레임": ({"local": 2, "hop": HOP}, lambda n: frames(n)),
    "둘 다": ({"classes": 3, "local": 2, "hop": HOP}, lambda n: (frames(n), torch.arange(n) % 3)),
}


def frames(n, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, 4, generator=generator, dtype=torch.float64)


def student(base="logistic", seed=0, **options):
    torch.manual_seed(seed)
    settings = {"layers": (2, 3), "channels": 5, "cycle": 2} | options
    model = ParallelWaveNet(T, base=base, **settings)
    return randomise_(model.double().eval(), 0.7, seed)


def noise(n=4, seed=1):
    return student().noise((n, T), torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("kernel", [2, 3])
def test_each_flow_is_invertible_with_the_jacobian_of_its_log_det(kernel):
    torch.manual_seed(0)
    report = check_flow(CausalFlow(3, kernel, 4, cycle=2), (9,), scale=0.7)
    assert report.moved > 0.1


@pytest.mark.parametrize("condition", CONDITIONS)
def test_mu_and_scale_look_only_at_past_noise_and_as_far_as_they_say(condition):
    options, make = CONDITIONS[condition]
    model = student(**options)
    one = make(1)
    past = torch.arange(T)[:, None] > torch.arange(T)
    for part in (1, 2):  # μ_tot와 log s_tot
        seen = dependency(lambda z, part=part: model.transform(z, one)[part], (T,), draws=3)
        assert torch.equal(seen, past)  # 층의 합이 T보다 멀리 봅니다
    seen = dependency(lambda z: model.transform(z, one)[0], (T,), draws=3)
    assert torch.equal(seen, past | torch.eye(T, dtype=torch.bool))
    short = student(layers=(1, 1), kernel=2, cycle=1)
    assert short.receptive_field == 5 and model.receptive_field == 1 + (1 + 6) + (1 + 8)
    seen = dependency(lambda z: short.transform(z)[0], (T,), draws=3)
    gap = torch.arange(T)[:, None] - torch.arange(T)
    assert torch.equal(seen, (gap >= 0) & (gap < 5))


@pytest.mark.parametrize("base", ["logistic", "gaussian"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_one_pass_density_is_the_sequential_one_and_autograd(base, condition):
    options, make = CONDITIONS[condition]
    model, z, y = student(base, **options), noise(), make(4)
    out = model.rsample_and_parameters(4, y=y, noise=z)
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(out.x, y), out.log_prob)
    law = Logistic if base == "logistic" else Normal
    zero, one = torch.zeros(T, dtype=torch.float64), torch.ones(T, dtype=torch.float64)
    for i in range(2):
        row = y[i : i + 1] if isinstance(y, torch.Tensor) else y and tuple(v[i : i + 1] for v in y)
        jacobian = torch.autograd.functional.jacobian(
            lambda v, row=row: model.transform(v[None], row)[0][0], z[i]
        )
        change = law(zero, one).log_prob(z[i]).sum() - torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(out.log_prob[i], change)
        # 조건부 분포의 곱으로 읽어도 같습니다: x_t ~ p(μ_tot, s_tot)
        terms = law(out.mu[i], out.log_s[i].exp()).log_prob(out.x[i]).sum()
        torch.testing.assert_close(out.log_prob[i], terms)


def test_total_location_and_scale_equal_the_flows_one_by_one():
    model, z = student(layers=(2, 1, 2)), noise()
    x, mu, log_s = model.transform(z)
    h, scales, shifts = z, [], []
    for flow in model.flows:
        m, a = flow.parameters_at(h)
        h = flow(h)[0]
        scales.append(a.exp())
        shifts.append(m)
    torch.testing.assert_close(h, x)
    torch.testing.assert_close(scales[0] * scales[1] * scales[2], log_s.exp())
    total = shifts[0] * scales[1] * scales[2] + shifts[1] * scales[2] + shifts[2]
    torch.testing.assert_close(mu, total)
    torch.testing.assert_close(x, log_s.exp() * z + mu)
    assert (mu.abs() > 0.1).any() and log_s.std() > 0.05


def test_generation_takes_one_pass_per_flow_whatever_the_length(monkeypatch):
    model = student(layers=(1, 1, 1))
    calls = []
    plain = CausalFlow.parameters_at
    monkeypatch.setattr(
        CausalFlow, "parameters_at", lambda self, *a: (calls.append(1), plain(self, *a))[1]
    )
    for length in (5, 500):
        calls.clear()
        assert model.generate(2, length).shape == (2, length)
        assert len(calls) == model.passes == 3
    calls.clear()
    with torch.no_grad():
        model.log_prob(noise())
    assert len(calls) == 3 * T


def test_starts_quiet_and_centred_and_temperature_scales_the_noise():
    for base, spread in (("logistic", math.pi / math.sqrt(3)), ("gaussian", 1.0)):
        torch.manual_seed(0)
        model = ParallelWaveNet(600, layers=(3, 3), channels=16, base=base)
        out = model.rsample_and_parameters(20)
        scale = out.log_s.exp().detach()
        assert scale.min() > 0.03 and scale.max() < 0.08
        assert out.mu.detach().abs().max() < 0.1
        assert out.x.detach().std().item() == pytest.approx(0.05 * spread, rel=0.2)
    model = student()
    z = noise()
    cold = model.generate(4, T, temperature=0.0, noise=z)
    assert torch.equal(cold, cold[:1].expand_as(cold))
    torch.testing.assert_close(
        model.generate(4, T, temperature=0.5, noise=z), model.transform(0.5 * z)[0].detach()
    )


def test_base_noise_has_the_density_it_is_scored_with():
    for base in ("logistic", "gaussian"):
        model = student(base)
        z = model.noise((1, 40_000), torch.Generator().manual_seed(0))
        law = Logistic if base == "logistic" else Normal
        want = law(torch.zeros(()).double(), torch.ones(()).double())
        torch.testing.assert_close(model.base_log_prob(z), want.log_prob(z))
        entropy = 2.0 if base == "logistic" else 0.5 * math.log(2 * math.pi * math.e)
        assert -model.base_log_prob(z).mean().item() == pytest.approx(entropy, abs=0.03)
        again = model.noise((1, 40_000), torch.Generator().manual_seed(0))
        assert torch.equal(z, again)


@pytest.mark.parametrize("condition", [k for k in CONDITIONS if k != "없음"])
def test_conditions_reach_the_sound_and_rows_stay_apart(condition):
    options, make = CONDITIONS[condition]
    model, z, y = student(**options), noise(), make(4)
    x = model.generate(4, T, y, noise=z)
    rows = [
        model.generate(1, T, tuple(v[i : i + 1] for v in y) if isinstance(y, tuple) else y[i : i + 1], noise=z[i : i + 1])
        for i in range(4)
    ]  # fmt: skip
    torch.testing.assert_close(x, torch.cat(rows))
    change = {
        "클래스": lambda: (y + 1) % 3,
        "프레임": lambda: -y,
        "둘 다": lambda: (y[0], (y[1] + 1) % 3),
    }
    other = change[condition]()
    assert ((model.generate(4, T, other, noise=z) - x).abs().amax(1) > 1e-3).all()
    assert x.shape == model.sample(4, y).shape


def test_stretch_puts_frames_at_their_times_and_joins_them_by_lines():
    ramp = torch.tensor([[[0.0, 4.0, 2.0]]])
    got = stretch(ramp, 4, 11)[0, 0]
    assert got.tolist() == [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 2, 2]
    assert torch.equal(stretch(ramp, 4, 6)[0, 0], got[:6])
    assert stretch(ramp[..., 1:2], 4, 5).tolist() == [[[4.0] * 5]]
    assert torch.equal(stretch(ramp, 1, 2), ramp[..., :2])


def test_same_seed_gives_the_same_sound_and_gradients_reach_every_weight():
    model = student("gaussian", classes=3)
    y = torch.tensor([0, 2])
    draws = [model.generate(2, T, y, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws)
    out = model.rsample_and_parameters(2, T, y)
    (out.x.square().sum() + out.log_prob.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_bad_input_gets_one_clear_error():
    with pytest.raises(ValueError, match="1 이상"):
        ParallelWaveNet(8, layers=())
    with pytest.raises(ValueError, match="logistic"):
        ParallelWaveNet(8, base="laplace")
    with pytest.raises(ValueError, match="함께"):
        ParallelWaveNet(8, local=3)
    model = student(classes=3, local=2, hop=HOP)
    ok = (frames(2), torch.tensor([0, 1]))
    for y in (None, ok[0], ok[1]):
        with pytest.raises(ValueError, match="프레임과 클래스"):
            model.generate(2, T, y)
    with pytest.raises(ValueError, match="M ≥ 4"):
        model.generate(2, T, (ok[0][..., :3], ok[1]))
    with pytest.raises(ValueError, match="0부터 2까지"):
        model.generate(2, T, (ok[0], torch.tensor([0, 3])))
    plain = student()
    with pytest.raises(ValueError, match="조건은 없음"):
        plain.generate(2, T, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="온도"):
        plain.generate(2, T, temperature=-1.0)
    with pytest.raises(ValueError, match="수를 맞추세요"):
        plain.generate(2, T, noise=noise(3))
    with pytest.raises(ValueError, match="NaN"):
        plain.log_prob(torch.full((1, T), float("nan")).double())
    with pytest.raises(ValueError, match="1 이상"):
        plain.generate(0, T)
