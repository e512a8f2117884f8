"""WaveNet의 조리법: 작은 설정으로 끝까지 돌고, 자르기가 소리와 조건을 맞춥니다."""

import json

import pytest
import torch

from course_lib import checkpoints
from course_lib.audio import LogMel
from course_lib.autoregressive import wavenet as models
from course_lib.recipes import __main__ as command
from course_lib.recipes import results, wavenet


@pytest.fixture
def pretend(small_speech, tmp_path, monkeypatch):
    """작은 모델과 합성 모음, 저장할 곳은 임시 폴더."""
    monkeypatch.setattr(wavenet, "UNFINISHED", tmp_path / "cache")
    saved = {}

    def save(model, name, card, *, measure, half):
        saved[name] = card | {"metric": measure(model.eval()), "half": half}
        return saved[name]

    def load_checkpoint(name, model, **kwargs):
        return {"metric": {"threshold": 0.8}}

    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    monkeypatch.setattr(checkpoints, "load_checkpoint", load_checkpoint)
    return saved


def test_vowel_recipe_in_miniature(pretend, monkeypatch):
    assert command.CHECKPOINTS["wavenet_vowels"] is wavenet.wavenet_vowels
    tiny = {"clips": 8, "length": 600, "crop": 128, "batch": 2, "steps": 2, "test": 5}
    monkeypatch.setattr(wavenet, "VOWELS", wavenet.VOWELS | tiny)
    metric = wavenet.wavenet_vowels("wavenet_vowels")["metric"]
    assert metric["nll"] > metric["nll_breath_entropy"] and 0 <= metric["vowel_accuracy"] <= 1
    assert {"lsd_db", "mcd_db", "mcd_other_vowel_db", "periodicity", "real_periodicity"} <= set(
        metric
    )


def test_speech_recipe_in_miniature(pretend, monkeypatch):
    assert command.CHECKPOINTS["wavenet"] is wavenet.wavenet
    spoken = wavenet.spoken

    def few(split):  # 시험 녹음 열 개만
        return tuple(t[:10] for t in spoken(split))

    monkeypatch.setattr(wavenet, "spoken", few)
    tiny = {
        "crop": 256,
        "batch": 2,
        "steps": 2,
        "balanced_steps": (2, 2),
        "warmup": 1,
        "together": 10,
    }
    monkeypatch.setattr(wavenet, "SPEECH", wavenet.SPEECH | tiny)
    made = torch.zeros(10, 8192).normal_(std=0.1)
    monkeypatch.setattr(wavenet, "speak", lambda model, mel, seed=0: made[: len(mel)])
    card = wavenet.wavenet("wavenet")
    assert card["half"] and "CC BY-SA 4.0" in card["licence"]
    keys = {"nll", "nll_independent_gaussian", "lsd_db", "lsd_other_db", "accuracy", "confident"}
    keys |= {"real_accuracy", "real_confident", "periodicity", "error_db", "linear_error_db"}
    keys |= {"plain_accuracy", "plain_error_db"}
    assert keys <= set(card["metric"])

    monkeypatch.setattr(wavenet, "spoken", spoken)
    values = wavenet.wavenet_samples([0])
    assert values["digit"] == list(range(10)) and len(values["mu_law_base64"]) == 10


def test_the_digit_alone_in_miniature(pretend, tmp_path, monkeypatch):
    assert command.RESULT_FILES["speech_by_digit"][0] is wavenet.speech_by_digit
    tiny = {"crop": 256, "batch": 2, "warmup": 1, "together": 10}
    monkeypatch.setattr(wavenet, "SPEECH", wavenet.SPEECH | tiny)
    monkeypatch.setattr(wavenet, "UNFINISHED", tmp_path)
    monkeypatch.setattr(wavenet, "DIGIT_ONLY", {"steps": (2, 2), "clips": 20})
    asked = []

    class Short(models.WaveNet):  # 20층을 두 층으로, 만드는 소리는 256표본만
        def __init__(self, length, **kwargs):
            super().__init__(length, **(kwargs | {"stacks": 1, "layers": 2, "channels": 2}))

        def generate(self, n, length, y, *, generator):
            asked.append(y)
            made = super().generate(n, 256, y, generator=generator)
            return torch.nn.functional.pad(made, (0, length - 256))

    monkeypatch.setattr(models, "WaveNet", Short)
    values = wavenet.speech_by_digit([0])
    assert torch.equal(torch.cat(asked), torch.arange(20) % 10)
    assert 0 <= values["accuracy"][0] <= 1 and values["loudness"][0] > 0
    assert len(values["periodicity"]) == 1


