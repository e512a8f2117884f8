"""PixelRNN: 지나온 화소를 LSTM의 상태에 담아 다음 화소를 예측하는 두 모델.

    x ─ 7×7 마스크 A ─ [LSTM 층 + 잔차 연결] × depth ─ (ReLU, 1×1) × 2 ─ 화소마다 L개 값의 softmax

RowLSTM         한 줄을 한꺼번에 계산하고 위에서 아래로 내려갑니다. 위로 갈수록 넓어지는 삼각형만 봅니다.
DiagonalBiLSTM  대각선을 한꺼번에 계산하며 왼쪽 위와 오른쪽 위 모서리에서 두 번 지납니다. 앞선 화소를 모두 봅니다.

로그우도에는 신경망을 한 번 지나며, 그 안에서 층마다 상태를 H번(Row) 또는 H + W − 1번(Diagonal) 차례로 고칩니다.
표본 추출은 화소 수 n만큼 차례로 하며, 상태를 이어 쓰면(``incremental``) 곱셈이 n에, 이어 쓰지 않으면 n²에 비례합니다.

출처: van den Oord, Kalchbrenner, Kavukcuoglu, 2016, arXiv 1601.06759. 논문과 다른 점: (1) 상태에서 상태로 가는
합성곱에는 편향을 두지 않습니다. 편향은 입력에서 상태로 가는 합성곱에 하나면 충분하고, 그래야 그림 밖의 상태가
0이어서 이어 쓰는 계산이 간단합니다. (2) MNIST의 시그모이드는 값이 둘인 softmax로 씁니다(같은 분포입니다).
(3) 표 1의 "ReLU, 1×1 (2층)"에서 둘째 1×1이 로짓을 냅니다. (4) Diagonal BiLSTM의
거울 쪽은 제 자리의 화소 값도 봅니다. 글대로 만들면 앞선 화소 하나를 놓치기 때문입니다(``DiagonalBiLSTMLayer``).
(5) 해상도를 올리는 Multi-Scale PixelRNN은 없습니다.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, linear, pad

from course_lib.autoregressive.pixels import PixelModel
from course_lib.nn import MaskedConv2d


def skew(x: Tensor) -> Tensor:
    """i째 줄을 오른쪽으로 i칸 밉니다: (…, H, W) → (…, H, W + H − 1). 대각선 i + j = t가 t째 열이 됩니다."""
    height = x.shape[-2]
    wide = pad(x, (0, height)).flatten(-2)  # 줄의 길이를 W + H로 늘여 이어 붙이고
    return wide[..., :-height].unflatten(-1, (height, -1))  # W + H − 1씩 다시 자릅니다


def unskew(x: Tensor) -> Tensor:
    """``skew``를 되돌립니다: (…, H, W + H − 1) → (…, H, W)."""
    height, width = x.shape[-2], x.shape[-1] - x.shape[-2] + 1
    return pad(x.flatten(-2), (0, height)).unflatten(-1, (height, -1))[..., :width]


def lstm_cell(gates: Tensor, c: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """논문의 식 (3): c = f ⊙ c' + i ⊙ g, h = o ⊙ tanh c. gates (B, 4h, …), c (B, h, …) → (h, c).

    o, f, i는 시그모이드, g는 tanh를 지난 값입니다. 채널이 R, G, B이면 특징은 앞에서부터 세 묶음이고(groups = 3),
    묶음마다 그 안에서 네 게이트로 나눕니다. 통째로 넷으로 나누면 R의 특징에 B의 게이트가 곱해져 새어 나갑니다.
    """
    o, f, i, g = gates.unflatten(1, (groups, 4, -1)).unbind(2)  # (B, groups, h / groups, …)
    c = f.sigmoid() * c.unflatten(1, (groups, -1)) + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return h.flatten(1, 2), c.flatten(1, 2)


class RowLSTMLayer(nn.Module):
    """Row LSTM 층 하나와 잔차 연결: (B, 2h, H, W) → (B, 2h, H, W). 커널 k는 홀수."""

    def __init__(self, hidden: int, kernel: int = 3, data_channels: int = 1):
        super().__init__()
        self.hidden, self.groups, self.side = hidden, data_channels, kernel // 2
        self.to_state = MaskedConv2d(2 * hidden, 4 * hidden, (1, kernel), "B", data_channels)
        self.state = nn.Conv1d(hidden, 4 * hidden, kernel, padding=self.side, bias=False)
        self.up = MaskedConv2d(hidden, 2 * hidden, 1, "B", data_channels)

    def forward(self, v: Tensor, image: Tensor) -> Tensor:
        """v는 층의 입력. image(신경망에 넣은 그림)는 쓰지 않습니다."""
        gates = self.to_state(v).movedim(2, 0).contiguous()  # 그림 전체를 한꺼번에, (H, B, 4h, W)
        h = c = v.new_zeros(len(v), self.hidden, v.shape[3])
        rows = []
        for row in gates:  # 위에서 아래로 H번
            h, c = lstm_cell(row + self.state(h), c, self.groups)
            rows.append(h)
        return v + self.up(torch.stack(rows).movedim(0, 2))

    def begin(self, x: Tensor, scaled: Callable) -> Callable[[Tensor, int, int], Tensor]:
        """화소 하나씩 계산하는 step(v, i, j): 층의 입력 v (B, 2h) → 출력 (B, 2h). 지나온 상태를 들고 다닙니다."""
        batch, _, height, width = x.shape
        k = 2 * self.side
        inputs = x.new_zeros(batch, 2 * self.hidden, height, width + k)  # 양옆에 0을 덧댑니다
        h = x.new_zeros(batch, self.hidden, height + 1, width + k)  # 맨 위에 0인 줄 하나
        c = x.new_zeros(batch, self.hidden, height + 1, width)
        weight = self.to_state.masked_weight[:, :, 0]  # (4h, 2h, k)

        def step(v: Tensor, i: int, j: int) -> Tensor:
            inputs[:, :, i, j + self.side] = v
            gates = conv1d(inputs[:, :, i, j : j + k + 1], weight, self.to_state.bias)
            gates = gates + conv1d(h[:, :, i, j : j + k + 1], self.state.weight)  # 바로 윗줄
            new, cell = lstm_cell(gates, c[:, :, i, j, None], self.groups)
            h[:, :, i + 1, j + self.side], c[:, :, i + 1, j] = new[..., 0], cell[..., 0]
            return v + _pointwise(self.up, new[..., 0])

        return step


class DiagonalLSTM(nn.Module):
    """한 방향의 대각선 LSTM: 왼쪽 위에서 오른쪽 아래로 지납니다."""

    def __init__(self, hidden: int, data_channels: int = 1):
        super().__init__()
        self.hidden, self.groups = hidden, data_channels
        self.to_state = MaskedConv2d(2 * hidden, 4 * hidden, 1, "B", data_channels)
        self.state = nn.Conv1d(hidden, 4 * hidden, 2, bias=False)  # 위와 왼쪽, 두 이웃

    def forward(self, gates: Tensor) -> Tensor:
        """입력에서 온 몫 K^is ⊛ x (B, 4h, H, W) → 상태 h (B, h, H, W)."""
        columns = skew(gates).movedim(3, 0).contiguous()  # (W + H − 1, B, 4h, H)
        h = c = gates.new_zeros(gates.shape[0], self.hidden, gates.shape[2])
        states = []
        for column in columns:  # 대각선을 하나씩, W + H − 1번
            # 앞 열의 i째 줄은 왼쪽 이웃 (i, j − 1), i − 1째 줄은 위 이웃 (i − 1, j)입니다.
            h, c = lstm_cell(column + self.state(pad(h, (1, 0))), c, self.groups)
            states.append(h)
        return unskew(torch.stack(states).movedim(0, 3))

    def step(self, gates: Tensor, above: Tensor, left: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """화소 하나: 입력에서 온 몫 (B, 4h), 위와 왼쪽의 h, 왼쪽의 c (B, h) → 이 화소의 (h, c)."""
        state = conv1d(torch.stack([above, left], 2), self.state.weight)
        h, c = lstm_cell(gates[..., None] + state, c[..., None], self.groups)
        return h[..., 0], c[..., 0]


class DiagonalBiLSTMLayer(nn.Module):
    """Diagonal BiLSTM 층 하나와 잔차 연결: (B, 2h, H, W) → (B, 2h, H, W).

    거울에 비춰 지난 결과는 한 줄 아래로 내려서 더합니다. 내리지 않으면 같은 줄의 오른쪽, 곧 아직 그리지 않은
    화소가 보입니다. 어차피 내리므로 거울 쪽은 제 자리의 화소 값도 봅니다(``pixel``, 논문에 없는 1×1 합성곱).
    논문의 글대로 특징만 넣으면 맨 오른쪽 화소는 그 줄의 어느 특징에도 들어 있지 않아(마스크 A), 바로 아랫줄의
    왼쪽 화소들이 그것을 끝내 보지 못합니다.
    """

    def __init__(self, hidden: int, data_channels: int = 1):
        super().__init__()
        self.hidden = hidden
        self.left = DiagonalLSTM(hidden, data_channels)
        self.right = DiagonalLSTM(hidden, data_channels)
        self.pixel = nn.Conv2d(data_channels, 4 * hidden, 1, bias=False)
        self.up = MaskedConv2d(hidden, 2 * hidden, 1, "B", data_channels)

    def forward(self, v: Tensor, image: Tensor) -> Tensor:
        """v는 층의 입력, image는 신경망에 넣은 그림 (B, C, H, W)."""
        left = self.left(self.left.to_state(v))
        mirror = (self.right.to_state(v) + self.pixel(image)).flip(3)
        right = self.right(mirror).flip(3)
        right = pad(right, (0, 0, 1, 0))[:, :, :-1]  # 한 줄 아래로
        return v + self.up(left + right)

    def begin(self, x: Tensor, scaled: Callable) -> Callable[[Tensor, int, int], Tensor]:
        """``RowLSTMLayer.begin``과 같습니다. 거울 쪽은 한 줄이 끝날 때마다 그 줄을 오른쪽부터 계산합니다."""
        batch, _, height, width = x.shape
        inputs = x.new_zeros(batch, 2 * self.hidden, height, width)
        border = (batch, self.hidden, height + 1, width + 2)  # 위와 양옆의 0
        h, c, mirror_h, mirror_c = (x.new_zeros(border) for _ in range(4))
        finished = -1  # 거울 쪽을 계산해 둔 마지막 줄

        def mirror_row(i: int) -> None:
            for j in reversed(range(width)):
                gates = _pointwise(self.right.to_state, inputs[:, :, i, j])
                gates = gates + linear(scaled(x[:, :, i, j]), self.pixel.weight[:, :, 0, 0])
                mirror_h[:, :, i + 1, j + 1], mirror_c[:, :, i + 1, j + 1] = self.right.step(
                    gates,
                    mirror_h[:, :, i, j + 1],
                    mirror_h[:, :, i + 1, j + 2],
                    mirror_c[:, :, i + 1, j + 2],
                )

        def step(v: Tensor, i: int, j: int) -> Tensor:
            nonlocal finished
            if finished < i - 1:
                finished = i - 1
                mirror_row(i - 1)
            inputs[:, :, i, j] = v
            here = (slice(None), slice(None), i + 1, j + 1)
            h[here], c[here] = self.left.step(
                _pointwise(self.left.to_state, v),
                h[:, :, i, j + 1],
                h[:, :, i + 1, j],
                c[:, :, i + 1, j],
            )
            return v + _pointwise(self.up, h[here] + mirror_h[:, :, i, j + 1])

        return step


class PixelRNN(PixelModel):
    """두 모델의 공통 부분: 첫 층, LSTM 층들, 출력층, 상태를 이어 쓰는 표본 추출.

    hidden      상태의 크기 h(층 사이의 특징은 2h). 채널이 셋이면 3의 배수여야 합니다
    depth       LSTM 층의 수,  head  출력 쪽 1×1 합성곱의 특징 수
    make_layer  (h, 채널 수) → 층. ``forward``와 ``begin``이 있어야 합니다
    """

    reach = 3  # 첫 층 7×7 커널의 반지름

    def __init__(self, event_shape, levels: int, hidden: int, depth: int, head: int, make_layer):
        super().__init__(event_shape, levels)
        channels = self.event_shape[0]
        if hidden % channels or head % channels or min(hidden, head, depth) < 1:
            raise ValueError(
                f"hidden과 head는 그림의 채널 수 {channels}의 배수, depth는 1 이상이어야 하는데 "
                f"{hidden}, {head}, {depth}을 받았습니다."
            )
        self.first = MaskedConv2d(channels, 2 * hidden, 2 * self.reach + 1, "A", channels)
        self.layers = nn.ModuleList(make_layer(hidden, channels) for _ in range(depth))
        self.head = nn.Sequential(
            nn.ReLU(),
            MaskedConv2d(2 * hidden, head, 1, "B", channels),
            nn.ReLU(),
            MaskedConv2d(head, levels * channels, 1, "B", channels),
        )

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """모든 화소의 조건부 분포의 로짓 (B, L, C, H, W). 신경망을 한 번만 지납니다."""
        image = self.scaled(x)
        features = self.first(image)
        for layer in self.layers:
            features = layer(features, image)
        return self._split(self.head(features))

    def incremental(self, x: Tensor, y: Tensor | None) -> Callable[[int, int], Tensor]:
        """화소 하나의 로짓 (B, L, C)를 지나온 상태로 계산하는 at(i, j). 곱셈의 수가 그림의 크기와 무관합니다."""
        channels, _, width = self.event_shape
        steps = [layer.begin(x, self.scaled) for layer in self.layers]
        weight = self.first.masked_weight[:, :, : self.reach + 1]  # 아래쪽 세 줄은 모두 0입니다
        last = -1  # 마지막으로 계산한 화소의 순번

        def pixel(i: int, j: int) -> Tensor:
            v = conv2d(self._window(x, i, j), weight, self.first.bias)[..., 0, 0]
            for step in steps:
                v = step(v, i, j)
            return self._split(self.head(v[..., None, None]))[..., 0, 0]

        def at(i: int, j: int) -> Tensor:
            # 건너뛴 화소(이미 아는 화소)의 상태부터 따라잡습니다. 채널이 여럿이면 앞 화소의 나머지 채널이
            # 그사이에 채워졌을 수 있으므로 그 화소부터 다시 계산합니다.
            nonlocal last
            target = i * width + j
            start = last + 1 if channels == 1 else max(last, 0)
            for p in range(min(start, target), target + 1):
                parameters = pixel(*divmod(p, width))
            last = target
            return parameters

        return at

    def _window(self, x: Tensor, i: int, j: int) -> Tensor:
        """첫 층이 (i, j)에서 보는 창, (B, C, reach + 1, 2·reach + 1). 그림 밖은 0입니다."""
        top, left = max(i - self.reach, 0), max(j - self.reach, 0)
        right = min(j + self.reach + 1, x.shape[3])
        inside = self.scaled(x[:, :, top : i + 1, left:right])
        return pad(
            inside,
            (left - j + self.reach, j + self.reach + 1 - right, top - i + self.reach, 0),
        )

    def _split(self, out: Tensor) -> Tensor:
        """(B, C·L, H, W) → (B, L, C, H, W)."""
        return out.unflatten(1, (self.event_shape[0], self.levels)).transpose(1, 2)


class RowLSTM(PixelRNN):
    """Row LSTM. 층 N개, LSTM 커널의 반지름 r, 첫 층의 반지름 f이면 화소 (i, j)가 보는 것은 다음이 전부입니다.

    같은 줄        j − (f + Nr) … j − 1
    d줄 위(d ≥ 1)  j − (f + (N + d)r) … j + f + (d − 1)r          (아래로 갈수록 좁아지는 삼각형)
    """

    def __init__(self, event_shape, levels: int, hidden=16, depth=2, head=32, kernel=3):
        def make_layer(hidden, channels):
            return RowLSTMLayer(hidden, kernel, channels)

        super().__init__(event_shape, levels, hidden, depth, head, make_layer)
        self.kernel = kernel

    def sees(self, i: int, j: int) -> Tensor:
        """화소 (i, j)가 볼 수 있는 화소: 위의 식 그대로, (H, W) bool."""
        _, height, width = self.event_shape
        f, r, depth = self.reach, self.kernel // 2, len(self.layers)
        up = i - torch.arange(height)[:, None]  # 몇 줄 위인가
        side = torch.arange(width)[None] - j  # 오른쪽으로 몇 칸인가
        right = torch.where(up == 0, -1, f + (up - 1) * r)
        return (up >= 0) & (side >= -(f + (depth + up) * r)) & (side <= right)


class DiagonalBiLSTM(PixelRNN):
    """Diagonal BiLSTM. 한 층만 있어도 앞선 화소를 하나도 빠짐없이 봅니다."""

    def __init__(self, event_shape, levels: int, hidden=16, depth=2, head=32):
        super().__init__(event_shape, levels, hidden, depth, head, DiagonalBiLSTMLayer)


def _pointwise(layer: MaskedConv2d, v: Tensor) -> Tensor:
    """1×1 마스크 합성곱을 화소 하나에: (B, in) → (B, out)."""
    return linear(v, layer.masked_weight[:, :, 0, 0], layer.bias)
