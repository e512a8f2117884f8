"""두 장 이상이 함께 쓰는 신경망 조각."""

from collections.abc import Sequence

import torch
from torch import nn


class MLP(nn.Sequential):
    """완전연결 신경망: in_dim → hidden[0] → … → out_dim, 은닉층마다 활성화 함수.

    last_std를 주면 마지막 층의 가중치를 N(0, last_std²)에서, 편향을 0에서 시작합니다. 작은 값이면
    결합층이 항등에 가까운 변환에서 출발하여, 깊이 쌓아도 학습 첫머리가 안정됩니다.
    """

    def __init__(
        self,
        in_dim: int,
        hidden: Sequence[int],
        out_dim: int,
        activation: type[nn.Module] = nn.ReLU,
        dropout: float = 0.0,
        last_std: float | None = None,
    ):
        sizes = [in_dim, *hidden]
        layers: list[nn.Module] = []
        for a, b in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(a, b), activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        last = nn.Linear(sizes[-1], out_dim)
        if last_std is not None:
            torch.nn.init.normal_(last.weight, std=last_std)
            torch.nn.init.zeros_(last.bias)
        super().__init__(*layers, last)
