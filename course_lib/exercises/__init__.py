"""연습문제 채점: 노트북의 학생과 저장소의 테스트가 같은 함수를 씁니다.

장(chapter)마다 `course_lib/exercises/chNN.py` 하나에 채점 함수를 모읍니다.

    from course_lib.exercises import exercise

    @exercise("13-1", hint="log|det J|는 log-scale의 합입니다.")
    def _(answer):
        s = torch.randn(5, 3)
        return torch.allclose(answer(s), s.sum(1))

채점 함수는 학생의 답(함수나 값)을 받아 True, False, 또는 '어디가 틀렸는지' 알려 주는 문장을
돌려줍니다. 노트북에서는 `check_exercise("13-1", answer)` 한 줄이면 됩니다.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["EXERCISES", "Exercise", "Unsolved", "Verdict", "check_exercise", "exercise", "grade"]

UNSOLVED, RIGHT, WRONG = "⏳", "✅", "❌"


@dataclass(frozen=True)
class Exercise:
    """문제 하나: 번호, 힌트, 채점 함수."""

    id: str
    hint: str
    grader: Callable[[Any], bool | str]


@dataclass(frozen=True)
class Verdict:
    """채점 결과. `mark`는 ⏳(아직), ✅(맞음), ❌(다시) 가운데 하나입니다."""

    mark: str
    message: str


class Unsolved(Exception):  # noqa: N818 - 오류가 아니라 '아직 풀지 않음'이라는 신호
    """학생의 함수가 아직 비어 있음(`...`나 None을 돌려줌)을 알리는 신호."""


EXERCISES: dict[str, Exercise] = {}


def exercise(id: str, hint: str):
    """채점 함수를 문제 번호 `id`(예: "13-1")로 등록하는 장식자(decorator).

    Raises:
        ValueError: 같은 번호를 두 번 등록하거나 번호 모양이 틀렸을 때.
    """
    chapter, dash, number = id.rpartition("-")
    if not (chapter and dash and number.isdecimal()):
        raise ValueError(f"문제 번호는 '13-1'처럼 적습니다. 받은 값: {id!r}")

    def register(grader):
        if id in EXERCISES:
            raise ValueError(f"연습문제 {id}가 두 번 등록되었습니다.")
        EXERCISES[id] = Exercise(id, hint, grader)
        return grader

    return register


def _find(id: str) -> Exercise:
    module = f"course_lib.exercises.ch{id.rpartition('-')[0]}"
    if id not in EXERCISES:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    if id not in EXERCISES:
        raise KeyError(f"연습문제 {id}는 없습니다. 번호를 확인해 주세요.")
    return EXERCISES[id]


def _empty(value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_empty(item) for item in value)
    return value is None or value is ...


def _watched(answer):
    """`...`나 None을 돌려주면 곧바로 `Unsolved`를 일으키는, 학생 함수의 겉옷."""

    @functools.wraps(answer)
    def call(*args, **kwargs):
        try:
            result = answer(*args, **kwargs)
        except NotImplementedError as error:
            raise Unsolved from error
        if _empty(result):
            raise Unsolved
        return result

    return call


def grade(id: str, answer) -> Verdict:
    """답을 채점합니다. 답이 비었거나 틀렸거나 오류를 내도 예외를 일으키지 않습니다.

    채점이 쓰는 난수는 따로 갈라 두므로 뒤따르는 셀의 숫자가 달라지지 않습니다.

    Raises:
        KeyError: `id`라는 문제가 없을 때.
    """
    found = _find(id)
    if _empty(answer):
        return Verdict(UNSOLVED, "아직 풀지 않았습니다.")
    if inspect.isfunction(answer):
        answer = _watched(answer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            result = found.grader(answer)
        except Unsolved:
            return Verdict(UNSOLVED, "아직 풀지 않았습니다.")
        except Exception as error:
            reason = str(error).strip().splitlines()
            detail = f"{type(error).__name__}: {reason[0]}" if reason else type(error).__name__
            return Verdict(WRONG, f"실행하다가 오류가 났습니다({detail}). 힌트: {found.hint}")
    if isinstance(result, str):
        return Verdict(WRONG, f"{result} 힌트: {found.hint}")
    if bool(result):
        return Verdict(RIGHT, "맞았습니다!")
    return Verdict(WRONG, f"아직 맞지 않습니다. 힌트: {found.hint}")


def check_exercise(id: str, answer) -> None:
    """답을 채점해 ⏳/✅/❌ 한 줄로 알려 줍니다.

    Raises:
        KeyError: `id`라는 문제가 없을 때. 답 때문에 예외가 나는 일은 없습니다.
    """
    verdict = grade(id, answer)
    print(f"{verdict.mark} {id}: {verdict.message}")
