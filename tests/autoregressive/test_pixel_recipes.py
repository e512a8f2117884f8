"""04장의 조리법: 작은 가짜 자료로 학습, 저장, 저장한 파일로 재기까지."""

import json
import math
import re

import pytest
import torch

from course_lib import checkpoints
from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN
from course_lib.autoregressive.pixel_cnn import PixelCNN
from course_lib.autoregressive.pixel_cnn_pp import PixelCNNPP
from course_lib.datasets import mnist
from course_lib.recipes import pixel_cnn, results


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (128, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (128,), generator=generator)
    monkeypatch.setattr(mnist, "load_mnist", lambda split: (images, labels))
    monkeypatch.setattr(mnist, "binarised_test", lambda: (images > 127).float())
    monkeypatch.setattr(pixel_cnn, "UNFINISHED", tmp_path)
    monkeypatch.setattr(results, "UNFINISHED", tmp_path)
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path)
    for function in (checkpoints.save_checkpoint, checkpoints.load_checkpoint):
        monkeypatch.setitem(function.__kwdefaults__, "folder", tmp_path)
    return tmp_path


def test_gated_recipe_in_miniature(small_mnist, monkeypatch):
    settings = {
        "model": {"classes": 10, "width": 8, "layers": 2, "first": 3, "kernel": 3},
        "epochs": 1,
        "lr": 1e-3,
    }
    monkeypatch.setattr(pixel_cnn, "GATED", settings)
    monkeypatch.setattr(pixel_cnn, "WARMUP", 1)
    card = pixel_cnn.gated_pixelcnn("gated_pixelcnn")
    assert json.loads((small_mnist / "gated_pixelcnn.json").read_text(encoding="utf-8")) == card
    assert "동적" in card["binarisation"] and card["dtype"] == ["float16"]
    # 카드의 지표는 저장한 파일의 것입니다: 손으로 다시 잽니다.
    model = GatedPixelCNN((1, 28, 28), 2, **settings["model"])
    checkpoints.load_checkpoint("gated_pixelcnn", model)
    model.eval()
    x, y = mnist.binarised_test()[:, None], mnist.load_mnist("test")[1]
    with torch.no_grad():
        joint = torch.stack([model.log_prob(x, torch.full_like(y, k)) for k in range(10)])
    given = joint.gather(0, y[None])[0]
    metric = card["metric"]
    assert metric["nll_given_label_10000"] == pytest.approx(-float(given.mean()), rel=1e-6)
    joint = joint.double()
    marginal = -float((joint.logsumexp(0) - torch.tensor(10.0).double().log()).mean())
    assert metric["nll_2000"] == pytest.approx(marginal, rel=1e-6)
    assert 300 < metric["nll_2000"] < 800  # 무작위 화소: 784 log 2 = 543 nats 근처


def test_plain_recipe_in_miniature(small_mnist, monkeypatch):
    settings = {"model": {"width": 4, "layers": 2}, "epochs": 1, "lr": 1e-3}
    monkeypatch.setattr(pixel_cnn, "PLAIN", settings)
    monkeypatch.setattr(pixel_cnn, "WARMUP", 1)
    card = pixel_cnn.plain_pixelcnn("pixel_cnn")
    model = PixelCNN((1, 28, 28), 2, **settings["model"])
    checkpoints.load_checkpoint("pixel_cnn", model)
    with torch.no_grad():
        nll = -model.eval().log_prob(mnist.binarised_test()[:, None]).double()
    assert card["metric"]["nll_10000"] == pytest.approx(float(nll.mean()), rel=1e-6)
    error = float(nll.std() / len(nll) ** 0.5)
    assert card["metric"]["nll_standard_error"] == pytest.approx(error, rel=1e-4)


def test_pp_recipe_in_miniature(small_mnist, monkeypatch):
    settings = {
        "model": {"mixtures": 2, "width": 4, "scales": 2, "blocks": 1},
        "epochs": 1,
        "lr": 1e-3,
    }
    monkeypatch.setattr(pixel_cnn, "PP", settings)
    monkeypatch.setattr(pixel_cnn, "WARMUP", 1)
    card = pixel_cnn.pixelcnn_pp("pixelcnn_pp")
    model = PixelCNNPP((1, 28, 28), 256, **settings["model"])
    checkpoints.load_checkpoint("pixelcnn_pp", model)
    with torch.no_grad():
        x = mnist.load_mnist("test")[0][:, None].float()
        bits = -model.eval().log_prob(x).mean() / (784 * math.log(2))
    assert card["metric"]["bits_per_dim_10000"] == pytest.approx(float(bits), rel=1e-5)
    assert 7.5 < card["metric"]["bits_per_dim_10000"] < 12  # 균등한 화소는 8비트입니다


def test_committed_benchmark_meets_its_goals():
    values = results.load_result("benchmark_pixelcnn")["values"]
    assert values["rounds"] >= 10 and values["work"]["shape"] == [1, 28, 28]
    train, sample = values["train"], values["sample"]
    assert train["Gated PixelCNN"]["median_ms"] <= 3.6 * train["PixelCNN"]["median_ms"]
    assert sample["naive_s_extrapolated"] >= 10 * sample["cached_s"]
    assert sample["same_samples_float64"] is True


def test_the_cards_say_what_notebook_04_says():
    text = (results.DATA.parent / "notebooks" / "04_pixelcnn.ipynb").read_text("utf-8")
    cards = {
        name: json.loads((results.DATA / "checkpoints" / f"{name}.json").read_text("utf-8"))
        for name in pixel_cnn.CHECKPOINTS
    }
    plain, gated, pp = (cards[name]["metric"] for name in pixel_cnn.CHECKPOINTS)
    assert f"{plain['nll_10000']:.2f} ± {plain['nll_standard_error']:.2f} nats" in text
    assert f"{gated['nll_2000']:.2f} nats. 레이블을 주면 {gated['nll_given_label_10000']:.2f}" in text
    assert f"{pp['bits_per_dim_10000']:.3f} ± {pp['standard_error']:.3f} bits/dim" in text
    for name, settings in zip(
        cards, (pixel_cnn.PLAIN, pixel_cnn.GATED, pixel_cnn.PP), strict=True
    ):
        assert re.search(rf"\| `{name}`.*\| {settings['epochs']} 에폭 \|", text)
    # 레이블이 줄 수 있는 정보는 많아야 log 10 nats입니다
    assert 0 < gated["nll_2000"] - gated["nll_given_label_2000"] < math.log(10)
    lost = gated["nll_2000"] - gated["nll_given_label_2000"]
    assert f"{gated['nll_given_label_2000']:.2f}으로 {lost:.2f} nats 낮아지고" in text
    # "매개변수와 학습 시간이 Gated PixelCNN의 절반이 안 되고", "일흔 배 남짓"
    for field in ("parameters", "hours"):
        assert cards["pixel_cnn"][field] < 0.5 * cards["gated_pixelcnn"][field]
    assert 70 < results.load_result("benchmark_pixelcnn")["values"]["ratios"]["naive_over_cached"] < 80
