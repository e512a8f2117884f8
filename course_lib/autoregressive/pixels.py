"""화소를 차례로 그리는 모델의 공통 부분: 로그우도, 표본 추출, 빈 곳 채우기.

p(x) = Π_i Π_j Π_c p(x_{cij} | 앞선 화소, 같은 화소의 앞선 채널)        (래스터 순서, R → G → B)

화소는 0부터 levels − 1까지의 정수이고 조건부 분포는 levels개 값의 softmax입니다. 하위 클래스는
``logits``만 정하면 됩니다. 앞에서 계산한 것을 다시 쓰는 빠른 표본 추출은 ``incremental``로 더합니다.
출처: van den Oord et al., 2016, arXiv 1601.06759.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, linear

from course_lib.base import DensityModel, check_batch


class PixelModel(DensityModel):
    """이산 화소의 자기회귀 모델.

    event_shape  그림 하나의 모양 (C, H, W)
    levels       화소 값의 수 L. 이진 그림은 2, 8×8 숫자는 17, 8비트 그림은 256
    classes      조건 y의 종류 수. 0이면 조건을 받지 않습니다

    x는 값이 0, 1, …, L − 1인 *실수형* 텐서 (B, C, H, W)이고 y는 (B,) int64입니다.
    """

    def __init__(self, event_shape, levels: int, classes: int = 0):
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        if len(self.event_shape) != 3 or levels < 2:
            raise ValueError(
                f"event_shape는 (C, H, W), levels는 2 이상이어야 하는데 {tuple(event_shape)}, {levels}을 "
                "받았습니다."
            )
        self.levels, self.classes = levels, classes

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """모든 화소의 조건부 분포를 한 번에: (B, C, H, W) → 로짓 (B, L, C, H, W)."""
        raise NotImplementedError

    def scaled(self, x: Tensor) -> Tensor:
        """신경망에 넣는 값: 0 … L − 1을 [−1, 1]로 옮깁니다."""
        return x * (2 / (self.levels - 1)) - 1

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x|y) = Σ_{c,i,j} log softmax(로짓)[x_{cij}], nats, (B,). 신경망을 한 번만 지납니다."""
        self.check_pixels(x)
        y = self.check_classes(y, len(x))
        losses = cross_entropy(self.logits(x, y), x.long(), reduction="none")  # (B, C, H, W)
        return -losses.flatten(1).sum(1)

    def incremental(self, x: Tensor, y: Tensor | None) -> Callable[[int, int], Tensor]:
        """화소 하나의 로짓을 주는 함수 at(i, j) → (B, L, C).

        ``at``은 래스터 순서로 불리고, 그때까지 그린 것은 ``x``에 들어 있습니다(채널이 여럿이면 한 화소에서
        채널마다 다시 불립니다). 여기서는 그림 전체를 다시 계산합니다. 하위 클래스는 새로 바뀐 화소에 딸린
        값만 계산하도록 바꾸며, 두 방법의 표본은 같은 잡음에서 같아야 합니다.
        """

        def at(i: int, j: int) -> Tensor:
            return self.logits(x, y)[..., i, j]

        return at

    def draw(self, parameters: Tensor, u: Tensor, c: int, x: Tensor) -> Tensor:
        """화소 하나의 채널 ``c``를 뽑습니다: 누적확률이 u ~ U[0, 1)를 처음 넘는 값, (B,).

        parameters  ``incremental``이 준 (B, L, C),  x  지금 화소의 값 (B, C)(앞선 채널만 채워져 있음)
        """
        cumulative = parameters[..., c].softmax(1).cumsum(1)  # (B, L)
        return (cumulative <= u[:, None]).sum(1).clamp(max=self.levels - 1).to(x)

    def sample(
        self, n: int, y: Tensor | None = None, *, noise: Tensor | None = None, cached: bool = True
    ) -> Tensor:
        """표본 (n, C, H, W). 화소를 하나씩 그리므로 화소 수만큼 신경망을 지납니다.

        noise   U[0, 1) 난수 (n, C, H, W). 같은 잡음이면 같은 그림입니다
        cached  False이면 화소마다 그림 전체를 다시 계산합니다(느리지만 분명한 방법)
        """
        empty = next(self.parameters()).new_zeros(n, *self.event_shape)
        return self.complete(empty, torch.zeros_like(empty, dtype=bool), y, noise, cached)

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        known: Tensor,
        y: Tensor | None = None,
        noise: Tensor | None = None,
        cached: bool = True,
    ) -> Tensor:
        """``known``이 참인 화소는 ``x``의 값을 그대로 두고, 나머지를 래스터 순서로 채웁니다.

        모델은 앞선 화소만 볼 수 있습니다. 그래서 아래쪽에 남은 화소는 위쪽을 채우는 데 쓰이지 못합니다.
        x (B, C, H, W), known은 같은 모양으로 펴지는 bool. 모르는 자리의 값은 무엇이든 상관없습니다.
        """
        known = known.expand(x.shape)
        x = torch.where(known, x, torch.zeros_like(x))
        self.check_pixels(x)
        y = self.check_classes(y, len(x))
        if noise is None:
            noise = torch.rand(x.shape, dtype=x.dtype, device=x.device)
        elif noise.shape != x.shape:
            raise ValueError(f"noise의 모양이 {tuple(x.shape)}이어야 합니다: {tuple(noise.shape)}.")
        at = self.incremental(x, y) if cached else PixelModel.incremental(self, x, y)
        channels, height, width = self.event_shape
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    if not known[:, c, i, j].all():
                        value = self.draw(at(i, j), noise[:, c, i, j], c, x[:, :, i, j])
                        x[:, c, i, j] = torch.where(known[:, c, i, j], x[:, c, i, j], value)
        return x

    def check_pixels(self, x: Tensor) -> None:
        """모양과 자료형, 값의 범위가 맞지 않으면 ``ValueError``."""
        check_batch(x, self.event_shape)
        if (x != x.round()).any() or x.min() < 0 or x.max() > self.levels - 1:
            raise ValueError(
                f"화소는 0부터 {self.levels - 1}까지의 정수여야 하는데 {x.min():g}에서 {x.max():g} 사이의 값을 "
                "받았습니다. 나누거나 잡음을 더하지 않은 정수 화소를 .float()으로 바꾸어 넣으세요."
            )

    def check_classes(self, y: Tensor | None, n: int) -> Tensor | None:
        """조건이 모델과 맞지 않으면 ``ValueError``."""
        if (y is None) != (self.classes == 0):
            word = (
                "받지 않습니다"
                if self.classes == 0
                else f"y (B,)가 있어야 합니다(0–{self.classes - 1})"
            )
            raise ValueError(f"이 모델은 조건을 {word}.")
        if y is not None and (y.shape != (n,) or y.min() < 0 or y.max() >= self.classes):
            raise ValueError(
                f"y는 0부터 {self.classes - 1}까지의 정수 ({n},)이어야 하는데 {tuple(y.shape)}을 받았습니다."
            )
        return y


