"""조리법: 결과 파일의 모양, 이어 하기, 이름을 모를 때의 안내."""

import json
import math

import pytest
import torch

from course_lib import recipes
from course_lib.datasets import load_digits_images
from course_lib.flows.realnvp import RealNVP
from course_lib.recipes import __main__ as command
from course_lib.recipes import flows, results


def tiny(steps, lr=5e-3):
    return flows.STABILITY | {
        "steps": {"2d": steps, "digits": steps},
        "lr": {"2d": lr, "digits": lr},
        "warmup": 1,
        "batch": 8,
        "test_points": dict.fromkeys(flows.STABILITY["test_points"], 50),
    }


def test_result_file_keeps_values_and_says_how_it_was_made(tmp_path):
    values = {"이름": [1.5, None], "b": {"c": 2}}
    path = recipes.save_result(
        "x", values, command="python -m a", seeds=range(3), seconds=1.26, folder=tmp_path
    )
    result = recipes.load_result("x", tmp_path)
    assert result["values"] == values
    card = result["card"]
    assert card["command"] == "python -m a" and card["seeds"] == [0, 1, 2]
    assert card["seconds"] == 1.3 and card["torch"] == torch.__version__
    assert card["hardware"]["cores"] >= 1 and card["hardware"]["cpu"]
    assert card["hardware"]["threads"] == torch.get_num_threads()
    assert list(tmp_path.iterdir()) == [path]
    assert "이름" in path.read_text(encoding="utf-8")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    arguments = {"command": "c", "seeds": [0], "seconds": 0, "folder": tmp_path}
    path = recipes.save_result("x", {"a": 1}, **arguments)
    with pytest.raises(TypeError):
        recipes.save_result("x", {"a": object()}, **arguments)
    assert recipes.load_result("x", tmp_path)["values"] == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_missing_result_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="course_lib.recipes nothing으로 만드세요"):
        recipes.load_result("nothing", tmp_path)


def test_interrupted_experiments_go_on_where_they_stopped(folders):
    done = []

    def run(key):
        if key["seed"] == 2 and done.count(2) == 0:
            done.append(2)
            raise KeyboardInterrupt
        done.append(key["seed"])
        return {"value": key["seed"] ** 2}

    keys = [{"seed": s} for s in range(4)]
    with pytest.raises(KeyboardInterrupt):
        recipes.run_each("x", keys, run)
    file = folders / "cache" / "x.jsonl"
    with open(file, "a", encoding="utf-8") as f:
        f.write('\n{"key": {"seed": 2}, "val')  # 쓰다가 꺼진 줄
    records = recipes.run_each("x", keys, run)
    assert [r["value"] for r in records] == [0, 1, 4, 9]
    assert done == [0, 1, 2, 2, 3]
    assert all(r["seconds"] >= 0 for r in records)
    recipes.run_each("x", [{"seed": 3, "lr": 1}], run)
    assert done[-1] == 3 and len(done) == 6


def test_stability_recipe_in_miniature(folders, monkeypatch):
    monkeypatch.setattr(flows, "STABILITY", tiny(steps=2))
    assert command.main(["flow_stability", "--seeds", "0", "5"]) == 0
    result = recipes.load_result("flow_stability", folders / "results")
    assert result["card"]["command"] == "python -m course_lib.recipes flow_stability --seeds 0 5"
    assert result["card"]["seeds"] == [0, 5] and result["card"]["seconds"] > 0
    final = result["values"]["final"]
    assert set(final) == {"moons", "banana", "checkerboard", "digits"}
    for data, rows in final.items():
        assert set(rows) == {"NICE", "RealNVP"}
        for row in rows.values():
            a, b = row["per_seed"]
            assert a != b and row["diverged"] == 0
            assert row["median"] == pytest.approx((a + b) / 2)
            assert row["worst_minus_median"] == pytest.approx(abs(a - b) / 2)
            assert row["parameters"] > 1000 and row["cpu_seconds"] > 0
            assert row["unit"] == ("bits/dim" if data == "digits" else "nats")
            if data != "digits":
                assert min(a, b) > row["entropy"]
    # 학습하지 않은 것이나 다름없는 flow도 8×8 숫자에서 자리만큼의 bits/dim을 냅니다.
    assert 2 < final["digits"]["RealNVP"]["median"] < 6


def test_bits_of_the_digits_follow_the_definition():
    """u ~ U[0, 1)로 한 번 역양자화한 픽셀 (k + u)/17로 손으로 계산한 값과 비교합니다."""
    torch.manual_seed(0)
    model, batches, test_bits = flows._digits_flow(RealNVP, {"hidden": [16]})
    torch.nn.init.normal_(model.flow.flows[0].net[-1].bias)
    model.eval()
    x = batches(torch.Generator().manual_seed(0))
    assert x.shape == (256, 64) and 0 <= x.min() and x.max() < 1
    pixels, _ = load_digits_images("test")
    x = ((pixels + torch.rand(pixels.shape)) / 17).flatten(1)
    with torch.no_grad():
        nats = -float(model.log_prob(x).mean())
        assert float(test_bits()) == pytest.approx(
            nats / (64 * math.log(2)) + math.log2(17), abs=0.02
        )


def test_divergence_is_counted_not_hidden(folders, monkeypatch):
    monkeypatch.setattr(flows, "STABILITY", tiny(steps=30, lr=1e30))
    row = flows.flow_stability([0])["final"]["moons"]["RealNVP"]
    assert row["per_seed"] == [None] and row["diverged"] == 1 and row["median"] is None


def test_no_name_lists_the_recipes(capsys):
    assert command.main([]) == 0
    out = capsys.readouterr().out
    assert (
        all(name in out for name in command.RESULT_FILES | command.CHECKPOINTS)
        and "고르세요" in out
    )


def test_unknown_name(capsys):
    assert command.main(["nothing"]) == 2
    captured = capsys.readouterr()
    assert "nothing이라는 조리법은 없습니다" in captured.err and "flow_stability" in captured.out


def test_committed_benchmark_of_realnvp_is_within_a_tenth_of_freia():
    values = recipes.load_result("benchmark_flows")["values"]
    assert values["rounds"] >= 10
    rows = values["times"]["RealNVP"]
    peers = [row for name, row in rows.items() if name.startswith("FrEIA")]
    for job in ("train", "sample"):
        fastest = min(row[job]["cpu"]["median"] for row in peers)
        assert rows["course_lib"][job]["cpu"]["median"] <= 1.10 * fastest
    sizes = {name: row["parameters"] for name, row in rows.items()}
    assert all(size == 83456 for name, size in sizes.items() if name != "course_lib")
    assert sizes["course_lib"] == 83456 + 8 * 32  # 결합층마다 α의 상한 32개가 더 있습니다


def test_committed_banana_says_what_notebook_12_says():
    gap = recipes.load_result("banana_layers")["values"]["gap"]
    assert len(gap["6층"]) == 6 and sum(v > 1.7 for v in gap["6층"]) == 2
    assert min(gap["6층"]) < 0.25 and min(gap["2층"]) > 1.7


def test_committed_vae_is_where_notebook_06_says():
    card = json.loads((results.DATA / "checkpoints" / "vae_conv_16d.json").read_text("utf-8"))
    assert 86.76 < card["metric"]["nll_is5000"] <= 88  # 논문의 1층 VAE보다 나쁘고 목표 안입니다
    assert "gap_is5000_minus_elbo_500" in card["metric"]
