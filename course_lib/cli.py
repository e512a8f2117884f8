"""노트북을 다루는 명령: `python -m course_lib.cli author|run|slides|student|claims|app|site …`.

학생과 강사는 보통 `python3 course.py …`로 부릅니다. 노트북은 경로, 파일 이름, 번호(13, 08b)로
가리킵니다.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
from datetime import datetime
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
CELL_TIMEOUT = 300  # 초
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_METADATA = {"tags", "slideshow", "jupyter", "editable", "deletable"}


class CourseError(Exception):
    """사용자에게 한 줄로 알려 주면 되는 오류."""


# ---------------------------------------------------------------------------- 노트북 찾기와 읽기


def find_notebook(name: str, folder: Path = NOTEBOOKS) -> Path:
    """경로, 파일 이름 또는 번호로 노트북을 찾습니다."""
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path.resolve()
    stems = {found.stem: found for found in sorted(folder.glob("*.ipynb"))}
    wanted = path.name.removesuffix(".ipynb")
    for stem, found in stems.items():
        number = stem.split("_")[0]
        if wanted.lower() in {stem.lower(), number.lower(), number.lower().lstrip("0") or "0"}:
            return found
    there = ", ".join(stems) or "아직 없음"
    raise CourseError(f"'{name}' 노트북을 찾지 못했습니다. 있는 노트북: {there}")


def read(path: Path):
    """노트북을 nbformat 4로 읽습니다."""
    try:
        return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except (UnicodeDecodeError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise CourseError(f"{path.name}은(는) 올바른 노트북 파일이 아닙니다.") from error


def write(path: Path, text: str) -> None:
    """중간에 끊겨도 반쪽 파일이 남지 않게 씁니다."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        if path.exists():
            os.chmod(temporary, path.stat().st_mode)
        else:
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _dumps(nb) -> str:
    nbformat.validate(nb)
    return nbformat.writes(nb) + "\n"


# ---------------------------------------------------------------------------- 실행


def kernel_environment(**more: str) -> dict[str, str]:
    """같은 컴퓨터에서 언제나 같은 숫자가 나오게 하는 환경 변수."""
    threads = os.environ.get("COURSE_THREADS", "1")
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **fixed, "PYTHONPATH": path, **more}


def execute(nb, folder: Path, allow_errors: bool = False, **environment: str):
    """새 커널에서 위에서 아래로 실행한 사본을 돌려줍니다. 커널은 지금의 파이썬입니다."""
    nb = copy.deepcopy(nb)
    client = NotebookClient(
        nb,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        allow_errors=allow_errors,
        store_widget_state=False,
        skip_cells_with_tag="nbval-skip",
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
    )
    client.create_kernel_manager()
    # 비워 두면 사용자 폴더에 있는 다른 python3 커널이 끼어들지 못합니다
    client.km.kernel_spec_manager.kernel_dirs = []
    try:
        client.execute(env=kernel_environment(**environment))
    except CellExecutionError as error:
        broken = next(i for i, cell in enumerate(nb.cells) if _errors(cell))
        raise CourseError(
            f"{broken + 1}번째 셀에서 실행이 멈췄습니다: {error.ename}: {error.evalue}"
        ) from error
    except CellTimeoutError as error:
        raise CourseError(f"한 셀이 {CELL_TIMEOUT}초 안에 끝나지 않았습니다.") from error
    except DeadKernelError as error:
        raise CourseError("커널이 죽었습니다. 메모리가 모자라지 않은지 확인해 주세요.") from error
    return nb


def _errors(cell) -> list:
    return [out for out in cell.get("outputs", []) if out.output_type == "error"]


def cell_seconds(nb) -> list[tuple[float, int]]:
    """(걸린 시간[초], 셀 번호) 목록. 오래 걸린 것부터."""
    times = []
    for index, cell in enumerate(nb.cells):
        stamps = cell.metadata.get("execution", {})
        if {"iopub.execute_input", "iopub.status.idle"} <= set(stamps):
            start, end = (
                datetime.fromisoformat(stamps[key].replace("Z", "+00:00"))
                for key in ("iopub.execute_input", "iopub.status.idle")
            )
            times.append(((end - start).total_seconds(), index))
    return sorted(times, reverse=True)


