"""소리: 스펙트로그램의 주파수와 크기, 멜 필터, WAV 왕복."""

import io
import math
import wave

import pytest
import torch

from course_lib.audio import (
    LogMel,
    decibels,
    hz_to_mel,
    log_spectral_distance,
    mel_cepstral_distance,
    mel_filters,
    mel_to_hz,
    periodicity,
    stft_magnitude,
    wav_bytes,
)
from course_lib.datasets.vowels import make_vowels


def tone(hz, length=2048):
    return torch.sin(2 * math.pi * hz * torch.arange(length, dtype=torch.float64) / 8000)


def test_stft_is_the_sum_in_its_docstring_and_finds_a_tone():
    x = tone(1000.0) + 0.1 * torch.randn(2048, dtype=torch.float64)
    magnitude = stft_magnitude(x, 128, 32)
    assert magnitude.shape == (65, 1 + 2048 // 32)
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(128, dtype=torch.float64) / 128)
    m, n = 20, torch.arange(128, dtype=torch.float64)
    frame = window * x[m * 32 - 64 : m * 32 + 64]
    for f in (0, 16, 33, 64):
        by_hand = (frame * torch.exp(-2j * math.pi * f * n / 128)).sum().abs()
        assert float(magnitude[f, m]) == pytest.approx(float(by_hand), rel=1e-9)
    assert (magnitude[:, 4:-4].argmax(0) == 16).all()  # 16·8000/128 = 1000 Hz
    both = stft_magnitude(torch.stack([x, 2 * x])[None], 128, 32)
    torch.testing.assert_close(both[0, 1], 2 * magnitude)
    with pytest.raises(ValueError, match="n_fft"):
        stft_magnitude(x[:64], 128)


def test_decibels_ignore_loudness_and_survive_silence():
    magnitude = torch.rand(3, 5, 7) + 0.01
    level = decibels(magnitude, -40)
    torch.testing.assert_close(level, decibels(1e-3 * magnitude, -40))
    assert (level.amax((1, 2)) == 0).all() and level.min() >= -40
    assert decibels(torch.tensor([[1.0, 0.1]])).flatten().tolist() == pytest.approx([0.0, -20.0])
    assert (decibels(torch.zeros(2, 4, 4)) == -80).all()


def test_mel_filters_are_evenly_spaced_triangles():
    hz = torch.tensor([100.0, 1000.0, 3900.0]).double()
    torch.testing.assert_close(mel_to_hz(hz_to_mel(hz)), hz)
    bank = mel_filters(20, 512)
    assert bank.shape == (20, 257) and (bank >= 0).all() and (bank <= 1).all()
    peaks = hz_to_mel(bank.argmax(1) * 8000 / 512)
    assert (peaks.diff() > 0).all() and float(peaks.diff().std() / peaks.diff().mean()) < 0.15
    with pytest.raises(ValueError, match="너무 많습니다"):
        mel_filters(120, 128)


def test_log_mel_keeps_shape_range_and_ignores_loudness():
    x = torch.stack([tone(300.0), tone(2500.0)]).float()
    picture = LogMel(mels=30)(x)
    assert picture.shape == (2, 30, 33) and picture.min() >= -1 and picture.max() == 0
    torch.testing.assert_close(picture, LogMel(mels=30)(0.01 * x), atol=1e-4, rtol=0)
    low, high = (p.mean(1).argmax() for p in picture)
    assert low < high and not LogMel().state_dict()


def test_wav_bytes_round_trip_clip_and_refuse():
    x = torch.tensor([0.0, 0.5, -1.0, 2.0, -3.0])
    with wave.open(io.BytesIO(wav_bytes(x))) as file:
        form = file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()
        values = torch.frombuffer(bytearray(file.readframes(5)), dtype=torch.int16)
    assert form == (1, 2, 8000, 5)
    assert values.tolist() == [0, 16384, -32767, 32767, -32767]
    for wrong in (torch.zeros(1, 5), torch.tensor([float("nan")]), torch.zeros(0)):
        with pytest.raises(ValueError, match="신호 하나"):
            wav_bytes(wrong)


