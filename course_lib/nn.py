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


class MaskedLinear(nn.Linear):
    """가중치에 0과 1의 마스크를 곱하는 선형층: y = (W ⊙ M) x + b.

    mask  (out, in) 또는 여러 벌 (K, out, in). 1(True)인 자리만 이어집니다. ``forward(x, k)``의 k가 몇 번째
          벌을 쓸지 정합니다. ``weight.data``를 지우지 않고 계산할 때 곱하므로 optimiser가 무엇을 하든 새지 않습니다.
    마스크는 모델의 구조라서 체크포인트에 저장하지 않습니다.
    """

    def __init__(self, in_dim: int, out_dim: int, mask: torch.Tensor, bias: bool = True):
        super().__init__(in_dim, out_dim, bias)
        if mask.shape[-2:] != self.weight.shape or mask.ndim not in (2, 3):
            raise ValueError(
                f"mask의 모양은 (out, in) = ({out_dim}, {in_dim})이거나 그 앞에 K가 붙어야 하는데 "
                f"{tuple(mask.shape)}을 받았습니다."
            )
        masks = mask.bool().reshape(-1, *self.weight.shape)
        self.register_buffer("masks", masks, persistent=False)

    def forward(self, x: torch.Tensor, k: int = 0) -> torch.Tensor:
        return nn.functional.linear(x, self.weight * self.masks[k], self.bias)
