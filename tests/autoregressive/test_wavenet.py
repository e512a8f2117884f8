"""WaveNet: 인과성, 수용 영역, 정규화, 캐시 = 처음부터 다시, 조건, μ-law."""

import itertools
import math

import pytest
import torch

from course_lib.autoregressive.wavenet import (
    CachedSteps,
    WaveNet,
    decode,
    encode,
    inverse_mu_law,
    mu_law,
    quantise_linear,
    quantise_mu_law,
)
from course_lib.checks import check_autoregressive, check_normalised, randomise_

OUTPUTS = WaveNet.OUTPUTS
# 조건의 종류: (모델의 설정, y를 만드는 함수)
CONDITIONS = {
    "없음": ({}, lambda n: None),
    "전역": ({"classes": 3}, lambda n: torch.arange(n) % 3),
    "지역": ({"local": 2, "hop": 8}, lambda n: frames(n, 40)),
    "표본마다": ({"local": 2, "hop": 1}, lambda n: frames(n, 320)),
    "둘 다": ({"local": 2, "hop": 8, "classes": 3}, lambda n: (frames(n, 40), torch.arange(n) % 3)),
}


def frames(n: int, count: int):
    generator = torch.Generator().manual_seed(n + count)
    return torch.randn(n, 2, count, generator=generator, dtype=torch.float64)


def build(output="gaussian", kernel=2, condition="없음", **kwargs) -> WaveNet:
    torch.manual_seed(0)
    settings = {"stacks": 2, "layers": 3, "channels": 5, "skip": 4, "mixtures": 3} | kwargs
    model = WaveNet(64, kernel=kernel, output=output, **CONDITIONS[condition][0], **settings)
    return randomise_(model.double().eval())


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kernel", [2, 3])
def test_output_t_sees_exactly_the_receptive_field_before_it(output, kernel):
    model = build(output, kernel, layers=2)
    far = 1 + (kernel - 1) * 2 * (1 + 2)
    assert model.receptive_field == far
    steps = far + 4
    report = check_autoregressive(
        model, lambda m, v: m.parameters_at(v.tanh()).sum(1), (steps,), unseen=None
    )
    ago = torch.arange(steps)[:, None] - torch.arange(steps)
    assert torch.equal(report.support, (ago >= 1) & (ago <= far))


@pytest.mark.parametrize("condition", ["전역", "지역", "표본마다", "둘 다"])
def test_conditions_reach_the_output_and_leave_it_causal(condition):
    model, y = build(condition=condition, layers=2), CONDITIONS[condition][1](1)
    check_autoregressive(model, lambda m, v: m.parameters_at(v, y).sum(1), (9,), unseen=1)
    parts = y if isinstance(y, tuple) else (y,)
    x = torch.randn(1, 9, dtype=torch.float64)
    for part in parts:  # 조건의 하나하나가 출력을 바꿉니다
        other = tuple(1 - p if p is part else p for p in parts)
        other = other if len(parts) == 2 else other[0]
        moved = (model.parameters_at(x, other) - model.parameters_at(x, y)).abs().amax(1)
        assert (moved > 1e-4).all()


def test_frames_stand_at_multiples_of_the_hop_with_straight_lines_between():
    model = build(condition="지역")
    y = frames(1, 6)
    table = model._condition_table(y, 1, 41)
    up = model._condition(table, 2, 0, 41)[0]
    at = table[0, :, 2 * 2 * 5 : 3 * 2 * 5]
    torch.testing.assert_close(up[::8], at[:6])
    torch.testing.assert_close(up[4::8], (at[:5] + at[1:6]) / 2)
    for start, count in ((0, 41), (3, 7), (8, 1), (15, 20)):
        torch.testing.assert_close(
            model._condition(table, 2, start, count)[0], up[start : start + count]
        )


