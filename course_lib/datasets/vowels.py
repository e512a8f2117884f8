"""합성 모음: 성대의 고조파를 입안의 공명(포먼트)으로 거르는 소스–필터 모형. 8 kHz, 내려받을 것이 없습니다.

x(t) = Σ_k |H(k f₀)| / k · cos(2π k f₀ t + φ_k),   k f₀ < rate/2          make_vowels: 높이가 한결같은 모음
x(t) = Σ_k |H(k f₀(t))| / √k · cos(k φ(t)) + σ ε,  φ' = 2π f₀(t)          make_intoned: 억양과 숨소리가 있는 모음

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
    _check(n, length, f0, rate)
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


class IntonedVowels(NamedTuple):
    """x (N, length), vowel (N,), f0 (N, length) Hz, phase (N, length) 성대가 여닫히는 위상 φ, 라디안."""

    x: Tensor
    vowel: Tensor
    f0: Tensor
    phase: Tensor

    @property
    def conditions(self) -> Tensor:
        """표본마다의 조건 (N, 3, length): log₂(f₀/150 Hz), sin φ, cos φ."""
        return torch.stack([(self.f0 / 150).log2(), self.phase.sin(), self.phase.cos()], 1)


BREATH = 0.005  # 숨소리의 표준편차. 소리의 최댓값은 0.9입니다
BREATH_ENTROPY = 0.5 * math.log(2 * math.pi * math.e * BREATH**2)  # nats/표본


def make_intoned(
    n: int,
    length: int = 8000,
    *,
    generator: torch.Generator | None = None,
    f0: tuple[float, float] = (100.0, 220.0),
    vowel: Tensor | None = None,
    rate: int = 8000,
) -> IntonedVowels:
    """억양이 있는 모음 n개: 높이가 3반음 안에서 미끄러지고 초당 5번 흔들리며, 정규분포의 숨소리가 섞입니다.

    높은 고조파를 1/k가 아니라 1/√k로 덜 줄인 밝은 목소리입니다. 그래야 높은 포먼트가 숨소리에 묻히지 않습니다.

    f0     처음 높이의 범위, Hz(로그 눈금에서 고르게). 미끄러지고 흔들리면 ±3.3반음까지 벗어납니다
    vowel  (n,) 모음의 번호. 없으면 고르게 뽑습니다

    조건(모음, f₀, φ)을 모두 알면 남는 것은 숨소리뿐이므로, 어떤 모델의 음의 로그밀도도 표본마다 평균
    ``BREATH_ENTROPY`` = −3.88 nats보다 낮아질 수 없습니다. ``ValueError``: make_vowels와 같습니다.
    """
    _check(n, length, f0, rate)
    if vowel is None:
        vowel = torch.randint(len(FORMANTS), (n,), generator=generator)
    octave, glide, swing, start = torch.rand(4, n, 1, generator=generator)
    time = torch.arange(length) / rate
    semitones = 3 * (2 * glide - 1) * time / time[-1].clamp(min=1 / rate)
    semitones = semitones + 0.3 * torch.sin(2 * math.pi * (5 * time + swing))
    hz = f0[0] * (f0[1] / f0[0]) ** octave * 2 ** (semitones / 12)  # (N, length)
    phase = 2 * math.pi * (start + hz.double().cumsum(1) / rate)
    x = torch.zeros(n, length)
    for k in range(1, math.ceil(rate / 2 / float(hz.min()))):
        size = torch.where(k * hz < rate / 2, formant_gain(k * hz, vowel) / k**0.5, 0.0)
        x += size * torch.cos(k * phase).float()
    x = (0.9 - 4 * BREATH) * x / x.abs().amax(1, keepdim=True)
    breath = torch.randn(x.shape, generator=generator)
    return IntonedVowels(x + BREATH * breath, vowel, hz, (phase % (2 * math.pi)).float())


def _check(n: int, length: int, f0: tuple[float, float], rate: int) -> None:
    if n < 1 or length < 1 or not 0 < f0[0] <= f0[1] < rate / 2:
        raise ValueError(
            f"n, length는 1 이상, 0 < f0 < {rate / 2:g} Hz여야 합니다: {n}, {length}, {f0}."
        )
