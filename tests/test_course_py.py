"""course.py의 갈림길: 네트워크 없이, 가짜 pip와 한글·공백이 든 폴더에서 봅니다."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import course

SOURCE = Path(course.__file__)
Usage = namedtuple("Usage", "total used free")

FAKE_PIP = """
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "calls.jsonl"), "a", encoding="utf-8") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd()}) + "\\n")
with open(os.path.join(here, "plan.json"), encoding="utf-8") as file:
    for part, code, output in json.load(file):
        if part in " ".join(sys.argv):
            print(output)
            sys.exit(code)
"""


class House:
    """한글과 공백이 든 임시 강의 폴더. pip는 부른 것만 적는 가짜입니다."""

    def __init__(self, root: Path):
        self.root = root / "새 폴더 1" / "강의"
        self.root.mkdir(parents=True)
        for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
            shutil.copy(SOURCE.parent / name, self.root / name)
        self.modules = root / "modules"
        for name in ("pip", "torch", "course_lib", "jupyterlab"):
            (self.modules / name).mkdir(parents=True)
            (self.modules / name / "__init__.py").write_text("", encoding="utf-8")
        self.pip = self.modules / "pip"
        (self.pip / "__main__.py").write_text(FAKE_PIP, encoding="utf-8")
        self.plan()

    def make_venv(self):
        (self.root / ".venv").mkdir()
        (self.root / ".venv/pyvenv.cfg").touch()

    def plan(self, *steps):
        """(명령에 든 글, 종료 코드, 출력)의 목록. 먼저 맞는 것을 씁니다."""
        (self.pip / "plan.json").write_text(json.dumps(steps), encoding="utf-8")

    def calls(self) -> list[list[str]]:
        """지금까지의 pip 명령. 모두 install이고, 제약 파일을 쓰며, 강의 폴더에서 불렸습니다."""
        path = self.pip / "calls.jsonl"
        if not path.exists():
            return []
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for call in found:
            assert call["argv"][0] == "install"
            position = call["argv"].index("-c")
            assert call["argv"][position + 1] == "constraints.txt"
            assert Path(call["cwd"]) == self.root
        path.unlink()
        return [call["argv"] for call in found]


@pytest.fixture
def house(tmp_path, monkeypatch):
    house = House(tmp_path)
    venv = house.root / ".venv"
    monkeypatch.setattr(course, "ROOT", house.root)
    monkeypatch.setattr(course, "VENV", venv)
    monkeypatch.setattr(course, "STAMP", venv / "course-stamp.txt")
    monkeypatch.setattr(course, "LOG", house.root / ".venv-install.log")
    monkeypatch.setattr(course, "LOCK", house.root / ".venv.lock")
    monkeypatch.setattr(course, "DISCARDED", house.root / ".venv.old")
    monkeypatch.setattr(course, "make_venv", house.make_venv)
    monkeypatch.setattr(course, "venv_python", lambda: Path(sys.executable))
    monkeypatch.setattr(course, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(course.platform, "system", lambda: "Linux")
    monkeypatch.setattr(course.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(course.shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
    monkeypatch.setenv("PYTHONPATH", str(house.modules))
    for name in ("COURSE_DATA", "COURSE_SEED", "COURSE_THREADS", "COURSE_TORCH"):
        monkeypatch.delenv(name, raising=False)
    return house


def one_korean_line(error) -> str:
    text = str(error)
    assert "\n" not in text
    assert any("가" <= letter <= "힣" for letter in text)
    return text


NO_NETWORK = (
    "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found for x"
)
NO_CPU_BUILD = (
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu\n"
    "ERROR: No matching distribution found for torch==2.13.0+cpu"
)
DISK_FULL = (
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
)


# ── pip 명령의 순서 ────────────────────────────────────────────────────────────


def cpu_torch(call: list[str]) -> bool:
    """CPU 판만, 의존성 없이 받는 명령인지 봅니다. 이 명령으로는 CUDA가 따라올 수 없습니다."""
    return call[-1] == "torch==2.13.0+cpu" and "--no-deps" in call


def test_linux_without_gpu_takes_the_cpu_build_pip_offers(house):
    course.ensure_environment()
    first, last = house.calls()
    assert cpu_torch(first) and "--index-url" not in first
    assert last[-2:] == ["-r", "requirements.txt"]


def test_then_the_cpu_index_of_pytorch(house):
    house.plan(("--index-url", 0, ""), ("+cpu", 1, NO_CPU_BUILD))
    course.ensure_environment()
    first, second, last = house.calls()
    assert cpu_torch(first) and cpu_torch(second)
    assert second[second.index("--index-url") + 1] == course.CPU_INDEX
    assert int(second[second.index("--retries") + 1]) <= 1
    assert int(second[second.index("--timeout") + 1]) <= 30
    assert "--index-url" not in last and "--extra-index-url" not in last


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (NO_CPU_BUILD, NO_CPU_BUILD, "COURSE_TORCH=cuda"),
        (NO_CPU_BUILD, NO_NETWORK, "COURSE_TORCH=cuda"),
        (NO_NETWORK, NO_NETWORK, "인터넷"),
        (DISK_FULL, "", "디스크"),
    ],
)
def test_and_never_a_cuda_build(house, first, second, word):
    house.plan(("--index-url", 1, second), ("+cpu", 1, first))
    with pytest.raises(course.CourseError) as caught:
        course.ensure_environment()
    assert word in one_korean_line(caught.value)
    assert all(cpu_torch(call) for call in house.calls())


def test_installed_torch_is_not_fetched_again(house):
    library = course.VENV / "lib/python3.11/site-packages"
    (library / "torch-2.13.0+cpu.dist-info").mkdir(parents=True)
    course.install_packages()
    assert [call[-1] for call in house.calls()] == ["requirements.txt"]


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
def test_other_systems_need_no_special_build(house, monkeypatch, system):
    monkeypatch.setattr(course.platform, "system", lambda: system)
    course.ensure_environment()
    assert [call[-1] for call in house.calls()] == ["requirements.txt"]


def test_gpu_takes_the_plain_pin_and_the_choice_can_be_forced(house, monkeypatch):
    monkeypatch.setattr(course, "has_nvidia_gpu", lambda: True)
    house.make_venv()
    course.install_packages()
    assert [call[-1] for call in house.calls()] == ["requirements.txt"]
    monkeypatch.setenv("COURSE_TORCH", "cpu")
    course.install_packages()
    assert cpu_torch(house.calls()[0])
    monkeypatch.setenv("COURSE_TORCH", "gpu")
    with pytest.raises(course.CourseError, match="COURSE_TORCH"):
        course.install_packages()


def test_gpu_detection_asks_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setattr(course.shutil, "which", lambda *a, **k: None)
    assert not course.has_nvidia_gpu()
    monkeypatch.setattr(course.shutil, "which", lambda *a, **k: "nvidia-smi")
    for code, output, expected in [
        (0, b"GPU 0: NVIDIA", True),
        (9, b"GPU", False),
        (0, b"No devices", False),
    ]:
        answer = subprocess.CompletedProcess([], code, output)
        monkeypatch.setattr(course.subprocess, "run", lambda *a, _=answer, **k: _)
        assert course.has_nvidia_gpu() == expected


# ── 도장과 중단된 설치 ─────────────────────────────────────────────────────────


def test_second_call_installs_nothing(house):
    course.ensure_environment()
    house.calls()
    course.ensure_environment()
    assert house.calls() == []


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_changed_list_updates_the_same_environment(house, name):
    course.ensure_environment()
    house.calls()
    keep = course.VENV / "keep"
    keep.touch()
    with (house.root / name).open("a", encoding="utf-8") as file:
        file.write("# 새 줄\n")
    course.ensure_environment()
    assert house.calls() and keep.exists()


def test_line_ends_do_not_count_as_a_change(house):
    before = course.fingerprint()
    path = house.root / "constraints.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert course.fingerprint() == before


def test_moved_folder_is_installed_again(house, monkeypatch, tmp_path):
    before = course.fingerprint()
    moved = house.root.rename(tmp_path / "옮긴 폴더")
    monkeypatch.setattr(course, "ROOT", moved)
    assert course.fingerprint() != before


def test_interrupted_installation_is_built_anew(house, monkeypatch):
    def interrupted(arguments):
        (course.VENV / "half-made").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(course, "pip_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            course.ensure_environment()
    course.ensure_environment()
    assert house.calls()
    assert not (course.VENV / "half-made").exists()


def test_half_made_venv_without_python_is_built_anew(house, monkeypatch):
    course.VENV.mkdir()
    (course.VENV / "half-made").touch()
    made = []
    monkeypatch.setattr(course, "venv_works", lambda with_pip: bool(made))
    monkeypatch.setattr(course, "make_venv", lambda: (house.make_venv(), made.append(1)))
    course.ensure_environment()
    assert made and not (course.VENV / "half-made").exists()


def test_interrupted_removal_leaves_no_half_venv(house, monkeypatch):
    course.ensure_environment()
    (course.VENV / "half-made").touch()
    course.write_stamp(course.INSTALLING)

    def interrupted(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(course.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            course.ensure_environment()
    assert not course.VENV.exists()
    course.ensure_environment()
    assert not (course.VENV / "half-made").exists()
    (course.VENV / "half-made").touch()
    course.write_stamp(course.INSTALLING)
    course.ensure_environment()
    assert not course.VENV.with_name(".venv.old").exists()


def test_nothing_is_installed_outside_the_venv(house):
    """pyvenv.cfg가 없으면 .venv의 Python은 바깥 Python입니다."""
    house.make_venv()
    (course.VENV / "half-made").touch()
    (course.VENV / "pyvenv.cfg").unlink()
    course.ensure_environment()
    assert not (course.VENV / "half-made").exists()
    assert course.child_env()["PIP_REQUIRE_VIRTUALENV"] == "1"


def test_own_venv_of_the_user_is_kept(house):
    house.make_venv()
    (course.VENV / "keep").touch()
    course.ensure_environment()
    assert house.calls() and (course.VENV / "keep").exists()


def test_failed_download_keeps_the_environment(house):
    course.ensure_environment()
    (course.VENV / "keep").touch()
    stamp = course.read_stamp()
    with (house.root / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write("# 새 줄\n")
    house.plan(("requirements.txt", 1, NO_NETWORK))
    for _ in range(2):
        with pytest.raises(course.DownloadError):
            course.ensure_environment()
        assert course.read_stamp() == stamp
    assert (course.VENV / "keep").exists()


def test_full_disk_during_installation_starts_over(house):
    house.plan(("requirements.txt", 1, DISK_FULL))
    with pytest.raises(course.CourseError, match="디스크"):
        course.ensure_environment()
    (course.VENV / "half-made").touch()
    house.plan()
    course.ensure_environment()
    assert not (course.VENV / "half-made").exists()


def test_other_python_version_builds_anew(house, monkeypatch):
    course.ensure_environment()
    (course.VENV / "old").touch()
    answers = iter([False, False])  # 처음 물음과 pip를 묻는 물음
    monkeypatch.setattr(course, "venv_works", lambda with_pip: next(answers))
    course.ensure_environment()
    assert not (course.VENV / "old").exists()


def test_venv_works_only_with_this_version(house, monkeypatch):
    house.make_venv()
    assert course.venv_works(with_pip=False) and course.venv_works(with_pip=True)
    (house.pip / "__init__.py").write_text("raise ImportError", encoding="utf-8")
    assert course.venv_works(with_pip=False) and not course.venv_works(with_pip=True)
    monkeypatch.setattr(course.sys, "version_info", (3, 99, 0))
    assert not course.venv_works(with_pip=False)
    monkeypatch.setattr(course, "venv_python", lambda: house.root / "없는 파일")
    assert not course.venv_works(with_pip=False)


def test_two_windows_do_not_install_at_once(house):
    with course.install_lock():
        with pytest.raises(course.CourseError, match="다른 창"):
            course.ensure_environment()
    course.ensure_environment()


def test_library_that_does_not_load_is_reported(house):
    broken = "raise OSError('[WinError 126] c10.dll')"
    (house.modules / "torch" / "__init__.py").write_text(broken, encoding="utf-8")
    with pytest.raises(course.CourseError, match="Visual C"):
        course.ensure_environment()
    assert course.read_stamp() == course.INSTALLING


def test_real_venv_in_a_folder_with_korean_and_a_space(tmp_path, monkeypatch):
    root = tmp_path / "새 폴더 1"
    root.mkdir()
    monkeypatch.setattr(course, "ROOT", root)
    monkeypatch.setattr(course, "VENV", root / ".venv")
    run = subprocess.run
    monkeypatch.setattr(  # pip까지 넣으면 오래 걸립니다
        course.subprocess,
        "run",
        lambda command, **k: run(command + ["--without-pip"] * ("venv" in command), **k),
    )
    course.make_venv()
    assert course.venv_works(with_pip=False) and not course.venv_works(with_pip=True)
    (root / ".venv/pyvenv.cfg").unlink()
    assert not course.venv_works(with_pip=False)


# ── 시작하기 전의 확인 ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 14), (4, 0)])
@pytest.mark.parametrize("found", [None, "python3.12"])
def test_wrong_python_is_refused_with_advice(monkeypatch, version, found):
    monkeypatch.setattr(course.sys, "version_info", version + (0, "final", 0))
    monkeypatch.setattr(course.shutil, "which", lambda name: name if name == found else None)
    with pytest.raises(course.CourseError) as caught:
        course.check_python()
    text = one_korean_line(caught.value)
    assert "{}.{}".format(*version) in text and (found or "3.13") in text


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_right_python_is_accepted(monkeypatch, minor):
    monkeypatch.setattr(course.sys, "version_info", (3, minor, 1, "final", 0))
    monkeypatch.setattr(course.platform, "system", lambda: "Linux")
    course.check_python()


def test_machines_without_pytorch_are_refused(monkeypatch):
    monkeypatch.setattr(course.sys, "version_info", (3, 11, 1, "final", 0))
    monkeypatch.setattr(course.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(course.platform, "machine", lambda: "arm64")
    course.check_python()
    monkeypatch.setattr(course.platform, "machine", lambda: "x86_64")
    with pytest.raises(course.CourseError, match="Intel"):
        course.check_python()
    monkeypatch.setattr(course.sys, "maxsize", 2**31 - 1)
    with pytest.raises(course.CourseError, match="64비트"):
        course.check_python()


def test_full_disk_is_seen_before_anything_is_made(house, monkeypatch):
    monkeypatch.setattr(course.shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**9))
    with pytest.raises(course.CourseError, match="디스크") as caught:
        course.ensure_environment()
    assert "1.0 GB" in one_korean_line(caught.value)
    assert not course.VENV.exists()


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_missing_venv_module(monkeypatch, missing):
    find = course.importlib.util.find_spec
    monkeypatch.setattr(
        course.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    with pytest.raises(course.CourseError, match="python3-venv"):
        course.make_venv()


def test_course_data_becomes_absolute_or_is_an_error(house, monkeypatch, tmp_path):
    (tmp_path / "자료 1").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", "자료 1")
    assert course.child_env()["COURSE_DATA"] == str((tmp_path / "자료 1").resolve())
    monkeypatch.setenv("COURSE_DATA", "")
    assert "COURSE_DATA" not in course.child_env()
    monkeypatch.setenv("COURSE_DATA", "없는 폴더")
    with pytest.raises(course.CourseError, match="COURSE_DATA") as caught:
        course.child_env()
    one_korean_line(caught.value)


def test_child_environment(house, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "elsewhere")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("COURSE_SEED", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    env = course.child_env()
    assert "PYTHONHOME" not in env
    assert env["PIP_USER"] == "0" and env["PYTHONUTF8"] == "1"
    assert env["OMP_WAIT_POLICY"] == "PASSIVE" and env["OMP_NUM_THREADS"] == "1"
    assert env["COURSE_SEED"] == "7"
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    monkeypatch.setenv("COURSE_THREADS", "3")
    assert course.child_env()["OMP_NUM_THREADS"] == "3"
    assert course.child_env()["COURSE_THREADS"] == "3"


# ── pip가 남긴 말 ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("output", "word", "intact"),
    [
        (DISK_FULL, "디스크", False),
        ("OSError: [WinError 112] There is not enough space on the disk", "디스크", False),
        (NO_NETWORK, "인터넷", True),
        ("Failed: [Errno 11001] getaddrinfo failed", "인터넷", True),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.", "인터넷", True),
        ("SSLError(SSLCertVerificationError(1, 'CERTIFICATE_VERIFY_FAILED'))", "인증서", True),
        (NO_CPU_BUILD, "torch==2.13.0+cpu", True),
        ("[Errno 2] No such file: HINT: See warnings/enable-long-paths", "짧", False),
        ("ERROR: Could not install: [WinError 5] Access is denied", "JupyterLab", False),
        ("ERROR: Could not install: [WinError 32] in use", "JupyterLab", False),
        ("ERROR: something\nnobody has seen", "nobody has seen", False),
        ("", "실패", False),
    ],
)
def test_reasons(house, output, word, intact):
    error = course.explain(output, "실패.")
    assert word in one_korean_line(error)
    assert isinstance(error, course.DownloadError) == intact


def test_numbers_are_not_taken_for_error_codes():
    assert "디스크" not in str(course.explain("OSError: [WinError 1123]\n[Errno 281]", "실패."))
    assert "쓰기" not in str(course.explain("[WinError 50]\n[Errno 131]", "실패."))


def test_pip_output_is_shown_briefly_and_kept(house, capsys):
    output = (
        "Collecting jupyterlab==4.6.6\n"
        "  Downloading jupyterlab-4.6.6-py3-none-any.whl (17.3 MB)\n"
        "  Downloading jupyterlab-4.6.6-py3-none-any.whl.metadata (16 kB)\n"
        "  Downloading tiny-1.0-py3-none-any.whl (9 kB)\n"
        "Installing collected packages: a, b, c"
    )
    house.plan(("requirements.txt", 0, output))
    course.ensure_environment()
    shown = capsys.readouterr().out
    assert "jupyterlab-4.6.6 (17.3 MB)" in shown and "패키지 3개" in shown
    assert "tiny" not in shown and "metadata" not in shown and "Collecting" not in shown
    assert output in course.LOG.read_text(encoding="utf-8")


# ── 동사 ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def called(house, monkeypatch):
    """call()로 실행했을 (인자, 환경)의 목록. 종료 코드는 0입니다."""
    calls = []
    monkeypatch.setattr(course, "ensure_environment", lambda: None)
    monkeypatch.setattr(course, "utf8_output", lambda: None)
    monkeypatch.setattr(course, "check_python", lambda: None)
    monkeypatch.setattr(
        course, "call", lambda arguments, env=None: calls.append((arguments, env)) or 0
    )
    for name in ("tests", "notebooks"):
        (house.root / name).mkdir()
    (house.root / "notebooks/00_welcome.ipynb").touch()
    (house.root / "tests/test_page.py").write_text("pytest.mark.browser", encoding="utf-8")
    return calls


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("run 13", "-m course_lib.cli run 13"),
        ("author 13 --x", "-m course_lib.cli author 13 --x"),
        ("claims 13 --seeds 0 1 2", "-m course_lib.cli claims 13 --seeds 0 1 2"),
        ("slides 13", "-m course_lib.cli slides 13"),
        ("student 13", "-m course_lib.cli student 13"),
        ("grade 낸-것 --timeout 9", "-m course_lib.grading 낸-것 --timeout 9"),
        ("app 13 --port 8900", "-m course_lib.cli app 13 --port 8900"),
        ("site", "-m course_lib.cli site"),
        ("train realnvp_digits", "-m course_lib.recipes realnvp_digits"),
        (
            "train nade --processes 2 --x",
            "-m torch.distributed.run --standalone --nproc-per-node=2 -m course_lib.recipes nade --x",
        ),
    ],
)
def test_delegated_verbs(called, given, expected):
    assert course.main(given.split()) == 0
    assert [" ".join(arguments) for arguments, _ in called] == [expected]


def test_file_names_work_from_another_folder(called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "내 노트북.ipynb").touch()
    course.main(["run", "내 노트북.ipynb"])
    assert called[0][0][-1] == str(tmp_path / "내 노트북.ipynb")
    (tmp_path / "낸 것").mkdir()
    course.main(["grade", "낸 것"])
    assert called[1][0][-1] == str(tmp_path / "낸 것")


def test_lab_opens_the_welcome_notebook_on_loopback_with_a_token(called, house):
    course.main(["lab", "--no-browser", "--port=9999"])
    ((arguments, _),) = called
    assert arguments[:2] == ["-m", "jupyterlab"]
    assert "--ip=127.0.0.1" in arguments
    assert f"--ServerApp.root_dir={house.root}" in arguments
    assert any(a.endswith("/lab/tree/notebooks/00_welcome.ipynb") for a in arguments)
    assert not any("token" in a or "password" in a for a in arguments)
    assert arguments[-2:] == ["--no-browser", "--port=9999"]
    settings = course.VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    (values,) = json.loads(settings.read_text(encoding="utf-8")).values()
    assert values == {"fetchNews": "false", "checkForUpdates": False}


def test_test_runs_every_stage_and_reports_each_failure(called, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_SEED", "5")
    monkeypatch.setenv("COURSE_THREADS", "2")
    assert course.main(["test"]) == 0
    ruff, unit, nbval, again, browser = [" ".join(arguments) for arguments, _ in called]
    assert ruff == "-m ruff check ."
    assert "not browser" in unit and unit.endswith(" tests")
    assert nbval.endswith(
        "--nbval --nbval-current-env --nbval-cell-timeout=300 --nbval-sanitize-with "
        "tests/notebooks/sanitize.cfg -n 2 --dist loadscope notebooks/"
    )
    assert again == nbval  # git이 없으면 무엇이 바뀌었는지 모르므로 모두 한 번 더 합니다
    assert "-m browser" in browser
    for _, env in called:
        assert "COURSE_SEED" not in env and "COURSE_THREADS" not in env
        assert env["OMP_NUM_THREADS"] == "1"
    for bad in range(5):
        codes = [int(stage == bad) for stage in range(5)]
        monkeypatch.setattr(course, "call", lambda *a, _=codes, **k: _.pop(0))
        assert course.main(["test"]) == 1
        name = ["ruff", "단위 시험", "노트북(nbval)", "한 번 더", "브라우저"][bad]
        assert name in capsys.readouterr().err.splitlines()[-1]


def test_only_an_empty_folder_skips_the_notebooks(called, house):
    (house.root / "notebooks/00_welcome.ipynb").unlink()
    (house.root / "tests/test_page.py").unlink()
    assert course.main(["test"]) == 0
    assert not any("nbval" in " ".join(arguments) for arguments, _ in called)
    assert len(called) == 2


@pytest.fixture
def repository(called, house, monkeypatch):
    """노트북이 둘인 git 저장소. git("명령", …)을 돌려줍니다."""
    monkeypatch.delenv("COURSE_BASE", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=house.root, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    write(house, "notebooks/13_둘째 장.ipynb", "1")
    git("add", "notebooks")
    git("commit", "-qm", "one")
    return git


def write(house, name, text):
    (house.root / name).write_text(text, encoding="utf-8")


def second_pass(called) -> list[str] | None:
    """`course.py test`가 두 번 실행할 노트북. 그 단계가 없으면 None."""
    called.clear()
    assert course.main(["test"]) == 0
    passes = [arguments for arguments, _ in called if "--nbval" in arguments]
    assert passes[0][-1] == "notebooks/"
    return passes[1][passes[1].index("loadscope") + 1 :] if len(passes) > 1 else None


def test_only_changed_notebooks_run_twice(repository, called, house, monkeypatch, capsys):
    git, chapter = repository, "notebooks/13_둘째 장.ipynb"
    assert second_pass(called) == ["notebooks/"]  # 앞 커밋이 없습니다
    write(house, "README.md", "1")
    git("add", "README.md")
    git("commit", "-qm", "two")
    assert second_pass(called) is None
    assert "두 번째 nbval을 건너뜁니다" in capsys.readouterr().out
    write(house, chapter, "2")  # 아직 커밋하지 않은 것
    assert second_pass(called) == [chapter]
    git("commit", "-qam", "three")  # main에서는 바로 앞 커밋과 견줍니다
    assert second_pass(called) == [chapter]
    write(house, "notebooks/14_new.ipynb", "1")  # git이 아직 모르는 것
    write(house, "notebooks/claims.yml", "1")
    assert second_pass(called) == [chapter, "notebooks/14_new.ipynb"]
    git("checkout", "-qb", "work")
    git("add", "notebooks")
    git("commit", "-qm", "four")
    git("rm", "-q", "notebooks/00_welcome.ipynb")  # 지운 것은 실행할 수 없습니다
    git("commit", "-qm", "five")
    assert second_pass(called) == ["notebooks/14_new.ipynb"]  # 가지에서는 갈라진 곳과 견줍니다
    monkeypatch.setenv("COURSE_BASE", "main~2")
    assert second_pass(called) == [chapter, "notebooks/14_new.ipynb"]


def test_without_git_every_notebook_runs_twice(repository, called, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert second_pass(called) == ["notebooks/"]


def test_quick_passes_flags_to_pytest(called):
    course.main(["test", "--quick", "-k", "flow"])
    ((arguments, env),) = called
    assert arguments[-2:] == ["-k", "flow"] and "--quick" not in arguments
    assert env["PYTHONWARNDEFAULTENCODING"] == "1"


@pytest.mark.parametrize("wrong", [[], ["둘"], ["0"], ["--seeds", "1"]])
def test_processes_needs_a_number(called, capsys, wrong):
    assert course.main(["train", "nade", "--processes", *wrong]) == 2
    assert "--processes" in one_korean_line(capsys.readouterr().err.strip())
    assert called == []


def test_unknown_verb_and_help(called, capsys):
    assert course.main(["labb"]) == 2
    assert "labb" in one_korean_line(capsys.readouterr().err.strip())
    assert course.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"course.py {verb}" in shown for verb in course.VERBS)
    assert called == []


@pytest.mark.parametrize(
    ("error", "word", "code"),
    [
        (KeyboardInterrupt(), "멈췄습니다", 130),
        (OSError(28, "No space left on device"), "디스크", 2),
        (PermissionError(13, "Permission denied"), "권한", 2),
        (FileNotFoundError(2, "No such file", "constraints.txt"), "constraints.txt", 2),
    ],
)
def test_no_traceback_reaches_the_reader(called, monkeypatch, capsys, error, word, code):
    def stop():
        raise error

    monkeypatch.setattr(course, "ensure_environment", stop)
    assert course.main(["lab"]) == code
    assert word in one_korean_line(capsys.readouterr().err.strip())


def test_exit_code_of_the_child(house):
    assert course.call(["-c", "raise SystemExit(3)"]) == 3
    if os.name != "nt":
        code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
        assert course.call(["-c", code]) == 128 + signal.SIGTERM


@pytest.mark.skipif(os.name == "nt", reason="POSIX의 신호를 씁니다")
def test_ctrl_c_is_left_to_the_child(house):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    code = "import os, signal, time; time.sleep(0.2); os.kill(os.getppid(), signal.SIGINT); "
    try:
        assert course.call(["-c", code + "raise SystemExit(7)"]) == 7
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    except KeyboardInterrupt:
        pytest.fail("자식이 끝나기 전에 부모가 멈췄습니다")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("encoding", ["cp949", "ascii", "utf-8"])
def test_console_encoding_never_stops_the_script(encoding, tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": encoding, "COURSE_DATA": str(tmp_path / "없음 ≈ 😀")}
    env.pop("PYTHONUTF8", None)
    for arguments, code in ([], 0), (["lab"], 2):
        result = subprocess.run(
            [sys.executable, str(SOURCE), *arguments], env=env, capture_output=True
        )
        assert result.returncode == code
        shown = (result.stdout + result.stderr).decode("utf-8")
        assert "강의" in shown and "Traceback" not in shown
        if code:
            assert "없음 ≈ 😀" in one_korean_line(shown.strip())
