"""강의 전체를 정적 사이트로 만듭니다: `python3 course.py site` → `build/site/index.html`.

노트북을 실행하지 않고 저장된 출력을 그대로 씁니다. 여기에서는 Sphinx가 읽을 원고를 `stage()`가
만들고(노트북, 용어집, 논문 색인, 주장 목록, 연습문제 목록), `build()`가 Sphinx를 부릅니다. Sphinx의
설정과 겉모습은 저장소의 `site/` 폴더에 있습니다.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import yaml
from PIL import Image

from course_lib.cli import BUILD, NOTEBOOKS, ROOT, CourseError, read
from course_lib.export import FONTS, mathjax_source, presentable

__all__ = ["build", "page", "stage"]

SOLUTION = {"code_prompt_show": "풀이 보기", "code_prompt_hide": "풀이 접기"}
CODE = {"code_prompt_show": "코드 보기", "code_prompt_hide": "코드 접기"}


def title(nb) -> str:
    """노트북의 첫 제목. 강조와 수식 기호는 그대로 둡니다."""
    for cell in nb.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# (.+)$", cell.source, re.M)):
            return found[1].strip()
    raise CourseError("노트북에 제목(#)이 없습니다.")


def figure(png: str, metadata: dict, folder: Path) -> str:
    """PNG 출력 하나를 파일로 적고, 대체 텍스트가 달린 `<img>`를 돌려줍니다.

    화면에 들어올 때 읽도록 하고 크기를 미리 적어, 휴대전화에서도 글이 밀리지 않습니다.
    """
    data = base64.b64decode(png)
    name = hashlib.sha256(data).hexdigest()[:16] + ".png"
    (folder / name).write_bytes(data)
    width, height = Image.open(io.BytesIO(data)).size
    shown = int(metadata.get("width", width))
    return (
        f'<img src="{folder.name}/{name}" alt="{html.escape(metadata.get("alt") or "그림")}" '
        f'width="{shown}" height="{round(height * shown / width)}" loading="lazy">'
    )


def page(nb, folder: Path):
    """사이트에 실을 사본: 그림은 `folder`의 파일로, 풀이는 접고, 살아 있는 위젯의 번호는 뺍니다."""
    nb = presentable(nb)
    # %와 !로 시작하는 줄도 색칠할 수 있는 것
    nb.metadata.setdefault("language_info", {})["pygments_lexer"] = "ipython3"
    for cell in nb.cells:
        tags = set(cell.metadata.pop("tags", []))
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type != "code":
            continue
        if "solution" in tags:
            cell.metadata.update(tags=["hide-cell"], mystnb=dict(SOLUTION))
        elif "hide-input" in tags:
            cell.metadata.update(tags=["hide-input"], mystnb=dict(CODE))
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data and "text/html" not in data:
                metadata = output.get("metadata", {}).get("image/png", {})
                data["text/html"] = figure(data["image/png"], metadata, folder)
            if "text/html" in data:
                output.data = nbformat.from_dict({"text/html": data["text/html"]})
                output.metadata = nbformat.from_dict({})
    return nb


ASKED = re.compile(
    r"^\*\*((?:\d\w+|A\d)-\d+)\.(.*?)\*\*(.*?)(?=^\*\*(?:\d\w+|A\d)-\d|^#|\Z)", re.M | re.S
)


def exercises(nb) -> list[tuple[str, str]]:
    """(번호, 문제의 글) 목록. 문제는 `**13-1.** …`이나 `**13-1. 제목.** …`으로 시작합니다."""
    text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    return [
        (number, f"{f'**{head.strip()}**' if head else ''} {body.strip()}".strip())
        for number, head, body in ASKED.findall(text)
    ]


def exercise_list(books: dict[str, nbformat.NotebookNode]) -> str:
    lines = [
        "# 연습문제 모음",
        "",
        "풀이와 채점은 각 장의 끝에 있습니다. JupyterLab에서 빈칸을 채우고 실행하면 바로 채점합니다.",
    ]
    for stem, nb in books.items():
        if asked := exercises(nb):
            lines += ["", f"## [{title(nb)}]({stem}.ipynb)"]
            lines += [f"\n**{number}.** {text}" for number, text in asked]
    return "\n".join(lines) + "\n"


def claim_list(entries: list[dict], books: dict[str, nbformat.NotebookNode]) -> str:
    """`claims.yml`을 장마다의 표로."""
    lines = [
        "# 확인한 주장",
        "",
        "이 강의가 컴퓨터로 확인하는 문장입니다. 저마다 노트북의 한 실험과 이어져 있고, 검사할 때마다 "
        "다시 잽니다.",
    ]
    for stem, nb in books.items():
        here = [entry for entry in entries if entry["notebook"] == stem]
        if here:
            lines += ["", f"## [{title(nb)}]({stem}.ipynb)", "", "| 번호 | 문장 |", "|---|---|"]
            for entry in here:
                verdict = "" if entry["expected"] else " **(거짓임을 확인합니다)**"
                sentence = str(entry["sentence"]).strip().replace("|", r"\|")
                lines.append(f"| {entry['id']} | {sentence}{verdict} |")
    return "\n".join(lines) + "\n"


def paper_list(index: str) -> str:
    """색인(course_lib/README.md)에서 노트북 이름을 그 쪽의 링크로 바꿉니다."""
    return re.sub(r"`notebooks/(\w+)\.ipynb`", r"[\1](\1.ipynb)", index)


PICTURE = re.compile(
    r"^\| !\[(?P<alt>[^\]]*)\]\(notebooks/pictures/(?P<file>[^)]+)\) "
    r"\| \*\*(?P<number>\w+)\*\* (?P<text>.*?) \|$",
    re.M,
)


def front_page(readme: str, books: dict[str, nbformat.NotebookNode]) -> str:
    """첫 쪽: 강의 소개, 장마다 그림 한 장, 숨은 차례."""
    pictures = {found["number"]: found for found in PICTURE.finditer(readme)}
    lines = [
        "# 딥 생성 모델 강의",
        "",
        "그림과 소리를 만드는 모델을 수식부터 코드까지 따라가며 배우는 한국어 강의입니다. "
        "여기 있는 슬라이더와 재생 단추는 설치 없이 그대로 움직입니다. 코드를 고쳐 실행하려면 강의 폴더에서 "
        "`python3 course.py lab`으로 노트북을 여십시오.",
        "",
        '<div class="chapters">',
    ]
    for stem, nb in books.items():
        name = html.escape(title(nb))
        text = f"<strong>{name}</strong>"
        if picture := pictures.get(stem.split("_")[0]):
            alt = html.escape(picture["alt"])
            image = f'<img src="pictures/{picture["file"]}" alt="{alt}" loading="lazy">'
            text = f"{image}{text}<span>{html.escape(picture['text'])}</span>"
        lines.append(f'<a href="{stem}.html">{text}</a>')
    lines.append("</div>")
    groups = {
        "강의": list(books),
        "찾아보기": ["glossary", "papers", "claims", "exercises"],
    }
    for caption, names in groups.items():
        lines += ["", "```{toctree}", ":hidden:", ":titlesonly:", f":caption: {caption}", "", *names, "```"]  # fmt: skip
    return "\n".join(lines) + "\n"


def stage(target: Path, notebooks: Path = NOTEBOOKS) -> int:
    """Sphinx가 읽을 원고를 `target`에 만들고 노트북의 수를 돌려줍니다."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "site", target, ignore=shutil.ignore_patterns("__pycache__"))
    static, figures = target / "static", target / "extra" / "figures"
    figures.mkdir(parents=True)
    books = {path.stem: read(path) for path in sorted(notebooks.glob("*.ipynb"))}
    if not books:
        raise CourseError("notebooks 폴더에 노트북이 없어 사이트를 만들 수 없습니다.")
    for stem, nb in books.items():
        (target / f"{stem}.ipynb").write_text(nbformat.writes(page(nb, figures)), encoding="utf-8")
    (static / "mathjax.js").write_text(mathjax_source(), encoding="utf-8")
    for name in ("CourseSansKR-Regular.ttf", "CourseSansKR-Bold.ttf", "OFL.txt"):
        shutil.copy(ROOT / "course_lib" / "fonts" / name, static)
    style = static / "course.css"
    style.write_text(
        style.read_text(encoding="utf-8").replace("SYSTEM_FONTS", FONTS), encoding="utf-8"
    )
    shutil.copytree(notebooks / "pictures", target / "extra" / "pictures")
    claims = yaml.safe_load((notebooks / "claims.yml").read_text(encoding="utf-8"))
    documents = {
        "index": front_page((ROOT / "README.md").read_text(encoding="utf-8"), books),
        "glossary": (notebooks / "glossary.md").read_text(encoding="utf-8"),
        "papers": paper_list((ROOT / "course_lib" / "README.md").read_text(encoding="utf-8")),
        "claims": claim_list(claims, books),
        "exercises": exercise_list(books),
    }
    for name, text in documents.items():
        (target / f"{name}.md").write_text(text, encoding="utf-8")
    return len(books)


def build(out: Path = BUILD / "site", notebooks: Path = NOTEBOOKS) -> int:
    """`out`을 비우고 사이트를 새로 만듭니다. Sphinx의 경고는 모두 오류로 봅니다."""
    start = time.perf_counter()
    source = out.parent / f"{out.name}-source"
    pages = stage(source, notebooks)
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
    command += ["-d", str(source / ".doctrees"), str(source), str(out)]
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=ROOT
    )
    if "No module named sphinx" in done.stderr:
        raise CourseError(
            "Sphinx가 없어 사이트를 만들 수 없습니다. 인터넷이 되는 곳에서 `python3 course.py site`를 "
            "한 번 실행해 패키지를 받으십시오."
        )
    if done.returncode:
        raise CourseError(f"사이트를 만들지 못했습니다.\n{done.stderr.strip()[-3000:]}")
    shutil.rmtree(source)
    for name in ("_sources", ".buildinfo", "objects.inv"):  # 읽는 이에게 쓸모없는 것
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(
        f"{out / 'index.html'}: 노트북 {pages}개, {size / 1e6:.0f} MB, "
        f"{time.perf_counter() - start:.0f}초. 인터넷 없이 파일로 열어도 되고, 폴더째 올려도 됩니다."
    )
    return 0
