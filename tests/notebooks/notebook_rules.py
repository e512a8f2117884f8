"""노트북이 지켜야 할 규칙. 함수마다 어긴 것을 문장의 목록으로 돌려주고, 빈 목록이면 합격입니다.

다른 테스트 파일이 저장소의 노트북에 쓰고, `test_the_tools_bite.py`가 망가뜨린 노트북으로
정말 거절하는지 확인합니다.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import os
import re
import statistics
import symtable
import tokenize
import warnings
from pathlib import Path

import matplotlib
import nbformat
import torch
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbconvert.filters import markdown2html

from course_lib import exercises

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
MAX_BYTES = 1_500_000
KNOWN_TAGS = {
    "setup",  # 준비 셀. 연습문제는 이 셀과 import만으로 풀 수 있어야 합니다
    "exercise",
    "solution",
    "hide-input",  # 슬라이드에서 코드를 뺍니다
    "nbval-skip",  # 실행하지 않는 셀(Colab 설치, 직접 학습하기)
    "nbval-ignore-output",
    "raises-exception",
}
KERNELSPEC = {"name", "display_name", "language"}


def all_notebooks() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def read(path: Path):
    # 검사 없이 읽습니다. nbformat.reads는 잘못된 셀 id를 조용히 고쳐 버립니다
    return nbformat.v4.reads(Path(path).read_text(encoding="utf-8"))


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(nb) -> list:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def parse(cell) -> ast.Module:
    return ast.parse(TransformerManager().transform_cell(cell.source))


def is_chapter(path: Path) -> bool:
    return not path.stem.startswith("00")


# ---------------------------------------------------------------------------- 위생


def hygiene(path: Path) -> list[str]:
    """형식, 실행 순서, 출력, 길이, 금지된 것."""
    nb = read(path)
    problems = []
    try:
        with warnings.catch_warnings(action="ignore"):
            nbformat.validate(copy.deepcopy(nb))
    except nbformat.ValidationError as error:
        problems.append(f"nbformat 형식이 아닙니다: {error.message}")
    return [
        *problems,
        *_metadata(nb),
        *_execution(nb),
        *_outputs(nb),
        *_forbidden(nb),
        *_shape(nb, is_chapter(path)),
        *([f"파일이 {MAX_BYTES} 바이트를 넘습니다."] if path.stat().st_size > MAX_BYTES else []),
    ]


def _metadata(nb) -> list[str]:
    problems = []
    if "widgets" in nb.metadata:
        problems.append("metadata.widgets가 남아 있습니다.")
    kernel = nb.metadata.get("kernelspec", {})
    if kernel.get("name") != "python3" or set(kernel) != KERNELSPEC:
        problems.append("kernelspec이 python3가 아닙니다.")
    ids = [cell.get("id") for cell in nb.cells]
    if (nb.nbformat, nb.nbformat_minor) < (4, 5) or None in ids or len(set(ids)) < len(ids):
        problems.append("셀 id가 없거나 겹칩니다.")
    for number, cell in enumerate(nb.cells, 1):
        if {"execution", "ExecuteTime", "collapsed", "scrolled"} & set(cell.metadata):
            problems.append(f"셀 {number}: 실행 시각 같은 metadata가 남아 있습니다.")
        if unknown := set(tags(cell)) - KNOWN_TAGS:
            problems.append(f"셀 {number}: 모르는 태그 {sorted(unknown)}")
    return problems


def _execution(nb) -> list[str]:
    ran = [cell for cell in code_cells(nb) if "nbval-skip" not in tags(cell)]
    if not ran:
        return ["코드 셀이 없습니다."]
    counts = [cell.execution_count for cell in ran]
    if counts != list(range(1, len(ran) + 1)):
        return [f"새 커널에서 위에서 아래로 실행한 결과가 아닙니다: {counts}"]
    return []


def _outputs(nb) -> list[str]:
    problems = []
    for number, cell in enumerate(nb.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                problems.append(f"셀 {number}: 오류 출력 {output.ename}")
            if output.output_type == "stream" and output.name == "stderr":
                problems.append(f"셀 {number}: stderr 출력(경고) {output.text[:80]!r}")
            data = output.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in data:
                problems.append(f"셀 {number}: 죽은 widget-view가 저장되어 있습니다.")
            if "image/svg+xml" in data:
                problems.append(f"셀 {number}: 그림은 PNG로만 남깁니다(svg가 있습니다).")
            given = output.get("metadata", {}).get("image/png", {}).get("alt")
            if "image/png" in data and "text/html" not in data and not given:
                problems.append(f"셀 {number}: 그림에 대체 텍스트가 없습니다. plots.show를 쓰세요.")
            if _images_without_alt(data.get("text/html", "")):
                problems.append(f"셀 {number}: 출력의 <img>에 대체 텍스트(alt)가 없습니다.")
    if not any("image/png" in out.get("data", {}) for c in nb.cells[:8] for out in _of(c)):
        problems.append("첫 그림이 여덟째 셀 안에 없습니다.")
    return problems


def _of(cell) -> list:
    return cell.get("outputs", [])


def _images_without_alt(text: str) -> list[str]:
    tags_ = re.findall(r"<img\b[^>]*>", text)
    return [tag for tag in tags_ if not re.search(r"""\balt\s*=\s*["'][^"']""", tag)]


MACHINE_PATH = re.compile(
    r"(?<![\w/.])/(?:home|root|Users|tmp|work|opt|mnt|content|usr)/[\w.-]"
    r"|[A-Za-z]:\\\\?Users|site-packages|ipykernel_\d+"
)
BLOB = re.compile(r"[A-Za-z0-9+/=]{60,}")
INTERACT = {"interact", "interactive", "interactive_output", "interact_manual"}


def _forbidden(nb) -> list[str]:
    problems = []
    for number, cell in enumerate(nb.cells, 1):
        shown = [cell.source]
        for output in _of(cell):
            shown += [output.get("text", ""), output.get("evalue", "")]
            shown += [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
        if found := MACHINE_PATH.search(BLOB.sub(" ", "\n".join(shown))):
            problems.append(f"셀 {number}: 컴퓨터의 경로 {found[0]!r}")
        if cell.cell_type == "markdown":
            if stars := _unrendered(cell.source):
                problems.append(f"셀 {number}: 강조가 되지 않는 *가 있습니다: {stars!r}")
            if r"\$" in cell.source:
                problems.append(f"셀 {number}: \\$는 HTML에서 수식이 됩니다. 다르게 써 주세요.")
            if re.search(r"!\[\s*\]\(", cell.source) or _images_without_alt(cell.source):
                problems.append(f"셀 {number}: 그림에 대체 텍스트가 없습니다.")
        elif cell.cell_type == "code":
            problems += [f"셀 {number}: {problem}" for problem in _code(cell)]
    return problems


def _unrendered(markdown: str) -> str | None:
    """강조가 되지 못하고 글자 그대로 남은 `*`. `…)**입니다`처럼 문장 부호 뒤에 글자가 붙을 때 생깁니다."""
    # JupyterLab은 수식을 이런 표시로 바꾼 뒤에 Markdown을 읽습니다
    plain = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "@@0@@", markdown, flags=re.DOTALL)
    plain = re.sub(r"!\[[^\]]*\]\([^)]*\)", "그림", plain)
    html = re.sub(r"<(pre|code)\b.*?</\1>", "", markdown2html(plain), flags=re.DOTALL)
    found = re.search(r".{0,30}\*.{0,10}", html)
    return found and found[0]


def _code(cell) -> list[str]:
    problems = []
    try:
        tree = parse(cell)
    except SyntaxError as error:
        return [f"문법 오류 {error.msg}"]
    names = {getattr(n, "id", getattr(n, "attr", getattr(n, "name", None))) for n in ast.walk(tree)}
    if INTERACT & names:
        problems.append("interact는 쓰지 않습니다.")
    transformed = TransformerManager().transform_cell(cell.source)
    tokens = list(tokenize.generate_tokens(io.StringIO(transformed).readline))
    after = {tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER}
    for token, following in zip(tokens, tokens[1:], strict=False):
        if token.type == tokenize.OP and token.string == ";" and following.type in after:
            problems.append("줄 끝의 ;은 nbval에서 출력을 감추지 못합니다.")
    return problems


def _lines(cell) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def _shape(nb, chapter: bool) -> list[str]:
    problems = []
    lengths = sorted(_lines(cell) for cell in code_cells(nb))
    if lengths and lengths[-1] > 30:
        problems.append(f"코드 셀이 {lengths[-1]}줄입니다(30줄까지).")
    if lengths and statistics.median(lengths) > 6:
        problems.append(f"코드 셀 길이의 중앙값이 {statistics.median(lengths)}줄입니다(6줄까지).")
    if lengths and sum(n <= 15 for n in lengths) < 0.9 * len(lengths):
        problems.append("코드 셀의 90 %는 15줄을 넘지 않아야 합니다.")
    if chapter and not 35 <= len(nb.cells) <= 60:
        problems.append(f"셀이 {len(nb.cells)}개입니다(35~60개).")
    size = {"markdown": 0, "code": 0, "raw": 0}
    for cell in nb.cells:
        text = re.sub(r"data:[^)\"']+", "", cell.source)
        size[cell.cell_type] += sum(2 if "가" <= letter <= "힣" else 1 for letter in text)
    if size["markdown"] <= size["code"]:
        problems.append(f"글({size['markdown']}칸)이 코드({size['code']}칸)보다 많아야 합니다.")
    return problems


# ---------------------------------------------------------------------------- 주장


def _calls(nb, function: str) -> list[tuple[object, ast.Call]]:
    """(셀, 호출) 목록. `claim(...)`과 `checks.claim(...)`을 모두 찾습니다."""
    found = []
    for cell in code_cells(nb):
        for node in ast.walk(parse(cell)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", None))
                if name == function:
                    found.append((cell, node))
    return found


def claims(folder: Path) -> list[str]:
    """`claims.yml`과 노트북의 `claim(...)` 호출이 하나씩 짝이 맞는가."""
    manifest = folder / "claims.yml"
    text = manifest.read_text(encoding="utf-8") if manifest.is_file() else ""
    entries = yaml.safe_load(text) or []
    problems, declared = [], {}
    for entry in entries:
        if set(entry) != {"id", "sentence", "document", "notebook", "expected"}:
            problems.append(f"claims.yml의 항목이 완전하지 않습니다: {entry}")
            continue
        if not isinstance(entry["id"], str) or type(entry["expected"]) is not bool:
            problems.append(f"{entry['id']}: id는 따옴표 친 글자, expected는 true나 false입니다.")
        if not re.search("[가-힣]", str(entry["sentence"])):
            problems.append(f"{entry['id']}: 문장이 한국어가 아닙니다.")
        if entry["id"] in declared:
            problems.append(f"{entry['id']}: claims.yml에 두 번 나옵니다.")
        declared[entry["id"]] = entry
    made: dict[str, list[tuple[str, bool]]] = {}
    for path in sorted(folder.glob("*.ipynb")):
        for cell, call in _calls(read(path), "claim"):
            first = call.args[0] if call.args else None
            expected = {k.arg: k.value for k in call.keywords}.get("expected", ast.Constant(True))
            if not (isinstance(first, ast.Constant) and isinstance(expected, ast.Constant)):
                problems.append(f"{path.name}: claim의 id와 expected는 글자 그대로 적습니다.")
                continue
            made.setdefault(first.value, []).append((path.stem, expected.value))
            printed = "".join(out.get("text", "") for out in _of(cell))
            if not re.search(rf"^{re.escape(str(first.value))}  ✅", printed, re.MULTILINE):
                problems.append(f"{first.value}: 저장된 출력에 ✅ 판정이 없습니다.")
    for id, entry in declared.items():
        places = made.get(id, [])
        if len(places) != 1:
            problems.append(f"{id}: claim 호출이 {len(places)}번 있습니다(꼭 한 번이어야 합니다).")
        for stem, expected in places:
            if stem != entry["notebook"]:
                problems.append(f"{id}: {entry['notebook']}이 아니라 {stem}에 있습니다.")
            if expected is not entry["expected"]:
                problems.append(f"{id}: expected가 claims.yml과 다릅니다.")
        if not str(entry["notebook"]).startswith(str(id).split(".")[0] + "_"):
            problems.append(f"{id}: 번호가 노트북 {entry['notebook']}과 맞지 않습니다.")
    problems += [f"{id}: claims.yml에 없습니다." for id in made if id not in declared]
    return problems


# ---------------------------------------------------------------------------- 용어


def glossary(path: Path) -> list[tuple[str, list[str], bool, list[str]]]:
    """용어집의 (한국어, 영어들, 첫 사용에 영어를 적는가, 쓰지 않는 말들) 목록."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        columns = [column.strip() for column in line.strip().strip("|").split("|")]
        if not line.startswith("|") or set(line) <= set("|-: ") or columns[0] == "한국어":
            continue
        korean, english, forbidden, _ = columns
        optional = english.startswith("(")
        words = [word.strip() for word in english.strip("()").split(",")]
        avoid = [word.strip() for word in forbidden.split(",") if word.strip()]
        rows.append((korean, words, not optional, avoid))
    return rows


def prose(markdown: str) -> str:
    """코드, 수식, 링크 주소, HTML 태그를 뺀 글."""
    for pattern in (
        r"```.*?```",
        r"`[^`\n]*`",
        r"\$\$.*?\$\$",
        r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}",
        r"\$[^$\n]+\$",
        r"<[^>]+>",
        r"(?<=\])\([^)]*\)",
    ):
        markdown = re.sub(pattern, " ", markdown, flags=re.DOTALL)
    return markdown


def forbidden_words(text: str, rows) -> list[str]:
    """쓰지 않기로 한 말. 한글 글자 바로 뒤에 이어지면 다른 낱말로 봅니다."""
    return [
        f"'{word}' 대신 '{korean}'"
        for korean, _, _, avoid in rows
        for word in avoid
        if re.search(rf"(?<![가-힣A-Za-z]){re.escape(word)}(?![A-Za-z])", text)
    ]


def first_uses(text: str, rows) -> list[str]:
    """용어가 처음 나올 때 `한글(영어)` 꼴인가. 겹치는 용어는 긴 쪽을 먼저 봅니다.

    제목과 표에는 영어를 적어도 되고(그러면 적은 것으로 칩니다) 적지 않아도 됩니다.
    """
    english = {korean: words for korean, words, _, _ in rows}
    required = {korean for korean, _, needed, _ in rows if needed}
    longest = sorted(english, key=len, reverse=True)
    pattern = re.compile("(?<![가-힣])(" + "|".join(map(re.escape, longest)) + ")")
    problems, seen = [], set()
    for match in pattern.finditer(text) if longest else ():
        term = match[1]
        if term in seen:
            continue
        gloss = re.match(r"\*{0,2}\(([^)]*)\)", text[match.end() :])
        given = gloss[1].casefold() if gloss else ""
        glossed = any(word.casefold() in given for word in english[term])
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].lstrip(" >-")
        if not glossed and line.startswith(("#", "|")):
            continue
        seen.add(term)
        if term in required and not glossed:
            context = text[max(0, match.start() - 15) : match.end() + 15].replace("\n", " ")
            problems.append(f"'{term}'의 첫 사용에 ({english[term][0]})이 없습니다: …{context}…")
    return problems


def terms(path: Path, rows) -> list[str]:
    nb = read(path)
    text = "\n\n".join(prose(cell.source) for cell in nb.cells if cell.cell_type == "markdown")
    comments = "\n".join(c for cell in code_cells(nb) for c in _comments(cell.source))
    problems = forbidden_words(text + "\n" + comments, rows)
    if is_chapter(path):  # 00은 모든 장의 이름을 늘어놓는 지도입니다
        problems += first_uses(text, rows)
    return problems


def _comments(source: str) -> list[str]:
    return re.findall(r"#\s*(.+)", source)


def docstrings(path: Path) -> str:
    """파이썬 파일의 모든 docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return "\n".join(ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, kinds))


# ---------------------------------------------------------------------------- 연습문제


def _ids(nb, tag: str) -> dict[str, list]:
    found: dict[str, list] = {}
    for cell, call in _calls(nb, "check_exercise"):
        if tag in tags(cell) and call.args and isinstance(call.args[0], ast.Constant):
            found.setdefault(call.args[0].value, []).append(cell)
    return found


def exercise_structure(path: Path) -> list[str]:
    """문제 3~5개, 문제마다 빈칸 셀과 풀이 셀이 하나씩, 풀이는 접혀 있고 뒤 셀에 영향이 없는가."""
    nb = read(path)
    problems = []
    for number, cell in enumerate(nb.cells, 1):
        folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
        if folded != ("solution" in tags(cell)):
            problems.append(f"셀 {number}: solution 태그와 source_hidden은 함께 붙습니다.")
    stubs, solutions = _ids(nb, "exercise"), _ids(nb, "solution")
    if is_chapter(path) and not 3 <= len(stubs) <= 5:
        problems.append(f"연습문제가 {len(stubs)}개입니다(3~5개).")
    for id in stubs.keys() | solutions.keys():
        if len(stubs.get(id, [])) != 1 or len(solutions.get(id, [])) != 1:
            problems.append(f"{id}: 빈칸 셀(exercise)과 풀이 셀(solution)이 하나씩 있어야 합니다.")
        if id.rpartition("-")[0] != path.stem.split("_")[0]:
            problems.append(f"{id}: 번호가 노트북 {path.stem}과 맞지 않습니다.")
    return problems + _leaks(nb)


def _module_names(cell) -> tuple[set[str], set[str]]:
    """셀이 노트북 전체에 (새로 정하는 이름, 가져다 쓰는 이름). 함수 안의 지역 이름은 빼고 봅니다."""
    source = TransformerManager().transform_cell(cell.source)
    tables = [symtable.symtable(source, "cell", "exec")]
    top = tables[0].get_symbols()
    bound = {s.get_name() for s in top if s.is_assigned() or s.is_imported() or s.is_namespace()}
    used = {s.get_name() for s in top}
    while tables:
        table = tables.pop()
        tables += table.get_children()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global()}
    return bound, used