class WindowCache:
    """합성곱마다 지나간 입력을 기억했다가, 새로 들어온 줄이나 칸의 출력만 계산합니다.

    그림 전체를 다시 계산하는 것과 값이 같습니다: 인과 합성곱의 출력 (i, j)는 이미 기억한 창 안의 입력에만
    의존하기 때문입니다. 합성곱은 ``window()``가 있는 층(nn.MaskedConv2d, nn.ShiftedConv2d)입니다.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.inputs: dict = {}  # 합성곱 → (입력 (B, in, top + H, left + W + right), 가중치, top, left, right)

    def row(self, conv, t: Tensor, i: int) -> Tensor:
        """i번 줄의 입력 (B, in, 1, W)을 받아 같은 줄의 출력 (B, out, 1, W/stride)을 돌려줍니다."""
        stored, weight, top, left, _ = self._open(conv, t)
        stored[:, :, i + top, left : left + self.width] = t[:, :, 0]
        window = stored[:, :, i : i + top + 1]
        return conv2d(window, weight, conv.bias, (1, conv.stride[1]))

    def store(self, conv, t: Tensor, i: int, j: int) -> None:
        """(i, j)의 입력 (B, in, 1, 1)을 기억만 합니다."""
        stored, _, top, left, _ = self._open(conv, t)
        stored[:, :, i + top, j + left] = t[:, :, 0, 0]

    def column(self, conv, t: Tensor, i: int, j: int) -> Tensor:
        """(i, j)의 입력 (B, in, 1, 1)을 받아 같은 자리의 출력 (B, out, 1, 1)을 돌려줍니다."""
        self.store(conv, t, i, j)
        stored, weight, top, left, right = self._open(conv, t)
        patch = stored[:, :, i : i + top + 1, j : j + left + 1 + right]
        return linear(patch.flatten(1), weight.flatten(1), conv.bias)[:, :, None, None]

    def _open(self, conv, t: Tensor) -> tuple:
        if conv not in self.inputs:
            weight, top, left, right = conv.window()
            shape = (*t.shape[:2], top + self.height, left + self.width + right)
            self.inputs[conv] = (t.new_zeros(shape), weight.contiguous(), top, left, right)
        return self.inputs[conv]


def raster(
    step: Callable[[int, int], Tensor],
    store: Callable[[int, int], None],
    width: int,
    repeat: bool,
) -> Callable[[int, int], Tensor]:
    """``step(i, j)``를 래스터 순서로 건너뜀 없이 부르는 at(i, j)를 만듭니다.

    이미 아는 화소는 ``at``이 불리지 않고 지나가지만, 그 자리의 특징은 뒤의 화소에 필요합니다.
    store   다음 칸으로 가기 전에, 방금 정해진 화소의 값을 첫 합성곱의 입력에 넣습니다
    repeat  채널이 여럿이면 같은 화소의 앞선 채널에 따라 특징도 바뀌므로 마지막 칸부터 다시 계산합니다
    """
    position, last = 0, None

    def at(i: int, j: int) -> Tensor:
        nonlocal position, last
        target = i * width + j
        for p in range(position, target + 1):
            if p > 0:
                store(*divmod(p - 1, width))
            last = step(*divmod(p, width))
        position = target if repeat else target + 1
        return last

    return at
