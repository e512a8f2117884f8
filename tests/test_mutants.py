"""결함의 목록(mutants.yml)이 지금의 코드와 맞는지. 결함을 실제로 심는 것은 benchmarks/mutants.py입니다."""

import os
from pathlib import Path

import pytest

from benchmarks import mutants

ROOT = Path(__file__).resolve().parents[1]
LISTED = mutants.load()


def test_every_defect_has_one_place_and_its_tests():
    assert len(LISTED) >= 40
    assert len({(m["file"], m["old"], m["new"]) for m in LISTED}) == len(LISTED)
    for mutant in LISTED:
        assert set(mutant) - {"survives"} == {"file", "old", "new", "tests"}, mutant
        text = (ROOT / "course_lib" / mutant["file"]).read_text(encoding="utf-8")
        assert text.count(mutant["old"]) == 1 and mutant["old"] != mutant["new"], mutant
        for path in mutant["tests"].split():
            assert (ROOT / path).is_file(), mutant


def test_the_core_is_covered():
    files = {mutant["file"] for mutant in LISTED}
    core = {"base.py", "nn.py", "units.py", "checks.py", "gan/losses.py"}
    for family in ("flows", "vae", "autoregressive", "parallel_wavenet"):
        core |= {f"{family}/{p.name}" for p in (ROOT / "course_lib" / family).glob("*.py")}
    # 논문의 성질이 없는 것: 모양만 있는 합성곱 VAE, 시간을 재는 함수
    plain = {"vae/conv_vae.py", "parallel_wavenet/speed.py"}
    assert {f for f in core if not f.endswith("__init__.py")} - plain <= files


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork가 있는 운영 체제에서만 돕니다")
def test_a_defect_is_planted_in_the_copy_and_seen(tmp_path, monkeypatch, capsys):
    for name, text in {
        "course_lib/area.py": "def area(r):\n    return 3 * r * r\n",
        "course_lib/__init__.py": "",
        "tests/test_area.py": "from course_lib.area import area\n\ndef test_area():\n    assert area(2) == 12\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    square = {"file": "area.py", "old": "r * r", "tests": "tests/test_area.py"}
    defects = [
        square | {"new": "r"},
        square | {"new": "r ** 2"},
        square | {"new": "r * abs(r)", "survives": "r는 음수가 아닙니다"},
    ]
    monkeypatch.setattr(mutants, "preload", lambda: None)
    monkeypatch.setattr(mutants.signal, "signal", lambda *_: None)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "load", lambda: defects)
    monkeypatch.setattr(mutants.sys, "path", [str(tmp_path), *mutants.sys.path])
    for name in [n for n in mutants.sys.modules if n.split(".")[0] == "course_lib"]:
        monkeypatch.delitem(mutants.sys.modules, name)
    monkeypatch.setattr(mutants.sys, "dont_write_bytecode", True)
    assert mutants.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert ["잡음" in line for line in lines[:3]] == [True, False, False]
    assert ["←" in line for line in lines[:3]] == [False, True, False]
    assert "뜻밖의 것 1개" in lines[3]
    assert (tmp_path / "course_lib/area.py").read_text(encoding="utf-8").count("r * r") == 1
    with pytest.raises(ValueError, match="심을 자리가 없습니다"):
        mutants.plant(square | {"old": "없는 글", "new": ""}, tmp_path)
