"""17장의 조리법과 결과 파일."""

import math

from course_lib import recipes
from course_lib.recipes import __main__ as command
from course_lib.recipes import distillation


def test_recipe_in_miniature(folders, monkeypatch):
    small = distillation.SETTINGS | {"steps": 3, "warmup": 1, "batch": 8, "layers": [1, 2]}
    monkeypatch.setattr(distillation, "SETTINGS", small)
    assert command.main(["distillation_modes", "--seeds", "0", "1"]) == 0
    final = recipes.load_result("distillation_modes", folders / "results")["values"]["final"]
    assert set(final) == {"reverse", "forward"}
    for rows in final.values():
        assert set(rows) == {"1", "2"}
        for row in rows.values():
            assert len(row["shares"]) == len(row["kl"]) == 2 and 0 <= row["lost"] <= 2
            assert all(0 <= a + b <= 1 for a, b in row["shares"])
            assert abs(row["between"] - 1 + sum(map(sum, row["shares"])) / 2) < 1e-9


def test_the_committed_result_says_what_notebook_17_says():
    result = recipes.load_result("distillation_modes")["values"]
    assert result["settings"] == distillation.SETTINGS
    reverse, forward = (result["final"][name] for name in ("reverse", "forward"))
    assert all(len(row["shares"]) == 10 for rows in (reverse, forward) for row in rows.values())
    assert [row["lost"] for row in reverse.values()] == [0, 3, 2]
    assert [row["lost"] for row in forward.values()] == [0, 0, 0]
    assert round(forward["3"]["between"], 3) == 0.080 and round(reverse["3"]["between"], 3) == 0.034
    assert all(abs(kl - 1.88) < 0.04 for kl in reverse["1"]["kl"])  # 걸터앉은 국소 최솟값
    assert abs(math.exp(-(1.5**2) / (2 * 0.5**2)) - 0.011) < 5e-4  # 목표가 두 원 밖에 둔 몫
