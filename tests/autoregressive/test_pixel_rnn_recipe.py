"""03장의 조리법: 작은 가짜 자료로 학습, 저장, 저장한 파일로 재기까지."""

import json

import pytest
import torch

from course_lib import checkpoints
from course_lib.datasets import mnist
from course_lib.recipes import pixel_rnn
from course_lib.recipes.results import DATA


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    images = torch.randint(256, (8, 28, 28), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    monkeypatch.setattr(mnist, "load_mnist", lambda split: (images, None))
    monkeypatch.setattr(mnist, "binarised_test", lambda: (images > 127).float())
    monkeypatch.setattr(pixel_rnn, "UNFINISHED", tmp_path)
    monkeypatch.setattr(pixel_rnn, "BATCH", 4)
    monkeypatch.setattr(pixel_rnn, "WARMUP", 1)
    for function in (checkpoints.save_checkpoint, checkpoints.load_checkpoint):
        monkeypatch.setitem(function.__kwdefaults__, "folder", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", list(pixel_rnn.BINARY))
def test_recipe_in_miniature(small_mnist, monkeypatch, name):
    tiny = {"model": {"hidden": 2, "depth": 1, "head": 4}, "epochs": 1}
    monkeypatch.setitem(pixel_rnn.BINARY, name, tiny)
    card = pixel_rnn.CHECKPOINTS[name](name)
    assert json.loads((small_mnist / f"{name}.json").read_text(encoding="utf-8")) == card
    assert "동적" in card["binarisation"] and card["dtype"] == ["float16"]
    # 카드의 지표는 저장한 파일의 것입니다: 손으로 다시 잽니다.
    model = pixel_rnn.build(name).eval()
    checkpoints.load_checkpoint(name, model)
    with torch.no_grad():
        nll = -model.log_prob(mnist.binarised_test()[:, None]).double()
    assert card["metric"]["nll_10000"] == pytest.approx(float(nll.mean()), rel=1e-6)
    assert card["metric"]["nll_standard_error"] == pytest.approx(
        float(nll.std() / 8**0.5), rel=1e-5
    )


def test_shipped_sizes_fit_the_limit():
    """반정밀도로 8 MB를 넘지 않고, 노트북이 build로 같은 모델을 만듭니다."""
    for name in pixel_rnn.BINARY:
        assert sum(p.numel() for p in pixel_rnn.build(name).parameters()) * 2 < 8e6


@pytest.mark.parametrize("name", list(pixel_rnn.BINARY))
def test_the_cards_say_what_notebook_03_says(name):
    text = (DATA.parent / "notebooks" / "03_pixelrnn.ipynb").read_text("utf-8")
    card = json.loads((DATA / "checkpoints" / f"{name}.json").read_text("utf-8"))
    metric, settings = card["metric"], pixel_rnn.BINARY[name]
    value = f"{metric['nll_10000']:.2f} ± {metric['nll_standard_error']:.2f}"
    model = f"{settings['model']['depth']}층 $h={settings['model']['hidden']}$"
    assert f"`{name}`, {model} | {value} | {settings['epochs']} 에폭 |" in text
