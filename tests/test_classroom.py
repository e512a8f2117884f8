"""공용 서버의 설정을 진짜 Jupyter Server에서 확인하고, Binder와 Colab으로 여는 문을 봅니다."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
import yaml
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).resolve().parents[1]
linux = pytest.mark.skipif(sys.platform != "linux", reason="메모리 한도는 Linux에서만 듣습니다")

# ── 공용 서버의 설정 ───────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """설정 파일만 주고 켠 서버: jpserver-*.json의 내용과 커널의 연결 파일이 있는 폴더."""
    folder = tmp_path_factory.mktemp("서버")
    names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
    environment = os.environ | {name: str(folder / name) for name in names}
    inherited = ("OMP_NUM_THREADS", "COURSE_THREADS", "JUPYTER_TOKEN", "PYTHONWARNDEFAULTENCODING")
    for name in inherited:  # 마지막 것은 전체 검사가 켜는 경고라 커널의 출력에 섞입니다
        environment.pop(name, None)
    environment |= {"COURSE_IDLE_MINUTES": "0.25", "COURSE_MEMORY_GB": "2"}
    command = [sys.executable, "-m", "jupyter_server", "--port=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--config={ROOT / 'classroom' / 'jupyter_server_config.py'}"]
    command += ["--ServerApp.allow_root=True"]
    log = folder / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        for _ in range(240):
            time.sleep(0.25)
            found = list((folder / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"))
            assert process.poll() is None, log.read_text(encoding="utf-8")
            if found and " is running at" in log.read_text(encoding="utf-8"):
                break
        about = json.loads(found[0].read_text(encoding="utf-8"))
        yield about, found[0].parent
    finally:
        process.terminate()
        process.wait(30)


def ask(about, path, token=None, method="GET"):
    headers = {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(about["url"] + path, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read() or "null")


def wait_for(client) -> None:
    """커널이 답할 때까지. 바쁜 컴퓨터에서는 심장 박동이 늦어 한두 번 죽었다고 잘못 알기도 합니다."""
    for _ in range(30):
        try:
            return client.wait_for_ready(timeout=20)
        except RuntimeError:
            time.sleep(1)
    pytest.fail("커널이 답하지 않습니다")


def output(client, code) -> str:
    shown = []

    def hook(message):
        content = message["content"]
        shown.append(content.get("text") or content.get("ename") or "")

    client.execute_interactive(code, output_hook=hook, timeout=60, store_history=False)
    return "".join(shown).strip()


def test_only_this_machine_and_only_with_the_token(server):
    about, _ = server
    assert about["hostname"] == "127.0.0.1" and about["url"].startswith("http://127.0.0.1")
    assert len(about["token"]) >= 32 and not about["password"]
    for token in (None, "wrong"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(about, "api/kernels", token)
        assert refused.value.code == 403
        refused.value.close()
    assert ask(about, "api/kernels", about["token"]) == []


@linux
def test_a_kernel_has_one_thread_a_memory_limit_and_an_end(server):
    about, runtime = server
    kernel = ask(about, "api/kernels", about["token"], "POST")
    client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel['id']}.json"))
    client.load_connection_file()
    client.start_channels()
    try:
        wait_for(client)
        code = "import os; print(os.environ['COURSE_THREADS'], os.environ['OMP_NUM_THREADS'])"
        assert output(client, code) == "1 1"
        code = (
            "import torch, matplotlib.pyplot; print(torch.get_num_threads(), torch.ones(3).sum())"
        )
        assert output(client, code) == "1 tensor(3.)"  # 강의에 쓰는 것은 한도 안에 듭니다
        assert output(client, "x = bytearray(3 * 2**30)") == "MemoryError"
        assert output(client, "torch.empty(3 * 2**28)") == "RuntimeError"
        assert output(client, "print('살아 있음')") == "살아 있음"
    finally:
        client.stop_channels()
    for _ in range(120):
        if not ask(about, "api/kernels", about["token"]):
            return
        time.sleep(0.5)
    pytest.fail("쉬는 커널이 끝나지 않았습니다")


# ── Binder와 Colab ─────────────────────────────────────────────────────────────


@pytest.fixture
def doors():
    spec = importlib.util.spec_from_file_location("doors", ROOT / "classroom" / "doors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_binder_uses_the_python_of_the_course():
    here = yaml.safe_load((ROOT / "binder/environment.yml").read_text(encoding="utf-8"))
    there = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert here["dependencies"] == there["dependencies"][:2] == ["python=3.11", "pip"]


@pytest.mark.skipif(os.name == "nt", reason="Binder는 Linux입니다")
def test_binder_never_fetches_cuda(tmp_path):
    """postBuild를 가짜 python으로 돌려 pip의 명령을 봅니다."""
    fake = tmp_path / "python"
    calls = tmp_path / "calls.txt"
    fake.write_text(f'#!/bin/sh\necho "$@" >> "{calls}"\n', encoding="utf-8")
    fake.chmod(0o755)
    assert os.access(ROOT / "binder/postBuild", os.X_OK)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([ROOT / "binder/postBuild"], cwd=ROOT, env=environment, check=True)
    first, second = calls.read_text(encoding="utf-8").splitlines()
    assert first.endswith("--index-url https://download.pytorch.org/whl/cpu torch==2.13.0+cpu")
    assert "--no-deps" in first and "--no-cache-dir" in first
    assert second == "-m pip install --no-cache-dir -r requirements.txt"


def test_links_need_a_public_github_address(doors):
    assert doors.links("") == "" and doors.links("https://example.org/a/b") == ""
    shown = doors.links("https://github.com/someone/course")
    assert "mybinder.org/v2/gh/someone/course/main" in shown
    assert "/github/someone/course/blob/main/notebooks/00_welcome.ipynb" in shown


def test_the_doors_are_in_step_with_the_address(doors):
    """pyproject.toml의 주소를 바꾸고 doors.py를 실행하지 않으면 여기서 드러납니다."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert doors.BLOCK.search(readme)[0] == doors.links(doors.address())
    nb = nbformat.read(doors.FIRST, as_version=4)
    assert doors.with_door(nb, doors.address()) == nb


def test_the_colab_cell_does_nothing_elsewhere(doors):
    nb = nbformat.read(doors.FIRST, as_version=4)
    where = "https://github.com/someone/course"
    twice = doors.with_door(doors.with_door(nb, ""), where)
    cells = [cell for cell in twice.cells if "google.colab" in cell.source]
    assert len(cells) == 1 and cells[0] is twice.cells[1]
    assert cells[0].metadata["tags"] == ["hide-input"]  # 여기서도 실행하며, 아무 일도 하지 않습니다
    door = next(cell for cell in nb.cells if "google.colab" in cell.source)
    assert door.execution_count == 1 and door.outputs == []
    assert f'address = "{where}"' in cells[0].source
    plain = re.sub(r"^\s*[%!].*$", "    pass", cells[0].source, flags=re.MULTILINE)
    before = list(sys.path)
    exec(compile(plain, "<Colab 셀>", "exec"), {})
    assert sys.path == before


def test_the_address_comes_from_one_place(doors, tmp_path):
    assert doors.address(ROOT) == ""  # 공개된 주소가 생기면 pyproject.toml에만 적습니다
    text = '[project]\nname = "x"\n[project.urls]\nRepository = "https://github.com/a/b.git/"\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert doors.address(tmp_path) == "https://github.com/a/b"
