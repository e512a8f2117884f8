"""A1장의 조리법과 결과 파일."""

import math

from course_lib import recipes
from course_lib.recipes import __main__ as command
from course_lib.recipes import energy


def test_recipe_in_miniature(folders, monkeypatch):
    ways = {name: way | {"k": 2} for name, way in energy.SETTINGS["ways"].items()}
    small = energy.SETTINGS | {"ways": ways, "steps": 2, "batch": 8, "hidden": [8], "buffer": 20}
    monkeypatch.setattr(energy, "SETTINGS", small | {"long": 4, "chains": 20, "points": 60})
    assert command.main(["energy_drift", "--seeds", "0"]) == 0
    final = recipes.load_result("energy_drift", folders / "results")["values"]["final"]
    assert set(final) == set(ways)
    for row in final.values():
        assert all(len(row[name]) == 1 for name in ("kl", "rise", "drift", "energy", "seconds"))
        assert row["kl"][0] > 0 and row["drift"][0] > 0 and math.isfinite(row["rise"][0])


def test_the_committed_result_says_what_notebook_a1_says():
    result = recipes.load_result("energy_drift")["values"]
    assert result["settings"] == energy.SETTINGS
    final = result["final"]
    assert all(len(row["kl"]) == 5 for row in final.values())
    said = {  # KL, 늘어난 −log p, 프레셰
        "replay": (0.079, 0.003, 0.005),
        "persistent": (0.075, -0.010, 0.003),
        "data10": (0.053, 0.011, 0.002),
        "data1": (0.094, 0.127, 0.020),
        "data1_tiny": (0.188, 0.529, 0.018),
        "noise40": (0.085, -0.096, 0.015),
        "noise10": (1.098, -0.142, 0.371),
        "replay_alpha1": (2.597, 302.439, 9.868),
        "replay_spectral": (1.806, 48.495, 1.300),
    }
    for way, numbers in said.items():
        mean = [sum(final[way][name]) / 5 for name in ("kl", "rise", "drift")]
        assert [round(value, 3) for value in mean] == list(numbers), way
    pairs = zip(final["data10"]["kl"], final["replay"]["kl"], strict=True)
    assert all(a < b for a, b in pairs)
    assert min(final["noise10"]["kl"]) > 10 * max(final["replay"]["kl"])
    assert min(final["data1_tiny"]["rise"]) > 0.3 > max(map(abs, final["replay"]["rise"]))
