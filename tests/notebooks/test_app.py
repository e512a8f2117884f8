"""위젯만 보여 주는 Voilà 페이지: 사본을 만드는 함수와, 실제로 연 페이지의 슬라이더."""

import os
import re
import signal
import socket
import subprocess
import sys

import nbformat
import notebook_rules as rules
import pytest

from course_lib import app, cli
from course_lib.cli import CourseError, kernel_environment

PATHS = rules.all_notebooks()


def markdown(text):
    return nbformat.v4.new_markdown_cell(text)


def code(source, tags=(), widget=False):
    data = {"text/html": "<p>", "image/png": "", "text/plain": "<위젯: x>"}
    outputs = [nbformat.v4.new_output("display_data", data)] if widget else []
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}, outputs=outputs)


def notebook(*cells):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": kernel})


def test_only_widgets_titles_and_questions_are_seen():
    nb = notebook(
        markdown("# 13. 플로우"),
        code("a = 1", ["setup"]),
        markdown("## 2. 곁길"),
        code("show(a)"),
        markdown(
            "## 3. 만지기\n\n설명입니다.\n\n**예측해 보세요.** 둘일까요,\n셋일까요?\n\n더 긴 글."
        ),
        code("widget(a)", widget=True),
        code("1 / 0", ["solution"]),
        code("download()", ["nbval-skip"]),
        code("widget(b)", widget=True),
        code("after()"),
    )
    cells = app.lecture(nb).cells
    assert [cell.source for cell in cells] == [
        "%%capture\na = 1",
        "%%capture\nshow(a)",
        "# 13. 플로우\n\n## 3. 만지기\n\n**예측해 보세요.** 둘일까요,\n셋일까요?",
        "widget(a)",
        "widget(b)",
    ]
    assert [bool(cell.get("outputs")) for cell in cells if cell.cell_type == "code"] == [False] * 4


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_chapter_keeps_all_its_widgets(path):
    nb = rules.read(path)
    sources = [c.source for c in nb.cells if app.is_widget(c)]
    made = app.lecture(nb)
    nbformat.validate(made)
    seen = [c.source for c in made.cells if c.cell_type == "code" and "%%capture" not in c.source]
    assert seen == sources and sources
    assert made.cells[-1].source == sources[-1]
    assert app.file_name(app.title(nb)).startswith(path.stem.split("_")[0] + ". ")


def test_a_chapter_without_widgets_is_one_korean_sentence(tmp_path):
    file = tmp_path / "20_x.ipynb"
    file.write_text(nbformat.writes(notebook(markdown("# 20. 글"), code("1"))), encoding="utf-8")
    with pytest.raises(CourseError, match="'20. 글'에는 위젯이 없습니다"):
        app.prepare(tmp_path, [file])
    assert app.prepare(tmp_path, [file, file]) == []


def test_file_names_are_allowed_everywhere():
    assert app.file_name('05. 변수(variable): a/b "c"?') == "05. 변수 – ab c.ipynb"


def test_a_busy_or_impossible_port_is_one_korean_sentence(capsys):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert cli.main(["app", "00", f"--port={port}", "--no-browser"]) == 2
        assert f"포트 {port}번을 열 수 없습니다" in capsys.readouterr().err
        assert app.free_port(None) != port
    with pytest.raises(CourseError, match="99999번"):
        app.free_port(99999)
    assert cli.main(["app", "77"]) == 2
    assert "'77' 노트북을 찾지 못했습니다" in capsys.readouterr().err


def test_missing_voila_is_one_korean_sentence(monkeypatch, capsys):
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["app", "00"]) == 2
    assert "Voilà가 없어" in capsys.readouterr().err


def test_the_server_stays_on_this_computer_and_asks_for_a_token(tmp_path):
    one, two = (app.command(tmp_path, [tmp_path / "a.ipynb"] * n, 8866) for n in (1, 2))
    for words in (one, two):
        assert "--Voila.ip=127.0.0.1" in words and "--token" in words
        assert not any("token=" in word or "0.0.0.0" in word for word in words)
    assert "--preheat_kernel=True" in one and "--preheat_kernel=True" not in two
    assert one[3].endswith("a.ipynb") and two[3] == str(tmp_path)


def test_the_page_template_calls_nothing_outside(tmp_path):
    app.write_template(tmp_path)
    for file in (tmp_path / "voila/templates/course").iterdir():
        assert not re.search(r"""(?:src|href)=["']https?:""", file.read_text(encoding="utf-8")), (
            file
        )


@pytest.mark.browser
def test_a_slider_of_the_page_changes_the_picture(browser, tmp_path):
    """목록 없이 한 장만 엽니다. 토큰이 없으면 막히고, 코드는 보이지 않고, 바깥을 부르지 않습니다."""
    words = [sys.executable, "-m", "course_lib.cli", "app", "00", "--no-browser"]
    own = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    log = tmp_path / "log.txt"
    with log.open("wb") as file:
        server = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=file, env=kernel_environment(**own)
        )
    page = browser.new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)[:200]))
    page.on(
        "request",
        lambda r: (
            r.url.startswith(("http://127.0.0.1:", "data:", "blob:")) or troubles.append(r.url)
        ),
    )
    try:
        address = server.stdout.readline().decode("utf-8").strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{32}", address), (
            log.read_text(encoding="utf-8", errors="replace")[-2000:]
        )
        page.goto(address.split("?")[0])
        assert "/login" in page.url
        page.goto(address, timeout=120_000)
        handle = page.locator(".noUi-handle").first
        handle.wait_for(timeout=90_000)
        picture = page.locator(".widget-image").first
        picture.wait_for()
        assert "00. 딥 생성 모델" in page.locator("h1").first.inner_text()
        assert page.locator(".jp-InputArea-editor, .jp-CodeCell pre, .cm-content").count() == 0
        before = picture.get_attribute("src")
        handle.focus()
        page.keyboard.press("End")
        page.wait_for_function(
            "old => document.querySelector('.widget-image').src !== old", arg=before, timeout=20_000
        )
    finally:
        page.close()
        if os.name == "nt":
            server.terminate()
        else:
            server.send_signal(signal.SIGINT)
        code_ = server.wait(30)
        server.stdout.close()
    assert troubles == []
    assert code_ == 0, log.read_text(encoding="utf-8", errors="replace")[-2000:]
    assert log.read_bytes() == b"", "해롭지 않은 말까지 화면에 나옵니다"