def test_padding_is_the_past_of_a_signal_that_had_not_begun():
    # 앞에 붙은 0은 소리가 아니라 '아직 없음'이므로, 신호 앞에 진짜 0을 붙인 것과는 다릅니다
    model, x = build(), torch.randn(1, 60, dtype=torch.float64)
    later = torch.cat([torch.zeros(1, 40, dtype=torch.float64), x], 1)
    away = (model.parameters_at(later)[..., 40:] - model.parameters_at(x)).abs().amax((0, 1))
    assert (away[: model.receptive_field - 1] > 1e-9).any()
    assert (away[model.receptive_field :] < 1e-12).all()


@pytest.mark.parametrize("output", ["categorical", "logistic_mixture"])
def test_probabilities_of_all_signals_sum_to_one_and_samples_follow_them(output):
    model = build(output, levels=3)
    values = decode(torch.arange(3), 3, torch.float64)
    if output == "categorical":
        values = inverse_mu_law(values, 2)
    signals = torch.tensor(list(itertools.product(values.tolist(), repeat=4)), dtype=torch.float64)
    p = model.log_prob(signals).exp().detach()
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)

    drawn = model.generate(40_000, 4, generator=torch.Generator().manual_seed(1))
    nearest = (drawn[:, :, None] - values).abs()
    assert float(nearest.amin(2).max()) < 1e-12
    code = nearest.argmin(2) @ torch.tensor([27, 9, 3, 1])
    share = torch.bincount(code, minlength=81) / len(drawn)
    assert float(((share - p) / (p * (1 - p) / len(drawn)).sqrt()).abs().max()) < 5


@pytest.mark.parametrize("output", OUTPUTS)
def test_each_conditional_is_normalised_even_at_the_edges(output):
    model = build(output, levels=256 if output != "gaussian" else None)
    torch.manual_seed(3)
    raw = 3 * torch.randn(
        6, model.outputs, 1, dtype=torch.float64
    )  # 평균이 [−1, 1] 밖인 것도 있습니다
    parameters = model._constrain(raw.clamp(max=2) if output == "gaussian" else raw)
    if output == "gaussian":
        grid = torch.linspace(-60, 60, 2_000_001, dtype=torch.float64)
        step = float(grid[1] - grid[0])
        rows = [model.log_prob_given(q[None], grid[:, None, None]) for q in parameters]
        total = torch.stack([row.exp().sum() for row in rows]) * step
    else:
        values = decode(torch.arange(256), 256, torch.float64)
        values = inverse_mu_law(values) if output == "categorical" else values
        total = (
            model.log_prob_given(parameters, values[:, None, None].expand(-1, 6, 1)).exp().sum(0)
        )
    torch.testing.assert_close(total.flatten(), torch.ones(6, dtype=torch.float64))


def test_gaussian_density_integrates_to_one():
    model = build()
    model.event_shape = torch.Size([2])
    check_normalised(model, box=(-12.0, 12.0), points=300)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(
    ("output", "kernel"), [("gaussian", 2), ("gaussian", 4), ("categorical", 3)]
)
def test_one_step_at_a_time_equals_all_at_once(output, kernel, condition):
    model = build(output, kernel, condition)
    y = CONDITIONS[condition][1](2)
    x = model.quantise(torch.rand(2, 150, dtype=torch.float64) * 2 - 1)  # chunk 64를 두 번 넘습니다
    steps = CachedSteps(model, 2, 150, y)
    previous = torch.zeros(2, 1, dtype=torch.float64)
    found = []
    with torch.inference_mode():
        for column in x.split(1, 1):
            found.append(model._constrain(steps(previous)))
            previous = model._as_input(column)
    torch.testing.assert_close(torch.stack(found, 2), model.parameters_at(x, y), rtol=0, atol=1e-10)


