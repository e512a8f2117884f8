"""발표자 노트: 노트마다 제 셀이 있고, 슬라이드의 발표자 창에 그대로 들어가는가."""

import re

import notebook_rules as rules
import pytest

from course_lib.export import offline_slides, speaker_notes

WORDS = rules.glossary(rules.NOTEBOOKS / "glossary.md")
FILES = sorted((rules.NOTEBOOKS / "speaker_notes").glob("*.md"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_note_reaches_the_deck(file):
    nb = rules.read(rules.NOTEBOOKS / f"{file.stem}.ipynb")
    text = file.read_text(encoding="utf-8")
    deck = offline_slides(nb, file.stem, rules.NOTEBOOKS)
    asides = re.findall(r'<aside class="notes">(.*?)</aside>', deck, re.S)
    assert len(asides) == text.count("\n## ") >= min(15, deck.count("<section") // 2)


def test_notes_add_no_slide_and_the_deck_is_the_same_twice():
    nb = rules.read(rules.NOTEBOOKS / f"{FILES[0].stem}.ipynb")
    deck, again, alone = (
        offline_slides(nb, FILES[0].stem, folder)
        for folder in (rules.NOTEBOOKS, rules.NOTEBOOKS, rules.NOTEBOOKS.parent)
    )
    assert deck == again and deck.count("<aside") > 0
    assert alone.count("<section") == deck.count("<section") and "<aside" not in alone


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_notes_fit_a_lecture_and_keep_the_words_of_the_course(file):
    text = file.read_text(encoding="utf-8")
    minutes = [int(n) for n in re.findall(r"^## \S+\n(\d+)분\.", text, re.M)]
    assert 0 < sum(minutes) <= 85  # 90분에서 질문 5분을 뺀 것
    assert "50분 강의" in text
    assert rules._unrendered(text) is None
    assert rules.forbidden_words(rules.prose(text), WORDS) == []


def test_a_note_without_its_cell_is_refused():
    assert speaker_notes("# 머리말\n\n## a\n하나\n둘\n\n## b\n셋\n", {"a", "b", "c"}) == {
        "a": "하나\n둘",
        "b": "셋",
    }
    for text in ("## x\n글\n", "## a\n글\n## a\n글\n", "## a\n\n## b\n글\n"):
        with pytest.raises(ValueError, match="발표자 노트"):
            speaker_notes(text, {"a", "b"})
