"""용어집(notebooks/glossary.md)의 말을 노트북과 docstring이 지키는가."""

import notebook_rules as rules
import pytest

ROWS = rules.glossary(rules.NOTEBOOKS / "glossary.md")


def test_the_glossary_is_consistent():
    korean = [row[0] for row in ROWS]
    english = [word.casefold() for row in ROWS for word in row[1]]
    assert len(korean) >= 60
    assert len(set(korean)) == len(korean)
    assert len(set(english)) == len(english)
    for row in ROWS:
        # 금지한 말이 다른 용어의 정식 이름에 걸리면 지킬 수 없는 규칙이 됩니다
        assert not rules.forbidden_words(row[0], ROWS), row[0]


@pytest.mark.parametrize("path", rules.all_notebooks(), ids=lambda path: path.stem)
def test_notebooks_use_the_terms(path):
    assert rules.terms(path, ROWS) == []


@pytest.mark.parametrize(
    "path",
    sorted((rules.ROOT / "course_lib").rglob("*.py")),
    ids=lambda path: path.relative_to(rules.ROOT).as_posix(),
)
def test_docstrings_use_the_terms(path):
    assert rules.forbidden_words(rules.prose(rules.docstrings(path)), ROWS) == []
