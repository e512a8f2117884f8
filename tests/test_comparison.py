"""비교표, 판정, 카드 읽기: 값은 결과에서만 오고, 값이 뒤집히면 판정도 뒤집힙니다."""

import copy
import json

import pytest

from course_lib import comparison, recipes

LIVE = {"chain": 1, "others": 0, "touched": 1.0, "density": 0}
FLOW = {"cached": 1e-12, "rank": 5, "dim": 6}


@pytest.fixture(scope="module")
def values():
    return recipes.load_result("model_comparison")["values"]


def everything(values, total=1.0, live=LIVE, flow=FLOW):
    return [
        *comparison.pixel_and_vae_cells(values, total),
        *comparison.gan_and_vae_cells(values, live),
        *comparison.maf_and_iaf_cells(values, flow),
    ]


def test_every_cell_has_a_source_a_measurement_and_a_verdict_of_its_own(values):
    cells = everything(values)
    assert len(cells) >= 28 and len({c.text for c in cells}) == len(cells)
    table = comparison.cells_table(cells)
    assert table.count("\n") == len(cells) + 1
    for cell in cells:
        assert cell.document.split()[0] in ("N", "L", "F", "J")
        assert any(letter.isdigit() for letter in cell.measured), cell
        assert "|" not in cell.text + cell.measured.replace(r"\mid", "") + cell.note
    # 틀린 말에는 무엇이 맞는지가 붙습니다
    assert all(c.note for c in cells if not c.holds)


def test_verdicts_turn_with_the_numbers(values):
    def cell(values, word, **live):
        found = [c for c in everything(values, **live) if word in c.text]
        assert len(found) == 1, (word, [c.text for c in found])
        return found[0]

    def changed(data, name, field, value):
        other = copy.deepcopy(values)
        other["final"][data][name][field] = [value]
        return other

    assert cell(values, "우도를 직접").holds
    assert not cell(values, "우도를 직접", total=0.97).holds
    for word, data, name, field, value in (
        ("적어도 Test", "digits", "VAE", "ms_1", 1e6),
        ("학습이 빠르다", "digits", "Row LSTM", "steps", 10**6),
        ("심각한 문제", "digits", "VAE", "bits_importance", -50.0),
        ("GAN보다 흐릿하다", "digits", "VAE", "sharpness", 9.0),
        ("MAF: 우도 계산이 빠르다", "digits", "MAF", "density_passes", 325),
        ("MAF: 훈련", "digits", "IAF", "bits", 0.0),
        ("IAF: 표본 추출이 빠르다", "digits", "IAF", "ms_1", 1e6),
        ("늘이고 줄이는", "digits", "RealNVP", "bits", 99.0),
        ("혼합 모델은", "digits", "GMM", "ms_1", 50.0),
    ):
        assert cell(values, word).holds, word
        assert not cell(changed(data, name, field, value), word).holds, word
    assert not cell(values, "마르코프", live=LIVE | {"chain": 8}).holds
    assert not cell(values, "신경망이 가역").holds
    assert cell(values, "신경망이 가역", flow=FLOW | {"rank": 6}).holds
    assert not cell(values, "cache", flow=FLOW | {"cached": 0.5}).holds


def test_a_table_row_for_every_model_and_its_needs(values):
    rows = comparison.table_rows(values)
    assert {row["name"] for row in rows} == set(values["final"]["digits"]) - {"데이터"}
    for row in rows:
        assert set(comparison.NEEDS) >= set(row["needs"])
        assert all(c.key in row for c in comparison.COLUMNS)
    kinds = {row["name"]: row["kind"] for row in rows}
    assert kinds["VAE"] == "하한" and kinds["DCGAN"] == "없음" and kinds["MAF"] == "정확"
    assert next(r for r in rows if r["name"] == "RealNVP")["latent"] == 64
    assert set(comparison.NEED_NOTES) == set(comparison.NEEDS)


def test_gains_are_paired_and_need_two_standard_errors():
    accuracy = {"50": {"진짜만": {"with_real": [0.80, 0.90]},
                       "가": {"with_real": [0.85, 0.95], "alone": [0.5, 0.6]},
                       "나": {"with_real": [0.90, 0.80]}}}  # fmt: skip
    found = comparison.gains({"accuracy": accuracy})["50"]
    assert found["가"].mean == pytest.approx(0.05) and found["가"].error == pytest.approx(0)
    assert found["가"].verdict == "올랐음" and found["나"].verdict == "가리지 못함"
    assert set(comparison.gains({"accuracy": accuracy}, "alone")["50"]) == {"가"}
    assert comparison.gains({"accuracy": accuracy}, "alone")["50"]["가"].verdict == "내렸음"


