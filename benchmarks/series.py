"""모든 노트북을 처음부터 끝까지 실행하며 노트북마다 걸린 시간과 커널의 최대 메모리를 잽니다.

    python -m benchmarks.series [--workers 2]

일꾼 두 프로세스가 노트북을 번호 순서로 하나씩 맡습니다. 시간은 커널을 켤 때부터 끌 때까지의 벽시계
시간이고, 메모리는 커널이 끝나기 직전에 읽은 상주 메모리(RSS)의 최댓값(`/proc/<pid>/status`의 VmHWM)이라
Linux에서만 나옵니다. 결과는 data/results/benchmark_series.json에 씁니다.

한도: 모두 15분, 평균 45초. 다른 일이 없는 두 코어에서 재십시오(재기 전후의 부하도 함께 적습니다).
"""

import argparse
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from course_lib import cli  # noqa: E402
from course_lib.grading import Kernel, Stuck  # noqa: E402
from course_lib.recipes import save_result  # noqa: E402

LIMIT_WALL, LIMIT_MEAN = 15 * 60.0, 45.0  # 초


def peak_memory(pid: int) -> float | None:
    """프로세스의 상주 메모리가 가장 컸던 값, MiB. Linux가 아니면 None."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith("VmHWM:")), None)


def load_average() -> list[float] | None:
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def cells(path: Path) -> list[str]:
    """실행할 코드 셀. 건너뛰라고 표시한 것은 뺍니다."""
    return [
        cell.source
        for cell in cli.read(path).cells
        if cell.cell_type == "code" and "nbval-skip" not in cell.metadata.get("tags", [])
    ]


def measure(path: Path) -> dict:
    """노트북 하나: {"seconds", "peak_mib", "error"}."""
    start, error, peak = time.perf_counter(), "", None
    with Kernel(path.parent) as kernel:
        for number, source in enumerate(cells(path), 1):
            try:
                _, error = kernel.run(source, cli.CELL_TIMEOUT)
            except Stuck as reason:
                error = reason.args[0]
            if error:
                error = f"코드 셀 {number}: {error}"
                break
        peak = peak_memory(kernel.process.pid)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib": peak and round(peak, 1),
        "error": error,
    }


def summary(results: dict[str, dict], wall: float) -> dict:
    """합과 평균, 한도를 지켰는지."""
    seconds = [result["seconds"] for result in results.values()]
    peaks = [result["peak_mib"] for result in results.values() if result["peak_mib"]]
    return {
        "wall_s": round(wall, 1),
        "sum_s": round(sum(seconds), 1),
        "mean_s": round(statistics.mean(seconds), 1),
        "max_s": max(seconds),
        "max_peak_mib": max(peaks, default=None),
        "within_limits": bool(
            wall <= LIMIT_WALL
            and statistics.mean(seconds) <= LIMIT_MEAN
            and not any(result["error"] for result in results.values())
        ),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="모든 노트북의 시간과 메모리를 잽니다.")
    parser.add_argument("--workers", type=int, default=2, help="동시에 실행할 노트북의 수")
    parser.add_argument("--notebooks", type=Path, default=cli.NOTEBOOKS, help="노트북의 폴더")
    parser.add_argument("--results", type=Path, help="결과를 쓸 폴더(기본 data/results)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # 노트북과 같게: 카드에 적힙니다
    paths = sorted(options.notebooks.glob("*.ipynb"))
    if not paths:
        print(f"{options.notebooks}에 노트북이 없습니다.", file=sys.stderr)
        return 2
    before, start = load_average(), time.perf_counter()
    results = {}
    with ProcessPoolExecutor(options.workers) as pool:
        for path, result in zip(paths, pool.map(measure, paths)):
            results[path.stem] = result
            memory = f"{result['peak_mib']:.0f} MiB" if result["peak_mib"] else "메모리 모름"
            print(
                f"{path.stem:32} {result['seconds']:6.1f}초  {memory}  {result['error']}",
                flush=True,
            )
    wall = time.perf_counter() - start
    values = {"workers": options.workers, **summary(results, wall)}
    values |= {"load_before": before, "load_after": load_average(), "notebooks": results}
    print({key: value for key, value in values.items() if key != "notebooks"})
    command = f"python -m benchmarks.series --workers {options.workers}"
    save_result(
        "benchmark_series", values, command=command, seeds=[0], seconds=wall, folder=options.results
    )
    return int(not values["within_limits"])


if __name__ == "__main__":
    sys.exit(main())
