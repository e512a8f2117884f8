"""저장소의 모든 노트북이 `notebook_rules.hygiene`을 지키는가."""

import notebook_rules as rules
import pytest


@pytest.mark.parametrize("path", rules.all_notebooks(), ids=lambda path: path.stem)
def test_hygiene(path):
    assert rules.hygiene(path) == []
