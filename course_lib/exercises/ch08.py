"""08장 연습문제의 채점."""

import math

import torch

from course_lib.exercises import exercise


@exercise("08-1", hint="선형 층은 (입력 + 1) × 출력입니다. 합친 층의 입력은 240 + 50입니다.")
def _(answer):
    from course_lib.gan.cgan import cgan

    judge = cgan(d_units=((240, 1), (50, 1), (240, 1))).discriminator
    return int(answer) == sum(p.numel() for p in judge.parameters())


@exercise(
    "08-2",
    hint="가짜 쌍의 확률은 p(y)·g(x|y)입니다. p(y)는 p를 x에 대해 더한 것입니다.",
)
def _(answer):
    p = torch.rand(3, 5).double() + 0.1
    p = p / p.sum()
    g = torch.rand(3, 5).double() + 0.1
    g = g / g.sum(1, keepdim=True)
    p_y = p.sum(1, keepdim=True)
    if not math.isclose(float(answer(p, p / p_y)), -math.log(4), rel_tol=1e-9):
        return "조건부 분포가 모두 같을 때의 값이 −log 4가 아닙니다."
    a, b = p / p_y, g
    want = (p_y * (a * (a / (a + b)).log() + b * (b / (a + b)).log())).sum()
    return math.isclose(float(answer(p, g)), float(want), rel_tol=1e-9)


@exercise(
    "08-3",
    hint="L_I = Σ_c Σ_x (1/C) p(x|c) log Q(c|x) + log C입니다. 0·log 0은 torch.xlogy가 처리합니다.",
)
def _(answer):
    perfect = torch.eye(4).double()
    if not math.isclose(float(answer(perfect, perfect)), math.log(4), rel_tol=1e-6):
        return "부호가 그대로 드러나는 통로에서는 log C이어야 합니다."
    channel, q = torch.rand(2, 4, 6).double() + 0.05
    channel, q = channel / channel.sum(1, keepdim=True), q / q.sum(0)
    want = math.log(4) + float((channel / 4 * q.log()).sum())
    return math.isclose(float(answer(channel, q)), want, rel_tol=1e-6)