def strip(nb):
    """실행할 때마다 달라지는 것을 지웁니다. 출력, 실행 번호, 셀 id는 남깁니다."""
    nb = copy.deepcopy(nb)
    python = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    title = {"title": nb.metadata.title} if "title" in nb.metadata else {}
    nb.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": python, **title})
    for cell in nb.cells:
        kept = {k: v for k, v in cell.metadata.items() if k in CELL_METADATA and v not in ({}, [])}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            # 저장된 widget-view는 없는 모델을 가리킬 뿐이라 지웁니다. HTML과 PNG가 남습니다
            output.get("data", {}).pop(WIDGET_VIEW, None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)
    return nb


# ---------------------------------------------------------------------------- 동사


def nbval(paths: list[Path], *options: str) -> int:
    """엄격한 nbval: 저장된 출력과 새로 실행한 출력을 견줍니다."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'notebooks' / 'sanitize.cfg'}"]
    command += [f"--nbval-cell-timeout={CELL_TIMEOUT}", "-q", "-p", "no:cacheprovider", *options]
    command += [str(path) for path in paths]
    return subprocess.run(command, env=kernel_environment(), cwd=ROOT).returncode


def author(path: Path) -> int:
    """실행 → 정리 → 제자리에 저장 → 엄격한 nbval."""
    start = time.perf_counter()
    nb = execute(read(path), path.parent)
    total = time.perf_counter() - start
    text = _dumps(strip(nb))
    write(path, text)
    print(f"{path.name}: {total:.1f}초, {len(text.encode()) / 1e6:.2f} MB")
    for seconds, index in cell_seconds(nb)[:5]:
        first = next(iter(nb.cells[index].source.splitlines()), "")
        print(f"  셀 {index + 1:3d}  {seconds:6.2f}초  {first[:60]}")
    sys.stdout.flush()
    return nbval([path])


def run(path: Path, out: Path) -> int:
    """노트북을 새로 실행해 오프라인 HTML로 남깁니다."""
    from course_lib.export import offline_html

    nb = execute(read(path), path.parent)
    target = out / f"{path.stem}.html"
    write(target, offline_html(nb, path.stem, path.parent))
    print(f"{target}에 저장했습니다. 인터넷 없이 열 수 있습니다.")
    return 0


def slides(path: Path, out: Path) -> int:
    """저장된 출력으로 오프라인 슬라이드를 만듭니다."""
    from course_lib.export import offline_slides

    nb = read(path)
    if any(
        c.cell_type == "code"
        and c.execution_count is None
        and "nbval-skip" not in c.metadata.get("tags", [])
        for c in nb.cells
    ):
        raise CourseError(
            f"{path.name}에 실행하지 않은 셀이 있습니다. 먼저 author 명령으로 실행해 주세요."
        )
    try:
        html = offline_slides(nb, path.stem, path.parent)
    except ValueError as error:
        raise CourseError(str(error)) from error
    target = out / f"{path.stem}.slides.html"
    write(target, html)
    print(f"{target}에 저장했습니다. 인터넷 없이 열 수 있고, S를 누르면 발표자 창이 열립니다.")
    return 0


def student_copy(nb):
    """풀이 셀과 출력을 뺀 사본."""
    nb = strip(nb)
    nb.cells = [cell for cell in nb.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def student(path: Path, out: Path) -> int:
    """학생용 노트북을 만듭니다."""
    target = out / path.name
    if target.resolve() == path.resolve():
        raise CourseError("원본을 덮어쓸 수 없습니다. 다른 폴더를 --out으로 정해 주세요.")
    write(target, _dumps(student_copy(read(path))))
    print(f"{target}에 저장했습니다.")
    return 0


CLAIM_LINE = re.compile(r"^(?P<id>\w+\.\w+)  (?P<text>\S.*)$")
MEASURED = re.compile(r"≈\s*(\S+)")


def claim_lines(nb) -> dict[str, list[str]]:
    """실행된 노트북이 인쇄한 주장 줄: {id: [조건 줄 …, 판정 줄]}."""
    found: dict[str, list[str]] = {}
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stdout":
                for match in map(CLAIM_LINE.match, output.text.splitlines()):
                    if match:
                        found.setdefault(match["id"], []).append(match["text"])
    return found


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _table(rows: list[list[str]]) -> str:
    """한글(두 칸)까지 세어 줄을 맞춘 표."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(t + " " * (w - _width(t)) for t, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def claims(path: Path, seeds: list[int]) -> int:
    """노트북을 시드마다 다시 실행해 주장의 측정값과 판정을 표 하나로 보여 줍니다."""
    nb = read(path)
    results, problems = {}, []
    for seed in seeds:
        done = execute(nb, path.parent, allow_errors=True, COURSE_SEED=str(seed))
        results[seed] = claim_lines(done)
        problems += [
            f"시드 {seed}, 셀 {i + 1}: {error.ename}: {error.evalue}"
            for i, cell in enumerate(done.cells)
            for error in _errors(cell)
        ]
    ids = declared_claims(path) + [id for lines in results.values() for id in lines]
    rows = [["주장", "잰 것", *(f"시드 {seed}" for seed in seeds)]]
    for id in dict.fromkeys(ids):
        printed = [results[seed].get(id, []) for seed in seeds]
        measured = [[line for line in lines if line[0] not in "✅❌"] for lines in printed]
        for k, line in enumerate(max(measured, key=len)):
            values = [MEASURED.search(lines[k]) if k < len(lines) else None for lines in measured]
            rows.append([id, MEASURED.sub("≈ ·", line), *(v[1] if v else "–" for v in values)])
        held = [any(line.startswith("✅") for line in lines) for lines in printed]
        rows.append([id, "판정", *("✅" if ok else "❌" for ok in held)])
        problems += [
            f"주장 {id}: 시드 {seed}에서 확인되지 않았습니다."
            for seed, ok in zip(seeds, held, strict=True)
            if not ok
        ]
    if not ids:
        problems.append(f"{path.name}에는 주장이 하나도 없습니다.")
    print(_table(rows), *problems, sep="\n")
    return 1 if problems else 0


