"""09장 연습문제의 채점."""

import math

import torch

from course_lib.exercises import exercise


@exercise(
    "09-1",
    hint="직선 위에서는 k번째로 작은 것끼리 짝지으면 가장 쌉니다. 두 표본을 정렬해 빼세요.",
)
def _(answer):
    from course_lib.gan.wasserstein import wasserstein_1d

    for n in (1, 5, 40):
        x, y = torch.randn(n).double(), 2 * torch.randn(n).double() + 1
        if not math.isclose(float(answer(x, y)), wasserstein_1d(x, y), abs_tol=1e-9):
            return f"표본 {n}개씩의 값이 다릅니다."
    return math.isclose(float(answer(x, x.flip(0))), 0, abs_tol=1e-12)


@exercise(
    "09-2",
    hint="기울기 Ax의 립시츠 상수 L은 A의 가장 큰 고윳값이고, 경계는 2/L입니다(torch.linalg.eigvalsh).",
)
def _(answer):
    for n in (2, 5):
        m = torch.randn(n, n).double()
        a = m @ m.T + 0.1 * torch.eye(n)
        step = float(answer(a))
        for factor, converges in ((0.97, True), (1.03, False)):
            x = torch.ones(n).double() + torch.randn(n)
            for _ in range(3000):
                x = x - factor * step * a @ x
            if (float(x.norm()) < 1e3) != converges:
                word = "수렴해야" if converges else "발산해야"
                return f"돌려준 값의 {factor}배에서 {word} 하는데 그렇지 않습니다."
    return True


@exercise(
    "09-3", hint="u_i + v_j ≤ c_ij가 모든 j에서 성립하는 가장 큰 u_i는 min_j (c_ij − v_j)입니다."
)
def _(answer):
    from course_lib.gan.wasserstein import transport, transport_dual

    cost, v = torch.rand(6, 4).double(), torch.randn(4).double()
    u = torch.as_tensor(answer(cost, v))
    if u.shape != (6,):
        return f"모양이 (6,)이어야 하는데 {tuple(u.shape)}입니다."
    slack = cost - u[:, None] - v[None]
    if slack.min() < -1e-9:
        return "u_i + v_j ≤ c_ij를 어기는 곳이 있습니다."
    if slack.amin(1).max() > 1e-9:
        return "u를 더 키울 수 있습니다."
    best = transport_dual(cost)
    value = float(torch.as_tensor(answer(cost, best.v)).mean() + best.v.mean())
    return math.isclose(value, transport(cost).value, abs_tol=1e-9)


@exercise(
    "09-4",
    hint="x̂ = eps·real + (1 − eps)·fake에 requires_grad_()를 켜고 torch.autograd.grad(f(x̂).sum(), x̂)를 쓰세요.",
)
def _(answer):
    real, fake, eps = torch.randn(7, 3).double(), torch.randn(7, 3).double(), torch.rand(7, 1)

    def critic(x):
        return 0.5 * x.square().sum(1)

    middle = eps * real + (1 - eps) * fake  # ∇f = x̂
    want = float((middle.norm(dim=1) - 1).square().mean())
    got = float(torch.as_tensor(answer(critic, real, fake, eps)).detach())
    for wrong, place in ((real, "진짜"), (fake, "가짜")):
        if math.isclose(got, float((wrong.norm(dim=1) - 1).square().mean()), rel_tol=1e-9):
            return f"벌점을 {place} 위에서 쟀습니다. 선분 위의 점에서 재세요."
    return math.isclose(got, want, rel_tol=1e-6)
