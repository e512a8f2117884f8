"""합성 모음: 성대의 고조파를 입안의 공명(포먼트)으로 거르는 소스–필터 모형. 8 kHz, 내려받을 것이 없습니다.

x(t) = Σ_k |H(k f₀)| / k · cos(2π k f₀ t + φ_k),   k f₀ < rate/2

H는 포먼트마다의 2차 공명 F²/(F² − f² + i f B)를 곱한 것이고, 1/k는 성대에서 높은 고조파가 약해지는 정도입니다.
포먼트의 값은 Peterson, Barney, "Control methods used in a study of the vowels", JASA 24, 1952의 어른 남자 평균입니다.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

# 모음: (F1, F2, F3) Hz
FORMANTS = {
    "아": (730.0, 1090.0, 2440.0),
    "에": (530.0, 1840.0, 2480.0),
    "이": (270.0, 2290.0, 3010.0),
    "오": (570.0, 840.0, 2410.0),
    "우": (300.0, 870.0, 2240.0),
}
BANDWIDTHS = (80.0, 100.0, 140.0)  # Hz


class Vowels(NamedTuple):
    """x (N, length) 값 [−0.9, 0.9], vowel (N,) 모음의 번호, f0 (N,) 높이 Hz."""

    x: Tensor
    vowel: Tensor
    f0: Tensor


def formant_gain(hz: Tensor, vowel: Tensor) -> Tensor:
    """|H(f)|: hz (N, K), vowel (N,)의 모음이 주파수마다 키우는 배수 (N, K)."""
    formants = torch.tensor(list(FORMANTS.values()), dtype=hz.dtype)[vowel]  # (N, 3)
    gain = torch.ones_like(hz)
    for i, width in enumerate(BANDWIDTHS):
        centre = formants[:, i : i + 1]
        gain = gain * centre**2 / torch.hypot(centre**2 - hz**2, width * hz)
    return gain


def make_vowels(
    n: int,
    length: int = 1024,
    *,
    generator: torch.Generator | None = None,
    f0: tuple[float, float] = (100.0, 220.0),
    rate: int = 8000,
) -> Vowels:
    """모음 n개. 종류와 높이는 고르게 뽑고, 모든 고조파는 같은 순간(한 주기 안에서 아무 때)에 시작합니다.

    ``ValueError``: n이나 length가 1보다 작거나 f0이 0과 rate/2 사이가 아닐 때.
    """
    if n < 1 or length < 1 or not 0 < f0[0] <= f0[1] < rate / 2:
        raise ValueError(
            f"n, length는 1 이상, 0 < f0 < {rate / 2:g} Hz여야 합니다: {n}, {length}, {f0}."
        )
    vowel = torch.randint(len(FORMANTS), (n,), generator=generator)
    pitch = f0[0] + (f0[1] - f0[0]) * torch.rand(n, 1, generator=generator)
    start = torch.rand(n, 1, generator=generator) / pitch  # 초
    time = start + torch.arange(length) / rate
    harmonics = torch.arange(1, math.ceil(rate / 2 / f0[0]))
    hz = harmonics * pitch  # (N, K)
    size = torch.where(hz < rate / 2, formant_gain(hz, vowel) / harmonics, 0.0)
    x = torch.zeros(n, length)
    for k, amplitude in zip(harmonics.tolist(), size.T, strict=True):
        x += amplitude[:, None] * torch.cos(2 * math.pi * k * pitch * time)
    return Vowels(0.9 * x / x.abs().amax(1, keepdim=True), vowel, pitch[:, 0])
