"""18장의 조리법: 작은 설정으로 끝까지 돌고, 재는 자가 약속한 것을 잽니다."""

import json

import pytest
import torch

from course_lib import checkpoints
from course_lib.autoregressive import wavenet as models
from course_lib.parallel_wavenet.speed import generation_seconds
from course_lib.recipes import __main__ as command
from course_lib.recipes import parallel_wavenet as recipe
from course_lib.recipes import results, wavenet

SMALL = dict(output="gaussian", stacks=1, layers=2, channels=2)
STUDENT = {"layers": [1, 1], "channels": 3, "cycle": 2}


@pytest.fixture
def pretend(small_speech, tmp_path, monkeypatch):
    """작은 교사와 합성 모음, 저장할 곳은 임시 폴더."""
    card = {"accuracy": 0.9, "lsd_db": 9.0, "lsd_other_db": 15.0, "periodicity": 0.7}
    card |= {"real_periodicity": 0.8, "threshold": 0.8}
    monkeypatch.setattr(recipe, "UNFINISHED", tmp_path / "cache")
    monkeypatch.setattr(results, "UNFINISHED", tmp_path / "cache")
    monkeypatch.setattr(
        checkpoints, "load_checkpoint", lambda *a, **k: {"metric": card, "sha256": "0"}
    )
    monkeypatch.setattr(
        checkpoints,
        "save_checkpoint",
        lambda model, name, card, *, measure, half: card | {"metric": measure(model.eval())},
    )


def test_every_loss_of_the_ablation_in_miniature(pretend, monkeypatch):
    assert command.RESULT_FILES["distillation_losses"][0] is recipe.distillation_losses
    tiny = {"student": STUDENT, "clips": 8, "length": 700, "crop": 600, "batch": 2, "steps": 2}
    tiny |= {"test": 5, "listener_steps": 2}
    monkeypatch.setattr(recipe, "VOWELS", recipe.VOWELS | tiny)
    values = recipe.distillation_losses([0])
    assert set(values["measures"]) == set(recipe.LOSSES)
    names = {"lsd_db", "mcd_db", "periodicity", "loudness", "vowel_accuracy"}
    assert set(values["teacher"]) == set(values["real"]) == names
    for row in values["measures"].values():
        assert set(row) == names | {"kl"} and all(len(v) == 1 for v in row.values())
    assert values["real"]["vowel_accuracy"] == 1
    assert values["real"]["loudness"] == pytest.approx(1, abs=0.05)


def test_the_other_vowel_keeps_pitch_and_phase_and_always_differs():
    frames, vowel = torch.randn(8, 3, 5), torch.arange(8) % 5
    same, other = recipe.other_vowel((frames, vowel))
    assert same is frames and (other != vowel).all() and 0 <= other.min() and other.max() < 5
    assert len({int(v) for v in (other - vowel) % 5}) == 4


def test_speech_student_in_miniature(pretend, monkeypatch):
    assert command.CHECKPOINTS["parallel_wavenet"] is recipe.parallel_wavenet
    monkeypatch.setattr(wavenet, "SPEECH", wavenet.SPEECH | {"crop": 1024, "batch": 2})
    tiny = {
        "student": STUDENT | {"scale": 0.05},
        "batch": 2,
        "start_steps": 2,
        "steps": 2,
        "warmup": 1,
    }
    monkeypatch.setattr(recipe, "SPEECH", recipe.SPEECH | tiny)
    spoken = wavenet.spoken

    def few(split):
        return tuple(part[:30] for part in spoken(split))

    monkeypatch.setattr(wavenet, "spoken", few)
    card = recipe.parallel_wavenet("parallel_wavenet")
    metric = card["metric"]
    assert "CC BY-SA 4.0" in card["licence"] and metric["passes"] == 2
    assert {"accuracy", "lsd_db", "mcd_db", "kl", "teacher_accuracy", "loudness"} <= set(metric)
    started = {"start_accuracy", "start_lsd_db", "start_periodicity", "start_kl"}
    assert started <= set(metric) and "start_passes" not in metric
    rates = [metric[f"samples_per_second_{name}"] for name in ("naive", "cached", "student")]
    assert 0 < rates[0] and rates[2] > rates[0]


