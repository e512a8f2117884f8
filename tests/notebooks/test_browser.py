"""모든 노트북을 실제 JupyterLab에서 실행하고, 오프라인 HTML로도 열어 조작기를 모두 움직입니다."""

import os
import shutil
from pathlib import Path

import chromium
import nbformat
import notebook_rules as rules
import pytest

from course_lib.export import offline_html, offline_slides

pytestmark = pytest.mark.browser
NOTEBOOKS = rules.all_notebooks()


@pytest.fixture(scope="session")
def shots():
    folder = os.environ.get("COURSE_SHOTS")
    if not folder:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


@pytest.fixture(scope="session")
def lab_root(tmp_path_factory):
    """원본을 건드리지 않도록 노트북 폴더를 복사해 엽니다."""
    root = tmp_path_factory.mktemp("강의 폴더") / "notebooks"
    shutil.copytree(rules.NOTEBOOKS, root, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for path in root.glob("*.ipynb"):
        nb = chromium.without_skipped(rules.read(path))
        path.write_text(nbformat.writes(nb), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def lab(lab_root, tmp_path_factory):
    with chromium.jupyterlab(lab_root, tmp_path_factory.mktemp("settings")) as address:
        yield address


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_in_jupyterlab(browser, lab, path, shots):
    assert chromium.check_in_lab(browser, lab, path.name, shots)[0] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_offline_html(browser, path, shots, tmp_path):
    file = tmp_path / f"{path.stem}.html"
    file.write_text(offline_html(rules.read(path), path.stem, path.parent), encoding="utf-8")
    assert chromium.check_html(browser, file, shots)[0] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_offline_slides(browser, path, shots, tmp_path):
    nb = rules.read(path)
    if not any(cell.metadata.get("slideshow") for cell in nb.cells):
        pytest.fail("슬라이드로 표시된 셀이 없습니다.")
    file = tmp_path / f"{path.stem}.slides.html"
    file.write_text(offline_slides(nb, path.stem, path.parent), encoding="utf-8")
    assert chromium.check_slides(browser, file, shots)[0] == []
