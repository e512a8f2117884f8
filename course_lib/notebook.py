"""노트북의 첫 셀과 '구현 읽기' 셀이 쓰는 두 함수.

`setup()`은 시드(seed), 스레드 수, 글꼴, 그림 형식을 정하고, `show_source()`는 강의가 실제로 쓰는
코드를 노트북 안에 그대로 보여 줍니다.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
from pathlib import Path

import matplotlib
import torch
from IPython import get_ipython
from IPython.display import display

from course_lib.fonts import use_course_font

__all__ = ["check_environment", "setup", "show_source"]


def _from_environment(name: str, default: int, least: int) -> int:
    text = os.environ.get(name, str(default)).strip()
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"환경 변수 {name}에는 {least} 이상의 정수를 적어 주세요: {text!r}")
    return int(text)


def setup() -> int:
    """노트북을 준비하고 이 노트북의 시드를 돌려줍니다.

    - 시드: 환경 변수 `COURSE_SEED`(기본값 0). `torch.manual_seed`에 넣습니다.
    - 스레드: `COURSE_THREADS`(기본값 1). 스레드 수가 같아야 같은 컴퓨터에서 같은 숫자가 나옵니다.
    - 그림: 강의 글꼴을 쓰고, 노트북 안의 그림은 PNG로만 남깁니다.

    Raises:
        ValueError: 환경 변수가 정수가 아니거나 너무 작을 때.
    """
    seed = _from_environment("COURSE_SEED", 0, least=0)
    torch.set_num_threads(_from_environment("COURSE_THREADS", 1, least=1))
    torch.manual_seed(seed)
    shell = get_ipython()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        # 글꼴보다 먼저 해야 합니다. inline은 켜질 때 matplotlib의 설정을 되돌립니다
        shell.run_line_magic("matplotlib", "inline")
        shell.run_line_magic("config", "InlineBackend.figure_formats = ['png']")
    use_course_font()
    return seed


def check_environment() -> None:
    """버전, 글꼴, 위젯, 데이터 폴더를 살펴 한 줄씩 알려 줍니다. 고칠 것이 있으면 할 일을 적습니다.

    컴퓨터마다 다른 값은 `≈` 뒤에 띄어쓰기 없이 적습니다(nbval이 그 자리를 가립니다).
    """
    import anywidget
    import ipywidgets
    from matplotlib import font_manager

    def line(name: str, value: str, ok: bool, fix: str) -> None:
        print(f"{'✅' if ok else '❌'} {name} ≈ {value}" + ("" if ok else f" → {fix}"))

    again = "터미널에서 `python3 course.py lab`으로 다시 열어 주세요."
    python = sys.version_info[:2]
    line("Python", "%d.%d" % python, (3, 11) <= python <= (3, 13), "3.11–3.13이 필요합니다.")
    line("PyTorch", torch.__version__, torch.__version__ >= "2.6", again)
    line("matplotlib", matplotlib.__version__, True, again)
    line("ipywidgets", ipywidgets.__version__, ipywidgets.__version__ >= "8", again)
    line("anywidget", anywidget.__version__, True, again)
    family = matplotlib.rcParams["font.family"][0]
    known = family in font_manager.get_font_names()
    line("강의 글꼴", family.replace(" ", "-"), known, "첫 셀의 notebook.setup()을 실행하세요.")
    line("계산 스레드", str(torch.get_num_threads()), True, "")
    folder = os.environ.get("COURSE_DATA")
    found = folder is None or (Path(folder) / "mnist").is_dir()
    value = "지정하지-않음" if folder is None else "읽을-수-있음" if found else "mnist가-없음"
    line("COURSE_DATA", value, found, "경로를 고치거나 변수를 지우세요.")


def _without_docstrings(source: str) -> str:
    lines = source.splitlines()
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        # 본문이 docstring뿐인 함수는 지우면 문법이 깨지므로 그대로 둡니다
        if isinstance(node, kinds) and ast.get_docstring(node) is not None and len(node.body) > 1:
            text = node.body[0]
            gap = text.end_lineno < len(lines) and not lines[text.end_lineno].strip()
            lines[text.lineno - 1 : text.end_lineno + gap] = [None] * (
                text.end_lineno + gap - text.lineno + 1
            )
    return "\n".join(line for line in lines if line is not None)


def show_source(obj, docstring: bool = True) -> None:
    """`obj`(클래스, 함수, 메서드)의 실제 소스를 파일 이름과 함께 보여 줍니다.

    출력은 Markdown 코드 블록이라서 JupyterLab, 오프라인 HTML, 슬라이드에서 모두 색이 입혀지고,
    경로는 `course_lib/flows/nice.py`처럼 저장소 안의 이름만 나옵니다.

    Args:
        obj: 소스를 볼 대상. C로 구현된 것은 볼 수 없습니다.
        docstring: False이면 docstring을 빼고 코드만 보여 줍니다.

    Raises:
        TypeError: 파이썬 소스가 없는 대상일 때.
    """
    obj = inspect.unwrap(obj) if callable(obj) else obj
    try:
        source = textwrap.dedent(inspect.getsource(obj))
    except (TypeError, OSError) as error:
        raise TypeError(
            f"{obj!r}의 소스를 찾지 못했습니다. 클래스나 함수를 그대로 넘겨 주세요."
        ) from error
    if not docstring:
        source = _without_docstrings(source)
    source = source.strip("\n")
    module = inspect.getmodule(obj).__name__
    where = "이 노트북" if module == "__main__" else _relative_file(module, obj)
    name = getattr(obj, "__qualname__", module)
    fence = "`" * 3
    while fence in source:
        fence += "`"
    text = f"**`{where}`** · `{name}`\n\n{fence}python\n{source}\n{fence}"
    display({"text/markdown": text, "text/plain": f"{where}: {name}"}, raw=True)


def _relative_file(module: str, obj) -> str:
    is_package = os.path.basename(inspect.getsourcefile(obj)) == "__init__.py"
    return module.replace(".", "/") + ("/__init__.py" if is_package else ".py")