def test_speed_is_extrapolated_from_a_full_window_and_names_each_way(pretend):
    torch.manual_seed(0)
    teacher = models.WaveNet(
        512, local=3, hop=1, classes=5, output="gaussian", layers=4, channels=4
    )
    student = recipe.vowel_student(0)
    seen = []
    plain = teacher.parameters_at
    teacher.parameters_at = lambda x, y: (seen.append(x.shape), plain(x, y))[1]
    y = (torch.zeros(1, 3, 2000), torch.tensor([1]))
    seconds = generation_seconds(teacher, student, 2000, y, stretch=3, cached=100)
    assert list(seconds) == ["순진하게", "캐시", "학생"] and min(seconds.values()) > 0
    assert seen == [(1, teacher.receptive_field)] * 4  # 예열 한 번과 잰 것 세 번
    double = generation_seconds(teacher, student, 2000, y, stretch=3, cached=4000)
    assert double["캐시"] > 0
    with pytest.raises(ValueError, match="1 이상"):
        generation_seconds(teacher, student, 0, y)


def test_committed_ablation_says_what_notebook_18_says():
    values = results.load_result("distillation_losses")["values"]
    rows = values["measures"]
    assert list(rows) == list(recipe.LOSSES) and values["settings"]["steps"] == 200

    def mean(name, key):
        return sum(rows[name][key]) / len(rows[name][key])

    # "진짜의 3할 크기이고 모음을 절반도 못 맞힙니다"
    assert 0.25 < mean("KL", "loudness") < 0.35 and mean("KL", "vowel_accuracy") < 0.5
    # "크기를 키우고 되풀이를 또렷하게 합니다. 시드 하나에서는 효과가 작았습니다"
    gains = [
        b / a for a, b in zip(rows["KL"]["loudness"], rows["KL + 파워"]["loudness"], strict=True)
    ]
    assert sorted(gains)[0] < 1.3 < sorted(gains)[1]
    assert mean("KL + 파워", "periodicity") > mean("KL", "periodicity")
    # "거리가 모든 시드에서 줄고 모음도 더 맞습니다. 크기는 그대로입니다"
    for key, better in (("lsd_db", -1), ("vowel_accuracy", 1)):
        pairs = zip(rows["KL"][key], rows["KL + 지각"][key], strict=True)
        assert all(better * (b - a) > 0 for a, b in pairs)
    assert mean("KL + 지각", "loudness") == pytest.approx(mean("KL", "loudness"), rel=0.05)
    # "아무것도 고치지 못했습니다. KL만 몇 배로 커졌습니다"
    for key in ("lsd_db", "mcd_db"):
        assert mean("KL + 대조", key) > mean("KL", key)
    assert mean("KL + 대조", "vowel_accuracy") < mean("KL", "vowel_accuracy")
    assert mean("KL + 대조", "kl") > 3 * mean("KL", "kl")


def test_the_committed_pair_says_what_notebook_18_says():
    path = results.DATA / "checkpoints"
    ours, theirs = (
        json.loads((path / f"{name}.json").read_text("utf-8"))["metric"]
        for name in ("parallel_wavenet", "wavenet")
    )
    assert recipe.SPEECH["start_steps"] == 1500 and recipe.SPEECH["steps"] == 1000
    values = results.load_result("parallel_wavenet_samples")["values"]
    assert values["digit"] == values["read"] == list(range(10))  # 열 개가 모두 제 숫자로 읽힙니다
    # "목표(0.75)를 넘고, 교사보다도 잘 읽히고, 교사보다 녹음에 가깝습니다"
    assert ours["accuracy"] > max(0.75, theirs["accuracy"]) + 0.03
    assert ours["lsd_db"] < theirs["lsd_db"] < theirs["lsd_other_db"]
    # "되풀이는 교사보다 낫지만 진짜에는 못 미칩니다"
    assert theirs["periodicity"] + 0.1 < ours["periodicity"] < theirs["real_periodicity"] - 0.2
    # 스펙트럼 손실만 배웠을 때: 정확도와 거리는 이미 그만하고, KL은 두 배 넘게 크고, 되풀이가 덜합니다
    assert abs(ours["start_accuracy"] - ours["accuracy"]) < 0.04
    assert abs(ours["start_lsd_db"] - ours["lsd_db"]) < 0.3
    assert ours["start_kl"] > 2 * ours["kl"]
    assert 0.04 < ours["periodicity"] - ours["start_periodicity"] < 0.12
    # "순진한 방법의 이천 배가 넘고 캐시의 열 배가 넘습니다"
    naive, cached, student = (
        ours[f"samples_per_second_{key}"] for key in ("naive", "cached", "student")
    )
    assert student > 2000 * naive and 10 * cached < student < 20 * cached and student > 8000