def test_the_balanced_loss_gives_every_sample_a_mean_gradient_of_its_own_error():
    """−log p의 평균 기울기는 (μ − x)/σ², 균형을 맞춘 것은 μ − x입니다. σ의 기울기도 σ²배로 같은 모양입니다."""
    torch.manual_seed(0)
    x, mean = torch.randn(2, 50, dtype=torch.float64), torch.randn(2, 50, dtype=torch.float64)
    log_sd = torch.empty(2, 50, dtype=torch.float64).uniform_(-6, 1)
    parameters = torch.stack([mean, log_sd], 1).requires_grad_()

    class Given(models.WaveNet):
        def parameters_at(self, x, y=None):
            return parameters

    model = Given(50, output="gaussian", stacks=1, layers=1, channels=2)
    (slope,) = torch.autograd.grad(wavenet.balanced_nll(model, (x, None)), parameters)
    error, variance = mean - x, (2 * log_sd).exp()
    torch.testing.assert_close(slope[:, 0], error / x.numel())
    torch.testing.assert_close(slope[:, 1], (variance - error**2) / x.numel())


def test_prediction_errors_in_decibels():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 8192, generator=generator)
    assert wavenet.error_in_db(0.1 * x, x) == pytest.approx(-20, abs=1e-4)
    x[:, 4096:] *= 1e-3  # 조용한 곳은 세지 않습니다
    assert wavenet.error_in_db(torch.cat([0.1 * x[:, :4096], x[:, 4096:]], 1), x) == pytest.approx(
        -20, abs=1e-4
    )
    # 2차 자기회귀 신호: 선형 예측의 오차는 넣은 잡음이고, 흰 잡음은 예측할 수 없습니다
    noise, y = torch.randn(2, 8192, generator=generator), torch.zeros(2, 8192)
    for t in range(2, 8192):
        y[:, t] = 1.6 * y[:, t - 1] - 0.8 * y[:, t - 2] + noise[:, t]
    residual = wavenet.linear_residual(y)
    assert float(residual[:, 256:].var()) == pytest.approx(float(noise.var()), rel=0.1)
    gain = wavenet.error_in_db(residual, y, loud=0.0)
    assert -12 < gain < -7 and wavenet.error_in_db(wavenet.linear_residual(noise), noise) > -0.6


def test_speaking_in_parts_gives_a_second_for_every_condition(pretend, monkeypatch):
    monkeypatch.setattr(wavenet, "SPEECH", wavenet.SPEECH | {"together": 2})
    mel = LogMel()(torch.randn(3, 512))
    made = wavenet.speak(models.speech_wavenet().eval(), mel)
    assert made.shape == (3, 512) and bool(made.isfinite().all())


def test_crops_keep_sound_and_frames_together_and_stay_within_the_recording():
    torch.manual_seed(0)
    x = torch.randn(400, 8192)
    mel = LogMel()(x)
    length = torch.tensor([1000, 4000, 6000, 8192]).repeat(100)
    waves, frames = wavenet.cut_speech((x, mel, length), torch.Generator().manual_seed(0))
    assert waves.shape == (400, 4096) and frames.shape == (400, 40, 65)
    starts = []
    for i in range(400):
        (found,) = (mel[i, :, :65] - frames[i, :, :1]).abs().sum(0).argmin()[None].tolist()
        assert torch.equal(frames[i], mel[i, :, found : found + 65])
        noise = waves[i] - x[i, 64 * found : 64 * found + 4096]
        assert 0.0023 < float(noise.std()) < 0.0027  # 소리가 그 자리의 것이고 잡음만 더해졌습니다
        starts.append(64 * found)
    starts = torch.tensor(starts)
    assert bool((starts[0::4] == 0).all()) and int(starts[1::4].max()) <= 4000 + 512 - 4096
    assert int(starts[3::4].max()) == 4096 and len(starts[3::4].unique()) > 20


