"""공용 서버의 수업: 커널 N개가 한 컴퓨터에서 13번 노트북을 실행할 때의 메모리와 슬라이더 지연을 잽니다.

    python -m benchmarks.classroom --kernels 30 [--moves 20] [--stagger 2]

1. 커널을 `--stagger`초 간격으로 켜고, 저마다 노트북을 끝까지 실행합니다(모두 스레드 하나).
2. 모두 끝나면 커널마다 메모리를 잽니다. RSS에는 여러 커널이 함께 쓰는 라이브러리가 거듭 세어지므로 나누어
   센 PSS를 더한 것이 전체에 가깝습니다. 켜기 전과 비교한 MemAvailable의 감소도 적습니다(Linux).
3. 모든 커널의 flow_warp 슬라이더를 한꺼번에, 저마다 1~3초에 한 번씩 먼 눈금으로 옮깁니다. 지연은 브라우저가
   보내는 것과 같은 comm 메시지를 보낸 때부터 새 그림(Image 위젯의 PNG)이 돌아올 때까지입니다. 이웃이 아닌
   눈금이라 미리 그려 둔 그림을 쓰지 못하는 나쁜 경우이며, 브라우저와 네트워크의 시간은 들어 있지 않습니다.

학생 서버(사람마다 하나)의 메모리는 들어 있지 않습니다.
결과는 data/results/benchmark_classroom.json에 쓰고 CLASSROOM.md의 표를 새로 고칩니다(`--results`로 다른 폴더를
주면 표는 그대로 둡니다). 오류가 하나라도 있으면 종료 코드는 1입니다.
"""

import argparse
import asyncio
import contextlib
import queue
import random
import re
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.series import cells, load_average  # noqa: E402
from course_lib import cli  # noqa: E402
from course_lib.grading import Kernel, Stuck  # noqa: E402
from course_lib.recipes import load_result, save_result  # noqa: E402

GUIDE = ROOT / "CLASSROOM.md"
BLOCK = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- /measured -->)", re.DOTALL)
CELL_SECONDS, MOVE_SECONDS = 1800.0, 10.0
LIMIT_MEDIAN, LIMIT_P95 = 250.0, 500.0  # ms


def memory(pid: int) -> dict[str, float]:
    """프로세스의 RSS와 PSS, MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    return {"rss": int(found["Rss"]) / 1024, "pss": int(found["Pss"]) / 1024}


def available() -> float:
    """새 프로세스가 쓸 수 있는 메모리, MiB."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(x.split()[1]) / 1024 for x in lines if x.startswith("MemAvailable"))


class Widgets:
    """커널이 연 위젯 가운데 첫 슬라이더와 그 뒤에 열린 그림. ``seen``에 메시지를 넘겨 찾습니다."""

    def __init__(self):
        self.slider: tuple[str, int, int] | None = None  # (comm_id, 최소, 최대)
        self.image: str | None = None

    def seen(self, message: dict) -> None:
        if message["msg_type"] != "comm_open" or self.image:
            return
        content = message["content"]
        state = content["data"].get("state", {})
        if state.get("_model_name") == "IntSliderModel":
            self.slider = (content["comm_id"], state.get("min", 0), state.get("max", 100))
        elif state.get("_model_name") == "ImageModel" and self.slider:
            self.image = content["comm_id"]


def move(kernel: Kernel, widgets: Widgets, value: int) -> float:
    """슬라이더를 value로 옮기고 새 그림이 올 때까지의 시간, ms. 오지 않으면 Stuck."""
    client = kernel.client
    state = {"method": "update", "state": {"value": value}, "buffer_paths": []}
    message = client.session.msg("comm_msg", {"comm_id": widgets.slider[0], "data": state})
    start = time.perf_counter()
    client.shell_channel.send(message)
    while (left := start + MOVE_SECONDS - time.perf_counter()) > 0:
        try:
            reply = client.get_iopub_msg(timeout=left)
        except queue.Empty:
            break
        content = reply["content"]
        if (
            reply["msg_type"] == "comm_msg"
            and content["comm_id"] == widgets.image
            and content["data"].get("method") == "update"
            and ["value"] in content["data"].get("buffer_paths", [])
        ):
            return 1e3 * (time.perf_counter() - start)
    raise Stuck("슬라이더를 옮겼는데 그림이 오지 않았습니다", [])


