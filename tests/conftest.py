"""모든 시험이 함께 쓰는 것: 스레드 하나, 시험마다 정해진 시드, 실제 데이터."""

import os

# torch와 numpy를 불러오기 전에 정해야 듣습니다.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import random  # noqa: E402
import zlib  # noqa: E402
from pathlib import Path  # noqa: E402

import hypothesis  # noqa: E402
import numpy  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from course_data import check_course_data  # noqa: E402

torch.set_num_threads(1)
torch.set_warn_always(True)  # 한 번만 나오는 경고가 시험의 순서에 따라 숨지 않게 합니다

CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

hypothesis.settings.register_profile(
    "course", deadline=None, max_examples=25, derandomize=CI, print_blob=True
)
hypothesis.settings.load_profile("course")


@pytest.fixture(autouse=True)
def _seed(request):
    """시험마다 다르지만 실행할 때마다 같은 시드를 줍니다."""
    seed = zlib.crc32(request.node.nodeid.encode("utf-8"))
    random.seed(seed)
    numpy.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def pytest_runtest_setup(item):
    if item.get_closest_marker("data") is None:
        return
    try:
        folder = check_course_data()
    except OSError as error:
        pytest.fail(f"COURSE_DATA를 읽을 수 없습니다: {error}")
    if folder is None:
        pytest.skip("COURSE_DATA를 지정하지 않았습니다.")


@pytest.fixture(scope="session")
def course_data() -> Path:
    """실제 데이터 폴더. `data` 표시가 있는 시험에서 씁니다."""
    folder = check_course_data()
    if folder is None:
        pytest.skip("COURSE_DATA를 지정하지 않았습니다.")
    return folder


@pytest.fixture
def folders(tmp_path, monkeypatch) -> Path:
    """조리법이 결과와 상태를 임시 폴더에 쓰게 합니다."""
    from course_lib.recipes import __main__ as command
    from course_lib.recipes import results

    monkeypatch.setattr(command, "DATA", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "UNFINISHED", tmp_path / "cache")
    return tmp_path


@pytest.fixture
def small_speech(monkeypatch):
    """FSDD 대신 합성 모음을 읽고, 체크포인트의 WaveNet은 두 층짜리로 만듭니다."""
    from course_lib.autoregressive import wavenet
    from course_lib.datasets import speech
    from course_lib.datasets.vowels import make_vowels

    x = (32767 * make_vowels(20, 600, generator=torch.Generator().manual_seed(0)).x).short()

    def load(split):
        sounds = list(x) if split == "train" else [x[i % 20] for i in range(300)]
        labels = torch.arange(len(sounds)) * 10 // len(sounds)
        return speech.SpokenDigits(sounds, labels, ["가"] * len(sounds))

    small = dict(output="gaussian", stacks=1, layers=2, channels=2)
    monkeypatch.setattr(speech, "load_fsdd", load)
    monkeypatch.setattr(
        wavenet, "speech_wavenet", lambda: wavenet.WaveNet(8192, local=40, hop=64, **small)
    )
    monkeypatch.setattr(
        wavenet, "vowel_wavenet", lambda: wavenet.WaveNet(512, local=3, hop=1, classes=5, **small)
    )
