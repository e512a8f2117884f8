"""강사를 위한 채점 요약: ``python3 course.py grade 모은_폴더``.

학생들이 낸 노트북을 하나씩 **새 커널에서 실행**하고, 어느 연습문제가 맞았는지 학생 × 문제의 표와
CSV로 보여 줍니다. 채점은 노트북의 ``check_exercise``가 쓰는 함수(``course_lib.exercises``) 그대로입니다.

**주의: 학생의 코드를 지금 이 컴퓨터에서 지금의 사용자 권한으로 실행합니다.** 지워지면 곤란한 파일이 없는
계정이나 가상 컴퓨터, 컨테이너에서 쓰십시오. 시간은 제한하지만 파일, 네트워크, 메모리는 막지 않습니다.
답을 고쳐 주는 요약이지 부정행위를 막는 시험 감독이 아닙니다.

- 처음에는 원본의 준비 셀과 import, 학생이 고치거나 더한 셀, 연습문제 셀만 실행합니다(몇 초). 그래서 빠진
  셀이 있어도 채점할 수 있습니다. 답이 본문에서 만든 이름을 써서 NameError가 나면 전체를 다시 실행합니다.
- 풀이 셀(``solution`` 태그)은 실행하지 않으므로 답으로 치지 않습니다.
- 시간을 넘기거나 커널을 죽인 셀은 빼고 처음부터 다시 실행해, 나머지 문제를 마저 채점합니다.
- 같은 문제를 여러 번 채점했으면 비어 있지 않은 마지막 결과를 씁니다.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import csv
import functools
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client import KernelManager

from course_lib import cli
from course_lib.exercises import RIGHT, UNSOLVED, WRONG

STUCK, MISSING = "⏰", "–"
WORDS = {RIGHT: "맞음", WRONG: "틀림", UNSOLVED: "풀지 않음", STUCK: "시간 초과", MISSING: "없음"}
CALL = re.compile(r"check_exercise\(\s*[\"'](\w+-\d+)[\"']")
MIME = "application/vnd.course.verdict+json"
PRELUDE = f"""
def _course_grading():
    import course_lib.exercises as exercises
    from IPython.display import publish_display_data
    def check_exercise(id, answer):
        verdict = exercises.grade(id, answer)
        found = {{"id": id, "mark": verdict.mark, "message": verdict.message}}
        publish_display_data({{{MIME!r}: found}})
    exercises.check_exercise = check_exercise
