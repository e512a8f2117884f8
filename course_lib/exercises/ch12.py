"""12장 변수 변환의 연습문제 채점."""

import math

import torch
from torch.distributions import HalfNormal, LogNormal

from course_lib.exercises import exercise


@exercise("12-1", hint="z = log x / a이고 |dz/dx| = 1/(|a| x)입니다. a의 절댓값을 잊지 마세요.")
def _(answer):
    x = torch.rand(7).double() * 3 + 0.1
    for a in (0.5, 2.0, -1.5):
        value = answer(x, a)
        if value.shape != (7,):
            return f"모양이 (B,) = (7,)이어야 하는데 {tuple(value.shape)}입니다."
        want = LogNormal(0.0, torch.tensor(abs(a)).double()).log_prob(x)
        if not torch.allclose(value, want):
            return f"a = {a}일 때 값이 다릅니다." + (" 절댓값을 확인하세요." if a < 0 else "")
    return True


@exercise("12-2", hint="식 (11)에서 L = diag(d), V = u입니다. I_r은 수 하나가 됩니다.")
def _(answer):
    d, u = torch.rand(6).double() + 0.5, torch.randn(6).double()
    want = torch.linalg.slogdet(torch.diag(d) + torch.outer(u, u)).logabsdet
    big = torch.ones(200_000)
    if not math.isclose(float(answer(d, u)), float(want), rel_tol=1e-9):
        return "값이 다릅니다."
    try:
        return bool(torch.isfinite(torch.as_tensor(answer(big, big / 1000))))
    except RuntimeError:
        return "n = 200 000에서 메모리가 모자랍니다. n×n 행렬을 만들지 마세요."


@exercise("12-3", hint="식 (4)처럼 두 가지를 더합니다. |f′| = 1입니다.")
def _(answer):
    x = torch.rand(9).double() * 3 + 0.01
    return torch.allclose(answer(x), HalfNormal(torch.tensor(1.0).double()).log_prob(x))
