"""MNIST 손글씨 숫자와 이 강의에서 쓰는 이진화.

자료: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits (1998),
CC BY-SA 3.0. 확률적 이진화: R. Salakhutdinov, I. Murray, On the Quantitative Analysis of Deep
Belief Networks (ICML 2008). 학습 자료를 매번 새로 뽑는 방식은 Y. Burda, R. Grosse,
R. Salakhutdinov, Importance Weighted Autoencoders (2015, arXiv 1509.00519)를 따릅니다.
"""

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ._download import DataError, obtain

HOMES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# 압축을 푼 내용의 sha256
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
STEMS = {"train": "train", "test": "t10k"}
MAX_BYTES = 1 << 26  # 압축을 푼 크기의 한도. 가장 큰 파일은 47 MB입니다.

BINARISATION_SEED = 0
# binarised_test()의 0과 1을 uint8로 늘어놓은 7 840 000 byte의 sha256
BINARISED_TEST_SHA256 = "16ad3251d6198cbc5a56df3ff067c2064c3dea26f871e47b3beff881ee8a6638"


def load_mnist(split: str) -> tuple[Tensor, Tensor]:
    """MNIST의 한 부분을 읽습니다.

    split: ``"train"``(60 000장) 또는 ``"test"``(10 000장). 검증 자료가 필요하면 관례대로 train의
    마지막 10 000장을 떼어 씁니다.

    반환: 이미지 ``(N, 28, 28)`` uint8, 값 0..255(클수록 획이 진합니다)와 정답 ``(N,)`` int64.

    ``$COURSE_DATA/mnist``, 캐시, 내려받기의 순서로 찾습니다(``data/README.md``). ``.gz`` 파일과
    압축을 푼 파일을 모두 읽습니다.

    ``ValueError``: split이 틀렸을 때. ``DataError``: 파일이 없거나 손상되었거나 체크섬이 다를 때.
    """
    if split not in STEMS:
        raise ValueError(f'split은 "train"이나 "test"여야 합니다. 받은 값: {split!r}')
    images = _load(f"{STEMS[split]}-images-idx3-ubyte")
    return images, _load(f"{STEMS[split]}-labels-idx1-ubyte").long()


def dynamic_binarise(images: Tensor, generator: torch.Generator) -> Tensor:
    """픽셀마다 Bernoulli(값/255)에서 새로 뽑아 0과 1로 만듭니다.

    images: 모양과 관계없이 uint8(0..255). 반환: 같은 모양의 float32, 값은 0 또는 1.
    generator: images와 같은 장치의 ``torch.Generator``. 부를 때마다 다른 표본이 나옵니다.

    ``TypeError``: images가 uint8이 아닐 때. [0, 1]의 값을 한 번 더 나누는 실수를 막습니다.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images는 0..255의 uint8이어야 합니다. 받은 dtype: {images.dtype}")
    # u는 [0, 1)의 값이므로 p = 1이면 언제나 1, p = 0이면 언제나 0입니다.
    u = torch.rand(images.shape, generator=generator, device=images.device)
    return (u < images / 255).float()


def binarised_test() -> Tensor:
    """시험 이미지 10 000장의 고정된 이진화 ``(10000, 28, 28)`` float32, 값은 0 또는 1.

    시드 하나로 Bernoulli(값/255)를 한 번 뽑은 것이며, 강의의 모든 이진 MNIST 수치는 이 표본에서
    잽니다. 난수는 버전이 바뀌어도 수열이 같다고 약속된 ``numpy.random.RandomState``에서 얻고,
    결과의 sha256을 ``BINARISED_TEST_SHA256``과 비교합니다. 다르면 ``DataError``입니다.

    Larochelle와 Murray(2011)가 배포한 고정 이진화와는 다른 표본이므로 논문의 수치와는 조금 다를 수
    있습니다.
    """
    images, _ = load_mnist("test")
    u = np.random.RandomState(BINARISATION_SEED).random_sample(images.shape)
    bits = (u < images.numpy() / 255).astype(np.uint8)
    if hashlib.sha256(bits.tobytes()).hexdigest() != BINARISED_TEST_SHA256:
        raise DataError(
            "시험 이미지의 이진화 결과가 강의의 것과 다릅니다. 설치된 numpy의 난수가 다릅니다. "
            "constraints.txt의 버전으로 다시 설치하십시오."
        )
    return torch.from_numpy(bits).float()


def parse_idx(data: bytes) -> Tensor:
    """uint8 IDX 파일의 내용을 텐서로 바꿉니다.

    형식: 0, 0, 자료형(0x08 = uint8), 차원 수 d, big-endian uint32 크기 d개, 그리고 값.
    ``DataError``: magic number가 다르거나 크기와 값의 개수가 맞지 않을 때.
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08" or not 1 <= data[3] <= 3:
        raise DataError(f"IDX 파일이 아닙니다(magic number 0x{data[:4].hex()}).")
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise DataError("IDX 파일의 머리 부분이 잘렸습니다.")
    shape = struct.unpack(f">{data[3]}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise DataError(
            f"IDX 파일의 크기가 맞지 않습니다. 모양이 {shape}이면 값이 {math.prod(shape)}개여야 "
            f"하는데 {len(data) - header}개 있습니다."
        )
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy())


def _load(name: str) -> Tensor:
    return obtain(
        (f"mnist/{name}.gz", f"mnist/{name}"),
        [f"{home}{name}.gz" for home in HOMES],
        lambda path: _read(path, name),
    )


def _read(path: Path, name: str) -> Tensor:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                data = file.read(MAX_BYTES)
                if file.read(1):
                    raise DataError("압축을 푼 크기가 MNIST보다 훨씬 큽니다.")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"gzip 파일이 손상되었습니다({error}).") from None
    values = parse_idx(data)
    if values.dim() != int(name[-7]):  # …idx3-ubyte는 3차원, …idx1-ubyte는 1차원
        raise DataError(f"{name}의 자리에 {values.dim()}차원 자료가 있습니다.")
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise DataError("내용이 MNIST 원본과 다릅니다(체크섬 불일치).")
    return values
