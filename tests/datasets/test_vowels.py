"""합성 모음: 높이, 포먼트, 시드."""

import pytest
import torch

from course_lib.datasets.vowels import BANDWIDTHS, FORMANTS, formant_gain, make_vowels


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
    a, b = (make_vowels(3, 100, generator=torch.Generator().manual_seed(1)).x for _ in range(2))
    assert torch.equal(a, b)
    for wrong in ({"n": 0}, {"n": 1, "length": 0}, {"n": 1, "f0": (200.0, 100.0)}):
        with pytest.raises(ValueError, match="여야"):
            make_vowels(**wrong)
