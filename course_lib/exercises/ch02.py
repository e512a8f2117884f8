"""02장 연습문제의 채점."""

import torch

from course_lib.exercises import exercise


@exercise("02-1", hint="은닉층은 ≥, 출력층은 >입니다. [:, None]과 [None, :]로 모든 쌍을 견주세요.")
def _(answer):
    rank, degrees = torch.randperm(7) + 1, torch.randint(1, 7, (20,))
    first, second = answer(degrees, rank)
    if first.shape != (20, 7) or second.shape != (7, 20):
        return f"모양은 (20, 7)과 (7, 20)이어야 하는데 {tuple(first.shape)}과 {tuple(second.shape)}입니다."
    paths = second.double() @ first.double()
    late = rank[None, :] >= rank[:, None]
    if bool((paths[late] > 0).any()):
        return "자기 자신이나 뒤의 변수에서 오는 길이 있습니다."
    right = (first.bool() == (degrees[:, None] >= rank)).all()
    return bool(right and (second.bool() == (rank[:, None] > degrees)).all())


@exercise("02-2", hint="∂L/∂로짓 = π − x이고, 로짓의 A_dj에 대한 미분은 x_j입니다.")
def _(answer):
    x = torch.randint(2, (6, 5)).double()
    A, b = torch.randn(5, 5).double().tril(-1).requires_grad_(), torch.randn(5).double()
    logits = x @ A.tril(-1).T + b
    want = torch.autograd.grad(-torch.nn.functional.logsigmoid((2 * x - 1) * logits).sum(), A)[0]
    got = answer(x, A.detach(), b)
    if got.shape != (5, 5):
        return f"모양이 (5, 5)여야 하는데 {tuple(got.shape)}입니다."
    if torch.allclose(got.tril(-1), want) and not torch.allclose(got, want):
        return "마스크가 가린 자리(대각선과 그 위)의 기울기는 0이어야 합니다."
    return torch.allclose(got, want)


@exercise("02-3", hint="logsumexp를 쓰고 log K를 빼세요.")
def _(answer):
    log_p = torch.randn(5, 4).double() - 2000
    value = answer(log_p)
    if value.shape != (4,):
        return f"모양이 (4,)여야 하는데 {tuple(value.shape)}입니다."
    if not value.isfinite().all():
        return "유한하지 않은 값이 나왔습니다. exp를 먼저 취하면 0이 됩니다."
    if torch.allclose(value, log_p.mean(0)):
        return "로그 확률을 평균했습니다. 평균할 것은 확률입니다."
    return torch.allclose(value, (log_p + 2000).exp().mean(0).log() - 2000)
