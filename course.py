"""강의 환경을 만들고 실행합니다: `python3 course.py lab` (Windows에서는 `py course.py lab`).

표준 라이브러리만 씁니다. 낮은 버전의 Python으로 실행해도 알맞은 안내가 나오도록,
이 파일에는 Python 3.6이 읽지 못하는 문법과 모듈을 쓰지 않습니다.
"""

import contextlib
import hashlib
import importlib.util
import io
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
DISCARDED = ROOT / ".venv.old"
STAMP = VENV / "course-stamp.txt"
LOG = ROOT / ".venv-install.log"
LOCK = ROOT / ".venv.lock"

OLDEST, NEWEST = (3, 11), (3, 13)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
NEEDED_GB = {"cpu": 3, "cuda": 12}
INSTALLING = "installing"  # 도장에 이 말만 남아 있으면 설치가 도중에 끊긴 것입니다
RETRY = "retry"  # 내려받지 못했을 뿐 .venv는 온전합니다

HELP = """\
딥 생성 모델 강의

  {run} lab                      환경을 만들고 JupyterLab을 엽니다
  {run} test                     전체 검사: ruff, 단위 시험, 노트북(nbval), 브라우저
  {run} test --quick             단위 시험만 합니다 (뒤에 pytest 옵션을 붙일 수 있습니다)
  {run} run NOTEBOOK             노트북을 실행해 인터넷 없이 열리는 HTML로 저장합니다
  {run} author NOTEBOOK          새 커널로 실행하고, 정리하고, 엄격하게 검사합니다
  {run} claims N --seeds 0 1 2   N번 노트북의 주장을 여러 시드로 다시 확인합니다
  {run} slides N                 N번 노트북으로 강의 슬라이드를 만듭니다
  {run} app [N]                  위젯만 코드 없이 보여 주는 강의용 페이지를 엽니다
  {run} site                     강의 전체를 설치 없이 읽는 웹 페이지로 만듭니다
  {run} student N                풀이를 뺀 학생용 노트북을 만듭니다
  {run} grade FOLDER             학생들의 노트북을 실행해 연습문제의 채점표를 만듭니다
  {run} train NAME               실린 체크포인트나 결과 파일을 처음부터 다시 만듭니다
  {run} train NAME --processes 2 프로세스 둘이 배치를 나누어 학습합니다(fit으로 배우는 체크포인트)

환경 변수
  COURSE_DATA     MNIST, FSDD를 둔 폴더 (없어도 강의는 진행됩니다)
  COURSE_SEED     노트북의 시드 (기본 0)
  COURSE_THREADS  계산 스레드 수 (기본 1)
  COURSE_TORCH    Linux에서 .venv를 새로 만들 때 받을 PyTorch: cpu 또는 cuda
"""


class CourseError(Exception):
    """사용자에게 한 줄로 보여 줄 문제입니다."""


def say(text):
    print(text, flush=True)


