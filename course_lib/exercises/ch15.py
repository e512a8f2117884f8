"""15장 MintNet과 가우스화의 연습문제 채점."""

import math

import torch

from course_lib.checks import randomise_
from course_lib.exercises import exercise
from course_lib.flows.mintnet import TriangularBlock


@exercise("15-1", hint="u = ½ + arctan(x)/π를 x에 대해 풉니다.")
def _(answer):
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    x = torch.as_tensor(answer(u))
    if torch.allclose(x, u.log() - (-u).log1p()):
        return "로지스틱 분포의 분위수입니다."
    return torch.allclose(0.5 + torch.atan(x) / math.pi, u)


@exercise(
    "15-2",
    hint="t + Σ_kj |w₃[k]|·elu′(a₂[k])·|w₂[k, j]|·elu′(a₁[j])·|w₁[j]|, elu′(a) = e^{min(a, 0)}",
)
def _(answer):
    block = randomise_(TriangularBlock(1, 4, kernel=1).double(), 2.0)
    x = torch.randn(7, 1, 1, 1).double()
    with torch.no_grad():
        a1 = block.first(x).flatten(1)
        w1, w2, w3 = (w[0] for w in block.centres())
        forced = w3.sign()[:, None] * w1.sign() * w2.abs()
        elu = torch.nn.functional.elu
        a2 = elu(a1) @ forced.T + block.second.bias
        value = answer(w1, w2, w3, a1, a2, block.t.flatten())
        truth = block._f(x)[1].flatten()
    if value.shape != (7,):
        return f"결과의 모양이 (B,) = (7,)이어야 하는데 {tuple(value.shape)}입니다."
    return torch.allclose(value, truth)


@exercise("15-3", hint="(1 − 1/α)^k ≤ 10⁻⁶을 k에 대해 풀고 올림합니다.")
def _(answer):
    if answer == math.ceil(math.log(1e-6) / math.log(1 - 1 / 1.1)):
        return "α = 1.1일 때의 답입니다."
    return answer == math.ceil(math.log(1e-6) / math.log(1 - 1 / 3.5))
