"""13장 NICE와 RealNVP의 연습문제 채점."""

import math

import torch

from course_lib.checks import randomise_
from course_lib.exercises import exercise
from course_lib.flows.realnvp import AffineCoupling, BatchNormFlow


@exercise("13-1", hint="빼고 나서 exp(−α)를 곱합니다. 역방향의 log-det는 부호가 반대입니다.")
def _(answer):
    layer = randomise_(AffineCoupling(5, (8,), True).double())
    x = torch.randn(6, 5).double()
    with torch.no_grad():
        a, b = layer.split(x)
        z, log_det = layer.inverse(x)
        alpha, mu = (lambda h: layer.parameters_from(h)[0]), (lambda h: layer.parameters_from(h)[1])
        z_a, z_b, answered = answer(a, b, alpha, mu)
    if not torch.allclose(torch.cat([z_a, z_b], 1), z):
        return "되돌린 z가 다릅니다."
    if answered.shape != (6,):
        return f"log_det의 모양이 (B,) = (6,)이어야 하는데 {tuple(answered.shape)}입니다."
    return torch.allclose(answered, log_det)


@exercise("13-2", hint="식 (14)에서 log₂ 17 자리에 log₂ 256 = 8을 넣고, D = 32·32·3입니다.")
def _(answer):
    if abs(answer - (7 - 11496.55 / (3072 * math.log(2)))) < 0.01:
        return "화소를 [−1, 1]이 아니라 [0, 1]로 옮긴 값입니다."
    return abs(answer - 2.60) < 0.01


@exercise("13-3", hint="채널 하나의 log|det|는 −½ log(v + ε)가 화소 수만큼 있습니다.")
def _(answer):
    layer = randomise_(BatchNormFlow(3).double()).eval()
    x = torch.randn(1, 3, 4, 5).double()
    expected = layer.inverse(x)[1][0]
    value = torch.as_tensor(answer(layer.running_var, layer.eps, 4, 5))
    if torch.allclose(value * 20, expected):
        return "화소 수를 곱하지 않았습니다."
    return torch.allclose(value, expected)
