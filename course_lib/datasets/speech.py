"""영어 숫자 음성 FSDD 1.0.10: 8 kHz, 화자 6명, 0부터 9까지 숫자마다 50번.

자료: Z. Jackson 외, Free Spoken Digit Dataset v1.0.10, CC BY-SA 4.0.
"""

import hashlib
import io
import re
import wave
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._download import DataError, obtain

SAMPLE_RATE = 8000  # Hz
NAME = "free-spoken-digit-dataset-1.0.10.zip"
HOMES = (
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
    "https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/zip/refs/tags/v1.0.10",
    "https://api.github.com/repos/Jakobovski/free-spoken-digit-dataset/zipball/v1.0.10",
)
# 파일 이름순으로 늘어놓은 "<WAV의 sha256>  <이름>\n"의 sha256
MANIFEST_SHA256 = "1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959"
TEST_TAKES = 5  # 공식 분할: 화자와 숫자마다 0..4번 녹음이 시험 자료입니다.
MAX_WAV_BYTES = 1 << 20
# 배포본에는 녹음 말고도 다른 파일이 들어 있으므로 recordings 폴더의 WAV만 읽습니다.
RECORDING = re.compile(r"(?:.*/)?recordings/(?P<name>(\d)_([a-z]+)_(\d+)\.wav)")


class SpokenDigits(NamedTuple):
    """녹음 N개.

    waveforms: 길이가 저마다 다른 ``(T,)`` int16 텐서의 목록, 초당 8000표본.
    labels: ``(N,)`` int64, 말한 숫자 0..9. speakers: 화자 이름의 목록.
    """

    waveforms: list[Tensor]
    labels: Tensor
    speakers: list[str]


def load_fsdd(split: str) -> SpokenDigits:
    """숫자 음성을 (숫자, 화자, 녹음 번호)의 순서로 돌려줍니다.

    split: ``"train"``(5..49번 녹음, 2700개) 또는 ``"test"``(0..4번 녹음, 300개).

    ``$COURSE_DATA``의 zip, 캐시, 배포본 내려받기의 순서로 찾습니다(``data/README.md``).
    ``ValueError``: split이 틀렸을 때. ``DataError``: 파일이 없거나 손상되었거나 체크섬이 다를 때.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split은 "train"이나 "test"여야 합니다. 받은 값: {split!r}')
    recordings = obtain((NAME,), HOMES, _read_zip)
    chosen = sorted(
        (int(digit), speaker, int(take), name)
        for name in recordings
        for digit, speaker, take in [name.removesuffix(".wav").split("_")]
        if (int(take) < TEST_TAKES) == (split == "test")
    )
    return SpokenDigits(
        [parse_wav(recordings[name]) for *_, name in chosen],
        torch.tensor([digit for digit, *_ in chosen]),
        [speaker for _, speaker, _, _ in chosen],
    )


def windows(waveforms: list[Tensor], length: int = 8192, peak: float = 0.9) -> Tensor:
    """길이가 저마다 다른 신호를 (N, length) float32로 맞춥니다. 길면 앞부분만, 짧으면 뒤에 0을 채웁니다.

    신호마다 절댓값의 최대가 peak가 되게 합니다. 화자에 따라 녹음의 크기가 열 배 넘게 다르기 때문입니다.
    ``ValueError``: 목록이 비었거나 소리가 없는 신호가 있을 때.
    """
    if not waveforms or length < 1:
        raise ValueError("신호를 하나 이상, length는 1 이상으로 넣으세요.")
    out = torch.zeros(len(waveforms), length)
    for row, wave_ in zip(out, waveforms, strict=True):
        part = wave_[:length].float()
        loudest = part.abs().max() if len(part) else torch.tensor(0.0)
        if not loudest > 0:
            raise ValueError("소리가 전혀 없는 신호가 있습니다. 빈 녹음을 빼고 넣으세요.")
        row[: len(part)] = part * (peak / loudest)
    return out


def parse_wav(data: bytes) -> Tensor:
    """8 kHz, 단일 채널, 16 bit WAV의 내용을 ``(T,)`` int16 텐서로 바꿉니다.

    ``DataError``: WAV가 아니거나, 형식이 다르거나, 중간에 잘렸을 때.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            count, frames = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(f"WAV 파일이 손상되었습니다({error}).") from None
    if form != (1, 2, SAMPLE_RATE):
        raise DataError(
            "8 kHz, 단일 채널, 16 bit WAV가 아닙니다: "
            f"{form[2]} Hz, {form[0]}채널, {8 * form[1]} bit."
        )
    if len(frames) != 2 * count:
        raise DataError(f"WAV 파일이 잘렸습니다: 표본 {count}개 가운데 {len(frames) // 2}개.")
    return torch.from_numpy(np.frombuffer(frames, "<i2").astype(np.int16))


def _read_zip(path: Path) -> dict[str, bytes]:
    """zip에서 녹음만 골라 {파일 이름: WAV 내용}으로 읽고 목록 전체의 체크섬을 확인합니다."""
    recordings = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                match = RECORDING.fullmatch(info.filename)
                if match is None:
                    continue
                if info.file_size > MAX_WAV_BYTES:
                    raise DataError(f"{match['name']} 녹음이 지나치게 큽니다.")
                recordings[match["name"]] = archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"zip 파일이 손상되었습니다({error}).") from None
    manifest = "".join(
        f"{hashlib.sha256(recordings[name]).hexdigest()}  {name}\n" for name in sorted(recordings)
    )
    if hashlib.sha256(manifest.encode()).hexdigest() != MANIFEST_SHA256:
        raise DataError(f"녹음 {len(recordings)}개의 내용이 FSDD 1.0.10과 다릅니다(체크섬 불일치).")
    return recordings