def utf8_output():
    """콘솔이 cp949여도 한글과 기호 때문에 멈추지 않게 합니다."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
        elif hasattr(stream, "buffer"):  # Python 3.6
            setattr(sys, name, io.TextIOWrapper(stream.buffer, "utf-8", "replace"))


def command_name():
    return "py course.py" if os.name == "nt" else "python3 course.py"


# ── 시작하기 전에 확인할 것 ─────────────────────────────────────────────────────


def check_python():
    version = tuple(sys.version_info[:2])
    if not OLDEST <= version <= NEWEST:
        newer = [name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)]
        if newer:
            advice = "이 컴퓨터에 있는 `%s course.py lab`으로 다시 실행하십시오." % newer[0]
        elif os.name == "nt":
            advice = "Python 3.13을 설치하고 `py -3.13 course.py lab`으로 다시 실행하십시오."
        else:
            advice = "Python 3.13을 설치하고 `python3.13 course.py lab`으로 다시 실행하십시오."
        raise CourseError(
            "Python 3.11, 3.12, 3.13 가운데 하나가 필요한데 지금은 %d.%d입니다. %s"
            % (version + (advice,))
        )
    if sys.maxsize < 2**32:
        raise CourseError("32비트 Python에는 PyTorch가 없습니다. 64비트 Python을 설치하십시오.")
    if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        raise CourseError(
            "Intel용 Mac Python에는 이 강의가 쓰는 PyTorch가 없습니다. "
            "Apple 실리콘 Mac이면 arm64용 Python을 설치하고, Intel Mac이면 다른 컴퓨터를 쓰십시오."
        )


def check_data_folder(env):
    """COURSE_DATA를 절대 경로로 바꿉니다. 지정했는데 없으면 조용히 넘어가지 않습니다."""
    value = env.get("COURSE_DATA", "")
    if not value:
        env.pop("COURSE_DATA", None)
        return
    folder = Path(value).expanduser().resolve()
    if not folder.is_dir():
        raise CourseError(
            "COURSE_DATA가 가리키는 폴더가 없습니다: %s. 경로를 고치거나 COURSE_DATA를 지우고 "
            "다시 실행하십시오." % folder
        )
    env["COURSE_DATA"] = str(folder)


def check_disk(needed_gb):
    free_gb = shutil.disk_usage(str(ROOT)).free / 1e9
    if free_gb < needed_gb:
        raise CourseError(
            "디스크 공간이 모자랍니다. 설치에 약 %d GB가 필요한데 %.1f GB만 비어 있습니다. "
            "공간을 비우고 다시 실행하십시오." % (needed_gb, free_gb)
        )


def child_env():
    env = dict(os.environ)
    env.pop("PYTHONHOME", None)
    check_data_folder(env)
    env["VIRTUAL_ENV"] = str(VENV)
    env["PATH"] = str(venv_python().parent) + os.pathsep + env.get("PATH", "")
    env["PYTHONUTF8"] = "1"
    env["PYTHONIOENCODING"] = "utf-8"
    env["PIP_USER"] = "0"
    env["PIP_REQUIRE_VIRTUALENV"] = "1"
    env["OMP_WAIT_POLICY"] = "PASSIVE"
    env.setdefault("OMP_NUM_THREADS", env.get("COURSE_THREADS") or "1")
    return env


# ── 가상 환경 ──────────────────────────────────────────────────────────────────


def venv_python():
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint():
    """설치 목록, Python 버전, 폴더 위치가 모두 그대로인지 알아보는 값입니다."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes().replace(b"\r\n", b"\n"))
    digest.update(repr((tuple(sys.version_info[:2]), str(ROOT))).encode("utf-8"))
    return digest.hexdigest()


def read_stamp():
    try:
        return STAMP.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def write_stamp(text):
    STAMP.write_text(text + "\n", encoding="utf-8")


