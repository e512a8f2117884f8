"""도구가 정말 거절하는가: 좋은 노트북 하나를 한 군데씩 망가뜨려 봅니다."""

import base64
import copy
import io
import re
from pathlib import Path

import chromium
import nbformat
import notebook_rules as rules
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from course_lib import cli, exercises
from course_lib.export import offline_html, offline_slides


def png(color=(0, 114, 178)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (48, 48), color).save(file, "png")
    return file.getvalue()


FRAME = base64.b64encode(png()).decode()
PICTURE = new_output(
    "display_data", {"image/png": FRAME}, metadata={"image/png": {"alt": "파란 네모"}}
)
VERDICT = "99.1  오차 ≈ 1e-12 < 1e-09\n99.1  ✅ 성립합니다\n"


def code(source, *tags, outputs=(), count=None, **metadata):
    extra = {"tags": list(tags)} if tags else {}
    return new_code_cell(
        source, outputs=list(outputs), execution_count=count, metadata=extra | metadata
    )


def stdout(text):
    return new_output("stream", name="stdout", text=text)


def good():
    """규칙을 모두 지키는 37칸짜리 노트북."""
    cells = [
        new_markdown_cell(
            "# 견본\n\n**밀도**(density)를 봅니다. 이 **밀도**는 `a**b`가 아니라 $p(x)$입니다."
        ),
        code("answer = 42", "setup"),
        code("print('안녕하세요')", outputs=[stdout("안녕하세요\n")]),
        code("show(picture)", outputs=[copy.deepcopy(PICTURE)]),
        code("claim('99.1', ('오차', 1e-12, '<', 1e-9))", outputs=[stdout(VERDICT)]),
    ]
    for k in (1, 2, 3):
        cells.append(code(f"mine{k} = ...\ncheck_exercise('99-{k}', mine{k})", "exercise"))
        solution = f"solution{k} = answer\ncheck_exercise('99-{k}', solution{k})"
        cells.append(code(solution, "solution", jupyter={"source_hidden": True}))
    cells += [
        new_markdown_cell("넉넉한 설명입니다. 그림을 보고 예측해 보세요. " * 3) for _ in range(26)
    ]
    nb = new_notebook(cells=cells)
    nb = cli.strip(nb)
    for number, cell in enumerate(rules.code_cells(nb), 1):
        cell.execution_count = number
    return nb


def save(nb, folder: Path, name: str = "99_sample.ipynb") -> Path:
    path = folder / name
    path.write_text(nbformat.v4.writes(nb), encoding="utf-8")
    return path


def test_the_good_notebook_is_accepted(tmp_path):
    path = save(good(), tmp_path)
    assert rules.hygiene(path) == []
    assert rules.exercise_structure(path) == []


def unexecuted(nb):
    nb.cells[2].execution_count = None


def out_of_order(nb):
    nb.cells[2].execution_count, nb.cells[3].execution_count = 3, 2


def ran_twice(nb):
    for cell in rules.code_cells(nb):
        cell.execution_count += 1


def error(nb):
    nb.cells[2].outputs = [new_output("error", ename="ValueError", evalue="", traceback=[])]


def warning(nb):
    nb.cells[2].outputs = [new_output("stream", name="stderr", text="UserWarning: …")]


def oversize(nb):
    nb.cells[3].outputs[0].data["image/png"] = "A" * rules.MAX_BYTES


def widget_state(nb):
    nb.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def dead_widget(nb):
    nb.cells[3].outputs[0].data["application/vnd.jupyter.widget-view+json"] = {"model_id": "x"}


def other_kernel(nb):
    nb.metadata.kernelspec.name = "my-env"


def doubled_id(nb):
    nb.cells[2]["id"] = nb.cells[3]["id"]


def timestamps(nb):
    nb.cells[2].metadata["execution"] = {"iopub.status.idle": "2026-01-01T00:00:00Z"}


def misspelt_tag(nb):
    nb.cells[2].metadata["tags"] = ["soultion"]


def long_cell(nb):
    nb.cells[2].source = "x = 1\n" * 31


def many_long_cells(nb):
    for cell in rules.code_cells(nb)[:2]:
        cell.source = "x = 1\n" * 16


def long_median(nb):
    for cell in rules.code_cells(nb)[:6]:
        cell.source = cell.source + "\nx = 1" * 7


def too_short(nb):
    nb.cells = nb.cells[:34]


