"""07장 연습문제의 채점."""

import math

import torch

from course_lib.exercises import exercise


@exercise(
    "07-1",
    hint="V = Σ p log D + Σ g log(1 − D)에 D = p/(p + g)를 넣으세요. 0·log 0 = 0은 torch.xlogy가 처리합니다.",
)
def _(answer):
    p, g = torch.rand(2, 6).double()
    p, g = p / p.sum(), g / g.sum()
    if not math.isclose(float(answer(p, p)), -math.log(4), rel_tol=1e-9):
        return "두 분포가 같을 때의 값이 −log 4가 아닙니다."
    apart = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.0, 0.0, 1.0]).double()
    if not math.isclose(float(answer(*apart)), 0, abs_tol=1e-9):
        return "겹치지 않는 두 분포의 값은 0입니다(확률 0인 칸을 살펴보세요)."
    d = p / (p + g)
    want = (p * d.log() + g * (1 - d).log()).sum()
    return math.isclose(float(answer(p, g)), float(want), rel_tol=1e-9)


@exercise(
    "07-2", hint="맥스아웃 층은 (입력 + 1) × 단위 × 조각, 마지막 선형 층은 (입력 + 1) × 1입니다."
)
def _(answer):
    from course_lib.gan.gan import mnist_gan

    return int(answer) == sum(p.numel() for p in mnist_gan().discriminator.parameters())


@exercise(
    "07-3", hint="torch.cdist(표본, 봉우리)의 최솟값과 그 자리를 쓰고, torch.bincount로 세세요."
)
def _(answer):
    from course_lib.evaluation import mode_coverage

    modes = 4 * torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0))
    samples = modes[torch.randint(6, (400,))] + 0.4 * torch.randn(400, 2)
    for radius, least in ((1.0, 10), (0.3, 10), (1.0, 70)):
        want = mode_coverage(samples, modes, radius, least).covered
        got = int(answer(samples, modes, radius, least))
        if got != want:
            return f"반지름 {radius}, 최소 {least}개일 때 {want}개여야 하는데 {got}개입니다."
    return True