@pytest.mark.parametrize("output", OUTPUTS)
def test_cached_and_naive_generation_agree_on_the_same_noise(output):
    model, y = build(output, 3, "둘 다", layers=2), CONDITIONS["둘 다"][1](2)
    noise = model.draw_noise(2, 80, torch.Generator().manual_seed(0))
    fast = model.generate(2, 80, y, noise=noise)
    slow = model.generate_naively(2, 80, y, noise=noise)
    if output == "gaussian":
        assert float((fast - slow).abs().max()) <= 1e-10
        # 생성은 밀도의 역: 표본을 표준화하면 넣은 잡음이 나옵니다
        mean, log_sd = model.parameters_at(fast, y).unbind(1)
        torch.testing.assert_close((fast - mean) / log_sd.exp(), noise)
    else:
        assert torch.equal(fast, slow) and len(fast.unique()) > 3
    with_prompt = model.generate(2, 80, y, noise=noise, prompt=fast[:, :30])
    torch.testing.assert_close(with_prompt, fast)
    other = model.generate(2, 80, y, noise=noise, prompt=-fast[:, :30])
    torch.testing.assert_close(other[:, :30], model.quantise(-fast[:, :30]))
    assert float((other[:, 30:] - fast[:, 30:]).abs().max()) > 1e-3


def test_density_takes_one_pass_and_generation_one_step_a_sample():
    model = build()
    count = []
    model.head.register_forward_hook(lambda module, args, out: count.append(out.shape[:-1]))
    model.log_prob(torch.zeros(2, 50, dtype=torch.float64))
    assert count == [(2, 50)]
    count.clear()
    model.generate(2, 50)
    assert count == [(2,)] * 50
    made = model.sample(3)
    assert made.shape == (3, 64)
    model.log_prob(made).sum().backward()  # 만든 소리로 곧바로 학습할 수 있습니다


