"""A2장 모델 비교의 연습문제 채점."""

import math

import torch

from course_lib.comparison import Gain
from course_lib.evaluation import coverage
from course_lib.exercises import exercise
from course_lib.units import bits_per_dim


@exercise(
    "A2-1", hint="[0, 1)의 밀도를 정수 한 칸의 확률로 바꾸려면 칸의 너비 1/levels를 곱합니다."
)
def _(answer):
    log_p = 30 * torch.randn(6).double()
    made = answer(log_p, 64, 17)
    want = bits_per_dim(log_p, 64, 17)
    if torch.allclose(made, want - math.log2(17)):
        return "칸의 너비를 잊었습니다. 균등분포(log p = 0)의 값이 log₂ 17이어야 합니다."
    if torch.allclose(made, want * math.log(2) + (1 - math.log(2)) * math.log2(17)):
        return "nat를 비트로 바꾸지 않았습니다. log 2로 나누세요."
    return made.shape == (6,) and torch.allclose(made, want)


@exercise(
    "A2-2",
    hint="진짜마다 k번째로 가까운 '다른' 진짜까지의 거리가 반지름입니다. 자기 자신은 뺍니다.",
)
def _(answer):
    real, fake = torch.randn(40, 3), 0.5 * torch.randn(15, 3) + 0.5
    made, want = answer(real, fake, 4), coverage(real, fake, 4)
    if abs(made - coverage(real, fake, 3)) < 1e-9 and abs(made - want) > 1e-9:
        return "자기 자신(거리 0)을 이웃으로 세었습니다."
    return abs(made - want) < 1e-6


@exercise("A2-3", hint="시드마다 짝지어 뺀 다음에 평균과 표준오차(표준편차/√시드 수)를 구합니다.")
def _(answer):
    for base, other in (
        ([0.80, 0.90, 0.70, 0.85], [0.82, 0.93, 0.72, 0.87]),
        ([0.80, 0.90, 0.70, 0.85], [0.70, 0.95, 0.75, 0.84]),
        ([0.9, 0.91, 0.92], [0.80, 0.82, 0.81]),
    ):
        apart = torch.tensor(other).double() - torch.tensor(base).double()
        gain = Gain(float(apart.mean()), float(apart.std() / len(apart) ** 0.5))
        mean, error, verdict = answer(base, other)
        if abs(mean - gain.mean) > 1e-6:
            return "평균이 다릅니다. 더한 것에서 진짜만의 정확도를 빼세요."
        if abs(error - gain.error) > 1e-6:
            return "표준오차가 다릅니다. 차이의 표준편차(n − 1로 나눈 것)를 √n으로 나누세요."
        if verdict != gain.verdict:
            return f"평균 {mean:.3f}, 표준오차 {error:.3f}이면 '{gain.verdict}'이라고 합니다."
    return True
