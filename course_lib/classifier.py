"""생성한 그림을 심사하는 분류기. 생성 모델의 학습에는 쓰지 않습니다.

표본이 어떤 숫자인지, 얼마나 확신하는지, 특징 공간에서 데이터와 얼마나 다른지(프레셰 거리)를 잽니다.
28×28은 체크포인트 ``mnist_classifier``를, 8×8은 그 자리에서 몇 초 만에 배운 것을 씁니다.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_lib.base import check_batch
from course_lib.evaluation import frechet
from course_lib.nn import MLP


class DigitClassifier(nn.Module):
    """화소 [0, 1]의 그림 (B, *event_shape) → 로짓 (B, 10). ``features``는 마지막 선형 층의 입력입니다."""

    def __init__(self, event_shape, body: nn.Module, width: int, classes: int = 10):
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.body, self.head = body, nn.Linear(width, classes)

    def features(self, x: Tensor) -> Tensor:
        """판단 직전의 특징 (B, width)."""
        check_batch(x, self.event_shape)
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def mnist_classifier() -> DigitClassifier:
    """28×28 숫자 (B, 1, 28, 28)의 합성곱 분류기, 특징 64차원. 체크포인트의 구조입니다."""

    def block(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    body = nn.Sequential(
        *block(1, 32), *block(32, 32), nn.MaxPool2d(2),      # (B, 32, 14, 14)
        *block(32, 64), *block(64, 64), nn.MaxPool2d(2),     # (B, 64, 7, 7)
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 64), nn.ReLU(),
    )  # fmt: skip
    return DigitClassifier((1, 28, 28), body, 64)


def digits_classifier(hidden: int = 128, width: int = 32) -> DigitClassifier:
    """8×8 숫자를 편 (B, 64)의 MLP 분류기, 특징 32차원."""
    body = nn.Sequential(*MLP(64, (hidden,), width, dropout=0.2), nn.ReLU())
    return DigitClassifier((64,), body, width)


def classification_loss(model: DigitClassifier, batch: tuple[Tensor, Tensor]) -> Tensor:
    """배치 (x, y)의 교차 엔트로피, nats. ``training.fit``에 넘깁니다."""
    x, y = batch
    return cross_entropy(model(x), y)


@torch.no_grad()
def accuracy(model: DigitClassifier, x: Tensor, y: Tensor) -> float:
    """맞힌 비율. 모델은 ``eval()`` 상태여야 합니다."""
    guesses = torch.cat([model(part).argmax(1) for part in x.split(1000)])
    return float((guesses == y).double().mean())


@torch.no_grad()
def judge_samples(
    model: DigitClassifier, samples: Tensor, real: Tensor, sure: float = 0.9
) -> dict[str, float]:
    """표본의 점수표. samples와 real은 화소 [0, 1]의 (N, *event_shape)입니다.

    frechet     특징의 평균과 공분산 사이의 프레셰 거리(작을수록 데이터와 비슷합니다)
    confidence  분류기가 가장 그럴듯하다고 본 클래스의 확률, 평균
    sure        그 확률이 ``sure``를 넘는 표본의 비율
    class_entropy  표본의 클래스 비율의 엔트로피, nats(열 숫자가 고르면 log 10 = 2.303)
    """
    if model.training:
        raise ValueError("분류기가 train() 상태입니다. model.eval()을 먼저 부르세요.")
    scores = torch.cat([model(part) for part in samples.split(1000)]).softmax(1)
    ours = torch.cat([model.features(part) for part in samples.split(1000)])
    theirs = torch.cat([model.features(part) for part in real.split(1000)])
    share = torch.bincount(scores.argmax(1), minlength=scores.shape[1]).double() / len(samples)
    return {
        "frechet": frechet(ours, theirs),
        "confidence": float(scores.amax(1).mean()),
        "sure": float((scores.amax(1) > sure).double().mean()),
        "class_entropy": min(-float(torch.special.xlogy(share, share).sum()), math.log(10)),
    }
