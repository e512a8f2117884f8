"""17장 증류의 연습문제 채점."""

import torch

from course_lib.exercises import exercise
from course_lib.parallel_wavenet.distillation import gaussian_kl


@exercise("17-1", hint="앞의 층이 만든 x가 다음 층의 입력이 되어 다시 곱해지고 밀립니다.")
def _(answer):
    mus, log_scales = torch.randn(2, 4, 6, 3).double()  # 층 4개, (B, D) = (6, 3)
    z = torch.randn(6, 3).double()
    x = z
    for mu, log_s in zip(mus, log_scales, strict=True):
        x = log_s.exp() * x + mu
    location, total = answer(list(mus), list(log_scales))
    if not torch.allclose(total, log_scales.sum(0)):
        return "전체 로그 크기가 다릅니다. 곱의 로그는 로그의 합입니다."
    if torch.allclose(location, mus.sum(0)):
        return "위치를 그냥 더했습니다. 앞 층의 위치에는 뒤 층의 크기가 곱해집니다."
    return torch.allclose(total.exp() * z + location, x)


@exercise(
    "17-2", hint="식 (11)에서 학생의 과거는 그대로 두고 v만 K번 뽑아, 마지막에 K로 평균합니다."
)
def _(answer):
    mu, log_s = torch.randn(2, 3, 4).double()
    noise = torch.randn(5, 3, 4).double()
    centre = torch.randn(3, 4).double()

    def teacher(v):
        if v.shape != (5, 3, 4):
            raise ValueError(f"교사에게 준 v의 모양이 (K, B, T)가 아니라 {tuple(v.shape)}입니다.")
        return -0.5 * (v - centre).square()

    answered = answer(teacher, mu, log_s, noise)
    want = 0.5 * (mu + log_s.exp() * noise - centre).square().mean(0)
    if torch.allclose(answered, -want):
        return "부호가 반대입니다. 교차 엔트로피는 음의 로그확률의 평균입니다."
    return answered.shape == (3, 4) and torch.allclose(answered, want)


@exercise("17-3", hint="KL(q‖p)에서 q가 학생입니다. 분모에는 교사의 분산이 옵니다.")
def _(answer):
    values = torch.randn(4, 20).double()
    want = gaussian_kl(*values, regularise=0, floor=-float("inf"))
    answered = answer(*values)
    swapped = gaussian_kl(*values[2:], *values[:2], regularise=0, floor=-float("inf"))
    if torch.allclose(answered, swapped):
        return "방향이 반대입니다. KL(p‖q)를 계산했습니다."
    return torch.allclose(answered, want)