def test_rank_correlation():
    assert comparison.rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert comparison.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_cards_take_what_is_there(tmp_path):
    card = {"data": "MNIST 학습 이미지", "hours": 1.25, "parameters": 1234, "metric": {}}
    for name, metric in (
        ("nice", {"log_prob_mean": 1900.5}),
        ("gan", {"parzen_test_nats": 142.6, "frechet": 139.5}),
        ("새로운_것", {"frechet": 3.0}),
        ("mnist_classifier", {"test_accuracy": 0.99}),
    ):
        text = json.dumps(card | {"metric": metric}, ensure_ascii=False)
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    speech = json.dumps(card | {"data": "FSDD"}, ensure_ascii=False)
    (tmp_path / "wavenet.json").write_text(speech, encoding="utf-8")
    rows = comparison.mnist_cards(tmp_path)
    assert [row["name"] for row in rows] == ["gan", "nice", "새로운_것"]
    assert rows[0]["frechet"] == 139.5 and "우도가 아님" in rows[0]["likelihood"]
    assert "1900.5" in rows[1]["likelihood"] and rows[2]["likelihood"] is None
    table = comparison.cards_table(rows)
    assert "225 ± 2" in table and table.count("\n") == 4


def test_every_committed_mnist_card_has_a_row_and_its_own_numbers():
    rows = {row["name"]: row for row in comparison.mnist_cards()}
    for path in comparison.CARDS.glob("*.json"):
        card = json.loads(path.read_text(encoding="utf-8"))
        if "MNIST" in card["data"] and "classifier" not in path.stem:
            assert rows[path.stem]["hours"] == card["hours"]
            assert rows[path.stem]["frechet"] == card["metric"].get("frechet")
            assert rows[path.stem]["frechet"] or rows[path.stem]["likelihood"], path.stem


def test_the_one_picture_has_a_point_for_every_model(values):
    figure = comparison.one_picture(values)
    axis = figure.axes[0]
    texts = {t.get_text() for t in axis.texts}
    assert set(values["final"]["digits"]) - {"데이터"} <= texts
    assert axis.get_xscale() == axis.get_yscale() == "log"


def test_the_committed_results_say_what_notebook_a2_says(values):
    """노트북의 글이 그림을 읽어 주는 문장들. 결과를 다시 만들어 어긋나면 글도 고쳐야 합니다."""
    rows = {row["name"]: row for row in comparison.table_rows(values)}
    by = {c: sorted(rows, key=lambda n, c=c: rows[n][c]) for c in ("ms_1", "frechet")}
    assert set(by["ms_1"][-3:]) == {"PixelCNN", "Row LSTM", "MAF"}
    assert by["frechet"][-1] == "IAF" and by["frechet"][0] == "GMM"
    assert set(by["frechet"][:3]) == {"GMM", "NICE", "SNGAN"}
    known = sorted((n for n in rows if rows[n]["bits"]), key=lambda n: rows[n]["bits"])
    assert set(known[:2]) == {"PixelCNN", "Row LSTM"} and known[-2:] == ["GMM", "IAF"]
    rest = known[:-1]
    agree = comparison.rank_correlation(
        [rows[n]["bits"] for n in rest], [rows[n]["frechet"] for n in rest]
    )
    assert agree < 0.3
    assert not any(set(row["needs"]) == set(comparison.NEEDS) for row in rows.values())
    for row in rows.values():  # 정확한 우도와 작은 잠재 변수는 싸웁니다
        assert not {"정확한 우도", "데이터보다 작은 잠재 변수"} <= set(row["needs"])
    grid = values["final"]["grid25"]
    full = {n for n in grid if comparison.middle(grid[n], "modes") == 25}
    assert full == {"MADE MoG", "GMM"}


def test_the_committed_classifiers_say_what_notebook_a2_says():
    values = recipes.load_result("generated_data")["values"]
    gains, alone = comparison.gains(values), comparison.gains(values, "alone")
    fifty = gains["50"]
    assert max(fifty, key=lambda s: fifty[s].mean) == "밀어서 늘린 진짜"
    assert fifty["클래스마다 정규분포"].verdict == fifty["밀어서 늘린 진짜"].verdict == "올랐음"
    made = [row[s] for row in gains.values() for s in alone["50"]]
    assert len(made) == 12 and sum(g.verdict == "올랐음" for g in made) <= 2
    assert all(row["조건부 PixelCNN"].mean < -0.02 for row in gains.values())
    assert all(g.mean < 0 for row in alone.values() for g in row.values())
    for source in alone["50"]:
        assert alone["500"][source].mean < alone["50"][source].mean
