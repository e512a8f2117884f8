"""Gated PixelCNN: 세로 묶음과 가로 묶음으로 맹점을 없앤 조건부 화소 모델.

v^l = gate(W_v^l * v^{l−1} + a_y^l)                                     세로: 윗줄 전체
h^l = h^{l−1} + W_o^l · gate(W_h^l * h^{l−1} + U^l v^l_pre + b_y^l)      가로: 지금 줄의 왼쪽
gate(s) = tanh(s_앞) ⊙ σ(s_뒤)                                          (논문의 식 (2))

PixelCNN은 3×3 마스크를 겹치므로 오른쪽 위로는 한 층에 한 칸씩 대각선으로만 넓어지고, 그 바깥은 깊이와
상관없이 보이지 않습니다. 여기서는 세로 묶음이 윗줄들을 *직사각형*으로 모은 뒤 1×1 합성곱 U로 가로 묶음에
건네므로, 깊이가 그림을 덮으면 앞선 화소를 빠짐없이 봅니다. 덮는 깊이는 ``reach``로 셉니다.

출처: van den Oord et al., "Conditional Image Generation with PixelCNN Decoders", 2016, arXiv 1606.05328.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from course_lib.autoregressive.pixels import PixelModel, WindowCache, raster
from course_lib.nn import MaskedConv2d, ShiftedConv2d


def gate(s: Tensor) -> Tensor:
    """tanh(앞 절반) ⊙ σ(뒤 절반): (B, 2p, H, W) → (B, p, H, W). 식 (2)."""
    a, b = s.chunk(2, 1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """한 층. v (B, p, H, W)의 i번 줄은 x의 i번 줄보다 *위*만 알고, h (B, p, H, W)는 (i, j)까지 압니다.

    첫 층(``first``)은 x를 받습니다. 세로에는 한 줄 내린 x를 넣고, 가로는 마스크 A로 현재 화소를 가립니다.
    잔차 연결은 논문대로 가로에만, 첫 층을 빼고 둡니다.
    """

    def __init__(
        self, in_channels: int, width: int, kernel: int, channels: int, classes: int, first: bool
    ):
        super().__init__()
        half, mask = kernel // 2, "A" if first else "B"
        # 첫 층의 입력은 한 줄 내린 x이므로 위로 half줄이 되려면 지금 줄 위로 half − 1줄을 더 봅니다.
        self.vertical = ShiftedConv2d(in_channels, 2 * width, half - first, half, half)
        self.horizontal = ShiftedConv2d(
            in_channels, 2 * width, 0, half, 0, mask=mask, data_channels=channels, gates=2
        )
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = MaskedConv2d(width, width, 1, "B", channels)
        self.label = nn.Embedding(classes, 4 * width) if classes else None
        if classes:
            nn.init.normal_(self.label.weight, std=0.1)
        self.first = first

    def shift(self, s: Tensor, y: Tensor | None, part: int) -> Tensor:
        """클래스마다의 편향을 더합니다: s + a_y(세로, part 0) 또는 s + b_y(가로, part 1)."""
        if y is None:
            return s
        bias = self.label(y).chunk(2, 1)[part]  # (B, 2p)
        return s + bias[:, :, None, None].to(s.dtype)

    def down(self, v: Tensor, y: Tensor | None, apply: Callable) -> tuple[Tensor, Tensor]:
        """세로 묶음: (v^l, 가로에 건넬 U^l v^l_pre + b_y^l)."""
        s = self.shift(apply(self.vertical, v), y, 0)  # (B, 2p, H, W)
        return gate(s), self.shift(self.link(s), y, 1)

    def across(self, h: Tensor, linked: Tensor, dropout: nn.Module, apply: Callable) -> Tensor:
        """가로 묶음: h^l."""
        new = self.out(dropout(gate(apply(self.horizontal, h) + linked)))
        return new if self.first else h + new


class GatedPixelCNN(PixelModel):
    """Gated PixelCNN. 조건 y는 층마다의 편향으로 들어가며 자리에 따라 달라지지 않습니다.

    width   세로와 가로 각각의 특징 채널 수 p
    layers  층 수(마스크 A인 첫 층을 넣어서)
    first   첫 층의 커널, kernel 나머지 층의 커널(홀수). 논문은 7과 3입니다
    dropout 가로 묶음의 gate 뒤에 적용합니다(논문에는 없습니다. 작은 데이터의 과적합을 막습니다)

    계산: 밀도는 한 번, 표본은 화소(와 채널)마다 한 번. ``sample``의 기본은 층마다 새 칸만 계산합니다.
    논문과 다른 점: 자리에 따라 달라지는 조건(V * s)은 넣지 않았고, 학습 방법은 부르는 쪽에서 정합니다(논문은
    RMSProp).
    """

    def __init__(
        self,
        event_shape,
        levels: int,
        classes: int = 0,
        *,
        width: int = 32,
        layers: int = 5,
        first: int = 7,
        kernel: int = 3,
        dropout: float = 0.0,
    ):
        super().__init__(event_shape, levels, classes)
        channels = self.event_shape[0]
        if layers < 1 or first % 2 == 0 or kernel % 2 == 0 or min(first, kernel) < 3:
            raise ValueError(
                f"layers는 1 이상, 커널은 3 이상의 홀수여야 합니다: {layers}, {first}, {kernel}."
            )
        self.first, self.kernel = first, kernel
        self.layers = nn.ModuleList(
            GatedLayer(
                width if k else channels, width, kernel if k else first, channels, classes, k == 0
            )
            for k in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = MaskedConv2d(width, width, 1, "B", channels)
        self.out = MaskedConv2d(width, channels * levels, 1, "B", channels)

    def reach(self) -> int:
        """위, 왼쪽, 오른쪽 위로 보는 칸의 수. max(H, W) − 1 이상이면 맹점이 없습니다."""
        return self.first // 2 + (len(self.layers) - 1) * (self.kernel // 2)

    def sees(self, i: int, j: int) -> Tensor:
        """(i, j)의 조건부 분포가 이론상 볼 수 있는 화소 (H, W), bool: 위로는 직사각형, 같은 줄은 왼쪽."""
        up = i - torch.arange(self.event_shape[1])[:, None]
        side = torch.arange(self.event_shape[2])[None] - j
        near = (side.abs() <= self.reach()) & (up <= self.reach())
        return near & ((up >= 1) | ((up == 0) & (side < 0)))

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.scaled(x)
        v = pad(h, (0, 0, 1, -1))  # 한 줄 내리기: i번 줄에 i − 1번 줄
        for layer in self.layers:
            v, linked = layer.down(v, y, _whole)
            h = layer.across(h, linked, self.dropout, _whole)
        return self._head(h)

    def _head(self, h: Tensor) -> Tensor:
        """(B, p, H, W) → (B, L, C, H, W). 출력 채널은 색 채널마다 L개씩입니다."""
        out = self.out(relu(self.head(relu(h))))
        return out.unflatten(1, (self.event_shape[0], self.levels)).transpose(1, 2)

    def incremental(self, x: Tensor, y: Tensor | None) -> Callable[[int, int], Tensor]:
        """세로 묶음은 줄마다 한 번, 가로 묶음은 화소마다 한 칸만 계산합니다."""
        channels, height, width = self.event_shape
        cache, linked = WindowCache(height, width), []

        def step(i: int, j: int) -> Tensor:
            if j == 0:  # 새 줄: 윗줄이 모두 정해졌습니다
                v = self.scaled(x[:, :, i - 1 : i]) if i else torch.zeros_like(x[:, :, :1])
                linked.clear()
                for layer in self.layers:
                    v, u = layer.down(v, y, lambda conv, t: cache.row(conv, t, i))
                    linked.append(u)  # (B, 2p, 1, W)
            h = self.scaled(x[:, :, i : i + 1, j : j + 1])
            for layer, u in zip(self.layers, linked, strict=True):
                h = layer.across(
                    h, u[..., j : j + 1], self.dropout, lambda conv, t: cache.column(conv, t, i, j)
                )
            return self._head(h)[..., 0, 0]

        def store(i: int, j: int) -> None:
            pixel = self.scaled(x[:, :, i : i + 1, j : j + 1])
            cache.store(self.layers[0].horizontal, pixel, i, j)

        return raster(step, store, width, repeat=channels > 1)


def _whole(conv: nn.Module, t: Tensor) -> Tensor:
    return conv(t)
