"""15장의 조리법과 결과 파일."""

import pytest

from course_lib import recipes
from course_lib.recipes import __main__ as command
from course_lib.recipes import gaussianization, results


def test_recipe_in_miniature(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "DATA", tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "UNFINISHED", tmp_path / "cache")
    small = gaussianization.STABILITY | {
        "steps": {"2d": 2, "digits": 2},
        "warmup": 1,
        "batch": 8,
        "test_points": dict.fromkeys(gaussianization.STABILITY["test_points"], 50),
    }
    monkeypatch.setattr(gaussianization, "STABILITY", small)
    digits = gaussianization.SETTINGS["digits"] | {"steps": 2, "warmup": 1}
    settings = gaussianization.SETTINGS | {"digits": digits, "stability": small}
    monkeypatch.setattr(gaussianization, "SETTINGS", settings)
    assert command.main(["flow_stability_15", "--seeds", "0"]) == 0
    final = recipes.load_result("flow_stability_15", tmp_path / "results")["values"]["final"]
    assert set(final) == {"moons", "banana", "checkerboard", "digits"}
    for data, rows in final.items():
        assert set(rows) == {"Gaussianization", "MintNet"}
        for row in rows.values():
            assert row["diverged"] == 0 and row["parameters"] > 900 and row["cpu_seconds"] > 0
            assert row["median"] == row["per_seed"][0]
            assert data == "digits" or row["median"] > row["entropy"]
    assert all(2 < row["median"] < 9 for row in final["digits"].values())


def test_the_committed_result_says_what_notebook_15_says():
    before = recipes.load_result("flow_stability")["values"]
    result = recipes.load_result("flow_stability_15")["values"]
    assert result["settings"]["stability"] == before["settings"]  # 학습률 말고는 같은 규약
    assert result["settings"]["lr"] == 2 * before["settings"]["lr"]["2d"] == 0.01
    mine, old = result["final"], before["final"]
    for data in ("moons", "banana", "checkerboard"):
        median = {m: r["median"] for m, r in (mine[data] | old[data]).items()}
        best = "Gaussianization" if data == "checkerboard" else "RealNVP"
        assert min(median, key=median.get) == best
        assert max(median, key=median.get) == "NICE"
        assert mine[data]["MintNet"]["parameters"] == pytest.approx(
            old[data]["RealNVP"]["parameters"], rel=0.1
        )
        assert median["RealNVP"] < median["MintNet"]
        assert old[data]["RealNVP"]["parameters"] > 20 * mine[data]["Gaussianization"]["parameters"]
    for data, rows in mine.items():
        for row in rows.values():
            assert row["diverged"] == 0 and len(row["per_seed"]) == 10
            assert row["worst_minus_median"] <= (0.05 if data == "digits" else 0.1)
    # 단계당 CPU 시간은 RealNVP의 세 배쯤입니다(2차원은 단계 수가 같습니다)
    slow = [
        mine[d]["Gaussianization"]["cpu_seconds"] / old[d]["RealNVP"]["cpu_seconds"]
        for d in ("moons", "banana", "checkerboard")
    ]
    assert 2 < sorted(slow)[1] < 4.5
    for name in ("Gaussianization", "MintNet"):  # 정해 둔 한계
        assert mine["moons"][name]["median"] <= 0.36 and mine["banana"][name]["median"] <= 4.24
    assert 8 * result["settings"]["digits"]["steps"] < before["settings"]["steps"]["digits"]
    digits = {m: r["median"] for m, r in (mine["digits"] | old["digits"]).items()}
    assert digits["RealNVP"] < digits["Gaussianization"] < digits["RealNVP"] + 0.04
    assert digits["Gaussianization"] < 2.13 < digits["MintNet"] < digits["NICE"]