def too_long(nb):
    nb.cells += [new_markdown_cell("더") for _ in range(24)]


def little_text(nb):
    for cell in nb.cells[11:]:
        cell.source = "짧음"


def late_picture(nb):
    nb.cells.append(nb.cells.pop(3))
    for number, cell in enumerate(rules.code_cells(nb), 1):
        cell.execution_count = number


def semicolon(nb):
    nb.cells[2].source = "x = 1;  # 감추기"


def interact(nb):
    nb.cells[2].source = "from ipywidgets import interact"


def interactive_output(nb):
    nb.cells[2].source = "import ipywidgets as w\nw.interactive_output(f, {})"


def machine_path(nb):
    nb.cells[2].outputs = [stdout("/".join(["", "home", "someone", "data"]))]


def windows_path(nb):
    nb.cells[0].source += " C:" + r"\Users\someone"


def svg(nb):
    nb.cells[2].outputs = [new_output("display_data", {"image/svg+xml": "<svg></svg>"})]


def no_alt_png(nb):
    nb.cells[3].outputs[0].metadata = {}


def no_alt(nb):
    nb.cells[2].outputs = [new_output("display_data", {"text/html": "<img src='data:x'>"})]


def no_alt_markdown(nb):
    nb.cells[0].source += "\n![](attachment:x.png)"


def stars(nb):
    nb.cells[0].source += "\n\n**잠재 변수(latent variable)**입니다."


def stars_after_maths(nb):
    nb.cells[0].source += "\n\n**모델 $p(x)$**입니다."


def one_star(nb):
    nb.cells[0].source += "\n\n*다른 $b$*를 봅니다."


def dollar(nb):
    nb.cells[0].source += r" 값은 \$5"


