"""결과 파일을 쓰고 읽고, 실험을 하나씩 이어서 하는 함수들."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parents[1]
DATA = PACKAGE.parent / "data"
RESULTS = DATA / "results"
UNFINISHED = DATA / "cache" / "recipes"


def save_result(
    name: str,
    values: dict,
    *,
    command: str,
    seeds: Sequence[int],
    seconds: float,
    folder: Path | None = None,
) -> Path:
    """``data/results/NAME.json``에 값과 카드를 씁니다. 다 쓴 다음에 제 이름을 주므로 반쪽 파일은 없습니다.

    command  이 결과를 다시 만드는 명령, seconds  걸린 시간(초, 여러 번에 나누어 했다면 모두 더한 것)
    """
    card = {
        "command": command,
        "seeds": list(seeds),
        "hardware": hardware(),
        "torch": torch.__version__,
        "seconds": round(seconds, 1),
    }
    text = json.dumps({"card": card, "values": values}, ensure_ascii=False, indent=1)
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def load_result(name: str, folder: Path | None = None) -> dict:
    """``data/results/NAME.json``의 {"card": …, "values": …}. 없으면 FileNotFoundError."""
    path = (folder or RESULTS) / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"결과 파일 {path.name}이 없습니다. python -m course_lib.recipes {name}으로 만드세요."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def hardware() -> dict:
    """CPU의 이름, 코어 수, torch가 쓰는 스레드 수."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass  # Linux x86이 아니면 platform이 아는 이름을 씁니다
    return {"cpu": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def run_each(name: str, keys: Sequence[dict], run: Callable[[dict], dict]) -> list[dict]:
    """keys의 실험을 하나씩 하고 결과를 모읍니다. 한 줄씩 저장해 두므로 꺼져도 이어서 합니다.

    run(key)가 돌려준 dict에 key와 걸린 시간 "seconds"를 더해 돌려줍니다. 설정이 바뀌면 다시 하도록
    결과를 바꾸는 것은 모두 key에 넣으세요.
    """
    from course_lib.training import progress

    path = UNFINISHED / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    finished: dict[str, dict] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # 쓰다가 꺼진 마지막 줄
            finished[json.dumps(record["key"], sort_keys=True)] = record
    records = []
    for key in progress(keys, desc=name):
        known = json.dumps(key, sort_keys=True)
        if known not in finished:
            start = time.perf_counter()
            result = run(key)
            finished[known] = {"key": key, **result, "seconds": time.perf_counter() - start}
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n" * (file.tell() > 0) + json.dumps(finished[known]))
        records.append(finished[known])
    return records


def code_hash(*files: str) -> str:
    """결과를 정하는 코드의 지문. 코드가 바뀌면 이어서 하지 않고 다시 합니다.

    files  ``course_lib`` 아래의 경로. 모든 실험이 기대는 파일은 따로 적지 않아도 들어갑니다.
    """
    shared = ["base.py", "nn.py", "units.py", "training.py"]
    text = "".join((PACKAGE / file).read_text(encoding="utf-8") for file in [*shared, *files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
