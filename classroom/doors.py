"""Binder와 Colab에서 여는 문. 저장소의 주소는 pyproject.toml의 한 곳에서만 가져옵니다.

    [project.urls]
    Repository = "https://github.com/…/…"

주소를 적거나 고친 뒤 `python classroom/doors.py`를 실행하면 README.md의 링크와 00번 노트북의 Colab 셀이
그 주소로 바뀝니다. 주소가 없으면 링크는 나오지 않고, Colab 셀은 주소가 없다고 알려 줍니다. Colab과 Binder는
공개된 GitHub 저장소만 엽니다. 다른 노트북에도 같은 셀을 넣으려면 번호를 뒤에 적습니다.

Colab은 자기 torch와 IPython을 씁니다. 거기에 다른 판을 덮어 설치하면 실행 중인 커널이 깨지므로, 강의를 설치하지
않고 경로에만 더하며 Colab에 없는 패키지만 받습니다. Colab은 여기서 시험하지 못했습니다.
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from course_lib import cli  # noqa: E402

FIRST = ROOT / "notebooks" / "00_welcome.ipynb"
BLOCK = re.compile(r"(?<=<!-- doors -->\n).*?(?=<!-- /doors -->)", re.DOTALL)
CELL_ID = "colab-door"
CELL = """\
# Google Colab에서 열었을 때만 강의를 받아 옵니다. 다른 곳에서는 아무 일도 하지 않습니다
import sys

if "google.colab" in sys.modules:
    from google.colab import output

    address = "{address}"
    assert address, "저장소의 주소가 아직 없습니다. pyproject.toml의 Repository를 보세요."
    !git clone -q --depth 1 {{address}} course
    %pip install -q anywidget safetensors platformdirs
    sys.path.insert(0, "course")
    output.enable_custom_widget_manager()
"""


def address(root: Path = ROOT) -> str:
    """저장소의 주소. 아직 정하지 않았으면 빈 문자열입니다."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/").removesuffix(".git")


def links(where: str, branch: str = "main") -> str:
    """README에 넣을 Binder와 Colab의 링크. GitHub의 주소가 아니면 비어 있습니다."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", where)
    if not found:
        return ""
    notebook = FIRST.relative_to(ROOT).as_posix()
    binder = f"https://mybinder.org/v2/gh/{found[1]}/{branch}?urlpath=lab/tree/{notebook}"
    colab = f"https://colab.research.google.com/github/{found[1]}/blob/{branch}/{notebook}"
    return f"설치하지 않고 둘러보기: [Binder에서 열기]({binder}) · [Colab에서 00번 열기]({colab})\n"


def with_door(nb, where: str):
    """첫 셀(제목) 다음에 Colab 셀을 넣은 사본. 이미 있으면 새것으로 바꿉니다."""
    nb = nbformat.from_dict(nb)
    cell = nbformat.v4.new_code_cell(CELL.format(address=where).strip())
    cell["id"] = CELL_ID
    cell.metadata = nbformat.from_dict(
        {"tags": ["hide-input"], "slideshow": {"slide_type": "skip"}}
    )
    for old in nb.cells:
        if old.get("id") == CELL_ID and old.source == cell.source:
            cell.execution_count = old.execution_count  # 실행한 것은 그대로 둡니다
    nb.cells = [each for each in nb.cells if each.get("id") != CELL_ID]
    nb.cells.insert(1, cell)
    return nb


def main(names: list[str]) -> int:
    where = address()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    cli.write(readme, BLOCK.sub(links(where), text))
    for path in [FIRST, *map(cli.find_notebook, names)]:
        cli.write(path, cli._dumps(with_door(cli.read(path), where)))
    print(f"저장소의 주소: {where or '아직 없음(pyproject.toml의 [project.urls] Repository)'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
