"""채점 요약(course.py grade): 다 푼 것, 빈 것, 깨진 것, 끝나지 않는 것, 이름을 바꾼 것을 한 폴더에서 봅니다."""

import csv
import io
import os
import sys
import unicodedata

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from course_lib import cli, grading

SETUP = "import math\n\nfrom course_lib.exercises import check_exercise"
STUBS = [
    "def kl(mean, log_var, prior_mean, prior_log_var):\n    return ...\n\n"
    "check_exercise('06-1', kl)",
    "def estimate(log_w):\n    return ...\n\ncheck_exercise('06-2', estimate)",
    "count = ...\ncheck_exercise('06-3', count)",
]
COUNT = "784 * 500 + 500 + 500 * 40 + 40 + 20 * 500 + 500 + 500 * 784 + 784"
SOLUTIONS = [
    "def kl_answer(m, s, pm, ps):\n"
    "    return 0.5 * (ps - s + (s - ps).exp() + (m - pm) ** 2 / ps.exp() - 1).sum(-1)\n\n"
    "check_exercise('06-1', kl_answer)",
    "def estimate_answer(log_w):\n    return log_w.logsumexp(0) - math.log(len(log_w))\n\n"
    "check_exercise('06-2', estimate_answer)",
    f"check_exercise('06-3', {COUNT})",
]
SLOW = "import time; time.sleep(10**6); helper = 'from the text'"  # 빠른 채점이 건너뛸 본문


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def notebook(answers=STUBS, extra=(), solutions=True, setup=True):
    cells = [new_markdown_cell("# 06")] + [code(SETUP, "setup")] * setup + [code(SLOW)]
    for answer, solution in zip(answers, SOLUTIONS, strict=True):
        cells += [code(answer, "exercise")] if answer else []
        cells += [code(solution, "solution")] if solutions else []
    return new_notebook(cells=cells + [code(source) for source in extra])


def save(nb, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nb if isinstance(nb, str) else writes(nb), encoding="utf-8")


LOOP = "while True:\n    try:\n        print('가' * 1000)\n    except BaseException:\n        pass"


@pytest.fixture(scope="module")
def course_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    save(notebook(), folder / "06_vae.ipynb")
    return folder


@pytest.fixture(scope="module")
def graded(course_folder, tmp_path_factory):
    """한 폴더를 한 번만 채점해 여러 시험이 함께 봅니다."""
    folder = tmp_path_factory.mktemp("낸 것")
    save(notebook(SOLUTIONS, solutions=False), folder / "김철수.ipynb")
    save(notebook(), folder / "06_vae (1).ipynb")
    loop = LOOP + "\ncheck_exercise('06-2', 1)"
    wrong = "check_exercise('06-3', 1)\ncheck_exercise('06-3', ...)"
    save(notebook([None, loop, wrong], setup=False), folder / "끝없이.ipynb")
    dies = [
        "import os; os._exit(1); check_exercise('06-1', 0)",
        "check_exercise('06-2', (",
        SOLUTIONS[2],
    ]
    save(notebook(dies, ["print('더한 셀')"]), folder / "하위" / "Renée 田中.ipynb")
    save("{", folder / "깨짐.ipynb")
    save('{"nbformat": 4, "nbformat_minor": 5, "cells": 3}', folder / "깨짐2.ipynb")
    save(new_notebook(cells=[code("1 + 1")]), folder / "메모.ipynb")
    save(notebook(), folder / ".ipynb_checkpoints" / "x-checkpoint.ipynb")
    return [
        grading.grade_notebook(path, student, timeout=8, limit=120, folder=course_folder)
        for student, path in grading.collect([folder])
    ]


def test_every_kind_of_notebook(graded):
    marks = {report.student: "".join(report.marks.values()) for report in graded}
    assert marks == {
        "06_vae (1)": "⏳⏳⏳",  # 풀이 셀이 남아 있어도 답으로 치지 않습니다
        "김철수": "✅✅✅",
        "깨짐": "",
        "깨짐2": "",
        "끝없이": "–⏰❌",  # 빈칸 셀을 지움, 끝나지 않음, 틀린 뒤 비워 둠
        "메모": "",
        "하위/Renée 田中": "⏰❌✅",  # 커널을 죽임, 문법 오류, 풀이를 베낌
    }
    problems = {report.student: report.problem for report in graded}
    assert not problems["김철수"] and not problems["06_vae (1)"]
    assert "시간 초과" in problems["끝없이"] and "커널" in problems["하위/Renée 田中"]
    assert "올바른 노트북" in problems["깨짐"] and "올바른 노트북" in problems["깨짐2"]
    assert "--chapter" in problems["메모"]
    notes = {report.student: report.notes for report in graded}
    assert "SyntaxError" in notes["하위/Renée 田中"]["06-2"]
    assert "힌트" in notes["끝없이"]["06-3"]


def test_the_table_and_the_csv(graded, tmp_path):
    lines = grading.table(graded).splitlines()
    assert lines[0].split() == ["학생", "06-1", "06-2", "06-3", "맞음", "비고"]
    assert lines[-2].split() == ["맞은", "학생", "1", "1", "2"]
    target = tmp_path / "새 폴더" / "점수.csv"
    grading.write_csv([*graded, grading.Report("=1+1", target)], target)
    assert target.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8-sig"))))
    by_name = {row["학생"]: row for row in rows}
    assert by_name["김철수"]["06-2"] == "맞음" and by_name["김철수"]["맞은 수"] == "3"
    assert by_name["끝없이"]["06-1"] == "없음" and by_name["끝없이"]["06-2"] == "시간 초과"
    assert "'=1+1" in by_name  # 수식으로 실행되지 않습니다


