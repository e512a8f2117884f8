"""MintNet: 마스크 합성곱을 겹겹이 쌓아도 야코비안이 삼각행렬인 가역 신경망.

Song, Meng, Ermon, "MintNet: Building Invertible Neural Networks with Masked Convolutions",
NeurIPS 2019, arXiv 1907.07945.

블록 하나는 x → z로

    f(x) = W₃⊛elu(W₂⊛elu(W₁⊛x)) + t⊙x,     t > 0                              (1)

이고 W₁, W₂, W₃는 래스터 순서로 자기와 앞만 보는 마스크 합성곱입니다(은닉 채널은 데이터 채널마다 K벌).
삼각행렬의 곱과 합은 삼각행렬이므로 ∂f/∂x는 하삼각이고, 대각 성분은 한가운데 가중치만으로

    ∂f_c/∂x_c = t_c + Σ_{k,j} w₃[k]·elu′(a₂[k])·w₂[k, j]·elu′(a₁[j])·w₁[j]      (2)

입니다. w₂를 sign(w₃)·sign(w₁)·|w₂|로 바꾸면 모든 항이 0 이상이라 대각 성분 ≥ t_c > 0, 즉 언제나 가역입니다.
log|det| = Σ log (2)는 어림이 아닙니다. 층 = 하삼각 블록 → 상삼각 블록(그림을 뒤집어 같은 식).

생성 방향은 f(x) = z의 해를 찾습니다. 모든 화소를 한꺼번에 고치는 고정점 반복(논문 알고리즘 1)

    x ← x + (z − f(x)) / (α·diag ∂f/∂x),     x₀ = z/t                            (3)

은 해 근처에서 오차가 |1 − 1/α|배씩 줄어듭니다(반복의 야코비안 I − D⁻¹J/α가 삼각행렬이고 대각이 모두 1 − 1/α).
``sequential``은 화소를 하나씩 정확히 푸는 느린 기준입니다.

논문·공식 코드와 다른 점: t = exp(log t)로 두어 언제나 양수입니다(공식 max(|t|, 1e-12)). α의 기본값은 1.1(공식 코드의
CIFAR-10 값, MNIST는 3.5)이고, 100번에 수렴하지 못하면 순차 역으로 풉니다. W₃는 0.1배로 시작합니다.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, elu, linear, pad

from course_lib.base import Compose, Flow, FlowModel
from course_lib.flows.gaussianization import bracketed_newton
from course_lib.flows.realnvp import Squeeze
from course_lib.nn import MaskedConv2d


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """크기를 지키는 합성곱. 화소도 커널도 하나뿐이면 행렬곱이 더 빠릅니다."""
    if x.shape[2:] == weight.shape[2:] == (1, 1):
        return linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]
    return conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


class TriangularBlock(Flow):
    """식 (1)의 블록. inverse가 f, forward가 f의 역입니다. (B, C, H, W) → (B, C, H, W).

    latent     데이터 채널마다의 은닉 채널 수 K
    kernel     합성곱의 한 변(홀수). 화소가 하나뿐인 벡터라면 1
    upper      True이면 순서를 뒤집어 상삼각 야코비안이 됩니다
    alpha      고정점 반복의 나눗수. ½보다 커야 수렴합니다
    max_steps  이 안에 잔차가 tolerance(= 200ε)·(1 + |z|)로 줄지 않으면 순차 역으로 풉니다
    """

    def __init__(
        self,
        channels: int,
        latent: int,
        kernel: int = 3,
        upper: bool = False,
        alpha: float = 1.1,
        max_steps: int = 100,
    ):
        super().__init__()
        if alpha <= 0.5:
            raise ValueError(f"alpha가 0.5보다 커야 고정점 반복이 수렴합니다: {alpha}.")
        self.channels, self.latent, self.upper = channels, latent, upper
        self.alpha, self.max_steps = alpha, max_steps
        width = channels * latent
        self.first = MaskedConv2d(channels, width, kernel, "B", channels)
        self.second = MaskedConv2d(width, width, kernel, "B", channels)
        self.third = MaskedConv2d(width, channels, kernel, "B", channels)
        self.log_t = nn.Parameter(torch.zeros(channels, 1, 1))
        with torch.no_grad():
            self.third.weight.mul_(0.1)

    @property
    def t(self) -> Tensor:
        return self.log_t.exp()

    def centres(self) -> tuple[Tensor, Tensor, Tensor]:
        """같은 데이터 채널끼리의 한가운데 가중치 w₁ (C, K), w₂ (C, K, K), w₃ (C, K)."""
        c, k, mid = self.channels, self.latent, self.first.kernel_size[0] // 2
        w1, w2, w3 = (m.weight[:, :, mid, mid] for m in (self.first, self.second, self.third))
        return (
            w1.view(c, k, c).diagonal(dim1=0, dim2=2).T,
            w2.view(c, k, c, k).diagonal(dim1=0, dim2=2).movedim(2, 0),
            w3.view(c, c, k).diagonal(dim1=0, dim2=1).T,
        )

    def second_weight(self) -> Tensor:
        """대각 경로의 부호를 강제한 W₂: 한가운데 블록이 sign(w₃)·sign(w₁)·|w₂|입니다."""
        w1, w2, w3 = self.centres()
        forced = w3.sign()[:, :, None] * w1.sign()[:, None, :] * w2.abs()
        edge = self.first.kernel_size[0] // 2
        change = torch.block_diag(*(forced - w2))[:, :, None, None]
        return self.second.masked_weight + pad(change, (edge,) * 4)

    def _f(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """식 (1)의 값과 식 (2)의 대각 성분, 둘 다 (B, C, H, W). 하삼각 순서로 놓인 x를 받습니다."""
        first, second, third = self.first, self.second, self.third
        a1 = _convolve(x, first.masked_weight, first.bias)
        a2 = _convolve(elu(a1), self.second_weight(), second.bias)
        z = _convolve(elu(a2), third.masked_weight, third.bias) + self.t * x
        w1, w2, w3 = self.centres()
        path = w3.abs()[:, :, None] * w2.abs() * w1.abs()[:, None, :]  # (C, K, K), 모두 0 이상
        slope1, slope2 = (a.clamp(max=0).exp() for a in (a1, a2))  # elu′
        inner = _convolve(slope1, torch.block_diag(*path)[:, :, None, None])
        diagonal = (slope2 * inner).unflatten(1, (self.channels, self.latent)).sum(2)
        return z, diagonal + self.t

    def _turn(self, x: Tensor) -> Tensor:
        return x.flip(1, 2, 3) if self.upper else x

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, diagonal = self._f(self._turn(x))
        return self._turn(z), diagonal.log().flatten(1).sum(1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = self._turn(z)
        x, gaps = self._fixed_point(z.detach(), self.alpha)
        if not gaps[-1] <= self._tolerance(z):  # NaN도 여기로 옵니다
            x = self._sequential(z.detach())
        if torch.is_grad_enabled():
            x = self._attach_gradient(x, z)
        return self._turn(x), -self._f(x)[1].log().flatten(1).sum(1)

    # ── 역함수 ───────────────────────────────────────────────────────────────────────────────

    def fixed_point(self, z: Tensor, alpha: float | None = None, steps: int | None = None):
        """식 (3)으로 푼 (x, 걸음마다의 최대 잔차 |z − f(x)|의 목록). steps를 주면 꼭 그만큼 되풀이합니다."""
        x, gaps = self._fixed_point(self._turn(z), alpha or self.alpha, steps)
        return self._turn(x), gaps

    def sequential(self, z: Tensor) -> Tensor:
        """화소와 채널을 하나씩 순서대로 푼 x. f를 좌표의 수 × 몇 번 계산하므로 느리지만 언제나 됩니다."""
        return self._turn(self._sequential(self._turn(z)))

    def _tolerance(self, z: Tensor) -> float:
        return 200 * torch.finfo(z.dtype).eps * (1 + float(z.detach().abs().max()))

    @torch.no_grad()
    def _fixed_point(self, z: Tensor, alpha: float, steps: int | None = None):
        x, gaps = z / self.t, []
        for _ in range(self.max_steps if steps is None else steps):
            value, diagonal = self._f(x)
            gaps.append(float((z - value).abs().max()))
            if steps is None and not self._tolerance(z) < gaps[-1] < 1e12:
                break
            x = x + (z - value) / (alpha * diagonal)
        return x, gaps

    @torch.no_grad()
    def _sequential(self, z: Tensor) -> Tensor:
        x, (_, channels, height, width) = z / self.t, z.shape
        for i, j, c in torch.cartesian_prod(
            torch.arange(height), torch.arange(width), torch.arange(channels)
        ):

            def function(v, at=(slice(None), c, i, j)):
                x[at] = v
                value, diagonal = self._f(x)
                return value[at], diagonal[at]

            start, target = x[:, c, i, j].clone(), z[:, c, i, j]
            # 기울기가 t 이상이므로 해는 출발점에서 |잔차|/t 안에 있습니다
            reach = (function(start)[0] - target).abs() / self.t[c, 0, 0] * 1.001
            x[:, c, i, j] = bracketed_newton(function, target, start - reach, start + reach)
        return x

    def _attach_gradient(self, x: Tensor, z: Tensor) -> Tensor:
        """음함수 미분 dx = J⁻¹(dz − ∂f/∂θ dθ). J⁻ᵀg도 대각으로 나누는 반복으로 풉니다(삼각이라 유한 번에 끝남)."""
        leaf = x.detach().requires_grad_()
        value, diagonal = self._f(leaf)
        x = x + (z - z.detach()) - (self._f(x)[0] - value.detach())

        def solve(g: Tensor) -> Tensor:
            v = g / diagonal
            for _ in range(g[0].numel()):
                gap = g - torch.autograd.grad(value, leaf, v, retain_graph=True)[0]
                if gap.abs().max() <= 1e-3 * self._tolerance(g):
                    break
                v = v + gap / diagonal.detach()
            return v.detach()

        if x.requires_grad:
            x.register_hook(solve)
        return x


class OnePixel(Flow):
    """벡터 (B, D)를 D채널 1화소 그림으로 보는 껍질. 화소가 하나라 마스크는 채널 사이에만 걸립니다."""

    def __init__(self, block: TriangularBlock):
        super().__init__()
        self.block = block

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x, log_det = self.block(z[:, :, None, None])
        return x.flatten(1), log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.block.inverse(x[:, :, None, None])
        return z.flatten(1), log_det


class MintNet(FlowModel):
    """MintNet: [하삼각 블록 → 상삼각 블록] × layers, 정한 층 뒤에서 화소를 채널로 옮깁니다(SpaceToDepth).

    shape          이미지 (C, H, W) 또는 벡터 (D,). 벡터는 D채널 1화소로 봅니다(kernel은 1이 됩니다)
    layers, latent 층의 수와 K(논문 MNIST 20층, 45)
    squeeze_after  이 번호의 층 뒤에서 ``Squeeze``. 논문은 층 수의 1/3과 2/3
    비용: 밀도는 한 번. 표본은 블록마다 고정점 반복 수십 번이지만 화소 수와 무관하게 병렬입니다.
    """

    def __init__(
        self,
        shape: Sequence[int],
        layers: int = 6,
        latent: int = 16,
        squeeze_after: Sequence[int] = (),
        kernel: int = 3,
        alpha: float = 1.1,
        preprocess: Flow | None = None,
    ):
        vector, event = len(shape) == 1, tuple(shape)
        if len(shape) not in (1, 3):
            raise ValueError(f"shape는 (C, H, W)나 (D,)여야 하는데 {event}를 받았습니다.")
        now = (*event, 1, 1) if vector else event
        flows: list[Flow] = [] if preprocess is None else [preprocess]  # x → z 순서
        for i in range(1, layers + 1):
            for upper in (False, True):
                block = TriangularBlock(now[0], latent, 1 if vector else kernel, upper, alpha)
                flows.append(OnePixel(block) if vector else block)
            if i in squeeze_after:
                if now[1] % 2 or now[2] % 2:
                    raise ValueError(
                        f"{i}번째 층 뒤의 {now[1]}×{now[2]}은 반으로 나눌 수 없습니다."
                    )
                flows.append(Squeeze())
                now = (4 * now[0], now[1] // 2, now[2] // 2)
        latent_shape = event if vector else now
        super().__init__(Compose(*reversed(flows)), event, latent_shape=latent_shape)
