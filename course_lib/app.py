"""위젯만 코드 없이 보여 주는 강의용 페이지: `python3 course.py app 13`.

노트북에서 위젯 셀과 그 절의 제목만 남기고 나머지 셀은 출력 없이 실행하는 사본을 만들어 Voilà로
엽니다. 앞의 셀을 모두 그대로 실행하므로 위젯에 보이는 모델은 노트북의 것과 같습니다. 서버는 이
컴퓨터(127.0.0.1)에서만 열리고, 주소에 든 토큰이 있어야 들어갈 수 있습니다.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from pathlib import Path

import nbformat

from course_lib.cli import NOTEBOOKS, ROOT, CourseError, kernel_environment, read
from course_lib.export import FONTS
from course_lib.site import title

__all__ = ["lecture", "prepare", "serve"]

HEADING = re.compile(r"^#{1,4} .+$", re.M)
QUESTION = re.compile(r"^\*\*예측해 보세요\.\*\*.*?(?=\n\s*\n|\Z)", re.M | re.S)
UNSEEN = {"exercise", "solution", "nbval-skip"}


def is_widget(cell) -> bool:
    """위젯의 세 모습(HTML과 PNG)이 함께 저장된 셀인가."""
    return cell.cell_type == "code" and any(
        {"text/html", "image/png"} <= set(output.get("data", {}))
        for output in cell.get("outputs", [])
    )


def lecture(nb):
    """제목, 위젯 셀, 위젯 앞의 '예측해 보세요'만 보이고 나머지 코드는 출력 없이 실행되는 사본.

    Raises:
        CourseError: 위젯이 하나도 없을 때.
    """
    cells, text = [], []
    widgets = [index for index, cell in enumerate(nb.cells) if is_widget(cell)]
    if not widgets:
        raise CourseError(f"'{title(nb)}'에는 위젯이 없습니다.")
    shown = title(nb)
    for cell in nb.cells[: widgets[-1] + 1]:
        if cell.cell_type == "markdown":
            text.append(cell.source)
        elif cell.cell_type == "code" and not UNSEEN & set(cell.metadata.get("tags", [])):
            if is_widget(cell):
                headings = [line for source in text for line in HEADING.findall(source)]
                parts = [f"# {shown}"] if shown else []
                if headings and headings[-1] != f"# {shown}":
                    parts.append("## " + headings[-1].lstrip("# "))
                parts += QUESTION.findall(text[-1]) if text else []
                text, shown = [], ""
                if parts:
                    cells.append(nbformat.v4.new_markdown_cell("\n\n".join(parts)))
                cells.append(nbformat.v4.new_code_cell(cell.source))
            else:
                cells.append(nbformat.v4.new_code_cell("%%capture\n" + cell.source))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": nb.metadata.kernelspec})


def file_name(text: str) -> str:
    """목록에 그대로 보일 파일 이름. 윈도우가 허락하지 않는 글자는 뺍니다."""
    text = re.sub(r"\s*\([^)]*\)", "", text).replace(": ", " – ")
    return re.sub(r'[\\/:*?"<>|]', "", text).strip() + ".ipynb"


def prepare(folder: Path, paths: list[Path]) -> list[Path]:
    """강의용 사본을 `folder`에 쓰고 그 목록을 돌려줍니다. 하나만 청했을 때만 위젯이 없으면 오류입니다."""
    written = []
    for path in paths:
        nb = read(path)
        if len(paths) > 1 and not any(map(is_widget, nb.cells)):
            continue
        target = folder / file_name(title(nb))
        target.write_text(nbformat.writes(lecture(nb)), encoding="utf-8")
        written.append(target)
    return written


LIST = """<!DOCTYPE html>
<html lang="ko"><head><meta charset="utf-8"><title>딥 생성 모델 강의: 위젯</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 18px/1.6 system-ui, {fonts}, sans-serif; max-width: 44em; margin: 2em auto; padding: 0 1em; }}
li {{ margin: .5em 0; }}</style></head>
<body><h1>딥 생성 모델 강의: 위젯</h1>
<p>장을 누르면 그 장의 모델을 준비한 뒤 위젯이 나타납니다. 학습이 든 장은 1분쯤 걸립니다.</p>
<ul>{{% for content in contents.content %}}{{% if content.type == "notebook" %}}
<li><a href="{{{{ base_url }}}}{{{{ frontend }}}}/render/{{{{ content.path | urlencode }}}}?{{{{ query }}}}">{{{{ content.name[:-6] }}}}</a></li>
{{% endif %}}{{% endfor %}}</ul></body></html>
"""

STYLE = """<style>
.jp-RenderedHTMLCommon, .jupyter-widgets { font-family: system-ui, FONTS, sans-serif; word-break: keep-all; }
#rendered_cells { max-width: 1000px; margin: 0 auto; padding: 0 16px 40px; }
.jp-Cell { padding: 0; } .jp-InputPrompt, .jp-OutputPrompt { display: none; }
:focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
</style>"""


def write_template(folder: Path) -> None:
    """Voilà의 lab 모습에서 바깥(CDN)을 부르는 줄을 빼고 한국어 목록을 더한 모습."""
    original = Path(sys.prefix, "share/jupyter/voila/templates/lab/index.html.j2")
    if not original.is_file():
        raise CourseError("Voilà의 파일이 없습니다. .venv 폴더를 지우고 다시 실행하십시오.")
    page = re.sub(r"<link [^>]*https?://[^>]*>", "", original.read_text(encoding="utf-8"))
    ours = folder / "voila" / "templates" / "course"
    ours.mkdir(parents=True)
    style = STYLE.replace("FONTS", FONTS) + "\n{%- endblock notebook_css -%}"
    page = page.replace("{%- endblock notebook_css -%}", style)
    (ours / "index.html.j2").write_text(page, encoding="utf-8")
    (ours / "tree.html").write_text(LIST.format(fonts=FONTS), encoding="utf-8")
    (ours / "conf.json").write_text(json.dumps({"base_template": "lab"}), encoding="utf-8")


def free_port(port: int | None) -> int:
    """쓸 수 있는 포트. 번호를 정해 주었는데 쓰는 중이면 오류입니다."""
    for candidate in [port] if port else [*range(8866, 8886), 0]:
        with socket.socket() as probe, contextlib.suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", candidate))
            return probe.getsockname()[1]
    raise CourseError(
        f"포트 {port}번을 열 수 없습니다. 다른 프로그램이 쓰고 있는지 보고, --port로 다른 번호"
        "(1024–65535)를 주거나 --port를 빼고 실행하십시오."
    )


def command(folder: Path, pages: list[Path], port: int) -> list[str]:
    """Voilà를 부르는 명령. 장이 하나면 미리 실행해 두어 여는 즉시 나타납니다."""
    words = [sys.executable, "-m", "voila", str(pages[0] if len(pages) == 1 else folder)]
    words += [f"--port={port}", "--Voila.ip=127.0.0.1", "--token", "--template=course"]
    words += ["--VoilaConfiguration.classic_tree=True", "--show_tracebacks=True"]
    words += ["--Voila.log_level=ERROR", "--Voila.port_retries=0", "--no-browser"]
    if len(pages) == 1:
        words += ["--preheat_kernel=True", "--pool_size=1"]
    return words


def serve(path: Path | None, port: int | None = None, browser: bool = True) -> int:
    """`path`(없으면 모든 장)의 위젯을 Voilà로 엽니다. Ctrl+C로 끝낼 때까지 돌아오지 않습니다."""
    if importlib.util.find_spec("voila") is None:
        raise CourseError(
            "Voilà가 없어 위젯 페이지를 열 수 없습니다. 인터넷이 되는 곳에서 `python3 course.py app`을 "
            "한 번 실행해 패키지를 받으십시오."
        )
    paths = [path] if path else sorted(NOTEBOOKS.glob("*.ipynb"))
    port = free_port(port)
    with tempfile.TemporaryDirectory(prefix="course-app-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary, "pages")
        folder.mkdir()
        pages = prepare(folder, paths)
        write_template(Path(temporary))
        search = [temporary, os.environ.get("JUPYTER_PATH", "")]
        token = secrets.token_hex(16)  # 명령줄에 적으면 이 컴퓨터의 다른 사람에게도 보입니다
        environment = kernel_environment(
            JUPYTER_PATH=os.pathsep.join(filter(None, search)), JUPYTER_TOKEN=token
        )
        # Ctrl+C는 이 프로세스만 받고, 커널을 먼저 끄도록 Voilà에 차례로 전합니다
        apart = {"start_new_session": True} if os.name != "nt" else {"creationflags": 0x200}
        server = subprocess.Popen(
            command(folder, pages, port), env=environment, cwd=ROOT, stderr=subprocess.PIPE, **apart
        )
        stopping = threading.Event()
        threading.Thread(target=relay, args=(server.stderr, stopping), daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        address = f"http://127.0.0.1:{port}/?token={token}"
        try:
            wait_until_open(server, port)
            print(f"{address}\n끝낼 때는 이 창에서 Ctrl+C를 누릅니다.", flush=True)
            if browser:
                webbrowser.open_new_tab(address)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            stopping.set()
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()


HARMLESS = (b"without encryption", b"websocket_ping", b"favicon.ico")


def relay(stream, stopping: threading.Event) -> None:
    """Voilà와 커널의 오류를 화면에 옮깁니다. 해롭지 않은 경고와, 끄는 동안 끊긴 연결의 말은 뺍니다."""
    for line in stream:
        if not stopping.is_set() and not any(words in line for words in HARMLESS):
            sys.stderr.buffer.write(line)
            sys.stderr.flush()


def wait_until_open(server: subprocess.Popen, port: int, seconds: float = 60) -> None:
    """서버가 접속을 받을 때까지 기다립니다."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise CourseError("Voilà가 켜지지 않았습니다. 위에 나온 오류를 확인하십시오.")
