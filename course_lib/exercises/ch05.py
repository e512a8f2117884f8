"""05장 연습문제의 채점."""

import math

import torch

from course_lib.exercises import exercise


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@exercise("05-1", hint="켤레 사전분포이므로 베타 함수의 비입니다. math.lgamma를 쓰세요.")
def _(answer):
    if abs(float(answer(1.0, 1.0, 1, 0)) - math.log(0.5)) > 1e-6:
        return "Beta(1, 1)에서 앞면 한 번의 확률은 1/2이어야 합니다."
    for a, b, h, t in ((2.0, 3.0, 4, 1), (0.5, 0.5, 0, 7), (1.0, 4.0, 3, 3)):
        if abs(float(answer(a, b, h, t)) - (_log_beta(a + h, b + t) - _log_beta(a, b))) > 1e-5:
            return f"a={a}, b={b}, 앞면 {h}번, 뒷면 {t}번에서 값이 다릅니다."
    return True


@exercise("05-2", hint="세 로그 확률을 더하고 뺀 다음 .mean()을 취하세요.")
def _(answer):
    from torch.distributions import Beta

    z = Beta(3.0, 2.0).sample((50,)).double().clamp(1e-3, 1 - 1e-3)
    exact = torch.as_tensor(answer(z, 5.0, 4.0, 2.0, 3.0, 3, 1))
    if exact.ndim != 0:
        return f"스칼라 하나를 돌려주세요. 받은 모양: {tuple(exact.shape)}"
    if abs(float(exact) - (_log_beta(5.0, 4.0) - _log_beta(2.0, 3.0))) > 1e-4:
        return "q가 정확한 사후분포인데 log p(x)와 다릅니다."
    want = 2 * z.log() + Beta(1.0, 1.0).log_prob(z) - Beta(2.0, 2.0).log_prob(z)
    return bool(abs(float(answer(z, 2.0, 2.0, 1.0, 1.0, 2, 0)) - float(want.mean())) < 1e-4)


@exercise("05-3", hint="분산이 아니라 정밀도 행렬(공분산의 역행렬)의 대각을 보세요.")
def _(answer):
    for _ in range(3):
        root = torch.randn(2, 2).double()
        covariance = root @ root.T + 0.2 * torch.eye(2).double()
        value = torch.as_tensor(answer(covariance)).double()
        if value.shape != (2,):
            return f"모양이 (2,)여야 하는데 {tuple(value.shape)}입니다."
        if torch.allclose(value, covariance.diagonal()):
            return "주변분포의 분산입니다. 그러면 KL이 더 커집니다."
        if not torch.allclose(value, 1 / torch.linalg.inv(covariance).diagonal()):
            return False
    return True