def _leaks(nb) -> list[str]:
    bound, used = set(), set()
    for cell in code_cells(nb):
        new, needed = _module_names(cell)
        if "solution" in tags(cell):
            bound |= new
        else:
            used |= needed
    return [f"풀이 셀이 정한 이름 {n}을 다른 셀이 씁니다." for n in sorted(bound & used)]


@contextlib.contextmanager
def _sandbox(folder: Path):
    """풀이를 실행해도 테스트 과정의 난수, 그림 설정, 현재 폴더가 바뀌지 않게 합니다."""
    before, threads = Path.cwd(), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), matplotlib.rc_context():
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
            torch.set_num_threads(threads)


def _imports(nb) -> str:
    kept = [
        node
        for cell in code_cells(nb)
        if not {"solution", "nbval-skip"} & set(tags(cell))
        for node in parse(cell).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    return ast.unparse(ast.Module(kept, []))


def _run(imports: str, cells) -> str:
    space, out = {"__name__": "__main__"}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(imports, space)
        for cell in cells:
            source = TransformerManager().transform_cell(cell.source)
            exec(compile(source, "<셀>", "exec"), space)
    return out.getvalue()


def graded(path: Path) -> list[str]:
    """import와 준비 셀만 있으면 풀이 셀은 ✅, 빈칸 셀은 ⏳인가."""
    nb = read(path)
    setups = [cell for cell in code_cells(nb) if "setup" in tags(cell)]
    problems = []
    for tag, mark in (("exercise", exercises.UNSOLVED), ("solution", exercises.RIGHT)):
        for id, cells in _ids(nb, tag).items():
            try:
                with _sandbox(path.parent):
                    printed = _run(_imports(nb), setups + cells)
            except Exception as error:
                problems.append(f"{id}: {tag} 셀이 혼자 실행되지 않습니다: {error!r}")
                continue
            if f"{mark} {id}:" not in printed:
                problems.append(f"{id}: {tag} 셀이 {mark}가 아닙니다: {printed.strip()[-200:]}")
    return problems
