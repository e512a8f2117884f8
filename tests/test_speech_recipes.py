"""숫자 음성의 조리법: 작은 설정으로 끝까지 돌고, 배치가 약속한 것을 지킵니다."""

import json

import pytest
import torch

from course_lib import checkpoints
from course_lib.datasets import speech as fsdd
from course_lib.datasets.vowels import make_vowels
from course_lib.recipes import __main__ as command
from course_lib.recipes import results, speech
from course_lib.speech_classifier import speech_classifier


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """FSDD 대신 합성 모음, 저장할 곳은 임시 폴더."""
    x = (32767 * make_vowels(90, 3000, generator=torch.Generator().manual_seed(0)).x).short()

    def load(split):
        n = 90 if split == "train" else 60
        labels = torch.arange(n) * 10 // n
        return fsdd.SpokenDigits(list(x[:n]), labels, ["가", "나"] * (n // 2))

    monkeypatch.setattr(fsdd, "load_fsdd", load)
    monkeypatch.setattr(speech, "UNFINISHED", tmp_path / "cache")
    saved = {}

    def save(model, name, card, *, measure, half):
        saved[name] = card | {"metric": measure(model.eval()), "half": half}
        return saved[name]

    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    return saved


def test_both_recipes_in_miniature(pretend, monkeypatch):
    assert command.CHECKPOINTS["wavegan"] is speech.wavegan
    monkeypatch.setattr(
        speech, "CLASSIFIER", speech.CLASSIFIER | {"epochs": 1, "batch": 20, "warmup": 1}
    )
    assert set(speech.speech_classifier("speech_classifier")["metric"]) >= {
        "threshold",
        "real_pass",
    }
    tiny = {"width": 1, "batch": 4, "steps": 9, "stop": 2, "samples": 60}
    monkeypatch.setattr(speech, "WAVEGAN", speech.WAVEGAN | tiny)
    card = speech.wavegan("wavegan")
    assert card["half"] and "CC BY-SA 4.0" in card["licence"]
    metric = card["metric"]
    for key in ("frechet", "confident", "class_entropy", "least_digit", "inception", "periodicity"):
        assert {key, "real_" + key, "untrained_" + key} <= set(metric)
    assert metric["generator_steps"] == 2 and metric["inception"] >= 1


def test_classifier_measure_picks_the_threshold_on_validation(pretend):
    torch.manual_seed(0)
    metric = speech.measure_classifier(speech_classifier().eval())
    assert 0.1 <= metric["threshold"] <= 1 and 0 <= metric["noise_pass"] <= 1
    assert metric["worst_speaker_accuracy"] <= metric["test_accuracy"]


def test_validation_is_the_takes_5_to_9():
    order = [(digit, who, take) for digit in range(10) for who in range(6) for take in range(5, 50)]
    data = fsdd.SpokenDigits([torch.ones(5)] * 2700, torch.zeros(2700), [])
    _, _, held = speech._train_and_validation(data, lambda w: torch.zeros(len(w), 1))
    assert {take for (_, _, take), h in zip(order, held.tolist(), strict=True) if h} == set(
        range(5, 10)
    )
    assert int(held.sum()) == 300


def test_batches_move_words_and_add_noise():
    x = torch.zeros(16, 8192)
    x[:, :100] = 0.5
    moved, y, noise = speech.moved_with_noise(
        (x, torch.arange(16)), torch.Generator().manual_seed(0)
    )
    starts = moved.argmax(1)
    assert len(set(starts.tolist())) > 8 and 0 <= starts.min() and starts.max() < 3072
    assert torch.equal(moved.sum(1), x.sum(1)) and torch.equal(y, torch.arange(16))
    assert noise.shape == (8, 8192)


def test_windows_match_length_and_loudness():
    long, short = torch.arange(1, 9001).short(), torch.tensor([0, -200, 100]).short()
    x = fsdd.windows([long, short], 8192)
    assert x.shape == (2, 8192) and x.dtype == torch.float32
    assert x.abs().amax(1).tolist() == pytest.approx([0.9, 0.9])
    assert x[1, :3].tolist() == pytest.approx([0, -0.9, 0.45]) and (x[1, 3:] == 0).all()
    for wrong in ([], [torch.zeros(5).short()]):
        with pytest.raises(ValueError, match="신호"):
            fsdd.windows(wrong)


def test_committed_wavegan_says_what_notebook_11_says():
    card = json.loads((results.DATA / "checkpoints" / "wavegan.json").read_text("utf-8"))
    metric = card["metric"]
    assert metric["generator_steps"] == speech.WAVEGAN["stop"] and card["bytes"] < 8_000_000
    assert round(metric["frechet"]) == 357 and round(metric["untrained_frechet"]) == 823
    assert metric["frechet"] > 50 * metric["real_frechet"] and round(metric["real_frechet"]) == 6
    assert metric["confident"] == pytest.approx(0.115) and metric["least_digit"] == 0.002
    assert round(metric["class_entropy"], 2) == 1.80
    voices = [round(metric[k + "periodicity"], 2) for k in ("untrained_", "", "real_")]
    assert voices == [0.35, 0.56, 0.78]
