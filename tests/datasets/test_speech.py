"""FSDD: WAV 해석, 분할, 배포본의 구성, 손상된 zip."""

import hashlib
import io
import random
import wave
import zipfile

import numpy as np
import pytest
import torch

from course_lib.datasets import speech
from course_lib.datasets._download import DataError

SPEAKERS = ("anna", "bo")
DIGITS = (0, 7)
TAKES = range(12)  # 10번 이상이 있어야 이름의 글자순과 번호순이 갈립니다.


def wav(samples, channels=1, width=2, rate=8000):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return buffer.getvalue()


def recordings():
    rng = np.random.default_rng(0)
    return {
        (digit, speaker, take): rng.integers(-(2**15), 2**15, 20 + take).astype("<i2")
        for digit in DIGITS
        for speaker in SPEAKERS
        for take in TAKES
    }


def write_zip(path, top="free-spoken-digit-dataset-1.0.10/", extra=True):
    content = recordings()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if extra:  # 배포본에는 녹음이 아닌 파일도 있습니다.
            archive.writestr(f"{top}README.md", "about")
            archive.writestr(f"{top}recordings/notes.txt", "about")
            archive.writestr(f"{top}utils/0_anna_50.wav", b"not a recording")
        for (digit, speaker, take), samples in content.items():
            archive.writestr(
                f"{top}recordings/{digit}_{speaker}_{take}.wav", wav(samples.tobytes())
            )
    return content


@pytest.fixture
def small(tmp_path, monkeypatch):
    """녹음 48개짜리 가짜 FSDD가 든 ``COURSE_DATA``."""
    path = tmp_path / speech.NAME
    content = write_zip(path)
    lines = sorted(
        (f"{digit}_{speaker}_{take}.wav", hashlib.sha256(wav(samples.tobytes())).hexdigest())
        for (digit, speaker, take), samples in content.items()
    )
    manifest = "".join(f"{digest}  {name}\n" for name, digest in lines)
    monkeypatch.setattr(speech, "MANIFEST_SHA256", hashlib.sha256(manifest.encode()).hexdigest())
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return path, content


def check_split(loaded, content, takes):
    expected = [key for key in sorted(content) if key[2] in takes]
    assert loaded.labels.tolist() == [digit for digit, _, _ in expected]
    assert loaded.speakers == [speaker for _, speaker, _ in expected]
    for waveform, key in zip(loaded.waveforms, expected, strict=True):
        assert waveform.dtype == torch.int16
        assert waveform.tolist() == content[key].tolist()


def test_splits(small):
    _, content = small
    check_split(speech.load_fsdd("test"), content, range(5))
    check_split(speech.load_fsdd("train"), content, range(5, 12))


@pytest.mark.parametrize("top", ["", "Jakobovski-free-spoken-digit-dataset-26eb9aa/"])
@pytest.mark.parametrize("extra", [True, False])
def test_archive_layouts(small, top, extra):
    path, content = small
    write_zip(path, top, extra)
    check_split(speech.load_fsdd("test"), content, range(5))


def test_download(small, host, cache, monkeypatch):
    path, content = small
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setattr(speech, "HOMES", (host.url,))
    host.body = path.read_bytes()
    host.plan = [host.cut(1000), host.serve]
    check_split(speech.load_fsdd("test"), content, range(5))
    assert host.ranges == [None, "bytes=1000-"]
    assert (cache / speech.NAME).is_file()


def test_missing_and_changed_recordings(small):
    path, content = small
    for change in ("missing", "changed", "renamed"):
        with zipfile.ZipFile(path, "w") as archive:
            for index, ((digit, speaker, take), samples) in enumerate(content.items()):
                if index == 3 and change == "missing":
                    continue
                samples = samples[::-1] if index == 3 and change == "changed" else samples
                take = 99 if index == 3 and change == "renamed" else take
                name = f"recordings/{digit}_{speaker}_{take}.wav"
                archive.writestr(name, wav(samples.tobytes()))
        with pytest.raises(DataError, match="체크섬 불일치"):
            speech.load_fsdd("test")


def test_damaged_zip(small):
    """아무 곳이나 바뀌거나 잘려도 오류가 나거나 같은 값이 나옵니다."""
    path, content = small
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        position = rng.randrange(len(whole))
        byte = bytes([whole[position] ^ rng.randrange(1, 256)])
        path.write_bytes(whole[:position] + byte + whole[position + 1 :])
        try:
            check_split(speech.load_fsdd("test"), content, range(5))
        except DataError:
            refused += 1
    assert refused > 150
    for count in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:count])
        with pytest.raises(DataError, match="zip 파일이 손상되었습니다"):
            speech.load_fsdd("test")


def test_recording_of_absurd_size(small, monkeypatch):
    monkeypatch.setattr(speech, "MAX_WAV_BYTES", 60)
    with pytest.raises(DataError, match="지나치게 큽니다"):
        speech.load_fsdd("test")


@pytest.mark.parametrize("split", ["validation", "", None])
def test_unknown_split(split):
    with pytest.raises(ValueError, match="split"):
        speech.load_fsdd(split)


def test_wav_round_trip():
    samples = np.array([0, 1, -1, 256, -(2**15), 2**15 - 1], "<i2")
    assert speech.parse_wav(wav(samples.tobytes())).tolist() == samples.tolist()
    assert speech.parse_wav(wav(b"")).shape == (0,)


@pytest.mark.parametrize("form", [(2, 2, 8000), (1, 1, 8000), (1, 2, 16000)])
def test_wav_of_another_form(form):
    with pytest.raises(DataError, match=f"{form[2]} Hz, {form[0]}채널, {8 * form[1]} bit"):
        speech.parse_wav(wav(bytes(8), *form))


def test_damaged_wav():
    data = wav(np.arange(50, dtype="<i2").tobytes())
    for count in range(len(data)):
        with pytest.raises(DataError, match="손상|잘렸"):
            speech.parse_wav(data[:count])


@pytest.mark.data
def test_real_data(course_data):
    test, train = speech.load_fsdd("test"), speech.load_fsdd("train")
    assert len(test.waveforms) == 300 and len(train.waveforms) == 2700
    assert test.labels.bincount().tolist() == [30] * 10
    assert train.labels.bincount().tolist() == [270] * 10
    speakers = {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"}
    assert set(test.speakers) == set(train.speakers) == speakers
    lengths = [len(w) for part in (test, train) for w in part.waveforms]
    assert (min(lengths), max(lengths), sum(lengths)) == (1148, 18262, 10_498_424)