@pytest.mark.parametrize(
    "defect, says",
    [
        (unexecuted, "위에서 아래로"),
        (out_of_order, "위에서 아래로"),
        (ran_twice, "위에서 아래로"),
        (error, "오류 출력"),
        (warning, "stderr"),
        (oversize, "바이트"),
        (widget_state, "metadata.widgets"),
        (dead_widget, "widget-view"),
        (other_kernel, "kernelspec"),
        (doubled_id, "id"),
        (timestamps, "metadata"),
        (misspelt_tag, "soultion"),
        (long_cell, "31줄"),
        (many_long_cells, "90 %"),
        (long_median, "중앙값"),
        (too_short, "35~60"),
        (too_long, "35~60"),
        (little_text, "많아야"),
        (late_picture, "첫 그림"),
        (semicolon, ";"),
        (interact, "interact"),
        (interactive_output, "interact"),
        (machine_path, "경로"),
        (windows_path, "경로"),
        (svg, "svg"),
        (no_alt, "alt"),
        (no_alt_png, "대체 텍스트"),
        (no_alt_markdown, "대체 텍스트"),
        (stars, "**"),
        (stars_after_maths, "**"),
        (one_star, "강조가"),
        (dollar, "수식이 됩니다"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_hygiene_bites(tmp_path, defect, says):
    nb = good()
    defect(nb)
    problems = rules.hygiene(save(nb, tmp_path))
    assert [p for p in problems if says in p], problems


# ---------------------------------------------------------------------------- 주장

ENTRY = {
    "id": "99.1",
    "sentence": "왕복하면 처음으로 돌아옵니다.",
    "document": "F",
    "notebook": "99_sample",
    "expected": True,
}


def course(folder, nb, *entries):
    save(nb, folder)
    text = yaml.safe_dump(list(entries), allow_unicode=True)
    (folder / "claims.yml").write_text(text, encoding="utf-8")
    return folder


def test_a_matching_claim_is_accepted(tmp_path):
    assert rules.claims(course(tmp_path, good(), ENTRY)) == []


def claim_source(source):
    def edit(nb):
        nb.cells[4].source = source

    return edit


def silent(nb):
    nb.cells[4].outputs = []


CALL = "claim('99.1', ('오차', 1e-12, '<', 1e-9))"


@pytest.mark.parametrize(
    "edit, entries, says",
    [
        (claim_source(CALL), [], "claims.yml에 없습니다"),
        (claim_source(CALL + "\n" + CALL), [ENTRY], "2번"),
        (claim_source("pass"), [ENTRY], "0번"),
        (claim_source(CALL[:-1] + ", expected=False)"), [ENTRY], "expected가"),
        (claim_source("for i in ids: claim(i, x)"), [ENTRY], "글자 그대로"),
        (silent, [ENTRY], "✅"),
        (claim_source(CALL), [ENTRY, ENTRY], "두 번"),
        (claim_source(CALL), [ENTRY | {"notebook": "98_other"}], "99_sample에 있습니다"),
        (claim_source(CALL), [ENTRY | {"expected": "true"}], "true나 false"),
        (claim_source(CALL), [{"id": "99.1"}], "완전하지"),
        (claim_source(CALL), [ENTRY | {"id": 99.1}], "따옴표"),
        (claim_source(CALL), [ENTRY | {"sentence": "It round-trips."}], "한국어"),
    ],
)
def test_claims_bite(tmp_path, edit, entries, says):
    nb = good()
    edit(nb)
    problems = rules.claims(course(tmp_path, nb, *entries))
    assert [p for p in problems if says in p], problems


# ---------------------------------------------------------------------------- 용어

ROWS = [
    ("밀도", ["density"], True, ["덴시티"]),
    ("표본", ["sample"], False, ["샘플"]),
    ("표본 추출", ["sampling"], True, []),
    ("가역", ["invertible"], True, []),
    ("변분 하한", ["evidence lower bound", "ELBO"], True, []),
]


@pytest.mark.parametrize(
    "text, says",
    [
        ("덴시티를 봅니다.", "'덴시티' 대신 '밀도'"),
        ("**샘플**을 뽑습니다.", "'샘플' 대신 '표본'"),
        ("밀도를 봅니다. 밀도(density)란", "'밀도'의 첫 사용"),
        ("밀도(likelihood)란", "'밀도'의 첫 사용"),
        ("표본과 표본 추출을 봅니다.", "'표본 추출'의 첫 사용"),
        ("변분 하한(lower bound)", "'변분 하한'의 첫 사용"),
        ("$x$의 밀도", "'밀도'의 첫 사용"),
        ("# 밀도\n\n밀도는", "'밀도'의 첫 사용"),
        ("| 밀도 |\n\n밀도는", "'밀도'의 첫 사용"),
    ],
)
def test_the_glossary_bites(tmp_path, text, says):
    nb = new_notebook(cells=[new_markdown_cell(text)])
    problems = rules.terms(save(nb, tmp_path), ROWS)
    assert [p for p in problems if says in p], problems


@pytest.mark.parametrize(
    "text",
    [
        "밀도(density)와 밀도",
        "**밀도**(Density)는",
        "# 밀도와 가역\n\n밀도(density)는",
        "| 표 | 밀도 |\n\n밀도(density)는",
        "## 밀도(density)\n\n밀도는",
        "비가역 과정과 고밀도",
        "`덴시티`와 $\\text{덴시티}$는 글이 아닙니다",
        "표본을 표본 추출(sampling)로",
        "변분 하한(evidence lower bound, ELBO)과 변분 하한",
    ],
)
def test_the_glossary_raises_no_false_alarm(tmp_path, text):
    nb = new_notebook(cells=[new_markdown_cell(text)])
    assert rules.terms(save(nb, tmp_path), ROWS) == []


def test_forbidden_words_in_code_comments_and_docstrings(tmp_path):
    nb = new_notebook(cells=[new_code_cell("x = 1  # 샘플 하나")])
    assert rules.terms(save(nb, tmp_path), ROWS) == ["'샘플' 대신 '표본'"]
    module = tmp_path / "bad.py"
    module.write_text('def f():\n    """샘플을 뽑습니다."""\n', encoding="utf-8")
    assert rules.forbidden_words(rules.docstrings(module), ROWS) == ["'샘플' 대신 '표본'"]


# ---------------------------------------------------------------------------- 연습문제


@pytest.fixture
def graders(monkeypatch):
    monkeypatch.setattr(exercises, "EXERCISES", {})
    for k in (1, 2, 3):
        exercises.exercise(f"99-{k}", hint="42입니다.")(lambda value: value == 42)


SETUP = "from course_lib.exercises import check_exercise\nanswer = 42"


def exercise_notebook():
    nb = good()
    nb.cells[1].source = SETUP
    return nb


def test_good_exercises_are_accepted(tmp_path, graders):
    path = save(exercise_notebook(), tmp_path)
    assert rules.exercise_structure(path) == []
    assert rules.graded(path) == []


def test_local_names_of_a_solution_do_not_leak(tmp_path):
    nb = exercise_notebook()
    nb.cells[6].source = (
        "def solution1():\n    mine2 = answer\n    return mine2\n\n"
        "check_exercise('99-1', solution1())"
    )
    assert rules.exercise_structure(save(nb, tmp_path)) == []


def cell(index, source):
    def edit(nb):
        nb.cells[index].source = source

    return edit


@pytest.mark.parametrize(
    "edit, says",
    [
        (cell(6, "solution1 = 41\ncheck_exercise('99-1', solution1)"), "✅가 아닙니다"),
        (cell(6, "1 / 0\ncheck_exercise('99-1', 42)"), "혼자 실행되지"),
        (cell(6, "check_exercise('99-1', trained_model)"), "혼자 실행되지"),
        (cell(5, "mine1 = 42\ncheck_exercise('99-1', mine1)"), "⏳가 아닙니다"),
        (cell(5, "mine1 = 41\ncheck_exercise('99-1', mine1)"), "⏳가 아닙니다"),
    ],
)
def test_grading_bites(tmp_path, graders, edit, says):
    nb = exercise_notebook()
    edit(nb)
    problems = rules.graded(save(nb, tmp_path))
    assert len(problems) == 1 and says in problems[0], problems


def unfolded(nb):
    del nb.cells[6].metadata["jupyter"]


def only_two(nb):
    del nb.cells[9:11]


@pytest.mark.parametrize(
    "edit, says",
    [
        (cell(6, "mine2 = answer\ncheck_exercise('99-1', mine2)"), "이름 mine2"),
        (cell(6, "for mine3 in [1]: check_exercise('99-1', 42)"), "이름 mine3"),
        (cell(6, "def answer(): pass\ncheck_exercise('99-1', 42)"), "이름 answer"),
        (cell(6, "import torch as answer\ncheck_exercise('99-1', 42)"), "이름 answer"),
        (cell(6, "pass"), "하나씩"),
        (cell(8, "check_exercise('99-1', 42)"), "하나씩"),
        (cell(5, "check_exercise('98-1', ...)"), "맞지 않습니다"),
        (unfolded, "source_hidden"),
        (only_two, "3~5개"),
    ],
)
def test_exercise_structure_bites(tmp_path, edit, says):
    nb = good()
    edit(nb)
    problems = rules.exercise_structure(save(nb, tmp_path))
    assert [p for p in problems if says in p], problems


# ---------------------------------------------------------------------------- 명령


def test_find_notebook(tmp_path):
    for name in ("00_welcome", "08_gan", "08b_dcgan", "13_nice_realnvp"):
        save(good(), tmp_path, f"{name}.ipynb")
    for given, found in [
        ("13", "13_nice_realnvp"),
        ("13_nice_realnvp", "13_nice_realnvp"),
        ("13_nice_realnvp.ipynb", "13_nice_realnvp"),
        (str(tmp_path / "08_gan.ipynb"), "08_gan"),
        ("8", "08_gan"),
        ("08B", "08b_dcgan"),
        ("0", "00_welcome"),
    ]:
        assert cli.find_notebook(given, tmp_path).stem == found
    with pytest.raises(cli.CourseError, match="00_welcome, 08_gan, 08b_dcgan, 13_nice_realnvp"):
        cli.find_notebook("3", tmp_path)


def test_a_user_error_is_one_korean_line(tmp_path, capsys):
    broken = tmp_path / "99_broken.ipynb"
    broken.write_text("{", encoding="utf-8")
    bare = save(good(), tmp_path)
    for arguments in (["run", "no-such"], ["run", str(broken)], ["slides", str(bare)]):
        assert cli.main(arguments) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and re.search("[가-힣]", message)
    assert cli.main(["student", str(bare), "--out", str(tmp_path)]) == 2
    assert "덮어쓸 수 없습니다" in capsys.readouterr().err


CLAIMS = """
import os
seed = int(os.environ.get("COURSE_SEED", 0))
print(f"99.1  오차 ≈ {10.0 ** -(9 + seed):.0e} < 1e-08")
print("99.1  ✅ 성립합니다")
"""


def test_author_run_and_nbval(tmp_path, capfd):
    """author는 실행 흔적을 지우고 저장하며, 달라진 출력은 nbval이 잡습니다."""
    nb = new_notebook(
        cells=[
            new_markdown_cell("# 제목\n\n$x$"),
            code(CLAIMS),
            code("import sys, os\n(os.getcwd().split(os.sep)[-1], os.environ['PYTHONHASHSEED'])"),
            code("import ipywidgets\nipywidgets.IntSlider()"),
            code("raise RuntimeError", "nbval-skip"),
        ]
    )
    folder = tmp_path / "한글 폴더"
    folder.mkdir()
    path = save(nb, folder)
    assert cli.main(["author", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    done = rules.read(path)
    assert [c.execution_count for c in rules.code_cells(done)] == [1, 2, 3, None]
    assert done.cells[2].outputs[0].data["text/plain"] == "('한글 폴더', '0')"
    assert "widget" not in str(done.metadata) and "widget-view" not in text
    assert "execution" not in done.cells[1].metadata
    assert [c.id for c in done.cells] == [c.id for c in nb.cells]
    assert list(folder.iterdir()) == [path]
    done.cells[1].outputs[0].text = done.cells[1].outputs[0].text.replace("1e-09", "7e-11")
    done.cells[2].outputs[0].data["text/plain"] = "('다른 폴더', '0')"
    save(done, folder)
    capfd.readouterr()
    assert cli.nbval([path]) == 1
    # ≈ 뒤의 숫자가 다른 첫 셀은 통과하고, 글자가 다른 둘째 셀만 떨어집니다
    assert "1 failed, 2 passed, 1 skipped" in capfd.readouterr().out


def test_author_leaves_the_file_alone_when_a_cell_fails(tmp_path, capsys):
    path = save(new_notebook(cells=[code("1 / 0")]), tmp_path)
    before = path.read_bytes()
    assert cli.main(["author", str(path)]) == 2
    assert "1번째 셀" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_claims_table(tmp_path, capsys):
    path = save(new_notebook(cells=[code(CLAIMS)]), tmp_path)
    before = path.read_bytes()
    assert cli.main(["claims", str(path), "--seeds", "0", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["주장", "잰", "것", "시드", "0", "시드", "2"]
    assert rows[1][-2:] == ["1e-09", "1e-11"]
    assert rows[2] == ["99.1", "판정", "✅", "✅"]
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_claims_fail_where_one_seed_fails_or_one_is_missing(tmp_path, capsys):
    failing = CLAIMS.replace(
        'print("99.1  ✅', "assert seed != 1, '판정이 다릅니다'\nprint(\"99.1  ✅"
    )
    path = save(new_notebook(cells=[code(failing)]), tmp_path)
    assert cli.main(["claims", str(path), "--seeds", "0", "1"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"판정\s+✅\s+❌", printed) and "판정이 다릅니다" in printed
    course(tmp_path, new_notebook(cells=[code(CLAIMS)]), ENTRY, ENTRY | {"id": "99.2"})
    assert cli.main(["claims", str(path), "--seeds", "0"]) == 1
    assert re.search(r"99\.2\s+판정\s+❌", capsys.readouterr().out)


def test_student_copy(tmp_path):
    path = save(good(), tmp_path)
    assert cli.main(["student", str(path), "--out", str(tmp_path / "out")]) == 0
    copy_ = rules.read(tmp_path / "out" / path.name)
    assert not [c for c in copy_.cells if "solution" in rules.tags(c)]
    assert len(copy_.cells) == len(good().cells) - 3
    assert all(c.outputs == [] and c.execution_count is None for c in rules.code_cells(copy_))


def test_slides_need_marked_and_executed_cells(tmp_path, capsys):
    nb = good()
    with pytest.raises(ValueError, match="슬라이드로 표시된 셀이 없습니다"):
        offline_slides(nb, "99_sample", tmp_path)
    nb.cells[0].metadata["slideshow"] = {"slide_type": "slide"}
    nb.cells[2].metadata["tags"] = ["hide-input"]
    html = offline_slides(nb, "99_sample", tmp_path)
    assert "Reveal.initialize" in html and "solution1" not in html
    assert "mine1" in html and "안녕하세요" in html and ">print<" not in html
    nb.cells[2].metadata.pop("tags")
    nb.cells[3].execution_count = None
    assert cli.main(["slides", str(save(nb, tmp_path))]) == 2
    assert "실행하지 않은 셀" in capsys.readouterr().err


# ---------------------------------------------------------------------------- 브라우저


PREPARE = f"""
import base64, io
import ipywidgets as W
from PIL import Image

def frame(k):
    file = io.BytesIO()
    Image.new("RGB", (48, 48), (40 * k, 90, 160)).save(file, "png")
    return file.getvalue()

def widget(name, draw):
    slider = W.IntSlider(value=1, min=0, max=5, description=name)
    picture = W.Image(value=base64.b64decode("{FRAME}"), format="png", width=96)
    slider.observe(lambda change: draw(picture, change["new"]), "value")
    return W.VBox([slider, picture])

def good(picture, k):
    picture.value = frame(k)

def dead(picture, k):
    pass

def raising(picture, k):
    raise ValueError(k)

def last(picture, k):
    if k < 5:
        good(picture, k)
"""


def lab_notebook(*sources):
    return cli.strip(new_notebook(cells=[code(PREPARE), *map(code, sources)]))


@pytest.mark.browser
def test_the_lab_check_bites(browser, tmp_path):
    root = tmp_path / "강의"
    root.mkdir()
    widgets = [f"widget('{name}', {name})" for name in ("good", "dead", "raising", "last")]
    save(lab_notebook(*widgets), root, "widgets.ipynb")
    save(lab_notebook("1 / 0"), root, "error.ipynb")
    with chromium.jupyterlab(root, tmp_path / "settings") as address:
        problems, moved = chromium.check_in_lab(browser, address, "widgets.ipynb", limit=1500)
        assert moved == 4
        assert all("그림이 바뀌지 않습니다" in problem for problem in problems)
        names = [re.search("'(.*?)'", problem)[1] for problem in problems]
        assert names == ["dead"] * 3 + ["raising"] * 3 + ["last"]
        problems, _ = chromium.check_in_lab(browser, address, "error.ipynb")
        assert problems == ["ZeroDivisionError: division by zero"]


PLAYER = """
<div><img alt='그림' width=96 src='data:image/png;base64,{first}'>
<button>▶ 재생</button><input type=range min=0 max=4 value=0></div>
<script>{{ const [image, play, range] = document.currentScript.previousElementSibling.children;
const show = () => {{ {show} }};
range.oninput = show; play.onclick = () => {{ range.value = (+range.value + 1) % 5; show(); }};
}}</script>
"""
COLOURS = [base64.b64encode(png((50 * k, 90, 160))).decode() for k in range(5)]
SHOW = f"image.src = 'data:image/png;base64,' + {COLOURS}[range.value]"


@pytest.mark.browser
@pytest.mark.parametrize(
    "show, extra, says",
    [
        (SHOW, "", None),
        ("", "", "그림이 바뀌지 않습니다"),
        ("if (range.value < 4) " + SHOW, "", "4에서 그림이 바뀌지"),
        (SHOW, "<script>missing()</script>", "missing is not defined"),
        (SHOW, "<script src='https://example.org/x.js'></script>", "바깥 요청"),
        (SHOW, "<style>body { min-width: 3000px }</style>", "옆으로"),
        (SHOW, "<p>$\\nosuchmacro{}$ $\\frac{1}$</p>", "수식 오류"),
    ],
    ids=["good", "dead", "end", "script", "outside", "wide", "maths"],
)
def test_the_html_check_bites(browser, tmp_path, show, extra, says):
    html = PLAYER.format(first=COLOURS[0], show=show) + extra
    nb = good()
    nb.cells[3].outputs.append(new_output("display_data", {"text/html": html}))
    file = tmp_path / "sample.html"
    file.write_text(offline_html(nb, "sample", tmp_path), encoding="utf-8")
    problems, moved = chromium.check_html(browser, file, limit=1000)
    assert moved == 2
    if says is None:
        assert problems == []
    else:
        assert [p for p in problems if says in p], problems


SELECT = """
<div><img alt='그림' width=96 src='data:image/png;base64,{first}'>
<select><option value=1>가</option><option value=2>나</option></select>
<input type=range min=0 max=2 value=0></div>
<script>{{ const [image, select, range] = document.currentScript.previousElementSibling.children;
const show = () => image.src = 'data:image/png;base64,' + {colours}[{index}];
range.oninput = select.onchange = show; }}</script>
"""


@pytest.mark.browser
@pytest.mark.parametrize(
    "index, moves", [("select.value * range.value", True), ("range.value", False)]
)
def test_a_select_must_change_the_picture_at_some_slider_position(browser, tmp_path, index, moves):
    """이동량 0에서는 어느 것을 골라도 같은 그림일 수 있지만, 다른 자리에서도 같으면 거절합니다."""
    nb = good()
    html = SELECT.format(first=COLOURS[0], colours=COLOURS, index=index)
    nb.cells[3].outputs.append(new_output("display_data", {"text/html": html}))
    file = tmp_path / "sample.html"
    file.write_text(offline_html(nb, "sample", tmp_path), encoding="utf-8")
    problems, moved = chromium.check_html(browser, file, limit=1000)
    assert moved == 2
    assert (problems == []) if moves else all("SELECT" in p for p in problems) and problems


@pytest.mark.browser
def test_the_slides_check_bites(browser, tmp_path):
    file = tmp_path / "sample.slides.html"

    def check(show=SHOW, text="짧은 글", code=None):
        nb = good()
        nb.cells[3].source = code or nb.cells[3].source
        for k in range(len(nb.cells)):
            kind = "slide" if k in (0, 3, 11) else "skip"
            nb.cells[k].metadata["slideshow"] = {"slide_type": kind}
        html = PLAYER.format(first=COLOURS[0], show=show)
        nb.cells[3].outputs.append(new_output("display_data", {"text/html": html}))
        nb.cells[11].source = text
        file.write_text(offline_slides(nb, "sample", tmp_path), encoding="utf-8")
        return chromium.check_slides(browser, file, limit=1000)

    assert check() == ([], 1)
    assert check(code="x = 1  # " + "긴줄" * 90) == ([], 1)  # 글자를 줄이고, 그래도 넘치면 접습니다
    assert ["나누세요" in p for p in check(text="한 줄씩\n\n" * 90)[0]] == [True]
    assert "그림이 바뀌지 않습니다" in check(show="")[0][0]


def test_long_text_is_split_at_its_headings(tmp_path):
    """넘치는 글은 소제목에서 나뉘고, 제목만 남는 장은 생기지 않으며, 글은 하나도 빠지지 않습니다."""
    nb = good()
    text = (
        "## 1. 길다\n\n### 1.1 바로\n\n" + "가나다 " * 90 + "\n\n### 1.2 다음\n\n" + "라마바 " * 90
    )
    nb.cells[0].source = text + "\n\n### 1.3 끝\n\n짧다"
    nb.cells[0].metadata["slideshow"] = {"slide_type": "slide"}
    for cell in nb.cells[1:]:
        cell.metadata["slideshow"] = {"slide_type": "skip"}
    html = offline_slides(nb, "sample", tmp_path)
    slides = re.findall(r"<section[^>]*>\s*<(?!section)(.*?)</section>", html, re.S)
    heads = [re.findall(r"<h\d[^>]*>([^<]*)", slide) for slide in slides]
    assert [head for head in heads if head] == [["1. 길다", "1.1 바로"], ["1.2 다음", "1.3 끝"]]
    steps = [f"**({k})** " + "식과 글 " * 80 for k in range(1, 5)]
    nb.cells[0].source = "\n\n".join(["## 2. 유도", *steps])
    html = offline_slides(nb, "sample", tmp_path)
    slides = re.findall(r"<section[^>]*>\s*<(?!section)(.*?)</section>", html, re.S)
    seen = [re.findall(r"<strong>\((\d)\)", slide) for slide in slides]
    assert [found for found in seen if found] == [["1", "2"], ["3", "4"]]
    nb.cells[0].source = "## 1. 짧다\n\n글\n\n### 1.1 다음\n\n글"
    assert offline_slides(nb, "sample", tmp_path).count("<section") == 2


def test_static_pages_drop_frozen_progress_bars(tmp_path):
    """0 %에 멈춘 진행 막대는 빠지고, 막대가 아닌 글과 대체 텍스트는 남습니다."""
    nb = good()
    bar = {"text/plain": "학습:   0%|          | 0/300 [00:00<?, ?it/s]"}
    nb.cells[2].outputs = [new_output("display_data", bar), stdout("50%|는 글입니다\n")]
    html = offline_html(nb, "sample", tmp_path)
    assert "0/300" not in html and "50%|는 글입니다" in html
    assert 'alt="파란 네모"' in html
    assert nb.cells[2].outputs[0].data == bar
