"""색인(course_lib/README.md)이 실제 파일과 맞는지."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDEX = (ROOT / "course_lib" / "README.md").read_text(encoding="utf-8")
FAMILIES = ("unsupervised", "autoregressive", "vae", "gan", "flows", "parallel_wavenet", "energy")


def test_every_path_of_the_index_exists():
    for path in re.findall(r"`((?:course_lib|notebooks|tests|data)/[^`]+)`", INDEX):
        assert (ROOT / path).exists(), path


def test_every_paper_file_is_listed_once():
    listed = re.findall(r"`(course_lib/[^`]+\.py)`", INDEX)
    there = [
        path.relative_to(ROOT).as_posix()
        for family in FAMILIES
        for path in sorted((ROOT / "course_lib" / family).glob("*.py"))
        if path.name != "__init__.py"
    ]
    assert sorted(listed) == sorted(there)


def test_every_chapter_notebook_is_listed():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        if not path.stem.startswith("00"):
            assert f"`notebooks/{path.name}`" in INDEX