_course_grading()
"""


@dataclass
class Report:
    """노트북 하나의 결과. ``problem``이 있으면 끝까지 채점하지 못한 것입니다."""

    student: str
    path: Path
    marks: dict[str, str] = field(default_factory=dict)  # 문제 번호 → ✅ ❌ ⏳ ⏰ –
    notes: dict[str, str] = field(default_factory=dict)  # 문제 번호 → 채점이 남긴 말
    problem: str = ""

    @property
    def right(self) -> int:
        return sum(mark == RIGHT for mark in self.marks.values())


class Stuck(Exception):  # noqa: N818 - 학생의 셀이 멈추지 않거나 커널을 죽였다는 신호
    """셀이 제한 시간 안에 끝나지 않았거나 커널이 죽었습니다."""


# ---------------------------------------------------------------------------- 무엇을 실행할까


def _tags(cell) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def _code(nb) -> list:
    return [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]


def _ids(cell) -> list[str]:
    return CALL.findall(cell.source)


def _imports(cell) -> str:
    tree = ast.parse(TransformerManager().transform_cell(cell.source))
    kept = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.unparse(ast.Module(kept, []))


@dataclass(frozen=True)
class Original:
    """강의에 든 노트북에서 채점에 필요한 것."""

    ids: list[str]
    sources: set[str]  # 고치지 않은 셀을 알아보는 데 씁니다
    solutions: set[str]
    preparation: str  # 준비 셀과 모든 import: 풀이는 이것만으로 실행됩니다


@functools.cache
def original(chapter: str, folder: Path) -> Original:
    cells = _code(cli.read(cli.find_notebook(chapter, folder)))
    kept = [cell for cell in cells if not {"solution", "nbval-skip"} & set(_tags(cell))]
    setup = [cell.source for cell in kept if "setup" in _tags(cell)]
    return Original(
        ids=sorted({id for cell in kept if "exercise" in _tags(cell) for id in _ids(cell)}),
        sources={cell.source.strip() for cell in cells},
        solutions={cell.source.strip() for cell in cells if "solution" in _tags(cell)},
        preparation="\n".join(filter(None, [*map(_imports, kept), *setup])),
    )


def read(path: Path):
    """학생의 노트북. 노트북이 아니면 CourseError."""
    try:
        with warnings.catch_warnings(action="ignore"):
            nb = nbformat.reads(path.read_text(encoding="utf-8-sig"), as_version=4)
        _code(nb)  # 셀의 꼴이 틀렸으면 여기서 드러납니다
        return nb
    except Exception as error:  # 학생의 파일에는 무엇이든 들어 있을 수 있습니다
        raise cli.CourseError("올바른 노트북 파일이 아닙니다.") from error


def chapter_of(nb, name: str, folder: Path) -> str:
    """문제 번호로, 없으면 파일 이름으로 장을 알아냅니다. 이름을 바꾼 노트북도 알아봅니다."""
    known = {path.stem.split("_")[0].lower() for path in folder.glob("*.ipynb")}
    seen = [id.rpartition("-")[0] for cell in _code(nb) for id in _ids(cell)]
    for chapter, _ in collections.Counter(seen).most_common():
        if chapter.lower() in known:
            return chapter
    for word in re.split(r"[\W_]+", name.lower()):
        if word in known:
            return word
    raise cli.CourseError("어느 장의 노트북인지 알 수 없습니다. --chapter로 알려 주세요.")


def plan(nb, about: Original, everything: bool) -> list:
    """실행할 셀들. everything이 아니면 고치지 않은 본문 셀을 뺍니다."""
    cells = []
    for cell in _code(nb):
        source, tags = cell.source.strip(), _tags(cell)
        answer = bool(_ids(cell))
        skip = "solution" in tags or "nbval-skip" in tags
        if skip or (source in about.solutions and "exercise" not in tags):
            continue
        if everything or answer or source not in about.sources:
            cells.append(cell)
    return cells


# ---------------------------------------------------------------------------- 실행


class Kernel:
    """새 커널 하나. 출력은 채점 결과만 받고 나머지는 버리므로 끝없이 인쇄해도 메모리가 차지 않습니다.

    folder  커널의 작업 폴더, environment  더할 환경 변수
    """

    def __init__(self, folder: str | Path, **environment: str):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.kernel_spec_manager.kernel_dirs = []  # 사용자 폴더의 다른 python3을 쓰지 않습니다
        self.folder, self.environment = str(folder), environment

    def __enter__(self) -> Kernel:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = cli.kernel_environment(**self.environment)
        self.manager.start_kernel(
            extra_arguments=["--log-level=ERROR"], cwd=self.folder, env=environment, **quiet
        )
        self.process = self.manager.provisioner.process
        self.client = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        if hasattr(os, "killpg"):  # 학생의 코드가 만든 자식 프로세스까지 끝냅니다
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def run(
        self, source: str, seconds: float, seen: Callable[[dict], None] = lambda message: None
    ) -> tuple[list[dict], str]:
        """셀을 실행하고 (채점 결과들, 오류)를 돌려줍니다. 끝나지 않으면 Stuck.

        seen  이 셀이 보낸 메시지를 하나씩 받습니다.
        """
        deadline = time.monotonic() + seconds
        sent = self.client.execute(source, store_history=False, allow_stdin=False)
        verdicts, error = [], ""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Stuck("시간 초과", verdicts)
            try:
                message = self.client.get_iopub_msg(timeout=min(left, 1.0))
            except queue.Empty:
                if not self.manager.is_alive():
                    raise Stuck("커널이 죽었습니다", verdicts) from None
                continue
            if message["parent_header"].get("msg_id") != sent:
                continue
            seen(message)
            kind, content = message["msg_type"], message["content"]
            if kind == "display_data" and MIME in content["data"]:
                verdicts.append(content["data"][MIME])
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return verdicts, error


def _session(report: Report, cells: list, preparation: str, timeout: float, end: float) -> None:
    """셀들을 차례로 실행하며 report를 채웁니다. 멈춘 셀은 빼고 새 커널에서 다시 합니다."""
    stuck: set[int] = set()

    def note(verdicts: Iterable[dict]) -> None:
        for verdict in verdicts:
            id, mark = verdict["id"], verdict["mark"]
            if id in report.marks and (
                mark != UNSOLVED or report.marks[id] in (MISSING, UNSOLVED, STUCK)
            ):
                report.marks[id] = mark
                report.notes[id] = verdict["message"] if mark == WRONG else ""

    while len(stuck) <= len(cells):
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            Kernel(folder, MPLBACKEND="agg") as k,
        ):
            k.run(PRELUDE, 120)
            k.run(preparation, 120)
            for index, cell in enumerate(cells):
                if index in stuck:
                    continue
                try:
                    seconds = min(timeout, end - time.monotonic())
                    verdicts, error = k.run(cell.source, seconds)
                except Stuck as reason:
                    stuck.add(index)
                    what, verdicts = reason.args
                    note(verdicts)
                    report.problem = f"{what}: {cell.source.strip().splitlines()[0][:40]}"
                    done = {verdict["id"] for verdict in verdicts}
                    for id in set(_ids(cell)) & set(report.marks) - done:
                        report.marks[id], report.notes[id] = STUCK, what
                    break
                note(verdicts)
                done = {verdict["id"] for verdict in verdicts}
                for id in set(_ids(cell)) & set(report.marks) - done:
                    if error and report.marks[id] in (MISSING, UNSOLVED):
                        report.marks[id], report.notes[id] = WRONG, error
            else:
                return
        if time.monotonic() >= end:
            report.problem = "제한 시간을 넘겨 끝까지 채점하지 못했습니다"
            for id, mark in report.marks.items():
                if mark == MISSING and any(id in _ids(cell) for cell in cells):
                    report.marks[id] = STUCK
            return


def grade_notebook(
    path: Path,
    student: str,
    *,
    chapter: str | None = None,
    timeout: float = 60,
    limit: float = 300,
    everything: bool = False,
    folder: Path = cli.NOTEBOOKS,
) -> Report:
    """노트북 하나를 새 커널에서 실행해 채점합니다. 학생의 파일 때문에 예외가 나는 일은 없습니다.

    timeout  셀 하나의 제한 시간(초), limit  노트북 하나의 제한 시간(초)
    everything  처음부터 본문 셀까지 모두 실행합니다.
    """
    report = Report(student, path)
    try:
        nb = read(path)
        about = original(chapter or chapter_of(nb, path.stem, folder), folder)
    except (cli.CourseError, OSError) as error:
        report.problem = str(error)
        return report
    end = time.monotonic() + limit
    first: dict[str, tuple[str, str]] = {}  # 빠른 채점의 (결과, 말)
    for whole in [True] if everything else [False, True]:
        report.marks = dict.fromkeys(about.ids, MISSING)
        report.notes, report.problem = {}, ""
        try:
            _session(report, plan(nb, about, whole), about.preparation, timeout, end)
        except (RuntimeError, Stuck) as error:  # 커널이 켜지지 않거나 준비 셀이 끝나지 않음
            report.problem = f"커널을 쓸 수 없습니다: {error.args[0] if error.args else error}"
        for id, (mark, text) in first.items():
            if report.marks[id] in (STUCK, MISSING):  # 전체를 실행하다 시간이 다 되었습니다
                report.marks[id], report.notes[id] = mark, text
        first = {id: (mark, report.notes.get(id, "")) for id, mark in report.marks.items()}
        unknown = any(mark == WRONG and "NameError" in text for mark, text in first.values())
        if not unknown or time.monotonic() >= end:
            break
    return report


# ---------------------------------------------------------------------------- 모으기와 보여 주기


def shown(name: str) -> str:
    """화면과 CSV에 쓸 이름. 자모로 풀린 한글(macOS)과 cp949로 남은 이름(옛 압축 파일)을 되돌립니다."""
    try:
        raw = name.encode("utf-8")
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape")
        name = raw.decode("cp949", "replace")
    return unicodedata.normalize("NFC", name)


def collect(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """(학생, 노트북) 목록. 폴더는 안쪽까지 찾고, 학생의 이름은 폴더에서 본 경로입니다."""
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            inside = [
                (shown(str(each.relative_to(path).with_suffix(""))), each)
                for each in path.rglob("*.ipynb")
                if ".ipynb_checkpoints" not in each.parts
            ]
            found += sorted(inside)
        elif path.is_file():
            found.append((shown(path.stem), path))
        else:
            raise cli.CourseError(f"'{shown(str(path))}'이라는 폴더나 노트북이 없습니다.")
    if not found:
        raise cli.CourseError("노트북(.ipynb)이 하나도 없습니다. 폴더를 확인해 주세요.")
    names = collections.Counter(name for name, _ in found)
    return [
        (name if names[name] == 1 else f"{shown(each.parent.name)}/{name}", each)
        for name, each in found
    ]


def order(id: str) -> tuple[str, int]:
    chapter, _, number = id.rpartition("-")
    return chapter, int(number)


def table(reports: Sequence[Report]) -> str:
    """학생 × 문제의 표와, 문제마다 맞은 학생의 수."""
    ids = sorted({id for report in reports for id in report.marks}, key=order)
    rows = [["학생", *ids, "맞음", "비고"]]
    for report in reports:
        marks = [report.marks.get(id, "") for id in ids]
        score = f"{report.right}/{len(report.marks)}" if report.marks else ""
        rows.append([report.student, *marks, score, report.problem])
    totals = [str(sum(r.marks.get(id) == RIGHT for r in reports)) for id in ids]
    rows.append(["맞은 학생", *totals, "", ""])
    legend = "  ".join(f"{mark} {word}" for mark, word in WORDS.items())
    return cli._table(rows) + "\n" + legend


def _safe(text: str) -> str:
    """스프레드시트가 수식으로 읽지 않게 합니다."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t") else text


