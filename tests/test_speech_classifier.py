"""숫자 음성 분류기: 잡음의 성질, 점수표, 체크포인트의 보정."""

import math

import pytest
import torch

from course_lib.checkpoints import load_checkpoint
from course_lib.checks import randomise_
from course_lib.datasets.vowels import make_vowels
from course_lib.speech_classifier import (
    NOISES,
    exposure_loss,
    judge_speech,
    noise_like,
    scores_and_features,
    speech_classifier,
)


@pytest.fixture(scope="module")
def judge():
    model = speech_classifier().eval()
    return model, load_checkpoint("speech_classifier", model)["metric"]


def test_card_keeps_what_the_issue_asks(judge):
    _, metric = judge
    assert metric["test_accuracy"] >= 0.97
    assert metric["real_pass"] >= 0.95 and metric["noise_pass"] <= 0.05
    assert metric["noise_pass"] == max(metric[f"noise_pass_{kind}"] for kind in NOISES)


def test_noise_does_not_pass_the_threshold(judge):
    """카드가 아니라 저장된 가중치에서: 말소리 대신 합성 모음을 본뜬 잡음입니다."""
    model, metric = judge
    x = make_vowels(60, 8192, generator=torch.Generator().manual_seed(0)).x
    x = x * torch.hann_window(4096).repeat(1, 2)[:, :8192]
    for i, kind in enumerate(NOISES):
        noise = noise_like(kind, x, torch.Generator().manual_seed(i))
        sure, _ = scores_and_features(model, noise)
        assert float((sure.amax(1) > metric["threshold"]).float().mean()) <= 0.1, kind


def test_each_noise_keeps_what_it_promises():
    generator = torch.Generator().manual_seed(0)
    x = make_vowels(20, 8192, generator=generator).x.double()
    x[:, 4096:] = 0
    made = {kind: noise_like(kind, x, generator) for kind in NOISES}
    assert all(n.shape == x.shape and float(n.abs().amax()) <= 0.9 + 1e-9 for n in made.values())

    def shape(v):
        return torch.fft.rfft(v).abs() / torch.fft.rfft(v).norm(dim=1, keepdim=True)

    torch.testing.assert_close(shape(made["말소리 스펙트럼"])[:, 1:-1], shape(x)[:, 1:-1])
    loud = made["말소리 포락선"].square().mean(0)
    assert loud[5000:].max() == 0 < loud[:4000].mean()
    spectrum = torch.fft.rfft(made["분홍"]).abs().square().mean(0)
    slope = spectrum[100:200].mean() / spectrum[1000:2000].mean()
    assert 7 < float(slope) < 14  # 1/f: 주파수가 열 배면 전력이 10분의 1
    with pytest.raises(ValueError, match="kind"):
        noise_like("갈색", x, generator)


def test_features_head_rows_and_moved_words():
    torch.manual_seed(0)
    model = randomise_(speech_classifier().double().eval())
    x = make_vowels(3, 8192).x.double()
    with torch.no_grad():
        torch.testing.assert_close(model(x), torch.cat([model(v[None]) for v in x]))
        torch.testing.assert_close(model(x), model.head(model.features(x)))
    probability, features = scores_and_features(model, x)
    torch.testing.assert_close(probability.sum(1), torch.ones(3).double())
    assert features.shape == (3, 48)
    with pytest.raises(ValueError, match="eval"):
        scores_and_features(model.train(), x)


def test_exposure_loss_is_two_cross_entropies():
    model = randomise_(speech_classifier().double().eval())
    x, noise = make_vowels(2, 8192).x.double(), torch.randn(3, 8192).double()
    y = torch.tensor([4, 7])
    real, fake = model(x).log_softmax(1), model(noise).log_softmax(1)
    want = -(real[0, 4] + real[1, 7]) / 2 - fake.mean()
    torch.testing.assert_close(exposure_loss(model, (x, y, noise)), want)


def test_score_card_on_known_answers(judge):
    model, _ = judge
    x = make_vowels(60, 8192, generator=torch.Generator().manual_seed(0)).x
    same = judge_speech(model, x, x, 0.0)
    assert same["frechet"] == pytest.approx(0, abs=1e-3) and same["confident"] == 1
    one = judge_speech(model, x[:1].repeat(60, 1), x, 1.0)
    assert one["class_entropy"] == 0 and one["least_digit"] == 0 and one["confident"] == 0
    assert one["inception"] == pytest.approx(1, abs=1e-6)
    assert same["frechet"] < one["frechet"] and same["class_entropy"] <= math.log(10)