def test_a_name_from_the_text_runs_the_whole_notebook(course_folder, tmp_path):
    """본문에서 만든 이름을 쓴 답은 본문까지 실행해서 다시 채점합니다."""
    nb = notebook([STUBS[0], STUBS[1], f"check_exercise('06-3', ({COUNT}) * unit)"])
    nb.cells[2].source = "unit = 1"
    save(nb, tmp_path / "course" / "06_vae.ipynb")
    save(nb, tmp_path / "학생.ipynb")
    report = grading.grade_notebook(
        tmp_path / "학생.ipynb", "학생", timeout=20, folder=tmp_path / "course"
    )
    assert list(report.marks.values()) == ["⏳", "⏳", "✅"] and not report.problem


def test_a_long_text_does_not_lose_the_quick_results(course_folder, tmp_path, monkeypatch):
    """본문이 끝나지 않으면 빠른 채점에서 안 것을 남기고, 무엇이 멈췄는지 적습니다."""
    save(notebook(), tmp_path / "학생.ipynb")
    lengths = []

    def session(report, cells, preparation, timeout, end):
        lengths.append(len(cells))
        if len(lengths) == 1:
            report.marks |= {"06-1": "✅", "06-3": "❌"}
            report.notes["06-3"] = "오류가 났습니다(NameError: name 'helper' is not defined)."
        else:
            report.marks |= {"06-1": "⏰", "06-2": "✅", "06-3": "⏰"}
            report.problem = "제한 시간"

    monkeypatch.setattr(grading, "_session", session)
    report = grading.grade_notebook(tmp_path / "학생.ipynb", "학생", folder=course_folder)
    assert report.marks == {"06-1": "✅", "06-2": "✅", "06-3": "❌"}
    assert "NameError" in report.notes["06-3"] and report.problem == "제한 시간"
    assert lengths == [3, 5]  # 연습문제만, 그다음에는 준비 셀과 본문까지


def test_the_chapter_is_found_by_ids_then_by_name(course_folder):
    assert grading.chapter_of(notebook(), "제출", course_folder) == "06"
    assert grading.chapter_of(new_notebook(), "과제-06 김", course_folder) == "06"
    with pytest.raises(cli.CourseError, match="--chapter"):
        grading.chapter_of(new_notebook(), "20061234", course_folder)


def test_only_what_is_needed_is_run(course_folder):
    about = grading.original("06", course_folder)
    nb = notebook(SOLUTIONS, ["mine = 1"])
    nb.cells.append(code("1 / 0", "nbval-skip"))
    quick = [cell.source for cell in grading.plan(nb, about, everything=False)]
    assert quick == [*SOLUTIONS, "mine = 1"]
    whole = [cell.source for cell in grading.plan(nb, about, everything=True)]
    assert whole == [SETUP, SLOW, *SOLUTIONS, "mine = 1"]
    assert "import math" in about.preparation and "sleep" not in about.preparation


def test_names_are_shown_as_written():
    assert grading.shown(unicodedata.normalize("NFD", "김철수")) == "김철수"
    assert grading.shown("김철수".encode("cp949").decode("utf-8", "surrogateescape")) == "김철수"


def test_two_students_with_one_file_name(tmp_path):
    for name in ("1반", "2반"):
        save(notebook(), tmp_path / name / "과제.ipynb")
    files = [tmp_path / "1반" / "과제.ipynb", tmp_path / "2반" / "과제.ipynb"]
    assert [name for name, _ in grading.collect(files)] == ["1반/과제", "2반/과제"]


@pytest.mark.skipif(sys.platform != "linux", reason="글자가 아닌 파일 이름은 Linux에만 있습니다")
def test_the_command_line(course_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading.cli, "NOTEBOOKS", course_folder)
    graded = []
    monkeypatch.setattr(
        grading,
        "grade_notebook",
        lambda path, student, **_: graded.append(path) or grading.Report(student, path),
    )
    folder = tmp_path / "낸 것"
    save(notebook(), folder / "가.ipynb")
    os.rename(folder / "가.ipynb", os.fsencode(folder) + b"/\xb1\xe8.ipynb")  # cp949의 '김'
    assert grading.main([str(folder), "--csv", str(tmp_path / "a.csv")]) == 0
    printed = capsys.readouterr().out
    assert "김" in printed and "학생의 코드를 이 컴퓨터에서 실행합니다" in printed
    assert len(graded) == 1 and (tmp_path / "a.csv").is_file()
    monkeypatch.setattr(
        grading,
        "grade_notebook",
        lambda path, student, **_: grading.Report(student, path, {}, {}, "깨짐"),
    )
    assert grading.main([str(folder), "--csv", str(tmp_path / "a.csv")]) == 1
    for wrong in ([str(tmp_path / "없음")], [str(course_folder.parent / "낸 것 없음")]):
        assert grading.main(wrong) == 2
    (tmp_path / "빈 폴더").mkdir()
    assert grading.main([str(tmp_path / "빈 폴더")]) == 2
    assert "하나도 없습니다" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        grading.main(["--help"])
    assert "이 컴퓨터에서 실행합니다" in capsys.readouterr().out
