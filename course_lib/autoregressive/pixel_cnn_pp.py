"""PixelCNN++: 이산화한 로지스틱 혼합, 같은 화소 안의 채널 조건, 해상도를 오르내리는 신경망.

P(x_c = v) = Σ_k π_k [σ((v + δ − μ_k)/s_k) − σ((v − δ − μ_k)/s_k)],   δ = 1/(L − 1), v ∈ [−1, 1]
             맨 아래 칸은 −∞부터, 맨 위 칸은 +∞까지 모으므로 L개의 합이 정확히 1입니다
μ_{k,c} ← μ_{k,c} + Σ_{c'<c} α_{k,c,c'} x_{c'}                          (G는 R에, B는 R과 G에)

softmax는 값 127과 128이 이웃이라는 것을 모르지만, 이 분포는 세 수(π, μ, s)로 이웃한 값을 함께 올립니다.

출처: Salimans, Karpathy, Chen, Kingma, "PixelCNN++", 2017, arXiv 1701.05517, 식 (2)–(3).
논문과 다른 점: 가중치 정규화와 그 초기화, 가중치의 이동 평균을 쓰지 않습니다. 해상도마다 오를 때와 내릴 때의
블록 수가 같고, 해상도를 올리는 층은 겹치지 않는 2×2 전치 합성곱입니다. 칸의 확률이 작을 때 논문의 코드는
중앙의 밀도로 바꾸어 어림하지만, 여기서는 σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b})를 로그로 써서 그대로 구합니다.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, logsigmoid, pad

from course_lib.autoregressive.pixels import PixelModel, WindowCache, raster
from course_lib.nn import ShiftedConv2d


def bin_log_prob(v: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """[−1, 1]에 놓인 값 v의 칸에 로지스틱 분포가 주는 확률의 로그, nats. 모양은 셋을 맞춘 것.

    b, a = (v ± δ − μ)/s일 때 log σ(b) + log σ(−a) + log(1 − e^{−2δ/s}). 두 σ를 빼지 않으므로 꼬리에서도
    0이 되지 않고 기울기가 유한합니다.
    """
    delta, rate = 1 / (levels - 1), torch.exp(-log_scale)
    b, a = (v + delta - mean) * rate, (v - delta - mean) * rate
    inside = logsigmoid(b) + logsigmoid(-a) + torch.log(-torch.expm1(-2 * delta * rate))
    out = torch.where(v < delta - 1, logsigmoid(b), inside)
    return torch.where(v > 1 - delta, logsigmoid(-a), out)


def concat_elu(t: Tensor) -> Tensor:
    """elu([t, −t]): 채널이 두 배가 되고 두 부호가 모두 살아남습니다."""
    return elu(torch.cat([t, -t], 1))


class GatedBlock(nn.Module):
    """t + a ⊙ σ(b), [a, b] = conv(dropout(concat_elu(conv(concat_elu(t)) + 1×1(concat_elu(aux))))) + 편향_y.

    aux  지름길로 들어오는 특징: 가로 흐름에는 같은 층의 세로 흐름, 오르는 길에는 내려올 때의 특징
    """

    def __init__(
        self, width: int, window: tuple[int, int, int], aux: int, dropout: float, classes: int
    ):
        super().__init__()
        self.first = ShiftedConv2d(2 * width, width, *window)
        self.second = ShiftedConv2d(2 * width, 2 * width, *window)
        self.aux = nn.Conv2d(2 * aux, width, 1) if aux else None
        self.dropout = nn.Dropout(dropout)
        self.label = nn.Embedding(classes, 2 * width) if classes else None
        with torch.no_grad():
            self.second.weight.mul_(0.1)  # 항등에 가까운 변환에서 출발합니다

    def forward(self, t: Tensor, aux: Tensor | None, y: Tensor | None, run) -> Tensor:
        inside = run.conv(self.first, concat_elu(t))
        if aux is not None:
            inside = inside + self.aux(concat_elu(aux))
        out = run.conv(self.second, self.dropout(concat_elu(inside)))
        if y is not None:
            out = out + self.label(y)[:, :, None, None].to(out.dtype)
        a, b = out.chunk(2, 1)
        return t + a * b.sigmoid()


DOWN, DOWN_RIGHT = (1, 1, 1), (1, 1, 0)  # (위, 왼쪽, 오른쪽): 2×3과 2×2


class Stream(nn.Module):
    """세로(u) 또는 가로(ul) 흐름: 해상도 s = 0 … S − 1을 내려갔다가 올라오는 신경망."""

    def __init__(self, width, scales, blocks, window, aux, dropout, classes):
        super().__init__()

        def stage(extra: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.ModuleList(
                    GatedBlock(width, window, extra, dropout, classes) for _ in range(blocks)
                )
                for _ in range(scales)
            )

        self.fall, self.rise = stage(aux), stage(aux + width)
        pairs = range(scales - 1)
        self.narrow = nn.ModuleList(ShiftedConv2d(width, width, *window, stride=2) for _ in pairs)
        self.widen = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, stride=2) for _ in pairs)

    def forward(self, t: Tensor, y: Tensor | None, run, beside: dict | None = None) -> dict:
        """블록마다의 특징 {(s, "내려감" | "올라감", 번호): (B, F, H/2^s, W/2^s)}.

        beside  가로 흐름에 곁들일 세로 흐름의 특징(같은 열쇠)
        """
        features: dict = {}

        def visit(s: int, t: Tensor) -> Tensor:
            run.scale = s
            for k, block in enumerate(self.fall[s]):
                aux = None if beside is None else run.pick(beside[s, "내려감", k])
                t = features[s, "내려감", k] = block(t, aux, y, run)
            if s < len(self.narrow):
                low = run.narrow(self.narrow[s], t)
                if low is not None:
                    low = visit(s + 1, low)
                    run.scale = s
                t = run.widen(self.widen[s], low)
            for k, block in enumerate(self.rise[s]):
                aux = features[s, "내려감", len(self.fall[s]) - 1 - k]  # 거울처럼 마주 보는 지름길
                if beside is not None:
                    aux = torch.cat([run.pick(beside[s, "올라감", k]), aux], 1)
                t = features[s, "올라감", k] = block(t, aux, y, run)
            return t

        visit(0, t)
        return features


class Whole:
    """그림 전체를 한 번에 계산합니다."""

    scale = 0

    def conv(self, layer, t: Tensor) -> Tensor:
        return layer(t)

    narrow = widen = conv

    def pick(self, t: Tensor) -> Tensor:
        return t


class Piece:
    """새 줄 하나(j = None) 또는 새 칸 하나만 계산합니다. 낮은 해상도는 짝수 줄과 칸에서만 새로 생깁니다."""

    def __init__(self, caches: list[WindowCache], raised: dict):
        self.caches, self.raised = caches, raised  # 해상도마다의 창, 올린 특징 (B, F, 2, W)
        self.i, self.j, self.scale = 0, None, 0

    def conv(self, layer, t: Tensor) -> Tensor:
        cache, i = self.caches[self.scale], self.i >> self.scale
        if self.j is None:
            return cache.row(layer, t, i)
        return cache.column(layer, t, i, self.j >> self.scale)

    def narrow(self, layer, t: Tensor) -> Tensor | None:
        out = self.conv(layer, t)
        odd = (self.i >> self.scale) % 2 or (self.j is not None and (self.j >> self.scale) % 2)
        return None if odd else out

    def widen(self, layer, low: Tensor | None) -> Tensor:
        i, j = self.i >> self.scale, None if self.j is None else self.j >> self.scale
        if low is not None:
            high = layer(low)  # (B, F, 2, W) 또는 (B, F, 2, 2)
            if j is None:
                self.raised[layer] = high
            else:
                width = self.caches[self.scale].width
                empty = high.new_zeros(*high.shape[:3], width)
                self.raised.setdefault(layer, empty)[..., j : j + 2] = high
        high = self.raised[layer][:, :, i % 2 : i % 2 + 1]
        return high if j is None else high[..., j : j + 1]

    def pick(self, t: Tensor) -> Tensor:
        j = self.j >> self.scale
        return t[..., j : j + 1]


class PixelCNNPP(PixelModel):
    """PixelCNN++. 255단계든 17단계든 화소마다의 매개변수 수가 같습니다.

    mixtures  로지스틱 분포의 수 K, width 특징 채널 수 F
    scales    해상도의 수 S: 높이와 너비가 2^{S−1}로 나누어떨어져야 합니다. 1이면 오르내리지 않습니다
    blocks    해상도마다, 내려갈 때와 올라올 때 각각의 블록 수

    출력은 화소마다 K(1 + 2C + C(C−1)/2)개: 혼합 비율, 평균, 로그 크기, 채널 계수. 채널들이 혼합 성분 하나를
    함께 고릅니다. ``log_prob``는 이 값으로 바로 계산하고, ``logits``는 L개 값의 로그확률을 모두 펴 보입니다
    (표본 추출과 시험용. L이 크면 메모리를 많이 씁니다).
    """

    MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 20.0

    def __init__(
        self,
        event_shape,
        levels: int,
        classes: int = 0,
        *,
        mixtures: int = 10,
        width: int = 32,
        scales: int = 2,
        blocks: int = 2,
        dropout: float = 0.0,
    ):
        super().__init__(event_shape, levels, classes)
        channels, height, img_width = self.event_shape
        factor = 2 ** (scales - 1) if scales >= 1 else 0
        if factor == 0 or height % factor or img_width % factor or min(mixtures, blocks) < 1:
            raise ValueError(
                f"scales={scales}이면 그림의 높이와 너비 {height}×{img_width}이 2^(scales−1)로 나누어떨어져야 "
                "하고, mixtures와 blocks는 1 이상이어야 합니다."
            )
        self.mixtures, self.scales = mixtures, scales
        inside = channels + 1  # 1로 채운 채널: 0으로 덧댄 바깥과 값이 0인 화소를 구별합니다
        self.above = ShiftedConv2d(inside, width, *DOWN)
        self.above_row = ShiftedConv2d(inside, width, 0, 1, 1)
        self.left = ShiftedConv2d(inside, width, 1, 0, 0)
        arguments = (dropout, classes)
        self.u = Stream(width, scales, blocks, DOWN, 0, *arguments)
        self.ul = Stream(width, scales, blocks, DOWN_RIGHT, width, *arguments)
        pairs = channels * (channels - 1) // 2
        self.out = nn.Conv2d(width, mixtures * (1 + 2 * channels + pairs), 1)

    def _input(self, x: Tensor) -> Tensor:
        return pad(self.scaled(x), (0, 0, 0, 0, 0, 1), value=1.0)  # (B, C + 1, H, W)

    def _last(self, features: dict) -> Tensor:
        return self.out(elu(features[0, "올라감", len(self.u.rise[0]) - 1]))

    def parameters_of(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """화소마다의 분포를 정하는 값 (B, K(1 + 2C + C(C−1)/2), H, W). (i, j)의 값은 앞선 화소만 봅니다."""
        t = self._input(x)
        down, right = pad(t, (0, 0, 1, -1)), pad(t, (1, -1))  # 한 줄 내리기, 한 칸 밀기
        features = self.u(self.above(down), y, Whole())
        start = self.above_row(down) + self.left(right)
        return self._last(self.ul(start, y, Whole(), features))

    def _split(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(log π (B, K, …), μ와 log s (B, K, C, …)). x (B, C, …)는 [−1, 1]로 옮긴 값입니다."""
        k, c = self.mixtures, x.shape[1]
        log_pi, rest = theta[:, :k].log_softmax(1), theta[:, k:].unflatten(1, (k, -1))
        mean, log_scale, alpha = rest.split([c, c, c * (c - 1) // 2], 2)
        means, used = [], 0
        for channel in range(c):  # μ_c ← μ_c + Σ α x_{c'}
            coefficients = alpha[:, :, used : used + channel].tanh()
            used += channel
            means.append(mean[:, :, channel] + (coefficients * x[:, None, :channel]).sum(2))
        return (
            log_pi,
            torch.stack(means, 2),
            log_scale.clamp(self.MIN_LOG_SCALE, self.MAX_LOG_SCALE),
        )

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Σ_{i,j} log Σ_k π_k Π_c P_k(x_c), nats, (B,)."""
        self.check_pixels(x)
        theta = self.parameters_of(x, self.check_classes(y, len(x))).to(x.dtype)
        v = self.scaled(x)
        log_pi, mean, log_scale = self._split(theta, v)
        each = bin_log_prob(v[:, None], mean, log_scale, self.levels).sum(2)  # (B, K, H, W)
        return (log_pi + each).logsumexp(1).flatten(1).sum(1)

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self._table(self.parameters_of(x, y).to(x.dtype), self.scaled(x))

    def _table(self, theta: Tensor, v: Tensor) -> Tensor:
        """모든 값의 로그확률 (B, L, C, …). 채널 c의 혼합 비율은 앞선 채널을 본 뒤의 것입니다."""
        log_w, mean, log_scale = self._split(theta, v)
        grid = self.scaled(torch.arange(self.levels, dtype=v.dtype, device=v.device))
        grid = grid.view(-1, *[1] * (v.ndim - 1))  # (L, 1, …), 성분 축 앞에 둡니다
        tables = []
        for c in range(v.shape[1]):
            args = mean[:, None, :, c], log_scale[:, None, :, c]
            each = bin_log_prob(grid[None], *args, self.levels)  # (B, L, K, …)
            tables.append((log_w[:, None] + each).logsumexp(2))
            # 베이즈 정리: w_k ∝ w_k P_k(x_c)
            seen = bin_log_prob(v[:, None, c], mean[:, :, c], log_scale[:, :, c], self.levels)
            log_w = (log_w + seen).log_softmax(1)
        return torch.stack(tables, 2)

    def incremental(self, x: Tensor, y: Tensor | None) -> Callable[[int, int], Tensor]:
        """세로 흐름은 줄마다 한 번, 가로 흐름은 화소마다 한 칸. 낮은 해상도는 짝수 자리에서만 계산합니다."""
        _, height, width = self.event_shape
        caches = [WindowCache(height >> s, width >> s) for s in range(self.scales)]
        piece, row = Piece(caches, {}), {}

        def step(i: int, j: int) -> Tensor:
            piece.i, piece.scale = i, 0
            if j == 0:
                piece.j = None
                t = self._input(x[:, :, i - 1 : i]) if i else self._input(x[:, :, :1]) * 0
                row["above"] = piece.conv(self.above_row, t)
                row.update(self.u(piece.conv(self.above, t), y, piece))
            piece.j, piece.scale = j, 0
            t = (
                self._input(x[:, :, i : i + 1, j - 1 : j])
                if j
                else self._input(x[:, :, :1, :1]) * 0
            )
            start = piece.pick(row["above"]) + piece.conv(self.left, t)
            return self._last(self.ul(start, y, piece, row))[..., 0, 0]

        theta = raster(step, lambda i, j: None, width, repeat=False)
        return lambda i, j: self._table(theta(i, j), self.scaled(x[..., i, j]))