def venv_works(with_pip):
    """.venv의 Python이 지금의 Python과 같은 버전으로 실행되는지 봅니다.

    pyvenv.cfg가 없으면 .venv의 Python은 바깥 Python처럼 움직이므로, 거기에 설치하면 안 됩니다.
    """
    if not (VENV / "pyvenv.cfg").is_file():
        return False
    code = "import sys; %s; print('%%d.%%d' %% sys.version_info[:2])" % (
        "import pip" if with_pip else "pass"
    )
    try:
        result = subprocess.run(
            [str(venv_python()), "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0 and result.stdout.split() == [
        ("%d.%d" % tuple(sys.version_info[:2])).encode("ascii")
    ]


@contextlib.contextmanager
def install_lock():
    """두 창에서 동시에 설치하지 않게 합니다. 프로세스가 끝나면 운영 체제가 풀어 줍니다."""
    with open(str(LOCK), "a+b") as file:
        try:
            if os.name == "nt":
                import msvcrt

                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CourseError(
                "다른 창에서 설치하고 있습니다. 그 설치가 끝난 뒤 다시 실행하십시오."
            ) from None
        yield


def ensure_environment():
    """`.venv`를 쓸 수 있게 합니다. 바뀐 것이 없으면 아무것도 설치하지 않습니다."""
    key = fingerprint()
    if read_stamp() == key and venv_works(with_pip=False):
        return
    with install_lock():
        build_environment(key)


def build_environment(key):
    previous = read_stamp()
    if VENV.exists() and (previous == INSTALLING or not venv_works(with_pip=True)):
        say("이전 설치가 끝나지 않았거나 Python이 바뀌어 .venv를 새로 만듭니다.")
        remove_venv()
    fresh = not VENV.exists()
    if fresh:
        check_disk(NEEDED_GB[torch_build()])
        make_venv()
    say("패키지를 설치합니다. 처음에는 몇 분 걸립니다.")
    write_stamp(INSTALLING)
    try:
        install_packages()
    except DownloadError:
        write_stamp(RETRY if fresh or not previous else previous)
        raise
    write_stamp(key)
    say("설치를 마쳤습니다.")


def remove_venv():
    """지우다 끊겨도 반쯤 남은 .venv가 쓰이지 않도록, 먼저 이름을 바꿉니다."""
    try:
        if DISCARDED.exists():
            shutil.rmtree(str(DISCARDED))
        VENV.rename(DISCARDED)
        shutil.rmtree(str(DISCARDED))
    except OSError as error:
        raise CourseError(
            ".venv 폴더를 지우지 못했습니다(%s). 열려 있는 JupyterLab을 모두 닫고, .venv와 "
            ".venv.old 폴더를 지운 뒤 다시 실행하십시오." % error.__class__.__name__
        ) from None


def make_venv():
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise CourseError(
            "Python의 venv 모듈이 없습니다. `sudo apt install python3-venv`로 설치하고 "
            "다시 실행하십시오."
        )
    say("가상 환경 .venv를 만듭니다.")
    result = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=str(ROOT),
    )
    if result.returncode:
        raise explain(result.stdout.decode("utf-8", "replace"), "가상 환경을 만들지 못했습니다.")


# ── 설치 ──────────────────────────────────────────────────────────────────────


class DownloadError(CourseError):
    """받지 못한 것일 뿐이라 .venv는 온전합니다."""


class OfflineError(DownloadError):
    """서버에 닿지 못했습니다."""


def explain(output, failed):
    """pip가 남긴 말에서 원인을 찾아 한국어 한 줄로 된 오류를 돌려줍니다."""

    def seen(*patterns):
        return re.search("|".join(patterns), output, re.IGNORECASE)

    if seen("No space left on device", r"Errno 28\b", r"WinError 112\b", "Disk quota exceeded"):
        return CourseError(failed + " 디스크가 가득 찼습니다. 공간을 비우고 다시 실행하십시오.")
    if seen("CERTIFICATE_VERIFY_FAILED", "SSLError", "SSLCertVerificationError"):
        return DownloadError(
            failed + " 보안 연결을 확인하지 못했습니다. 컴퓨터의 시각이 맞는지 보고, 학교나 "
            "회사의 네트워크라면 관리자에게 pip용 인증서 설정을 물으십시오."
        )
    if seen(
        "NewConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "ConnectionError",
        "Connection refused",
        "Connection broken",
        "ProxyError",
        "Temporary failure in name resolution",
        "getaddrinfo failed",
        "Network is unreachable",
        "Could not fetch URL",
        "IncompleteRead",
    ):
        return OfflineError(
            failed + " 인터넷에 닿지 않습니다. 연결(프록시를 쓴다면 그 설정)을 확인하고 "
            "다시 실행하십시오."
        )
    if seen("No matching distribution found", "Could not find a version"):
        found = seen("No matching distribution found for ([^\\s;]+)")
        return DownloadError(
            "%s 이 운영 체제와 Python에 맞는 설치 파일이 없습니다(%s). Python 3.11이나 3.12로 "
            "다시 실행해 보십시오." % (failed, found.group(1) if found else "pip 기록 참고")
        )
    if seen(r"WinError 206\b", "enable-long-paths", "LongPathsEnabled", "File name too long"):
        return CourseError(
            failed + " 폴더 경로가 너무 깁니다. 강의 폴더를 C:\\course처럼 짧은 곳으로 옮기십시오."
        )
    if seen(r"WinError (5|32)\b", "Permission denied", r"Errno 13\b"):
        return CourseError(
            failed + " 파일을 쓸 수 없습니다. 열려 있는 JupyterLab을 닫고, 강의 폴더에 쓰기 "
            "권한이 있는지 확인하십시오."
        )
    last = [line.strip() for line in output.splitlines() if line.strip()][-1:]
    log = " 자세한 기록은 %s에 있습니다." % LOG.name if LOG.exists() else ""
    return CourseError(failed + "".join(" (%s)" % line for line in last) + log)