def write_csv(reports: Sequence[Report], target: Path) -> None:
    """엑셀이 한글을 바로 읽는 CSV(utf-8-sig)."""
    ids = sorted({id for report in reports for id in report.marks}, key=order)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["학생", "파일", *ids, "맞은 수", "문제 수", "비고"])
        for report in reports:
            notes = [f"{id}: {text}" for id, text in sorted(report.notes.items()) if text]
            about = "; ".join(filter(None, [report.problem, *notes]))
            words = [WORDS.get(report.marks.get(id, ""), "") for id in ids]
            names = [_safe(report.student), _safe(shown(report.path.name))]
            writer.writerow([*names, *words, report.right, len(report.marks), _safe(about)])


def main(argv: Sequence[str] | None = None) -> int:
    """종료 코드: 0 모두 채점함, 1 채점하지 못한 노트북이 있음, 2 명령이 잘못됨."""
    parser = argparse.ArgumentParser(
        prog="course.py grade",
        description="학생들의 노트북을 실행해 연습문제의 채점표를 만듭니다. "
        "주의: 학생의 코드를 이 컴퓨터에서 실행합니다. 버려도 되는 계정이나 컨테이너에서 쓰십시오.",
        epilog="종료 코드: 0 모두 채점함, 1 채점하지 못한 노트북이 있음, 2 명령이 잘못됨. "
        "자세한 것은 CLASSROOM.md에 있습니다.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        help="노트북 또는 노트북을 모은 폴더. 파일 이름이 학생의 이름입니다",
    )
    parser.add_argument("--csv", type=Path, default=cli.BUILD / "grade.csv", help="표를 쓸 파일")
    parser.add_argument(
        "--chapter", help="모두 이 장의 노트북으로 봅니다(예: 13). 보통은 알아서 찾습니다"
    )
    parser.add_argument(
        "--timeout", type=float, default=60, help="셀 하나의 제한 시간, 초(기본 60)"
    )
    parser.add_argument(
        "--limit", type=float, default=300, help="노트북 하나의 제한 시간, 초(기본 300)"
    )
    parser.add_argument(
        "--everything", action="store_true", help="본문 셀까지 모두 실행합니다(느림)"
    )
    options = parser.parse_args(argv)
    try:
        found = collect(options.paths)
        if options.chapter:
            options.chapter = cli.find_notebook(options.chapter).stem.split("_")[0]
        print("학생의 코드를 이 컴퓨터에서 실행합니다. 멈추려면 Ctrl+C를 누르세요.", flush=True)
        reports = []
        for number, (student, path) in enumerate(found, 1):
            print(f"[{number}/{len(found)}] {student}", flush=True)
            settings = {"timeout": options.timeout, "limit": options.limit}
            reports.append(
                grade_notebook(
                    path,
                    student,
                    chapter=options.chapter,
                    everything=options.everything,
                    **settings,
                )
            )
        write_csv(reports, options.csv)
    except (cli.CourseError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n" + table(reports))
    print(f"{options.csv.resolve()}에 저장했습니다.")
    return int(any(report.problem for report in reports))


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")
    sys.exit(main())
