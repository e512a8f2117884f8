"""14장의 결과 파일: 노트북의 문장이 파일과 맞고, 조리법이 작은 설정에서 돕니다."""

import json

import pytest
import torch

from course_lib.recipes import flows as recipes
from course_lib.recipes import load_result
from course_lib.recipes.results import DATA


@pytest.fixture(scope="module")
def final():
    coupling, ordered = (
        load_result(name)["values"]["final"] for name in ("flow_stability", "autoregressive_flows")
    )
    return {data: coupling[data] | ordered[data] for data in ordered}


def test_what_the_notebook_says_about_the_ranking(final):
    median = {data: {m: row["median"] for m, row in rows.items()} for data, rows in final.items()}
    assert all(row["MAF"] < row["NICE"] for row in median.values())
    for data in ("moons", "checkerboard", "digits"):
        assert median[data]["RealNVP"] < median[data]["MAF"]
    assert median["digits"]["MADE MoG"] < median["digits"]["MAF"] - 0.03
    assert abs(median["checkerboard"]["MADE MoG"] - median["checkerboard"]["MAF"]) < 0.01
    banana = final["banana"]
    assert median["banana"]["MADE MoG"] == max(median["banana"].values())
    spread = max(banana["MAF"]["per_seed"]) - min(banana["MAF"]["per_seed"])
    assert 0 < median["banana"]["RealNVP"] - median["banana"]["MAF"] < spread
    for data in ("moons", "banana", "checkerboard"):
        assert abs(median[data]["IAF"] - median[data]["MAF"]) < 0.03
        assert final[data]["IAF"]["cpu_seconds"] > 2 * final[data]["MAF"]["cpu_seconds"]


def test_half_of_the_gap_on_digits_was_the_order_of_the_pixels(final):
    rows = final["digits"]
    gap = {name: row["median"] - rows["RealNVP"]["median"] for name, row in rows.items()}
    assert 0.4 < 1 - gap["MAF(체커보드 순서)"] / gap["MAF"] < 0.7
    best = rows["MAF(체커보드 순서, 은닉 128)"]
    assert abs(best["median"] - rows["RealNVP"]["median"]) < 0.01
    assert best["parameters"] == pytest.approx(2.5 * rows["MAF"]["parameters"], rel=0.02)
    assert rows["MAF(체커보드 순서)"]["parameters"] == rows["MAF"]["parameters"]


def test_the_mnist_card_says_what_the_notebook_says():
    root = DATA.parent
    metric = json.loads((DATA / "checkpoints" / "maf.json").read_text("utf-8"))["metric"]
    error = 2 * metric["log_p_in_logit_space_error"]
    said = f"−{-metric['log_p_in_logit_space']:.1f} ± {error:.1f}(차원당 {metric['bits_per_dim']:.2f}비트)"
    assert said in (root / "notebooks" / "14_maf_iaf.ipynb").read_text("utf-8")
    assert abs(metric["bits_per_dim"] - metric["validation_bits_per_dim"]) < 0.05


def test_twenty_seeds_and_the_bounds(final):
    """시드 20개에서 발산이 없고, 가장 나쁜 시드도 중앙값 + 0.1 nats(숫자는 + 0.05 차원당 비트) 안입니다."""
    rows = {data: rows["MAF"] for data, rows in final.items() if data != "digits"}
    rows["digits"] = final["digits"]["MAF(체커보드 순서, 은닉 128)"]
    for data, row in rows.items():
        assert len(row["per_seed"]) == 20 and row["diverged"] == 0
        assert row["worst_minus_median"] < (0.05 if data == "digits" else 0.1), data
    assert rows["moons"]["median"] < 0.36 and rows["banana"]["median"] < 4.24
    assert rows["digits"]["median"] < 2.13
    assert all(len(row["per_seed"]) >= 10 for data in final.values() for row in data.values())


def test_equal_parameters_and_no_divergence(final):
    for data, rows in final.items():
        size = rows["RealNVP"]["parameters"]
        for model in ("MAF", "MADE MoG", "IAF"):
            if model in rows:
                assert abs(rows[model]["parameters"] / size - 1) < 0.02, (data, model)
        assert all(row["diverged"] == 0 for row in rows.values())
    assert round(final["digits"]["NICE"]["parameters"], -3) == 67_000


def test_the_posterior_file_says_what_the_notebook_says():
    values = load_result("iaf_posterior")["values"]
    gains = [b - a for a, b in zip(*values["elbo"]["2"].values(), strict=True)]
    assert min(gains) < 0 < sum(gains)  # 시드에 따라 뒤집히기도 합니다
    sizes = values["parameters"]
    for k in ("2", "4"):
        assert 0.15 <= sizes[f"{k} IAF"] / sizes[f"{k} 대각"] - 1 < 0.19


def test_the_recipes_in_miniature(monkeypatch, tmp_path):
    from course_lib.recipes import results

    monkeypatch.setattr(results, "UNFINISHED", tmp_path)
    small = {"steps": {"2d": 2, "digits": 2}, "warmup": 1, "batch": 32}
    small["test_points"] = dict.fromkeys(("moons", "banana", "checkerboard"), 50)
    monkeypatch.setattr(recipes, "STABILITY", recipes.STABILITY | small)
    values = recipes.autoregressive_flows([0])
    assert set(values["final"]) == {"moons", "banana", "checkerboard", "digits"}
    ours = [name for name, shapes in recipes.ORDERED.items() if "digits" in shapes]
    assert list(values["final"]["digits"]) == ours and len(ours) == 4
    assert all(r["median"] is not None for rows in values["final"].values() for r in rows.values())
    monkeypatch.setattr(recipes, "POSTERIOR", recipes.POSTERIOR | {"updates": 60, "samples": 2})
    rows = recipes.iaf_posterior([0, 1])["elbo"]
    assert {k: {n: len(v) for n, v in r.items()} for k, r in rows.items()} == {
        k: {"대각": 2, "IAF": 2} for k in ("2", "4")
    }


def test_the_checkerboard_order_visits_every_other_pixel_first():
    from course_lib.flows.maf import MAF

    shape = recipes.ORDERED["MAF(체커보드 순서)"]["digits"]
    model = recipes._digits_flow(MAF, shape)[0].double()
    cells = torch.arange(64).double().expand(1, 64) / 64
    places = (
        model.flow.flows[-1].inverse(cells)[0].argsort().argsort()[0]
    )  # 밝기로 자리를 알아냅니다
    row, column = places // 8, places % 8
    assert sorted(places.tolist()) == list(range(64))
    assert ((row + column) % 2 == torch.arange(64) // 32).all()
    plain = recipes._digits_flow(MAF, recipes.ORDERED["MAF"]["digits"])[0].double()
    assert (plain.flow.flows[-1].inverse(cells)[0].diff() > 0).all()
