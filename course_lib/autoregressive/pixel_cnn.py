"""PixelCNN: 마스크 합성곱만으로 모든 화소의 조건부 분포를 한 번에 구하는 모델.

h ← M_A(x),  h ← h + 1×1(relu(M_B(relu(1×1(relu(h))))))를 여러 번,  로짓 = 1×1(relu(1×1(relu(h))))

순환 상태가 없어 학습은 병렬이지만 표본은 여전히 화소를 하나씩 그립니다. 3×3 마스크 B는 윗줄에서 오른쪽으로
한 칸만 보므로, 층을 쌓아도 오른쪽 위는 기울기 1의 대각선까지만 보입니다. 그 바깥이 맹점입니다
(``sees``가 정확한 모양을 줍니다). Gated PixelCNN이 이것을 고칩니다.

출처: van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks", 2016, arXiv 1601.06759.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from course_lib.autoregressive.pixels import PixelModel, WindowCache, raster
from course_lib.nn import MaskedConv2d


class ResidualBlock(nn.Module):
    """논문 그림 5의 블록: 2h → h(1×1) → h(3×3, 마스크 B) → 2h(1×1), 그리고 입력을 더합니다."""

    def __init__(self, width: int, kernel: int, channels: int):
        super().__init__()
        self.squeeze = MaskedConv2d(2 * width, width, 1, "B", channels)
        self.masked = MaskedConv2d(width, width, kernel, "B", channels)
        self.widen = MaskedConv2d(width, 2 * width, 1, "B", channels)

    def forward(self, h: Tensor, apply: Callable) -> Tensor:
        inside = relu(self.squeeze(relu(h)))
        return h + self.widen(relu(apply(self.masked, inside)))


class PixelCNN(PixelModel):
    """논문의 PixelCNN. 첫 층은 마스크 A, 나머지는 마스크 B입니다.

    width   블록 안의 특징 채널 수 h(블록 사이는 2h)
    layers  층 수: 마스크 A인 첫 합성곱 하나와 잔차 블록 layers − 1개
    first, kernel  첫 층과 블록의 커널(홀수). 논문은 7과 3입니다

    계산: 밀도는 한 번, 표본은 화소(와 채널)마다 한 번. ``sample``의 기본은 층마다 새 칸만 계산합니다.
    논문과 다른 점: 배치 정규화와 RMSProp을 쓰지 않습니다. 특징 채널이 셋으로 나뉘지 않아도 앞에서부터
    고르게 묶습니다.
    """

    def __init__(
        self,
        event_shape,
        levels: int,
        *,
        width: int = 32,
        layers: int = 7,
        first: int = 7,
        kernel: int = 3,
    ):
        super().__init__(event_shape, levels)
        channels = self.event_shape[0]
        if layers < 1:
            raise ValueError(f"layers는 1 이상이어야 합니다: {layers}.")
        self.first = MaskedConv2d(channels, 2 * width, first, "A", channels)
        self.blocks = nn.ModuleList(
            ResidualBlock(width, kernel, channels) for _ in range(layers - 1)
        )
        self.head = MaskedConv2d(2 * width, width, 1, "B", channels)
        self.out = MaskedConv2d(width, channels * levels, 1, "B", channels)

    def sees(self, i: int, j: int) -> Tensor:
        """(i, j)의 조건부 분포가 이론상 볼 수 있는 화소 (H, W), bool. 채널은 따지지 않습니다.

        첫 층은 (i, j)보다 앞선 화소 가운데 커널 안의 것만 봅니다. 마스크 B는 같은 창에 자기 자리를 더한
        것이므로, 층을 하나 쌓을 때마다 보이는 칸에서 창만큼 더 넓어집니다.
        """
        _, height, width = self.event_shape
        seen = torch.zeros(height, width, dtype=torch.bool)
        seen[i, j] = True
        for layer in [*[block.masked for block in self.blocks], self.first]:
            top, side = layer.kernel_size[0] // 2, layer.kernel_size[1] // 2
            wider = torch.zeros_like(seen)
            for r, c in seen.nonzero().tolist():
                wider[max(0, r - top) : r, max(0, c - side) : c + side + 1] = True
                wider[r, max(0, c - side) : c + (layer is not self.first)] = True
            seen = wider
        return seen

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self._network(self.scaled(x), lambda conv, t: conv(t))

    def _network(self, x: Tensor, apply: Callable) -> Tensor:
        """``apply(합성곱, 입력)``은 창이 1보다 큰 합성곱을 계산합니다: 그림 전체로, 또는 한 칸만."""
        h = apply(self.first, x)  # (B, 2h, H, W)
        for block in self.blocks:
            h = block(h, apply)
        out = self.out(relu(self.head(relu(h))))
        return out.unflatten(1, (self.event_shape[0], self.levels)).transpose(1, 2)

    def incremental(self, x: Tensor, y: Tensor | None) -> Callable[[int, int], Tensor]:
        """화소마다 층마다 새 칸 하나만 계산합니다."""
        channels, height, width = self.event_shape
        cache = WindowCache(height, width)

        def pixel(i: int, j: int) -> Tensor:
            return self.scaled(x[:, :, i : i + 1, j : j + 1])

        def step(i: int, j: int) -> Tensor:
            return self._network(pixel(i, j), lambda conv, t: cache.column(conv, t, i, j))[
                ..., 0, 0
            ]

        def store(i: int, j: int) -> None:
            cache.store(self.first, pixel(i, j), i, j)

        return raster(step, store, width, repeat=channels > 1)
