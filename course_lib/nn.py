"""두 장 이상이 함께 쓰는 신경망 조각."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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


class MaskedConv2d(nn.Conv2d):
    """마스크 합성곱: 래스터 순서로 뒤에 오는 화소를 보지 못합니다. (B, in, H, W) → (B, out, H, W).

    가운데 줄의 오른쪽과 그 아래 줄의 가중치에 0을 곱합니다. 한가운데(현재 화소)는 채널 묶음으로 정합니다.
    mask "A"는 앞선 묶음만, "B"는 자기 묶음까지 봅니다. 그림의 채널이 R, G, B로 셋이면 특징 채널도 앞에서부터
    세 묶음으로 나눕니다(data_channels = 3). 흑백이면 A는 현재 화소를 보지 못하고 B는 봅니다.

    출처: van den Oord et al., 2016, arXiv 1601.06759, 3.4절. 마스크는 버퍼이고 ``forward``에서 곱하므로
    최적화기가 가중치를 어떻게 바꾸어도 새지 않습니다.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        mask: str,
        data_channels: int = 1,
    ):
        height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * 2
        if mask not in ("A", "B") or height % 2 == 0 or width % 2 == 0:
            raise ValueError(
                f'mask는 "A"나 "B", 커널은 홀수여야 합니다: {mask!r}, {kernel_size}를 받았습니다.'
            )
        if min(in_channels, out_channels) < data_channels:
            raise ValueError(
                f"채널 {in_channels} → {out_channels}을 {data_channels}묶음으로 나눌 수 없습니다."
            )
        super().__init__(
            in_channels, out_channels, (height, width), padding=(height // 2, width // 2)
        )
        visible = torch.zeros(out_channels, in_channels, height, width)
        visible[:, :, : height // 2] = 1
        visible[:, :, height // 2, : width // 2] = 1
        group_in = torch.arange(in_channels) * data_channels // in_channels
        group_out = (torch.arange(out_channels) * data_channels // out_channels)[:, None]
        here = group_in < group_out if mask == "A" else group_in <= group_out
        visible[:, :, height // 2, width // 2] = here.float()
        self.register_buffer("mask", visible, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """마스크를 곱한 가중치 (out, in, kh, kw)."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.masked_weight, self.bias)


class Maxout(nn.Linear):
    """맥스아웃: 선형 조각 여러 개 가운데 가장 큰 값. (B, in_features) → (B, units).

    h_j(x) = max_p (w_{jp}·x + b_{jp}),  p = 1, …, pieces

    출처: Goodfellow et al., 2013, arXiv 1302.4389. 활성화 함수를 정해 두지 않고 조각마다 배우며, 조각의 최댓값이므로
    단위 하나하나는 x의 볼록 함수입니다. 매개변수는 같은 크기의 선형 층의 ``pieces``배입니다.
    """

    def __init__(self, in_features: int, units: int, pieces: int):
        if min(in_features, units, pieces) < 1:
            raise ValueError(
                f"크기는 모두 1 이상이어야 합니다: 입력 {in_features}, 단위 {units}, 조각 {pieces}."
            )
        super().__init__(in_features, units * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(-1, (-1, self.pieces)).amax(-1)  # (B, units, pieces)
