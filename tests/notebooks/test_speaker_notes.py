"""발표자 노트: 노트마다 제 셀이 있고, 슬라이드의 발표자 창에 그대로 들어가는가."""

import re

import notebook_rules as rules
import pytest

from course_lib.export import offline_slides, speaker_notes

FILES = sorted((rules.NOTEBOOKS / "speaker_notes").glob("*.md"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_note_reaches_the_deck(file):
    nb = rules.read(rules.NOTEBOOKS / f"{file.stem}.ipynb")
    text = file.read_text(encoding="utf-8")
    assert rules._unrendered(text) is None
    deck = offline_slides(nb, file.stem, rules.NOTEBOOKS)
    asides = re.findall(r'<aside class="notes">(.*?)</aside>', deck, re.S)
    assert len(asides) == text.count("\n## ") >= 15
    assert deck == offline_slides(nb, file.stem, rules.NOTEBOOKS)
    alone = offline_slides(nb, file.stem, rules.NOTEBOOKS.parent)
    assert alone.count("<section") == deck.count("<section") and "<aside" not in alone


def test_a_note_without_its_cell_is_refused():
    assert speaker_notes("# 머리말\n\n## a\n하나\n둘\n\n## b\n셋\n", {"a", "b", "c"}) == {
        "a": "하나\n둘",
        "b": "셋",
    }
    for text in ("## x\n글\n", "## a\n글\n## a\n글\n", "## a\n\n## b\n글\n"):
        with pytest.raises(ValueError, match="발표자 노트"):
            speaker_notes(text, {"a", "b"})
