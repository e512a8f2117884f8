"""MNIST: IDX 해석, 손상된 파일, 이진화의 통계."""

import gzip
import hashlib
import math
import random
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.datasets import mnist
from course_lib.datasets._download import DataError


def idx(array):
    """시험용 IDX 쓰기. 해석 코드와 따로 형식의 정의대로 만듭니다."""
    head = bytes([0, 0, 8, array.ndim])
    for size in array.shape:
        head += size.to_bytes(4, "big")
    return head + array.tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """이미지 7장짜리 가짜 MNIST가 든 ``COURSE_DATA``."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "강의 자료" / "mnist"
    folder.mkdir(parents=True)
    arrays = {
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (7, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, 7, dtype=np.uint8),
    }
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        monkeypatch.setitem(mnist.SHA256, name, hashlib.sha256(idx(array)).hexdigest())
    monkeypatch.setenv("COURSE_DATA", str(folder.parent))
    return folder, *arrays.values()


def check_loaded(images, labels):
    x, y = mnist.load_mnist("test")
    assert x.dtype == torch.uint8 and y.dtype == torch.int64
    assert np.array_equal(x.numpy(), images) and np.array_equal(y.numpy(), labels)


def test_compressed_and_plain_files(small):
    folder, images, labels = small
    check_loaded(images, labels)
    for path in list(folder.iterdir()):
        (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    check_loaded(images, labels)


def test_any_compression_of_the_same_content_will_do(small):
    folder, images, labels = small
    for path in folder.iterdir():
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=12345))
    check_loaded(images, labels)


def test_download_tries_the_homes_in_turn(small, host, second_host, cache, monkeypatch):
    folder, images, labels = small
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setattr(mnist, "HOMES", (host.url + "/", second_host.url + "/"))
    good = [
        (folder / f"t10k-{kind}-ubyte.gz").read_bytes() for kind in ("images-idx3", "labels-idx1")
    ]
    damaged = good[0][:-8] + bytes(8)  # gzip의 CRC가 틀립니다.
    host.plan = [host.reply(damaged), host.status(403)]
    second_host.plan = [second_host.reply(data) for data in good]
    check_loaded(images, labels)
    check_loaded(images, labels)
    assert len(second_host.ranges) == 2
    stored = sorted(path.name for path in (cache / "mnist").glob("*.gz"))
    assert stored == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]


def test_every_damaged_byte_is_noticed(small):
    """어느 byte가 바뀌어도 오류가 나거나, 머리의 시각처럼 내용과 무관하면 같은 값이 나옵니다."""
    folder, images, labels = small
    path = folder / "t10k-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            check_loaded(images, labels)
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert (
        refused >= len(whole) - 8
    )  # gzip 머리에서 시각(4), 표시(2), 운영 체제(1)는 뜻이 없습니다.


def test_every_truncation_is_noticed(small):
    folder, *_ = small
    path = folder / "t10k-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    for count in range(len(whole)):
        path.write_bytes(whole[:count])
        with pytest.raises(DataError):
            mnist.load_mnist("test")


def test_damaged_image_file(small):
    folder, *_ = small
    path = folder / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="gzip 파일이 손상되었습니다"):
        mnist.load_mnist("test")


def test_files_in_each_others_place(small):
    folder, *_ = small
    images, labels = sorted(folder.iterdir())
    images.write_bytes(labels.read_bytes())
    with pytest.raises(DataError, match="1차원 자료"):
        mnist.load_mnist("test")


def test_other_content_of_the_right_shape(small):
    folder, images, _ = small
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(255 - images)))
    with pytest.raises(DataError, match="체크섬 불일치"):
        mnist.load_mnist("test")


def test_damaged_download_is_the_fault_of_the_home(small, host, cache, monkeypatch):
    folder, *_ = small
    whole = (folder / "t10k-images-idx3-ubyte.gz").read_bytes()
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setattr(mnist, "HOMES", (host.url + "/",))
    for damaged in (whole[:-8] + bytes(8), whole[:-9], b"\x1f\x8b" + bytes(50), b"", b"<html>"):
        host.plan = [host.reply(damaged)]
        with pytest.raises(DataError, match="받은 내용이 틀립니다"):
            mnist.load_mnist("test")
        assert not list(cache.rglob("*.gz")) and not list(cache.rglob("*.part"))


def test_gzip_bomb(small, monkeypatch):
    folder, *_ = small
    monkeypatch.setattr(mnist, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="훨씬 큽니다"):
        mnist.load_mnist("test")


@pytest.mark.parametrize("split", ["validation", "", "Test", None])
def test_unknown_split(split):
    with pytest.raises(ValueError, match="split"):
        mnist.load_mnist(split)


shapes = st.lists(st.integers(0, 5), min_size=1, max_size=3)


@given(shapes, st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_idx_round_trip(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    parsed = mnist.parse_idx(idx(array))
    assert parsed.dtype == torch.uint8
    assert np.array_equal(parsed.numpy(), array)


@given(shapes, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_bad_idx(shape, rng: random.Random):
    data = idx(np.ones(shape, np.uint8))
    with pytest.raises(DataError):
        mnist.parse_idx(data[: rng.randrange(len(data))])
    with pytest.raises(DataError, match="크기가 맞지 않습니다"):
        mnist.parse_idx(data + b"\0")
    position = rng.randrange(3)
    wrong = bytearray(data)
    wrong[position] ^= rng.randrange(1, 256)
    with pytest.raises(DataError, match="magic number"):
        mnist.parse_idx(bytes(wrong))


@pytest.mark.parametrize("dims", [0, 4, 255])
def test_idx_with_another_number_of_dimensions(dims):
    with pytest.raises(DataError, match="magic number"):
        mnist.parse_idx(struct.pack(">I", 0x800 + dims) + bytes(4 * dims))


def test_dynamic_binarise_has_the_right_frequency():
    """값 v의 픽셀은 확률 v/255로 1입니다. 256가지 값마다 표준오차의 5배 안에 있어야 합니다."""
    n = 20_000
    images = torch.arange(256, dtype=torch.uint8).expand(n, 256)
    bits = mnist.dynamic_binarise(images, torch.Generator().manual_seed(0))
    assert bits.dtype == torch.float32 and bits.shape == images.shape
    assert bits.unique().tolist() == [0, 1]
    p = torch.arange(256, dtype=torch.float64) / 255
    error = (bits.double().mean(0) - p).abs()
    assert (error <= 5 * (p * (1 - p) / n).sqrt()).all()  # v = 0과 255에서는 오차가 없습니다.


def test_dynamic_binarise_draws_anew_but_repeats_with_the_seed():
    images = torch.full((4, 28, 28), 128, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(1)
    first, second = (mnist.dynamic_binarise(images, generator) for _ in range(2))
    again = mnist.dynamic_binarise(images, torch.Generator().manual_seed(1))
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert (images == 128).all()


def test_dynamic_binarise_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    mnist.dynamic_binarise(torch.zeros(3, dtype=torch.uint8), torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_dynamic_binarise_refuses_scaled_images():
    with pytest.raises(TypeError, match="uint8"):
        mnist.dynamic_binarise(torch.rand(2, 28, 28), torch.Generator())


def test_binarised_test_checks_its_hash(small, monkeypatch):
    """가짜 MNIST로 뽑은 것은 강의의 이진화가 아니므로 거절하고, 그 해시를 적으면 받아들입니다."""
    _, images, _ = small
    with pytest.raises(DataError, match="이진화 결과가 강의의 것과 다릅니다"):
        mnist.binarised_test()
    # 표준 라이브러리의 Mersenne Twister에 같은 상태를 주면 같은 난수열이 나와야 합니다.
    _, key, position, *_ = np.random.RandomState(mnist.BINARISATION_SEED).get_state()
    twister = random.Random()
    twister.setstate((3, (*key.tolist(), position), None))
    u = np.array([twister.random() for _ in range(images.size)])
    expected = u.reshape(images.shape) < images / 255
    digest = hashlib.sha256(expected.astype(np.uint8).tobytes()).hexdigest()
    monkeypatch.setattr(mnist, "BINARISED_TEST_SHA256", digest)
    bits = mnist.binarised_test()
    assert bits.dtype == torch.float32
    assert np.array_equal(bits.numpy(), expected)


@pytest.mark.data
class TestRealData:
    @pytest.mark.parametrize("split, n", [("train", 60_000), ("test", 10_000)])
    def test_load(self, course_data, split, n):
        images, labels = mnist.load_mnist(split)
        assert images.shape == (n, 28, 28) and labels.shape == (n,)
        assert images.min() == 0 and images.max() == 255
        assert labels.unique().tolist() == list(range(10))

    def test_first_digits(self, course_data):
        assert mnist.load_mnist("train")[1][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert mnist.load_mnist("test")[1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]

    def test_binarised_test(self, course_data):
        images, _ = mnist.load_mnist("test")
        bits = mnist.binarised_test()
        assert bits.shape == images.shape and bits.unique().tolist() == [0, 1]
        assert not bits[images == 0].any() and bits[images == 255].all()
        p = images.double() / 255
        deviation = (bits.sum().double() - p.sum()) / (p * (1 - p)).sum().sqrt()
        assert abs(deviation) < 5 and math.isfinite(deviation)
        assert torch.equal(bits, mnist.binarised_test())
