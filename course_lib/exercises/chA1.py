"""A1장 에너지 기반 모델의 연습문제 채점."""

import torch

from course_lib.energy import ebm
from course_lib.exercises import exercise


@exercise("A1-1", hint="내리막은 기울기의 반대쪽입니다. 기울기에는 η/2, 잡음에는 √η를 곱합니다.")
def _(answer):
    x, noise = torch.randn(2, 6, 3).double()
    slope, eta = torch.randn(6, 3).double(), 0.36
    answered = answer(x, slope, eta, noise)
    if torch.allclose(answered, x + 0.18 * slope + 0.6 * noise):
        return "오르막으로 갔습니다. 에너지는 낮은 쪽이 그럴듯한 쪽입니다."
    if torch.allclose(answered, x - 0.18 * slope + 0.36 * noise):
        return "잡음의 *분산*이 η여야 합니다. 지금은 표준편차가 η입니다."
    return torch.allclose(answered, x - 0.18 * slope + 0.6 * noise)


@exercise("A1-2", hint="v = (1 − a)² v + η에 a = η/(2σ²)를 넣어 v를 구하세요.")
def _(answer):
    for sd, eta in ((1.0, 0.5), (0.7, 1.2), (2.0, 3.0)):
        a, v = eta / (2 * sd**2), 0.0
        for _ in range(2000):
            v = (1 - a) ** 2 * v + eta
        if abs(answer(sd, eta) - sd**2) < 1e-6:
            return "σ²은 η → 0의 값입니다. 걸음이 크면 분산이 늘어납니다."
        if abs(answer(sd, eta) - v) > 1e-6 * v:
            return False
    return True


@exercise("A1-3", hint="식 (4)에서 ∂E/∂θ = x²/2입니다. 데이터 쪽에는 −, 모델 쪽에는 +가 붙습니다.")
def _(answer):
    data, fake = torch.randn(50).double(), 2 * torch.randn(80).double()
    theta = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    energy = lambda x: theta * x.square().sum(-1) / 2  # noqa: E731
    loss = ebm.phase_difference(energy, data[:, None], fake[:, None])
    (want,) = torch.autograd.grad(-loss, theta)
    answered = torch.as_tensor(answer(data, fake), dtype=torch.float64)
    if torch.allclose(answered, -want):
        return "부호가 반대입니다. 데이터의 에너지는 내리고 모델의 에너지는 올려야 우도가 커집니다."
    return torch.allclose(answered, want)