def pip_install(arguments):
    """`pip install -c constraints.txt …`. 종료 코드와 출력 전체를 돌려줍니다."""
    command = [str(venv_python()), "-m", "pip", "install", "--no-input"]
    command += ["--disable-pip-version-check", "-c", "constraints.txt"] + arguments
    lines = []
    process = subprocess.Popen(
        command,
        cwd=str(ROOT),
        env=child_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process, open(str(LOG), "a", encoding="utf-8") as log:
        try:
            log.write("$ pip install %s\n" % " ".join(arguments))
            for raw in process.stdout:
                lines.append(raw.decode("utf-8", "replace").rstrip())
                log.write(lines[-1] + "\n")
                show_progress(lines[-1])
        except BaseException:
            process.terminate()
            raise
    return process.returncode, "\n".join(lines)


def show_progress(line):
    found = re.match(r"\s*Downloading \S*?([^/\s-]+-[^/\s-]+)\S*\.whl \((.+[MG]B)\)$", line)
    if found:
        say("  받는 중: %s (%s)" % found.groups())
    elif line.startswith("Installing collected packages:"):
        say("  설치하는 중: 패키지 %d개" % (line.count(",") + 1))


def has_nvidia_gpu():
    tool = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path="/usr/lib/wsl/lib")
    if not tool:
        return False
    try:
        result = subprocess.run(
            [tool, "-L"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0 and b"GPU" in result.stdout


def torch_build():
    """Linux에서 받을 PyTorch: "cpu" 또는 "cuda". 다른 운영 체제의 기본 판은 모두 CPU용입니다."""
    if platform.system() != "Linux":
        return "cpu"
    choice = os.environ.get("COURSE_TORCH", "")
    if choice not in ("", "cpu", "cuda"):
        raise CourseError(
            "COURSE_TORCH는 cpu 또는 cuda여야 합니다(지금은 %s). 값을 고치거나 지우십시오." % choice
        )
    return choice or ("cuda" if has_nvidia_gpu() else "cpu")


def torch_version():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return re.search(r"^torch==(\S+)", text, re.MULTILINE).group(1)


def install_cpu_torch():
    """Linux의 기본 torch는 CUDA 판입니다. CPU 판을 먼저 넣어 두면 pip는 그것을 그대로 씁니다."""
    version = torch_version()
    if any(VENV.glob("lib/python*/site-packages/torch-%s*.dist-info" % version)):
        return
    wanted = "torch==%s+cpu" % version
    say("GPU가 없으므로 CPU용 PyTorch를 찾습니다.")
    first = ["--no-deps", "--retries", "1", wanted]  # pip 설정(find-links 등)이 주는 것
    second = ["--no-deps", "--retries", "1", "--timeout", "15", "--index-url", CPU_INDEX, wanted]
    errors = []
    for arguments in (first, second):
        code, output = pip_install(arguments)
        if code == 0:
            return
        errors.append(explain(output, "CPU용 PyTorch(%s)를 받지 못했습니다." % wanted))
        if not isinstance(errors[-1], DownloadError):
            raise errors[-1]
    if all(isinstance(error, OfflineError) for error in errors):
        raise errors[-1]
    raise DownloadError(
        "이 Python에 맞는 CPU용 PyTorch(%s)를 받지 못했습니다. %s에 닿는 네트워크에서 다시 "
        "실행하거나, 약 4 GB인 CUDA 판이라도 괜찮으면 `COURSE_TORCH=cuda python3 course.py lab`"
        "으로 실행하십시오." % (wanted, CPU_INDEX)
    )


def install_packages():
    with contextlib.suppress(OSError):
        LOG.unlink()
    if platform.system() == "Linux" and torch_build() == "cpu":
        install_cpu_torch()
    code, output = pip_install(["--retries", "2", "-r", "requirements.txt"])
    if code:
        raise explain(output, "패키지를 설치하지 못했습니다.")
    result = subprocess.run(
        [str(venv_python()), "-c", "import torch, course_lib, jupyterlab"],
        cwd=str(VENV),
        env=child_env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if result.returncode:
        output = result.stdout.decode("utf-8", "replace")
        if "DLL load failed" in output or "WinError 126" in output:
            raise CourseError(
                "PyTorch를 불러오지 못했습니다. Microsoft Visual C++ 재배포 가능 패키지(x64)를 "
                "설치하고 다시 실행하십시오."
            )
        raise explain(output, "설치한 패키지를 불러오지 못했습니다.")


# ── 동사 ──────────────────────────────────────────────────────────────────────


def call(arguments, env=None):
    """.venv의 Python으로 실행하고 종료 코드를 돌려줍니다. Ctrl+C는 자식이 처리합니다."""
    process = subprocess.Popen(
        [str(venv_python())] + arguments, cwd=str(ROOT), env=env or child_env()
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    before_term = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, before_term)
    return code if code >= 0 else 128 - code


# 처음 열 때 "새 소식을 받아 볼까요?"라고 묻지 않고, 바깥에 나가지도 않게 합니다
QUIET = """{
  "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}
}
"""


def lab(extra):
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    with contextlib.suppress(OSError):  # 없어도 강의에는 지장이 없습니다
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "overrides.json").write_text(QUIET, encoding="utf-8")
    options = [
        "--ip=127.0.0.1",
        "--ServerApp.root_dir=%s" % ROOT,
        "--LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    say("JupyterLab을 엽니다. 끝낼 때는 이 창에서 Ctrl+C를 두 번 누릅니다.")
    return call(["-m", "jupyterlab"] + options + extra)


def has_browser_tests():
    return any(
        "pytest.mark.browser" in path.read_text(encoding="utf-8")
        for path in (ROOT / "tests").rglob("test_*.py")
        if path.name != "test_course_py.py"
    )


def git(*arguments):
    """git의 출력. git이 없거나 실패하면 None입니다."""
    try:
        result = subprocess.run(
            ["git"] + list(arguments),
            cwd=str(ROOT),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    return None if result.returncode else result.stdout.decode("utf-8", "replace")


def compared_commit():
    """바뀐 것을 견줄 커밋: COURSE_BASE, 기본 가지와 갈라진 곳, 그도 아니면 바로 앞 커밋."""
    head = git("rev-parse", "HEAD")
    wanted = [os.environ.get("COURSE_BASE"), "origin/HEAD", "origin/main", "main"]
    for name in filter(None, wanted):
        base = git("merge-base", "HEAD", name)
        if base and base != head:
            return base.strip()
    parent = git("rev-parse", "--verify", "HEAD^")
    return parent and parent.strip()


def changed_notebooks():
    """두 번 실행해 볼 노트북: 견줄 커밋과 다르거나 아직 커밋하지 않은 것.

    한 번 맞은 출력이 우연이 아닌지는 새로 쓴 노트북에서만 물으면 되므로 나머지는 한 번만 실행합니다.
    git이 없거나 앞 커밋을 모르면(얕은 복제) 무엇이 바뀌었는지 알 수 없으므로 모두입니다.
    """
    base = compared_commit()
    listed = [
        base and git("diff", "--name-only", "--relative", "-z", base, "--", "notebooks"),
        base and git("ls-files", "--others", "--exclude-standard", "-z", "--", "notebooks"),
    ]
    if None in listed:
        return ["notebooks/"]
    names = sorted(set("".join(listed).split("\0")))
    return [n for n in names if n.endswith(".ipynb") and (ROOT / n).is_file()]


def test_stages(quick, extra):
    """(이름, 인자, 추가 환경 변수) 목록. 빠른 것부터 합니다."""
    pytest = ["-m", "pytest", "-q"]
    unit = ("단위 시험", pytest + ["-n", "2", "-m", "not browser", "tests"] + extra,
            {"PYTHONWARNDEFAULTENCODING": "1"})  # fmt: skip
    if quick:
        return [unit]
    stages = [("ruff", ["-m", "ruff", "check", "."], {}), unit]
    if any((ROOT / "notebooks").glob("*.ipynb")):
        nbval = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"]
        nbval += ["--nbval-sanitize-with", "tests/notebooks/sanitize.cfg"]
        nbval += ["-n", "2", "--dist", "loadscope"]
        stages.append(("노트북(nbval)", pytest + nbval + ["notebooks/"], {}))
        again = changed_notebooks()
        if again:
            stages.append(("바뀐 노트북을 한 번 더(nbval)", pytest + nbval + again, {}))
        else:
            say("바뀐 노트북이 없어 두 번째 nbval을 건너뜁니다.")
    else:
        say("notebooks/에 노트북이 하나도 없어 nbval을 건너뜁니다.")
    if has_browser_tests():
        workers = ["-n", "2", "--dist", "worksteal"]  # 일꾼마다 JupyterLab과 Chromium이 하나씩 있습니다
        stages.append(("브라우저", pytest + workers + ["-m", "browser", "tests"], {}))
    return stages


def test(extra):
    quick = "--quick" in extra
    failed = []
    for name, arguments, more in test_stages(quick, [e for e in extra if e != "--quick"]):
        say("\n── %s" % name)
        env = child_env()
        for variable in ("COURSE_SEED", "COURSE_THREADS"):  # 저장된 출력은 기본값의 것입니다
            env.pop(variable, None)
        env.update(more, OMP_NUM_THREADS="1")
        if call(arguments, env):
            failed.append(name)
    if failed:
        print("통과하지 못한 단계: %s" % ", ".join(failed), file=sys.stderr, flush=True)
    return 1 if failed else 0


def delegate(module, there=os.path.isfile):
    def verb(extra):
        # 강의 폴더 밖에서 불러도 파일 이름이 통하게 합니다
        extra = [os.path.abspath(e) if there(e) else e for e in extra]
        return call(["-m"] + module + extra)

    return verb


def train(extra):
    """`--processes N`이 있으면 torchrun으로 프로세스 N개가 배치를 나누어 학습합니다."""
    module = ["course_lib.recipes"]
    if "--processes" in extra:
        place = extra.index("--processes")
        count = (extra[place + 1 : place + 2] or [""])[0]
        if not count.isdigit() or int(count) < 1:
            raise CourseError("--processes 뒤에는 프로세스의 수를 적습니다. 예: train nade --processes 2")
        extra = extra[:place] + extra[place + 2 :]
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=" + count]
        module = torchrun + ["-m"] + module
    return delegate(module)(extra)


VERBS = {"lab": lab, "test": test, "train": train}
for _name in ("run", "author", "claims", "slides", "app", "site", "student"):
    VERBS[_name] = delegate(["course_lib.cli", _name])
VERBS["grade"] = delegate(["course_lib.grading"], there=os.path.exists)


def main(arguments):
    utf8_output()
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say(HELP.format(run=command_name()))
        return 0
    try:
        check_python()
        if arguments[0] not in VERBS:
            raise CourseError(
                "`%s`라는 명령은 없습니다. 쓸 수 있는 명령: %s." % (arguments[0], ", ".join(VERBS))
            )
        child_env()
        ensure_environment()
        return VERBS[arguments[0]](arguments[1:])
    except CourseError as error:
        message, code = str(error), 2
    except KeyboardInterrupt:
        message, code = "멈췄습니다. 같은 명령을 다시 실행하면 필요한 것부터 이어집니다.", 130
    except OSError as error:
        reason = explain(str(error), "파일을 읽거나 쓰지 못했습니다.")
        message, code = str(reason), 2
    print("\n[강의] " + message, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
