"""NADE와 MADE 체크포인트의 조리법을 지어낸 이미지로 작게 돌립니다."""

import functools
import json

import pytest
import torch

from course_lib import checkpoints
from course_lib.datasets import mnist
from course_lib.recipes import __main__ as command
from course_lib.recipes import autoregressive, results

SMALL = {
    "nade": {"model": {"hidden": 4}, "epochs": 2, "lr": 1e-2},
    "made": {"model": {"hidden": (6, 6), "masks": 2}, "epochs": 2, "lr": 1e-2},
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    g = torch.Generator().manual_seed(0)
    images = torch.randint(256, (200, 28, 28), generator=g, dtype=torch.uint8)
    bits = torch.randint(2, (30, 28, 28), generator=g).float()
    monkeypatch.setattr(mnist, "load_mnist", lambda split: (images, None))
    monkeypatch.setattr(mnist, "binarised_test", lambda: bits)
    monkeypatch.setattr(autoregressive, "BINARY", SMALL)
    monkeypatch.setattr(autoregressive, "UNFINISHED", tmp_path / "cache")
    monkeypatch.setattr(results, "UNFINISHED", tmp_path / "cache")
    save = functools.partial(checkpoints.save_checkpoint, folder=tmp_path)
    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    return tmp_path, bits


@pytest.mark.parametrize("name", SMALL)
def test_recipe_stores_a_model_and_its_exact_test_nll(small, name):
    folder, bits = small
    assert command.main([name]) == 0
    model = autoregressive.build(name)
    card = checkpoints.load_checkpoint(name, model, folder=folder)
    with torch.no_grad():
        nll = -model.log_prob(bits.flatten(1))
    assert card["metric"]["nll_10000"] == pytest.approx(float(nll.mean()), rel=1e-5)
    assert card["metric"]["nll_standard_error"] == pytest.approx(
        float(nll.std() / 30**0.5), rel=1e-4
    )
    assert card["command"] == f"python -m course_lib.recipes {name}"
    assert "float16" in card["dtype"]


@pytest.mark.parametrize("name", SMALL)
def test_an_interrupted_recipe_goes_on_bit_for_bit(small, name, monkeypatch):
    from course_lib import training

    folder, _ = small
    monkeypatch.setattr(autoregressive, "BATCH", 50)  # 8단계

    def weights():
        autoregressive.binary_mnist(name)
        return (folder / f"{name}.safetensors").read_bytes()

    straight = weights()
    (folder / "cache" / f"{name}.safetensors").unlink()
    fit = training.fit

    def stops(*args, **options):
        for step in fit(*args, **options | {"save_every": 1}):
            yield step
            if step["step"] == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", stops)
    with pytest.raises(KeyboardInterrupt):
        autoregressive.binary_mnist(name)
    monkeypatch.setattr(training, "fit", fit)
    assert weights() == straight


def test_the_real_sizes_fit_the_limit():
    for name in autoregressive.BINARY:
        state = autoregressive.build(name).state_dict().values()
        stored = sum(t.numel() * (2 if t.is_floating_point() else t.element_size()) for t in state)
        assert stored < checkpoints.MAX_BYTES - 10_000


def test_the_cards_say_what_notebook_02_says():
    text = (results.DATA.parent / "notebooks" / "02_autoregressive_models.ipynb").read_text("utf-8")
    nll = {
        name: json.loads((results.DATA / "checkpoints" / f"{name}.json").read_text("utf-8"))[
            "metric"
        ]["nll_10000"]
        for name in autoregressive.BINARY
    }
    assert f"| {nll['nade']:.2f} / {nll['made']:.2f} |" in text
    for name, settings in autoregressive.BINARY.items():
        assert f"`{name}`({settings['epochs']} 에폭)" in text
    assert nll["nade"] < nll["made"]  # "NADE보다 못합니다"
