"""17장의 조리법과 결과 파일."""

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
