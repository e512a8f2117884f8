"""생성한 숫자 음성을 심사하는 분류기. 생성 모델의 학습에는 쓰지 않습니다.

어떤 숫자로 들리는지, 진짜 녹음만큼 확신하는지, 특징 공간에서 진짜와 얼마나 다른지(프레셰 거리)를 잽니다.

분류기의 확신만 믿으면 잡음도 "확실한 3"이 될 수 있습니다. 그래서 (1) 잡음에는 열 숫자의 확률이 고르도록 가르치고
(Hendrycks et al., 2019, arXiv 1812.04606의 outlier exposure), (2) 진짜는 통과하고 잡음은 막히도록 확신의
문턱을 검증 자료에서 정합니다. 문턱은 체크포인트의 카드에 있습니다.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_lib.audio import LogMel
from course_lib.classifier import DigitClassifier
from course_lib.evaluation import frechet

LENGTH = 8192  # 표본. 8 kHz에서 1.024초


def speech_classifier(width: int = 48) -> DigitClassifier:
    """파형 (B, 8192) → 로짓 (B, 10). 로그 멜 위의 작은 합성곱 신경망, 특징 48차원.

    시간과 주파수를 함께 훑고 마지막에 시간 축으로 평균하므로 단어가 어디에서 시작하든 같은 특징이 됩니다.
    """

    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    body = nn.Sequential(
        LogMel(hop=128), nn.Unflatten(1, (1, 40)),           # (B, 1, 40, 65)
        *block(1, 16), nn.MaxPool2d(2),                      # (B, 16, 20, 32)
        *block(16, 32), nn.MaxPool2d(2),                     # (B, 32, 10, 16)
        *block(32, 48), nn.MaxPool2d((2, 1)),                # (B, 48, 5, 16)
        nn.Flatten(1, 2), nn.Dropout(0.3),                   # (B, 240, 16)
        nn.Conv1d(240, 64, 3, padding=1), nn.ReLU(),
        nn.AdaptiveMaxPool1d(1), nn.Flatten(),               # (B, 64)
        nn.Dropout(0.3), nn.Linear(64, width), nn.ReLU(),
    )  # fmt: skip
    return DigitClassifier((LENGTH,), body, width)


def exposure_loss(model: DigitClassifier, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """배치 (진짜 x, 숫자 y, 잡음 n)의 교차 엔트로피 + 잡음에서 고른 분포와의 교차 엔트로피, nats."""
    x, y, noise = batch
    logits = model(torch.cat([x, noise]))
    uniform = -logits[len(x) :].log_softmax(1).mean()
    return cross_entropy(logits[: len(x)], y) + uniform


NOISES = ("백색", "분홍", "말소리 스펙트럼", "말소리 포락선")


def noise_like(kind: str, x: Tensor, generator: torch.Generator) -> Tensor:
    """진짜 x (B, T)와 같은 모양의 잡음, 최댓값 0.9.

    백색            N(0, 1)
    분홍            진폭 스펙트럼이 1/√f인 잡음
    말소리 스펙트럼  x의 진폭 스펙트럼은 그대로, 위상만 아무렇게나: 평균 음색은 말, 시간 구조는 없음
    말소리 포락선    백색 잡음에 x의 크기 변화(25 ms 평균)를 곱한 것: 리듬은 말, 음색은 없음
    """
    white = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    if kind == "백색":
        noise = white
    elif kind == "분홍":
        spectrum = torch.fft.rfft(white)
        index = torch.arange(spectrum.shape[-1], dtype=x.dtype).clamp(min=1)
        noise = torch.fft.irfft(spectrum / index.sqrt(), x.shape[-1])
    elif kind == "말소리 스펙트럼":
        spectrum = torch.fft.rfft(x).abs() * torch.exp(1j * torch.fft.rfft(white).angle())
        noise = torch.fft.irfft(spectrum, x.shape[-1])
    elif kind == "말소리 포락선":
        kernel = torch.ones(1, 1, 201, dtype=x.dtype) / 201
        power = nn.functional.conv1d(x.square()[:, None], kernel, padding=100)[:, 0]
        noise = white * power.clamp(min=0).sqrt()
    else:
        raise ValueError(f"kind는 {', '.join(NOISES)} 가운데 하나입니다. 받은 값: {kind!r}.")
    return 0.9 * noise / noise.abs().amax(-1, keepdim=True).clamp(min=1e-8)


@torch.no_grad()
def scores_and_features(model: DigitClassifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """클래스 확률 (N, 10)과 특징 (N, 48). 모델은 ``eval()`` 상태여야 합니다."""
    if model.training:
        raise ValueError("분류기가 train() 상태입니다. model.eval()을 먼저 부르세요.")
    features = torch.cat([model.features(part) for part in x.split(250)])
    return model.head(features).softmax(1), features


def judge_speech(
    model: DigitClassifier, samples: Tensor, real: Tensor, threshold: float
) -> dict[str, float]:
    """표본의 점수표. samples (N, 8192), real (M, 8192)은 파형입니다.

    frechet        특징의 평균과 공분산 사이의 프레셰 거리(작을수록 진짜와 비슷합니다)
    confident      가장 그럴듯한 숫자의 확률이 문턱을 넘는 표본의 비율
    class_entropy  표본마다 가장 그럴듯한 숫자를 센 비율의 엔트로피, nats(고르면 log 10 = 2.303)
    least_digit    가장 드문 숫자의 비율(고르면 0.1)
    inception      exp E KL(p(y|x) ‖ p(y)). 1과 10 사이. 논문과 분류기가 달라 절댓값은 견주지 못합니다.
    """
    probability, ours = scores_and_features(model, samples)
    _, theirs = scores_and_features(model, real)
    share = torch.bincount(probability.argmax(1), minlength=10).double() / len(samples)
    p = probability.double()
    relative = torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))
    return {
        "frechet": frechet(ours, theirs),
        "confident": float((probability.amax(1) > threshold).double().mean()),
        "class_entropy": min(-float(torch.special.xlogy(share, share).sum()), math.log(10)),
        "least_digit": float(share.min()),
        "inception": float(relative.sum(1).mean().exp()),
    }
