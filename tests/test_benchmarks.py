"""강의 전체와 교실의 벤치마크: 작은 노트북으로 한 번씩 돌려 보고, 모으는 식을 봅니다."""

import json
import sys

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

from benchmarks import classroom, series
from course_lib.recipes import load_result, results

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc에서 메모리를 읽습니다")

SLIDER = """
import ipywidgets as W
slider, play = W.IntSlider(0, 0, 40), W.Play()
image = W.Image(value=b"0", format="png")
slider.observe(lambda c: setattr(image, "value", bytes([c["new"] % 256])), "value")
W.VBox([slider, image])
"""


def save(folder, name, *sources, skip=None):
    cells = [new_code_cell(source) for source in sources]
    if skip:
        cells.append(new_code_cell(skip, metadata={"tags": ["nbval-skip"]}))
    path = folder / f"{name}.ipynb"
    path.write_text(writes(new_notebook(cells=cells)), encoding="utf-8")
    return path


@linux
def test_the_series_runs_every_notebook_and_names_the_broken_one(tmp_path, capsys):
    big = "import time; x = bytearray(150 * 2**20); x[::4096] = b'1' * len(x[::4096]); del x"
    save(tmp_path, "00_big", big, "time.sleep(0.3)", skip="1 / 0")
    save(tmp_path, "01_broken", "1 + 1", "1 / 0", "2 + 2")
    arguments = ["--notebooks", str(tmp_path), "--results", str(tmp_path)]
    assert series.main(arguments) == 1
    saved = json.loads((tmp_path / "benchmark_series.json").read_text(encoding="utf-8"))
    values = saved["values"]
    assert saved["card"]["command"] == "python -m benchmarks.series --workers 2"
    assert saved["card"]["hardware"]["threads"] == 1
    assert list(values["notebooks"]) == ["00_big", "01_broken"]
    big, broken = values["notebooks"].values()
    assert not big["error"] and big["seconds"] > 0.3
    assert 150 < big["peak_mib"] < 1000  # 지운 뒤에도 최댓값은 남습니다
    assert broken["peak_mib"] < big["peak_mib"] - 100
    assert broken["error"].startswith("코드 셀 2: ZeroDivisionError")
    assert series.main(["--notebooks", str(tmp_path / "없음")]) == 2


@pytest.mark.parametrize(
    ("seconds", "error", "wall", "good"),
    [
        ([44, 46], "", 900, True),
        ([44, 47], "", 900, False),
        ([1, 1], "", 901, False),
        ([1, 1], "코드 셀 3", 5, False),
    ],
)
def test_the_limits_of_the_series(seconds, error, wall, good):
    results = {
        str(s + k): {"seconds": s, "peak_mib": 1.0, "error": ""} for k, s in enumerate(seconds)
    }
    results[str(seconds[0])]["error"] = error
    assert series.summary(results, wall)["within_limits"] is good


@linux
def test_two_kernels_in_the_classroom(tmp_path):
    path = save(tmp_path, "99_slider", SLIDER)
    values = classroom.classroom(path, kernels=2, moves=1, stagger=0)
    assert values["failures"] == [] and values["within_limits"]
    assert values["slider_ms"]["n"] == 2 and values["slider_ms"]["median"] > 0
    assert values["rss_mib"]["median"] >= values["pss_mib"]["median"] > 10
    assert 0 <= values["run_s"]["median"] <= values["run_s"]["max"] < 120  # 0.1초로 반올림합니다


@linux
def test_a_dead_slider_and_a_broken_cell_are_failures(tmp_path, monkeypatch):
    monkeypatch.setattr(classroom, "MOVE_SECONDS", 0.5)
    dead = save(tmp_path, "98_dead", SLIDER.replace("slider.observe", "(lambda *a: None)"))
    values = classroom.classroom(dead, kernels=1, moves=0, stagger=0)
    assert values["failures"] == ["0번: 슬라이더를 옮겼는데 그림이 오지 않았습니다"]
    assert not values["within_limits"]
    broken = save(tmp_path, "97_broken", "1 / 0")
    values = classroom.classroom(broken, kernels=1, moves=0, stagger=0)
    assert "ZeroDivisionError" in values["failures"][0]


class Fake:
    def __init__(self, number, times, failures=()):
        self.number, self.times, self.failures = number, times, list(failures)
        self.seconds, self.memory = 10.0 * number, {"rss": 100.0, "pss": 50.0}


def test_the_classroom_summary_counts_every_move():
    values = classroom.summary([Fake(1, [100.0] * 94), Fake(2, [400.0] * 6)])
    assert values["slider_ms"] == {"n": 100, "median": 100.0, "p95": 400.0, "max": 400.0}
    assert values["pss_mib"] == {"median": 50.0, "max": 50.0, "total": 100.0}
    assert values["run_s"] == {"median": 15.0, "max": 20.0} and values["within_limits"]
    assert not classroom.summary([Fake(1, [251.0])])["within_limits"]
    assert not classroom.summary([Fake(1, [1.0], ["셀"])])["within_limits"]
    assert not classroom.summary([Fake(1, [])])["within_limits"]


def test_the_guide_shows_the_committed_measurement(tmp_path):
    """CLASSROOM.md의 표는 결과 파일에서 나온 것이고, 결과 파일이 없으면 비어 있습니다."""
    shown = classroom.BLOCK.search(classroom.GUIDE.read_text(encoding="utf-8"))[0]
    committed = (results.RESULTS / "benchmark_classroom.json").is_file()
    assert shown == (classroom.report(load_result("benchmark_classroom")) if committed else "")
    measured = classroom.summary([Fake(1, [100.0] * 3), Fake(2, [120.0] * 3)])
    measured |= {"kernels": 2, "notebook": "13_nice_realnvp", "available_drop_mib": 2048.0}
    result = {"values": measured, "card": {"hardware": {"cpu": "어떤 CPU", "cores": 2}}}
    guide = tmp_path / "CLASSROOM.md"
    guide.write_text("앞\n<!-- measured -->\n낡은 것\n<!-- /measured -->\n뒤\n", encoding="utf-8")
    classroom.refresh_guide(result, guide)
    text = guide.read_text(encoding="utf-8")
    assert "커널 2개" in text and "2.0 GiB" in text and "95 % 120 ms" in text
    assert text.startswith("앞\n") and text.endswith("뒤\n") and "낡은" not in text


def test_committed_measurements():
    """벤치마크를 다시 재어 올리면 여기서도 봅니다: 강의 전체는 한도 안에, 교실은 실패 없이."""
    committed = {path.stem for path in results.RESULTS.glob("benchmark_*.json")}
    if "benchmark_series" in committed:
        assert load_result("benchmark_series")["values"]["within_limits"]
    if "benchmark_classroom" in committed:
        assert load_result("benchmark_classroom")["values"]["failures"] == []
