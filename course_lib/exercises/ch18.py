"""18장 연습문제의 채점."""

import math

import torch
from scipy.stats import binomtest

from course_lib.exercises import exercise


@exercise("18-1", hint="h² = s₂(s₁z + μ₁) + μ₂를 펼쳐 z에 곱한 것과 나머지로 나누세요: 식 (2).")
def _(answer):
    mu1, mu2, a, b, z = torch.randn(5, 3, 7).double()
    s1, s2 = a.exp(), b.exp()
    mu, s = answer(mu1, s1, mu2, s2)
    x = s2 * (s1 * z + mu1) + mu2
    if not torch.allclose(s, s1 * s2):
        return "겹친 배수가 다릅니다."
    return torch.allclose(mu + s * z, x) or "배수는 맞았지만 이동이 다릅니다."


@exercise(
    "18-2", hint="크기를 제곱하고 시간(마지막 축)으로 평균한 다음, 주파수로 제곱 오차를 더하세요."
)
def _(answer):
    from course_lib.parallel_wavenet.audio_losses import power_loss

    x, y = torch.randn(2, 3, 1200).double()
    got = answer(x, y)
    if got.shape != (3,):
        return f"답은 소리마다 하나, (3,)이어야 하는데 {tuple(got.shape)}입니다."
    return torch.allclose(got, power_loss(x, y, windows=((256, 64),), power=2.0, average=True))


@exercise("18-3", hint="이항분포의 한쪽 꼬리를 더해 두 배 하고, 1을 넘으면 1로 자르세요.")
def _(answer):
    for k, n in ((6, 6), (0, 6), (4, 6), (3, 6), (2, 8), (7, 20)):
        got, want = float(answer(k, n)), binomtest(k, n).pvalue
        if not math.isclose(got, want, rel_tol=1e-9):
            return f"{n}번 가운데 {k}번이면 {want:.4f}여야 하는데 {got:.4f}입니다."
    return True
