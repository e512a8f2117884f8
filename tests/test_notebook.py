"""course_lib.notebook: 준비 함수와 소스 보기."""

import random

import pytest
import torch

from course_lib import notebook
from course_lib.flows.nice import NICE
from course_lib.notebook import setup, show_source


@pytest.fixture(autouse=True)
def undo():
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def shown(monkeypatch):
    bundles = []
    monkeypatch.setattr(notebook, "display", lambda bundle, raw: bundles.append(bundle))
    return bundles


@pytest.mark.parametrize("seed", [0, 7])
def test_setup_seeds_torch_and_sets_the_threads(monkeypatch, seed):
    monkeypatch.setenv("COURSE_SEED", str(seed))
    monkeypatch.setenv("COURSE_THREADS", "2")
    assert setup() == seed
    assert torch.get_num_threads() == 2
    first = torch.randn(3)
    assert torch.equal(first, torch.randn(3, generator=torch.Generator().manual_seed(seed)))


def test_setup_defaults_to_seed_0_and_one_thread(monkeypatch):
    monkeypatch.delenv("COURSE_SEED", raising=False)
    monkeypatch.delenv("COURSE_THREADS", raising=False)
    assert setup() == 0 and torch.get_num_threads() == 1


@pytest.mark.parametrize(
    "name, value", [("COURSE_SEED", "-1"), ("COURSE_SEED", "영"), ("COURSE_THREADS", "0")]
)
def test_setup_explains_a_wrong_environment(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name}에는 .* 이상의 정수"):
        setup()


def test_show_source_is_the_real_source_under_a_repository_name(shown):
    show_source(NICE)
    text = shown[0]["text/markdown"]
    assert text.startswith("**`course_lib/flows/nice.py`** · `NICE`\n\n```python\nclass NICE(")
    assert text.endswith("\n```") and '"""' in text
    assert shown[0]["text/plain"] == "course_lib/flows/nice.py: NICE"


def test_show_source_of_a_method_is_dedented(shown):
    show_source(NICE.__init__)
    assert "\ndef __init__(" in shown[0]["text/markdown"]


def test_without_docstrings_the_code_is_otherwise_untouched(shown):
    import ast
    import inspect

    show_source(NICE, docstring=False)
    code = shown[0]["text/markdown"].split("```python\n")[1].removesuffix("\n```")
    assert '"""' not in code

    def bare(source):
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                node.body = node.body[1:]
        return ast.unparse(tree)

    assert bare(inspect.getsource(NICE)) == bare(code)


def test_a_package_is_named_by_its_init_file(shown):
    from course_lib.exercises import grade

    show_source(grade)
    assert shown[0]["text/plain"] == "course_lib/exercises/__init__.py: grade"


def fenced():
    """
    ```
    울타리
    ```
    """


def test_fences_in_the_source_do_not_end_the_block(shown):
    show_source(fenced)
    text = shown[0]["text/markdown"]
    assert "````python\n" in text and text.endswith("\n````")


def test_show_source_of_something_without_source():
    with pytest.raises(TypeError, match="소스를 찾지 못했습니다"):
        show_source(random.Random().random)
