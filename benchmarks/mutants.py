"""심어 둔 결함(tests/mutants.yml)을 시험이 잡아내는지 봅니다.

    python -m benchmarks.mutants              모두
    python -m benchmarks.mutants flows nade   파일 이름에 이 글이 든 것만

저장소의 사본에서 결함을 하나씩 심고 적힌 시험만 돌립니다(-x: 처음 빨갛게 되면 멈춤). 원본은 건드리지 않으므로
도중에 꺼져도 되돌릴 것이 없습니다. 결함을 심기 전에 같은 시험이 초록인지도 봅니다. 모두 합쳐 10분쯤 걸립니다.
살아남은 결함이 있으면 종료 코드는 1입니다. 잡지 않아도 되는 결함은 mutants.yml의 survives에 까닭을 적습니다.

무거운 라이브러리를 한 번만 불러온 뒤 결함마다 프로세스를 갈라(fork) 쓰므로 Linux와 macOS에서만 돕니다.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.yml"
SECONDS = 180  # 결함 때문에 끝나지 않는 시험을 기다리는 시간
GREEN = 0


def load(path: Path = LIST) -> list[dict]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def plant(mutant: dict, tree: Path) -> Path:
    """결함을 심고 그 파일을 돌려줍니다. old가 꼭 한 번 나오지 않으면 ValueError."""
    path = tree / "course_lib" / mutant["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(mutant["old"]) != 1 or mutant["old"] == mutant["new"]:
        raise ValueError(f"{mutant['file']}에 심을 자리가 없습니다: {mutant['old']!r}")
    path.write_text(text.replace(mutant["old"], mutant["new"]), encoding="utf-8")
    return path


def run(tests: str, tree: Path, seconds: float = SECONDS) -> int | None:
    """가른 프로세스에서 pytest를 돌린 종료 코드. 시간이 다 되면 None."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()  # 시험이 켠 프로세스까지 한꺼번에 끝낼 수 있게
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        import pytest

        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests.split()])
        os._exit(int(code))
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
    except BaseException:
        os.killpg(child, signal.SIGKILL)  # Ctrl+C나 kill: 시험을 남겨 두지 않습니다
        raise
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def preload() -> None:
    """가르기 전에 한 번만 불러옵니다. course_lib와 시험은 결함을 심은 뒤에 불러와야 하므로 넣지 않습니다."""
    import matplotlib.figure  # noqa: F401
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import torch

    torch.set_num_threads(1)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="심어 둔 결함을 시험이 잡는지 봅니다.")
    parser.add_argument("only", nargs="*", help="파일 이름에 든 글")
    options = parser.parse_args(argv)
    chosen = [m for m in load() if not options.only or any(w in m["file"] for w in options.only)]
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    preload()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # 임시 폴더를 지우고 끝납니다
    survivors, start = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "course"
        skip = shutil.ignore_patterns(".*", "__pycache__", "build", "cache", "*.egg-info")
        shutil.copytree(ROOT, tree, ignore=skip)
        for tests in dict.fromkeys(m["tests"] for m in chosen):
            if run(tests, tree) != GREEN:
                print(f"결함이 없는데도 초록이 아닙니다: {tests}", file=sys.stderr)
                return 2
            for mutant in (m for m in chosen if m["tests"] == tests):
                path = plant(mutant, tree)
                killed = run(tests, tree) != GREEN
                shutil.copyfile(ROOT / path.relative_to(tree), path)
                expected = killed != ("survives" in mutant)
                survivors += [] if expected else [mutant]
                mark = {True: "잡음", False: "살아남음"}[killed] + ("" if expected else "  ←")
                short = mutant["new"].splitlines()[0][:60]
                print(f"{mutant['file']:34} {mark}  {short}", flush=True)
    minutes = (time.monotonic() - start) / 60
    print(f"결함 {len(chosen)}개 가운데 뜻밖의 것 {len(survivors)}개, {minutes:.1f}분")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
