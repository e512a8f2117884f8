"""연습문제: 채점 도우미의 약속과, 노트북의 빈칸·풀이가 그 채점을 통과하는가."""

import notebook_rules as rules
import pytest
import torch

from course_lib import exercises
from course_lib.exercises import check_exercise, exercise, grade


@pytest.mark.parametrize("path", rules.all_notebooks(), ids=lambda path: path.stem)
def test_notebook_exercises(path):
    assert rules.exercise_structure(path) == []
    assert rules.graded(path) == []


@pytest.fixture
def example(monkeypatch):
    """문서에 적힌 꼴 그대로의 작은 예제: log|det J|는 log-scale의 합입니다."""
    monkeypatch.setattr(exercises, "EXERCISES", {})

    @exercise("99-1", hint="log-scale을 더해 보세요.")
    def _(answer):
        s = torch.randn(5, 3)
        value = answer(s)
        if value.shape != (5,):
            return f"모양이 (5,)여야 하는데 {tuple(value.shape)}입니다."
        return torch.allclose(value, s.sum(1))

    @exercise("99-2", hint="1 - 1/2를 계산해 보세요.")
    def _(answer):
        return abs(answer - 0.5) < 1e-9


def unfinished(s):
    pass


def not_implemented(s):
    raise NotImplementedError


@pytest.mark.parametrize(
    "answer", [None, ..., unfinished, not_implemented, lambda s: ..., (1, ...)]
)
def test_unsolved(example, answer, capsys):
    check_exercise("99-1", answer)
    assert capsys.readouterr().out == "⏳ 99-1: 아직 풀지 않았습니다.\n"


def test_right(example):
    assert grade("99-1", lambda s: s.sum(1)).mark == "✅"
    assert grade("99-2", 0.5).mark == "✅"


@pytest.mark.parametrize(
    "id, answer, says",
    [
        ("99-1", lambda s: -s.sum(1), "더해"),
        ("99-1", lambda s: s.sum(), "모양이 (5,)"),
        ("99-1", lambda: 1, "TypeError"),
        ("99-1", lambda s: s.no_such_thing, "AttributeError"),
        ("99-1", 3.0, "TypeError"),
        ("99-2", "반", "TypeError"),
        ("99-2", float("nan"), "1 - 1/2"),
    ],
)
def test_wrong_or_crashing_answers_get_a_hint(example, id, answer, says, capsys):
    check_exercise(id, answer)
    printed = capsys.readouterr().out
    assert printed.startswith(f"❌ {id}: ") and says in printed and "힌트" in printed
    assert printed.count("\n") == 1


def test_grading_leaves_the_random_stream_alone(example):
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    grade("99-1", lambda s: torch.randn(5))
    assert torch.equal(torch.randn(4), expected)


def test_unknown_and_doubled_ids_are_our_own_errors(example):
    with pytest.raises(KeyError, match="99-7"):
        check_exercise("99-7", 1)
    with pytest.raises(ValueError, match="두 번"):
        exercise("99-1", hint="")(lambda answer: True)
    with pytest.raises(ValueError, match="13-1"):
        exercise("13.1", hint="")
