"""위젯 시험이 함께 쓰는 모델들."""

import pytest
import torch
from small_flows import MODELS
from torch import nn


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture
def bent():
    return MODELS["삼각"]()


@pytest.fixture
def digit_codec():
    """가역 디코더: 직교 변환과 로짓. 8×8 그림을 손실 없이 오갑니다."""
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(64, 64))[0]

    def encode(x):
        return torch.logit(x.flatten(1) * 0.9 + 0.05) @ basis

    def decode(z):
        return ((torch.sigmoid(z @ basis.T) - 0.05) / 0.9).reshape(-1, 8, 8)

    return encode, decode


@pytest.fixture
def small_decoder():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 24), nn.SiLU(),
                         nn.Linear(24, 30), nn.ReLU(), nn.Linear(30, 20), nn.Sigmoid())  # fmt: skip
