"""10장 연습문제의 채점."""

import math

import torch

from course_lib.exercises import exercise


@exercise("10-1", hint="v = Wᵀu의 길이를 1로, u = Wv의 길이를 1로. 마지막에 v의 ‖Wv‖를 돌려주세요.")
def _(answer):
    from course_lib.gan.sngan import power_step

    W, start = torch.randn(6, 4).double(), torch.randn(6).double()
    for steps in (1, 2, 5):
        u = start
        for _ in range(steps):
            u, v = power_step(W, u)
        want, got = float((W @ v).norm()), float(answer(W, start, steps))
        if not math.isclose(got, want, rel_tol=1e-9):
            return f"{steps}걸음 뒤에 {want:.6f}이어야 하는데 {got:.6f}입니다."
    return True


@exercise(
    "10-2",
    hint="나눈 커널의 값을 먼저 구하고, 모든 화소가 같은 그림을 넣으면 몇 배가 되는지 보세요.",
)
def _(answer):
    from course_lib.gan.sngan import circular_conv_norm

    return math.isclose(
        float(answer), circular_conv_norm(torch.ones(1, 1, 5, 5) / 5, 16), rel_tol=1e-3
    )


@exercise("10-3", hint="λ = Σ G ⊙ W/σ₁이고, G에서 λ·u₁v₁ᵀ를 뺀 다음 σ₁로 나눕니다.")
def _(answer):
    W, G = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    W = W.requires_grad_()
    value = (G * W / torch.linalg.matrix_norm(W, 2)).sum()
    (want,) = torch.autograd.grad(value, W)
    got = answer(W.detach(), G)
    if torch.allclose(got, G / torch.linalg.matrix_norm(W.detach(), 2)):
        return "σ를 상수로 보았습니다. σ도 W에 따라 바뀝니다."
    return torch.allclose(got, want, atol=1e-9)


@exercise(
    "10-4",
    hint="I − ηH의 고윳값은 1 − ηλ입니다. 모두 −1과 1 사이에 있으려면 η는 얼마보다 작아야 하나요?",
)
def _(answer):
    Q = torch.linalg.qr(torch.randn(4, 4).double()).Q
    spectrum = torch.tensor([0.1, 0.5, 2.0, 5.0]).double()
    for scale in (1.0, 0.3):
        got = float(answer(Q * (scale * spectrum) @ Q.T))
        if not math.isclose(got, 2 / (5 * scale), rel_tol=1e-6):
            return f"고윳값이 {(scale * spectrum).tolist()}일 때 {2 / (5 * scale):.3f}이어야 하는데 {got:.3f}입니다."
    return True