def test_vowel_batches_cut_the_conditions_with_the_sound():
    batches = wavenet.vowel_crops(6, 400, 100, 3)
    whole = wavenet.vowel_crops(6, 400, 400, 6)
    x, (conditions, vowel) = batches(torch.Generator().manual_seed(0))
    full_x, (full, names) = whole(torch.Generator().manual_seed(0))
    for row, c, v in zip(x, conditions, vowel, strict=True):
        places = [
            (i, s) for i in range(6) for s in range(301) if torch.equal(full_x[i, s : s + 100], row)
        ]
        ((i, s),) = places
        assert torch.equal(full[i, :, s : s + 100], c) and names[i] == v


def test_committed_files_say_what_notebook_16_says():
    rates = results.load_result("benchmark_wavenet")["values"]["rates"]
    for row in rates.values():
        naive, plain, ours = (
            row[way]["samples_per_cpu_second"] for way in ("naive", "ring_buffer", "course_lib")
        )
        assert ours > 100 * naive  # 백 배 넘게
        assert ours > 1.5 * plain and 4 < 8000 / naive / 60 < 7  # 1초짜리 소리에 5분쯤
        assert ours < 8000  # 실시간에는 못 미칩니다
    card = json.loads((results.DATA / "checkpoints" / "wavenet_vowels.json").read_text("utf-8"))
    metric = card["metric"]
    assert metric["nll_breath_entropy"] < metric["nll"] < metric["nll_independent_gaussian"] - 2
    assert metric["vowel_accuracy"] > 0.9 and 2 * metric["mcd_db"] < metric["mcd_other_vowel_db"]


def test_the_speech_teacher_says_what_notebook_16_says():
    path = results.DATA / "checkpoints" / "wavenet.json"
    metric = json.loads(path.read_text("utf-8"))["metric"]
    values = results.load_result("wavenet_samples")["values"]
    assert values["card"] == metric and values["digit"] == list(range(10))
    assert wavenet.SPEECH["steps"] == 3500
    assert wavenet.SPEECH["steps"] + sum(wavenet.SPEECH["balanced_steps"]) == 9000
    # 앞 단계만: 큰 소리를 선형 예측보다도 못 맞히고, 만든 소리는 넷 가운데 하나만 읽힙니다
    assert metric["plain_error_db"] > metric["linear_error_db"] + 3
    assert 0.2 < metric["plain_accuracy"] < 0.3
    # 끝까지: 선형 예측을 앞서고 열에 아홉이 읽히며 다른 녹음보다 가깝지만, 되풀이는 진짜의 절반 남짓입니다
    assert metric["error_db"] < metric["linear_error_db"] and metric["nll"] < metric["plain_nll"]
    assert 0.87 < metric["accuracy"] < 0.93 and metric["real_accuracy"] > 0.95
    assert metric["lsd_db"] < metric["lsd_other_db"] < metric["plain_lsd_db"]
    assert 0.5 < metric["periodicity"] / metric["real_periodicity"] < 0.6
    assert sum(a == b for a, b in zip(values["digit"], values["read"], strict=True)) == 8


def test_the_digit_alone_says_what_notebook_16_says():
    values = results.load_result("speech_by_digit")["values"]
    assert values["accuracy"] == [0.16] and values["settings"]["clips"] == 100
    assert sum(values["settings"]["steps"]) == 1600
    assert models.speech_wavenet().receptive_field / 8000 == pytest.approx(0.25, abs=0.01)