class Student(threading.Thread):
    """학생 한 명: 노트북을 실행하고, 모두 준비되면 슬라이더를 옮깁니다."""

    def __init__(self, number: int, path: Path, moves: int, stagger: float, gates: list):
        super().__init__(daemon=True)
        self.number, self.path, self.moves, self.stagger = number, path, moves, stagger
        self.gates = gates
        self.failures: list[str] = []
        self.times: list[float] = []
        self.seconds: float | None = None
        self.memory: dict[str, float] | None = None

    def run(self) -> None:
        time.sleep(self.number * self.stagger)
        try:
            with Kernel(self.path.parent) as kernel:
                widgets = self.notebook(kernel)
                self.gates[0].wait()  # 모두 실행을 마쳤습니다
                self.memory = memory(kernel.process.pid)
                self.gates[1].wait()  # 메모리를 다 쟀습니다
                if widgets:
                    self.slide(kernel, widgets)
                self.gates[2].wait()
        except threading.BrokenBarrierError:
            pass
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            for gate in self.gates:
                gate.abort()
        finally:
            with contextlib.suppress(RuntimeError):  # jupyter_client가 이 스레드에 만든 것
                asyncio.get_event_loop().close()

    def notebook(self, kernel: Kernel) -> Widgets | None:
        start, widgets = time.perf_counter(), Widgets()
        for number, source in enumerate(cells(self.path), 1):
            try:
                _, error = kernel.run(source, CELL_SECONDS, widgets.seen)
            except Stuck as reason:
                error = reason.args[0]
            if error:
                self.failures.append(f"코드 셀 {number}: {error}")
                return None
        self.seconds = time.perf_counter() - start
        if widgets.image is None:
            self.failures.append("슬라이더와 그림을 찾지 못했습니다")
            return None
        return widgets

    def slide(self, kernel: Kernel, widgets: Widgets) -> None:
        dice = random.Random(self.number)
        _, low, high = widgets.slider
        value = low
        for _ in range(self.moves + 1):
            time.sleep(dice.uniform(1, 3))
            far = [v for v in range(low, high + 1) if abs(v - value) > 2] or [low, high]
            value = dice.choice(far)
            try:
                self.times.append(move(kernel, widgets, value))
            except Stuck as reason:
                self.failures.append(reason.args[0])
        self.times = self.times[1:]  # 첫 번은 몸풀기


def classroom(path: Path, kernels: int, moves: int, stagger: float) -> dict:
    """커널 N개를 켜고 재서 결과 파일에 쓸 값을 돌려줍니다."""
    gates = [threading.Barrier(kernels + 1) for _ in range(3)]
    before, load = available(), load_average()
    students = [Student(k, path, moves, stagger, gates) for k in range(kernels)]
    for student in students:
        student.start()
    dropped = None
    try:
        gates[0].wait()
        dropped = before - available()
        gates[1].wait()
        gates[2].wait()
    except threading.BrokenBarrierError:
        pass
    for student in students:
        student.join()
    return summary(students) | {
        "kernels": kernels,
        "notebook": path.stem,
        "stagger_s": stagger,
        "available_drop_mib": dropped and round(dropped, 1),
        "load_before": load,
    }