def test_periodicity_tells_voices_from_noise_wherever_they_are():
    generator = torch.Generator().manual_seed(0)
    voice = make_vowels(6, 2048, generator=generator).x
    x = torch.cat(
        [torch.zeros(6, 3000), voice, 0.01 * torch.randn(6, 3000, generator=generator)], 1
    )
    noise = torch.randn(20, 4096, generator=generator)
    assert periodicity(x).min() > 0.95 and periodicity(noise).max() < 0.5
    torch.testing.assert_close(periodicity(x), periodicity(5 * x))
    lag = periodicity(tone(1000.0)[None], pitch=(900.0, 1100.0))
    off = periodicity(tone(1000.0)[None], pitch=(600.0, 700.0))  # 12점: 한 주기 반
    assert float(lag) == pytest.approx(1, abs=1e-6) and float(off) < 0.5
    assert periodicity(torch.zeros(1, 600)).tolist() == [0]
    with pytest.raises(ValueError, match="이상이어야"):
        periodicity(torch.zeros(1, 100))


def test_spectral_and_cepstral_distance_hear_timbre_not_phase_or_loudness():
    generator = torch.Generator().manual_seed(0)
    made = make_vowels(40, 4096, generator=generator, f0=(150.0, 150.0))
    first = made.x[:1]
    same = made.x[1:][made.vowel[1:] == made.vowel[0]]  # 같은 모음, 위상만 다릅니다
    other = made.x[1:][made.vowel[1:] != made.vowel[0]]
    for distance in (log_spectral_distance, mel_cepstral_distance):
        near, far = (distance(first.expand_as(group), group) for group in (same, other))
        assert near.max() < 0.5 * far.min()
        assert (
            distance(first, first).item()
            == 0
            == pytest.approx(distance(first, -0.1 * first).item(), abs=1e-3)
        )
        torch.testing.assert_close(distance(first.expand_as(other), other), distance(other, first.expand_as(other)))  # fmt: skip
        with pytest.raises(ValueError, match="길이를 맞추세요"):
            distance(first, first[:, :-1])
    # 음 하나의 둘레만 빼고 모든 칸이 10 dB 다르면 로그 스펙트럼 거리도 10 dB쯤입니다
    x = tone(1000.0, 4096)[None]
    quiet = torch.randn(1, 4096, dtype=torch.float64, generator=generator)
    gap = log_spectral_distance(x + 1e-2 * quiet, x + 10**-2.5 * quiet, floor=-120.0)
    assert float(gap) == pytest.approx(10, abs=0.8)


def test_log_spectral_distance_averages_the_frames_not_their_squares():
    x, y = torch.randn(2, 3, 1024, dtype=torch.float64)
    y[:, 512:] *= 0.01  # 뒤의 프레임은 훨씬 더 다릅니다
    a, b = (decibels(stft_magnitude(v), -60.0) for v in (x, y))
    by_hand = [
        sum(float((a[i, :, m] - b[i, :, m]).square().mean().sqrt()) for m in range(17)) / 17
        for i in range(3)
    ]
    assert log_spectral_distance(x, y).tolist() == pytest.approx(by_hand)


def test_cepstral_distance_is_the_sum_in_its_docstring():
    x, y = torch.randn(2, 1, 2048, dtype=torch.float64)
    logs = [LogMel().double()(v)[0] * 60 * math.log(10) / 20 for v in (x, y)]
    k, j = torch.arange(1, 13).double()[:, None], torch.arange(40).double()
    dct = math.sqrt(2 / 40) * torch.cos(math.pi * k * (j + 0.5) / 40)
    torch.testing.assert_close(dct @ dct.T, torch.eye(12).double())
    gap = (dct @ (logs[0] - logs[1])).square().sum(0).sqrt().mean() * 10 * math.sqrt(2)
    torch.testing.assert_close(mel_cepstral_distance(x, y)[0], gap / math.log(10))
    with pytest.raises(ValueError, match="계수"):
        mel_cepstral_distance(x, y, coefficients=40)
