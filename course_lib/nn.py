"""두 장 이상이 함께 쓰는 신경망 조각."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


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


def channel_mask(in_channels: int, out_channels: int, mask: str, data_channels: int) -> Tensor:
    """같은 화소 안에서 볼 수 있는 채널이면 1, (out, in). 채널을 앞에서부터 data_channels묶음으로 나눕니다."""
    group_in = torch.arange(in_channels) * data_channels // in_channels
    group_out = (torch.arange(out_channels) * data_channels // out_channels)[:, None]
    return (group_in < group_out if mask == "A" else group_in <= group_out).float()


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
        here = channel_mask(in_channels, out_channels, mask, data_channels)
        visible[:, :, height // 2, width // 2] = here
        self.register_buffer("mask", visible, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """마스크를 곱한 가중치 (out, in, kh, kw)."""
        return self.weight * self.mask

    def window(self) -> tuple[Tensor, int, int, int]:
        """지금 줄까지의 가중치 (out, in, kh//2 + 1, kw)와 위, 왼쪽, 오른쪽으로 보는 칸의 수."""
        top, side = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        return self.masked_weight[:, :, : top + 1], top, side, side

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.masked_weight, self.bias)


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


class ShiftedConv2d(nn.Conv2d):
    """과거 쪽으로 치우친 합성곱: 출력 (i, j)가 입력의 i − top … i번 줄, j − left … j + right번 칸을 봅니다.

    커널은 (top + 1) × (left + 1 + right)이고 왼쪽과 위에만 0을 덧대므로 마스크로 버리는 곱셈이 없습니다.
    right = 0이고 ``mask``("A" 또는 "B")를 주면 마지막 칸(현재 화소)을 채널 묶음으로 가립니다.
    gates = 2이면 출력 채널의 앞 절반과 뒤 절반을 저마다 묶음으로 나눕니다(gate가 둘을 짝지어 곱하므로).
    stride = 2이면 (2i, 2j) 자리의 출력만 남깁니다. (B, in, H, W) → (B, out, ⌈H/stride⌉, ⌈W/stride⌉)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        top: int,
        left: int,
        right: int,
        *,
        stride: int = 1,
        mask: str | None = None,
        data_channels: int = 1,
        gates: int = 1,
    ):
        super().__init__(in_channels, out_channels, (top + 1, left + 1 + right), stride)
        self.top, self.left, self.right = top, left, right
        visible = None
        if mask is not None:
            here = channel_mask(in_channels, out_channels // gates, mask, data_channels)
            visible = torch.ones_like(self.weight)
            visible[:, :, -1, -1] = here.repeat(gates, 1)
        self.register_buffer("mask", visible, persistent=False)

    def window(self) -> tuple[Tensor, int, int, int]:
        """(가중치 (out, in, top + 1, left + 1 + right), top, left, right)."""
        weight = self.weight if self.mask is None else self.weight * self.mask
        return weight, self.top, self.left, self.right

    def forward(self, x: Tensor) -> Tensor:
        weight, top, left, right = self.window()
        return self._conv_forward(pad(x, (left, right, top, 0)), weight, self.bias)


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