def summary(students) -> dict:
    """학생들의 기록을 모읍니다. 95 백분위는 정렬해서 센 값입니다."""
    times = sorted(ms for student in students for ms in student.times)
    seconds = [student.seconds for student in students if student.seconds is not None]
    measured = [student.memory for student in students if student.memory]
    failures = [f"{s.number}번: {failure}" for s in students for failure in s.failures]
    values: dict = {"failures": failures}
    if seconds:
        values["run_s"] = {
            "median": round(statistics.median(seconds), 1),
            "max": round(max(seconds), 1),
        }
    for kind in ("rss", "pss") if measured else ():
        each = [found[kind] for found in measured]
        values[f"{kind}_mib"] = {
            "median": round(statistics.median(each), 1),
            "max": round(max(each), 1),
            "total": round(sum(each), 1),
        }
    if times:
        values["slider_ms"] = {
            "n": len(times),
            "median": round(statistics.median(times), 1),
            "p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
            "max": round(times[-1], 1),
        }
    values["within_limits"] = bool(
        times
        and not failures
        and values["slider_ms"]["median"] <= LIMIT_MEDIAN
        and values["slider_ms"]["p95"] <= LIMIT_P95
    )
    return values


def report(result: dict) -> str:
    """CLASSROOM.md에 넣을 표. 결과 파일의 값만 씁니다."""
    values, hardware = result["values"], result["card"]["hardware"]
    rss, pss, run = values["rss_mib"], values["pss_mib"], values["run_s"]
    slider, drop = values["slider_ms"], values["available_drop_mib"] / 1024
    return f"""\
| 잰 것(커널 {values["kernels"]}개, {values["notebook"]}, {hardware["cpu"]} 코어 {hardware["cores"]}개) | 값 |
|---|---|
| 커널 하나의 메모리 | RSS {rss["median"]:.0f} MiB, 함께 쓰는 것을 나누어 세면(PSS) {pss["median"]:.0f} MiB |
| 모두의 메모리 | PSS의 합 {pss["total"] / 1024:.1f} GiB, 남은 메모리의 감소 {drop:.1f} GiB |
| 모두가 한꺼번에 실행할 때 끝까지 걸린 시간 | 중앙값 {run["median"]:.0f}초, 가장 늦은 학생 {run["max"]:.0f}초 |
| 모두가 슬라이더를 움직일 때의 지연 | 중앙값 {slider["median"]:.0f} ms, 95 % {slider["p95"]:.0f} ms |
| 실패 | {len(values["failures"])} |

잰 곳의 자세한 것과 원래 값은 `data/results/benchmark_classroom.json`에 있습니다. 지연에는 브라우저와 네트워크의 시간이 들어 있지 않습니다.
"""


def refresh_guide(result: dict, guide: Path = GUIDE) -> None:
    """CLASSROOM.md의 표를 결과 파일의 것으로 바꿉니다."""
    cli.write(guide, BLOCK.sub(lambda _: report(result), guide.read_text(encoding="utf-8")))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="공용 서버의 메모리와 슬라이더 지연을 잽니다.")
    parser.add_argument("--kernels", type=int, default=30, help="커널의 수")
    parser.add_argument("--moves", type=int, default=20, help="커널마다 슬라이더를 옮기는 횟수")
    parser.add_argument("--stagger", type=float, default=2.0, help="커널을 켜는 간격, 초")
    parser.add_argument("--notebook", default="13", help="실행할 노트북")
    parser.add_argument("--results", type=Path, help="결과를 쓸 폴더(기본 data/results)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # 노트북과 같게: 카드에 적힙니다
    if not Path("/proc/meminfo").exists():
        print("메모리를 /proc에서 읽으므로 Linux에서만 잴 수 있습니다.", file=sys.stderr)
        return 2
    start = time.perf_counter()
    path = cli.find_notebook(options.notebook)
    values = classroom(path, options.kernels, options.moves, options.stagger)
    print(values)
    save_result(
        "benchmark_classroom",
        values,
        command=f"python -m benchmarks.classroom --kernels {options.kernels} "
        f"--moves {options.moves} --stagger {options.stagger:g}",
        seeds=[0],
        seconds=time.perf_counter() - start,
        folder=options.results,
    )
    if options.results is None and "slider_ms" in values:
        refresh_guide(load_result("benchmark_classroom"))
    return int(bool(values["failures"]))


if __name__ == "__main__":
    sys.exit(main())
