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
    assert sorted(listed) == sorted([*there, "course_lib/comparison.py"])  # A2는 논문이 아니라 비교


def test_every_chapter_notebook_is_listed():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        if not path.stem.startswith("00"):
            assert f"`notebooks/{path.name}`" in INDEX


def rows() -> list[list[str]]:
    lines = [line for line in INDEX.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_gives_what_was_measured_and_what_the_paper_says():
    header, _, *body = rows()
    assert header == ["장", "논문", "코드", "노트북", "시험", "측정값", "논문의 수치"]
    for row in body:
        assert len(row) == len(header), row
        for column, kind in ((2, "course_lib/"), (3, "notebooks/"), (4, "tests/")):
            assert re.fullmatch(rf"`{kind}[^`]+`", row[column]), row
        assert row[5] and (row[6] == "–" or re.search(r"\d", row[6])), row
        chapter = re.search(r"notebooks/(\w+?)_", row[3])[1]
        assert chapter in re.split(r"[–, ]+", row[0]), row