def test_rows_of_a_batch_are_independent_and_nothing_is_changed():
    model, y = build(condition="둘 다"), CONDITIONS["둘 다"][1](3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randn(3, 70, dtype=torch.float64)
    whole = model.log_prob(x, y)
    rows = [model.log_prob(x[i : i + 1], (y[0][i : i + 1], y[1][i : i + 1])) for i in range(3)]
    torch.testing.assert_close(whole, torch.cat(rows))
    torch.testing.assert_close(whole, model.log_prob_steps(x, y).sum(1))
    noise = model.draw_noise(3, 70)
    made = model.generate(3, 70, y, noise=noise)
    one = model.generate(1, 70, (y[0][1:2], y[1][1:2]), noise=noise[1:2])
    torch.testing.assert_close(made[1:2], one)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("output", OUTPUTS)
def test_many_values_are_scored_without_another_pass(output):
    model = build(output)
    x = torch.rand(2, 12, dtype=torch.float64) * 2 - 1
    parameters = model.parameters_at(x)
    values = torch.rand(4, 3, 2, 12, dtype=torch.float64) * 2 - 1
    scores = model.log_prob_given(parameters, values)
    assert scores.shape == (4, 3, 2, 12)
    torch.testing.assert_close(scores[2, 1], model.log_prob_given(parameters, values[2, 1]))
    assert values.requires_grad_() is values  # gaussian과 혼합은 값으로도 기울기가 흐릅니다
    if output == "gaussian":
        (grad,) = torch.autograd.grad(model.log_prob_given(parameters, values).sum(), values)
        assert bool((grad != 0).all())


def test_scale_has_a_soft_floor():
    model = build(min_log_scale=-5.0)
    raw = torch.tensor([[0.0, -30.0], [0.0, -6.0], [0.0, 3.0]], dtype=torch.float64)
    raw.requires_grad_()
    log_sd = model._constrain(raw)[:, 1]
    assert float(log_sd.detach().min()) >= -5 and float(log_sd.detach()[2]) == pytest.approx(
        3, abs=1e-3
    )
    (grad,) = torch.autograd.grad(log_sd.sum(), raw)
    assert bool((grad[1:, 1] > 0.2).all())


@pytest.mark.parametrize("output", OUTPUTS)
def test_temperature(output):
    model = build(output)
    still = [model.generate(1, 40, temperature=0.0) for _ in range(2)]
    torch.testing.assert_close(*still)  # 0이면 잡음이 쓰이지 않습니다
    parameters = model.parameters_at(torch.zeros(1, 1, dtype=torch.float64)).detach()[:, :, 0]
    noise = model.draw_noise(20_000, 1)[..., 0]
    cold, warm = (model.draw(parameters.expand(20_000, -1), noise, t) for t in (0.25, 1.0))
    if output == "categorical":  # 가장 흔한 값이 더 흔해집니다
        mode = still[0][0, 0]
        assert float((cold == mode).double().mean()) > 2 * float((warm == mode).double().mean())
    else:
        assert float(cold.std()) < float(warm.std())
    if output == "gaussian":
        assert float(cold.std() / warm.std()) == pytest.approx(0.25, rel=1e-6)


def test_learning_lowers_the_loss_in_bfloat16_too():
    torch.manual_seed(0)
    model = WaveNet(64, stacks=1, layers=4, channels=16, output="gaussian")
    x = 0.5 * torch.sin(torch.arange(256) * 0.3 + torch.rand(8, 1) * 6)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        with torch.autocast("cpu", torch.bfloat16):
            loss = -model.log_prob(x).mean() / 256
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert loss.dtype == torch.float32 and losses[-1] < losses[0] - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert model.parameters_at(x).dtype == torch.float32  # 평균을 bfloat16으로 깎지 않습니다
    assert all(p.grad is not None for p in model.parameters())


def test_mu_law_is_the_formula_and_its_inverse():
    x = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    want = [math.copysign(math.log(1 + 255 * abs(v)) / math.log(256), v) for v in x.tolist()]
    torch.testing.assert_close(mu_law(x), torch.tensor(want, dtype=torch.float64))
    torch.testing.assert_close(inverse_mu_law(mu_law(x)), x)
    for dtype in (torch.float32, torch.float64):
        code = torch.arange(256)
        levels = inverse_mu_law(decode(code, 256, dtype))
        assert torch.equal(encode(mu_law(levels)), code)  # 칸의 값은 제자리로 돌아옵니다
        torch.testing.assert_close(quantise_mu_law(levels), levels)
    nearest = (mu_law(x)[:, None] - decode(torch.arange(256), 256, torch.float64)).abs().argmin(1)
    assert torch.equal(encode(mu_law(x)), nearest)
    assert float((quantise_linear(x, 256) - x).abs().max()) <= 1 / 255 + 1e-12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WaveNet(output="softmax"), "categorical, logistic_mixture, gaussian"),
        (lambda: WaveNet(kernel=1), "kernel은 2 이상"),
        (lambda: WaveNet(local=40), "hop"),
        (lambda: build().log_prob(torch.zeros(50)), "모양은"),
        (lambda: build().log_prob(torch.full((1, 9), math.nan)), "NaN"),
        (lambda: build("categorical").log_prob(torch.full((1, 9), 3.0)), r"\[−1, 1\] 밖"),
        (lambda: build().log_prob(torch.zeros(1, 9), torch.zeros(1)), "없어야 합니다"),
        (lambda: build(condition="전역").log_prob(torch.zeros(1, 9)), "클래스"),
        (lambda: build(condition="전역").generate(1, 9, torch.tensor([3])), "0–2"),
        (lambda: build(condition="지역").generate(1, 90, torch.zeros(1, 2, 5)), "12 이상"),
        (lambda: build(condition="지역").log_prob(torch.zeros(1, 9), torch.zeros(1, 3, 9)), "2"),
        (lambda: build(condition="둘 다").generate(1, 9, torch.zeros(1)), "튜플"),
        (lambda: build().generate(0, 9), "1 이상"),
        (lambda: build().generate(1, 9, temperature=-1.0), "0 이상"),
        (lambda: build().generate(1, 9, noise=torch.zeros(1, 8)), "draw_noise"),
        (lambda: build().generate(1, 9, prompt=torch.zeros(1, 10)), "prompt"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
