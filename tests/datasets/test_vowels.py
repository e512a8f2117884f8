"""합성 모음: 높이, 포먼트, 억양, 시드."""

import math

import pytest
import torch

from course_lib.datasets.vowels import (
    BANDWIDTHS,
    BREATH,
    BREATH_ENTROPY,
    FORMANTS,
    formant_gain,
    make_intoned,
    make_vowels,
)


def test_harmonics_sit_at_multiples_of_the_pitch():
    x, vowel, f0 = make_vowels(20, 8000, generator=torch.Generator().manual_seed(0))
    assert x.shape == (20, 8000) and set(vowel.tolist()) <= set(range(5))
    assert float(x.abs().amax()) == pytest.approx(0.9)
    spectrum = torch.fft.rfft(x * torch.hann_window(8000)).abs().square()
    hz = torch.arange(4001.0)
    for row, pitch in zip(spectrum, f0.tolist(), strict=True):
        away = (hz / pitch - (hz / pitch).round()).abs() * pitch
        assert float(row[away < 4].sum() / row.sum()) > 0.999


def test_formants_are_the_peaks():
    hz = torch.arange(50.0, 4000.0, 5.0).expand(5, -1)
    gain = formant_gain(hz, torch.arange(5))
    for row, formants in zip(gain, FORMANTS.values(), strict=True):
        peaks = hz[0, 1:-1][(row[1:-1] > row[:-2]) & (row[1:-1] > row[2:])]
        assert all((peaks - f).abs().min() < 60 for f in formants), formants
    for v, formants in enumerate(FORMANTS.values()):  # docstring의 식을 복소수로
        f = hz[0].double()
        want = 1.0
        for centre, width in zip(formants, BANDWIDTHS, strict=True):
            want = want * (centre**2 / (centre**2 - f**2 + 1j * f * width)).abs()
        torch.testing.assert_close(gain[v].double(), want, rtol=1e-4, atol=0)


def test_seed_repeats_and_bad_input_is_refused():
    for make in (make_vowels, make_intoned):
        a, b = (make(3, 100, generator=torch.Generator().manual_seed(1)).x for _ in range(2))
        assert torch.equal(a, b)
        for wrong in ({"n": 0}, {"n": 1, "length": 0}, {"n": 1, "f0": (200.0, 100.0)}):
            with pytest.raises(ValueError, match="여야"):
                make(**wrong)


def test_intonation_bends_the_pitch_and_the_phase_is_its_integral():
    made = make_intoned(30, 4000, generator=torch.Generator().manual_seed(0))
    assert made.x.shape == made.f0.shape == made.phase.shape == (30, 4000)
    assert set(made.vowel.tolist()) == set(range(5))
    bend = 12 * (made.f0 / made.f0[:, :1]).log2()
    assert 2 < float(bend.abs().amax()) <= 3.6 and float(made.x.abs().amax()) < 0.95
    step = made.phase.diff(dim=1) % (2 * math.pi)
    torch.testing.assert_close(step, 2 * math.pi * made.f0[:, 1:] / 8000, rtol=1e-3, atol=1e-4)
    conditions = made.conditions
    assert conditions.shape == (30, 3, 4000)
    torch.testing.assert_close(150 * 2 ** conditions[:, 0], made.f0)
    torch.testing.assert_close(conditions[:, 1:].square().sum(1), torch.ones(30, 4000))


def test_given_its_conditions_only_the_breath_is_left():
    vowel = torch.tensor([0, 2])
    made = make_intoned(2, 3000, vowel=vowel, generator=torch.Generator().manual_seed(5))
    clean = torch.zeros(2, 3000, dtype=torch.float64)  # docstring의 식
    for k in range(1, 40):
        hz = k * made.f0.double()
        clean += (hz < 4000) * formant_gain(hz, vowel) / k**0.5 * (k * made.phase.double()).cos()
    x = made.x.double()
    scale = (x * clean).sum(1) / clean.square().sum(1)
    breath = x - scale[:, None] * clean
    assert (breath.std(1) / BREATH - 1).abs().max() < 0.1
    assert (breath[:, 1:] * breath[:, :-1]).mean().abs() < 0.1 * BREATH**2
    assert BREATH_ENTROPY == pytest.approx(-3.879, abs=1e-3)