def declared_claims(path: Path) -> list[str]:
    """`claims.yml`이 이 노트북에 있다고 적은 주장의 id."""
    manifest = path.parent / "claims.yml"
    if not manifest.is_file():
        return []
    entries = yaml.safe_load(manifest.read_text(encoding="utf-8")) or []
    return [entry["id"] for entry in entries if entry["notebook"] == path.stem]


def site() -> int:
    """저장된 출력으로 강의 전체의 정적 사이트를 만듭니다."""
    from course_lib.site import build

    return build(BUILD / "site")


def app(path: Path | None, port: int | None, browser: bool) -> int:
    """위젯만 코드 없이 보여 주는 페이지를 엽니다."""
    from course_lib.app import serve

    return serve(path, port, browser)


def main(argv: list[str] | None = None) -> int:
    """명령줄의 입구. 돌려준 값이 종료 코드입니다."""
    parser = argparse.ArgumentParser(prog="course_lib.cli", description="노트북을 다루는 명령")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="명령")
    for verb, text in [
        ("author", "새로 실행하고 정리해 제자리에 저장한 뒤 엄격하게 검사합니다"),
        ("run", "새로 실행해 오프라인 HTML을 만듭니다"),
        ("slides", "오프라인 슬라이드를 만듭니다"),
        ("student", "풀이와 출력을 뺀 학생용 노트북을 만듭니다"),
        ("claims", "시드를 바꿔 가며 주장을 다시 잽니다"),
        ("app", "위젯만 코드 없이 보여 주는 페이지를 엽니다"),
        ("site", "강의 전체의 정적 사이트를 build/site에 만듭니다"),
    ]:
        sub = verbs.add_parser(verb, help=text, description=text)
        if verb == "site":
            continue
        sub.add_argument(
            "notebook", nargs="?" if verb == "app" else None, help="경로, 파일 이름 또는 번호"
        )
        if verb in {"run", "slides", "student"}:
            default = BUILD / verb
            sub.add_argument("--out", type=Path, default=default, help=f"기본값 build/{verb}")
        if verb == "claims":
            sub.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        if verb == "app":
            sub.add_argument("--port", type=int, help="기본값은 8866부터 비어 있는 번호")
            sub.add_argument("--no-browser", dest="browser", action="store_false")
    arguments = vars(parser.parse_args(argv))
    action = globals()[arguments.pop("verb")]
    try:
        if "notebook" in arguments:
            name = arguments.pop("notebook")
            arguments = {"path": name and find_notebook(name), **arguments}
        return action(**arguments)
    except (CourseError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")
    sys.exit(main())
