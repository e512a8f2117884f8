"""Parallel WaveNet의 학생: 잡음을 파형으로 옮기는 IAF 여러 겹. 1초의 소리도 신경망 몇 번이면 됩니다.

van den Oord, Li, Babuschkin, Simonyan, Vinyals, Kavukcuoglu et al., "Parallel WaveNet: Fast High-Fidelity Speech
Synthesis", ICML 2018, arXiv 1711.10433. 가우시안 학생은 Ping, Peng, Chen, "ClariNet", ICLR 2019, arXiv 1807.07281.

층 i = 1, …, M은 앞 층의 출력 h^{i−1}(h⁰ = z)의 **과거만** 보고 배수와 이동을 정합니다.

    h^i_t = s_i,t h^{i−1}_t + μ_i,t,        (μ_i,t, log s_i,t) = 신경망_i(h^{i−1}_<t, 조건 y)      식 (1)

모든 층이 같은 시간의 순서를 쓰므로 합성도 z_t에 대해 아핀이고, 배수와 이동이 닫힌 식으로 나옵니다.

    x_t = s_tot,t z_t + μ_tot,t,   log s_tot = Σ_i log s_i,   μ_tot = Σ_i μ_i Π_{j>i} s_j          식 (2)
    log p(x | y) = Σ_t [log p_Z(z_t) − log s_tot,t]                                                 식 (3)

(μ_tot, s_tot)은 z_<t로 정해지고 z ↔ x가 일대일이므로, 이것이 곧 p(x_t | x_<t)의 위치와 배수입니다.
z가 로지스틱이면 조건부 분포도 로지스틱, 정규분포이면 정규분포입니다. 증류는 이 두 값만 씁니다.

비용: ``generate``와 ``rsample_and_parameters``는 신경망 M번(길이와 무관). ``log_prob``는 남의 x를 거꾸로 풀어야 하므로
M·T번입니다. 그래서 이 모델은 최대우도로 배우지 않고 증류로 배웁니다.

논문과 다른 점
- 층의 신경망은 논문처럼 커널 3의 게이트 합성곱을 건너뛰기 연결 없이 잔차로만 쌓지만, 크기는 인자로 정합니다
  (논문: IAF 네 겹, 10·10·10·30층, 채널 64).
- 시작할 때 μ_tot = 0, s_tot = ``scale``(0.05)에 가깝습니다. 논문에는 없고, 다시 구현한 사람들이 찾은 요령입니다.
- log s_i를 [−5, 5]로 자릅니다(``flows.maf.bounded``). 조건은 프레임 사이를 직선으로 이어 늘립니다.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from course_lib.base import DensityModel, Flow, Logistic, check_batch
from course_lib.flows.maf import bounded
from course_lib.parallel_wavenet.distillation import base_noise

Condition = Tensor | tuple[Tensor, Tensor] | None
Parts = tuple[Tensor | None, Tensor | None]  # (프레임, 클래스)


class Sampled(NamedTuple):
    """학생이 한 번에 만든 것. x, mu, log_s (B, T)와 자기 표본의 로그밀도 log_prob (B,), 단위 nats."""

    x: Tensor
    mu: Tensor
    log_s: Tensor
    log_prob: Tensor


class GatedLayer(nn.Module):
    """게이트 합성곱 한 층: h + W(tanh(a) ⊙ σ(b)), (a, b) = 인과적 합성곱(h) + V y. (B, C, T) → (B, C, T)."""

    def __init__(
        self,
        channels: int,
        kernel: int,
        dilation: int,
        local: int | None = None,
        classes: int | None = None,
    ):
        super().__init__()
        self.left = (kernel - 1) * dilation
        self.conv = nn.Conv1d(channels, 2 * channels, kernel, dilation=dilation)
        self.local = nn.Conv1d(local, 2 * channels, 1, bias=False) if local else None
        self.label = nn.Embedding(classes, 2 * channels) if classes else None
        if classes:
            nn.init.normal_(self.label.weight, std=0.1)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, h: Tensor, condition: Parts, hop: int) -> Tensor:
        frames, label = condition
        gates = self.conv(pad(h, (self.left, 0)))  # 왼쪽에만 0: 출력 t는 입력 ≤ t
        if self.local is not None:
            # 1×1 합성곱과 직선 보간은 순서를 바꾸어도 같습니다. 짧은 프레임에서 먼저 곱합니다
            gates = gates + stretch(self.local(frames), hop, h.shape[-1])
        if self.label is not None:
            gates = gates + self.label(label)[:, :, None]
        a, b = gates.chunk(2, 1)
        return (h + self.out(a.tanh() * b.sigmoid())) * math.sqrt(0.5)


class CausalFlow(Flow):
    """IAF 한 층: z (B, T) → s ⊙ z + μ. μ_t와 log s_t는 z_<t와 조건만 봅니다.

    layers  게이트 합성곱의 수. 벌림은 1, 2, …, 2^{cycle−1}을 되풀이합니다.
    log_s   시작할 때의 log s. 마지막 층의 가중치가 작아 μ는 0에 가깝게 시작합니다.
    """

    def __init__(
        self,
        layers: int,
        kernel: int,
        channels: int,
        *,
        local: int | None = None,
        classes: int | None = None,
        hop: int = 1,
        cycle: int = 10,
        log_s: float = 0.0,
    ):
        super().__init__()
        self.hop = hop
        dilations = [2 ** (i % cycle) for i in range(layers)]
        self.reach = 1 + sum((kernel - 1) * d for d in dilations)  # μ_t가 보는 과거의 길이
        self.first = nn.Conv1d(1, channels, 1)
        self.layers = nn.ModuleList(
            GatedLayer(channels, kernel, d, local, classes) for d in dilations
        )
        self.last = nn.Sequential(
            nn.ReLU(), nn.Conv1d(channels, channels, 1), nn.ReLU(), nn.Conv1d(channels, 2, 1)
        )
        nn.init.normal_(self.last[-1].weight, std=0.1 / math.sqrt(channels))
        with torch.no_grad():
            self.last[-1].bias.copy_(torch.tensor([0.0, log_s]))

    def parameters_at(self, z: Tensor, condition: Parts = (None, None)) -> tuple[Tensor, Tensor]:
        """모든 시각의 (μ, log s), 저마다 (B, T). 신경망 한 번입니다."""
        # 한 칸 밀어 z_t 자신을 가립니다. autocast에서도 잔차의 합은 z의 자료형입니다
        h = self.first(pad(z, (1, -1))[:, None]).to(z.dtype)
        for layer in self.layers:
            h = layer(h, condition, self.hop)
        with torch.autocast(z.device.type, enabled=False):  # μ는 s보다 훨씬 정밀해야 합니다
            mu, log_s = self.last(h).unbind(1)  # (B, 2, T)의 두 줄
        return mu, bounded(log_s)

    def forward(self, z: Tensor, condition: Parts = (None, None)) -> tuple[Tensor, Tensor]:
        mu, log_s = self.parameters_at(z, condition)
        return log_s.exp() * z + mu, log_s.sum(1)

    def inverse(self, x: Tensor, condition: Parts = (None, None)) -> tuple[Tensor, Tensor]:
        """z_t = (x_t − μ_t(z_<t)) / s_t(z_<t)를 t = 1, …, T의 차례로 풉니다: 신경망 T번."""
        z, total = torch.zeros_like(x), x.new_zeros(len(x))
        for t in range(x.shape[1]):
            mu, log_s = self.parameters_at(z[:, : t + 1], condition)  # 앞의 t개만 있으면 됩니다
            new = (x[:, t] - mu[:, t]) * (-log_s[:, t]).exp()
            z = torch.cat([z[:, :t], new[:, None], z[:, t + 1 :]], 1)
            total = total - log_s[:, t]
        return z, total


class ParallelWaveNet(DensityModel):
    """학생. 파형 x (B, length)의 정확한 밀도 모델이고, 길이는 표본을 뽑을 때 달리 줄 수 있습니다.

    layers    IAF마다의 게이트 합성곱의 수. 논문은 (10, 10, 10, 30)
    kernel    커널의 길이, channels  채널의 수, cycle  벌림이 되풀이되는 층의 수
    base      "logistic"(Parallel WaveNet) 또는 "gaussian"(ClariNet)
    classes   클래스의 수, local  프레임마다의 조건의 채널 수, hop  한 프레임의 표본 수
    scale     시작할 때의 s_tot

    조건 y는 교사(``WaveNet``)와 같습니다: None, 클래스 (B,) int64, 프레임 (B, local, M), 또는 (프레임, 클래스).
    """

    def __init__(
        self,
        length: int = 8192,
        *,
        layers: Sequence[int] = (10, 10, 10, 30),
        kernel: int = 3,
        channels: int = 64,
        cycle: int = 10,
        base: str = "logistic",
        classes: int | None = None,
        local: int | None = None,
        hop: int | None = None,
        scale: float = 0.05,
    ):
        super().__init__()
        layers = tuple(layers)
        if not layers or min(length, channels, cycle, *layers) < 1 or kernel < 2 or scale <= 0:
            raise ValueError(
                "length, layers, channels, cycle은 1 이상, kernel은 2 이상, scale은 양수여야 합니다: "
                f"{length}, {layers}, {channels}, {cycle}, {kernel}, {scale}."
            )
        if base not in ("logistic", "gaussian"):
            raise ValueError(f'base는 "logistic"이나 "gaussian"이어야 합니다. 받은 값: {base!r}.')
        if (local is None) != (hop is None) or (hop is not None and min(hop, local) < 1):
            raise ValueError("local(프레임의 채널 수)과 hop(프레임의 표본 수)은 함께 주세요.")
        self.event_shape, self.base = torch.Size((length,)), base
        self.classes, self.local, self.hop = classes, local, hop or 1
        log_s = math.log(scale) / len(layers)
        self.flows = nn.ModuleList(
            CausalFlow(
                n, kernel, channels, local=local, classes=classes, hop=self.hop, cycle=cycle, log_s=log_s
            )
            for n in layers
        )  # fmt: skip

    @property
    def receptive_field(self) -> int:
        """x_t가 닿는 z의 수: 자기 자신과, 층마다의 과거를 모두 더한 것."""
        return 1 + sum(flow.reach for flow in self.flows)

    @property
    def passes(self) -> int:
        """소리 하나를 만드는 데 차례로 계산하는 신경망의 수."""
        return len(self.flows)

    def noise(self, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """기저분포의 표본 z. 로지스틱은 역 CDF, 정규분포는 그대로 뽑습니다."""
        return base_noise(shape, next(self.parameters()), self.base, generator)

    def base_log_prob(self, z: Tensor) -> Tensor:
        """log p_Z(z_t), 시각마다. z와 같은 모양."""
        if self.base == "gaussian":
            return -0.5 * (z.square() + math.log(2 * math.pi))
        one = torch.ones((), dtype=z.dtype, device=z.device)
        return Logistic(torch.zeros_like(one), one, validate_args=False).log_prob(z)

    def transform(self, z: Tensor, y: Condition = None) -> tuple[Tensor, Tensor, Tensor]:
        """z (B, T) → (x, μ_tot, log s_tot), 저마다 (B, T). 식 (1)과 (2)를 한 번에 셉니다."""
        condition = self._condition(y, len(z), z.shape[-1])
        h, mu, log_s = z, torch.zeros_like(z), torch.zeros_like(z)
        for flow in self.flows:
            m, a = flow.parameters_at(h, condition)
            h = a.exp() * h + m
            mu, log_s = a.exp() * mu + m, log_s + a  # 식 (2)를 한 층씩 쌓습니다
        return h, mu, log_s

    def rsample_and_parameters(
        self,
        n: int,
        length: int | None = None,
        y: Condition = None,
        *,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> Sampled:
        """표본과 그 조건부 분포 (μ_tot, log s_tot), 자기 표본의 로그밀도. 신경망 M번이고 기울기가 흐릅니다."""
        length = self.event_shape[0] if length is None else length
        z = self._noise(n, length, generator, noise)
        x, mu, log_s = self.transform(z, y)
        return Sampled(x, mu, log_s, (self.base_log_prob(z) - log_s).sum(1))  # 식 (3)

    @torch.no_grad()
    def generate(
        self,
        n: int,
        length: int,
        y: Condition = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """파형 (n, length)을 신경망 M번에 만듭니다. 온도는 잡음 z에 곱합니다."""
        if not temperature >= 0:
            raise ValueError(f"온도는 0 이상이어야 하는데 {temperature}를 받았습니다.")
        return self.transform(temperature * self._noise(n, length, generator, noise), y)[0]

    def sample(self, n: int, y: Condition = None) -> Tensor:
        return self.generate(n, self.event_shape[0], y)

    def log_prob(self, x: Tensor, y: Condition = None) -> Tensor:
        """남의 x의 log p(x | y), (B,). 층마다 T걸음이라 **아주 느립니다**. 시험과 짧은 신호에만 쓰세요."""
        check_batch(x, x.shape[1:] if x.ndim == 2 else self.event_shape)
        condition = self._condition(y, len(x), x.shape[-1])
        total = x.new_zeros(len(x))
        for flow in reversed(self.flows):
            x, log_det = flow.inverse(x, condition)
            total = total + log_det
        return self.base_log_prob(x).sum(1) + total

    def _noise(self, n: int, length: int, generator, noise: Tensor | None) -> Tensor:
        if min(n, length) < 1:
            raise ValueError(f"n과 length는 1 이상이어야 합니다: {n}, {length}.")
        if noise is None:
            return self.noise((n, length), generator)
        check_batch(noise, torch.Size((length,)), "noise")
        if len(noise) != n:
            raise ValueError(f"noise가 {len(noise)}개인데 n은 {n}입니다. 수를 맞추세요.")
        return noise

    def _condition(self, y: Condition, n: int, length: int) -> Parts:
        """조건 y를 (프레임, 클래스)로 나누고 모양을 확인합니다. 없는 쪽은 None입니다."""
        frames, label = y if isinstance(y, tuple) else (None, None)
        if isinstance(y, Tensor):
            frames, label = (y, None) if y.is_floating_point() else (None, y)
        wants = {"프레임": (self.local, frames), "클래스": (self.classes, label)}
        if any((want is None) != (got is None) for want, got in wants.values()):
            names = [name for name, (want, _) in wants.items() if want is not None]
            raise ValueError(
                f"이 학생의 조건은 {'과 '.join(names) or '없음'}입니다. y를 그 꼴로 주세요: 프레임 "
                "(B, 채널, M), 클래스 (B,) int64, 둘 다이면 (프레임, 클래스)."
            )
        enough = 1 + (length - 1) // self.hop
        if frames is not None and (
            frames.ndim != 3 or frames.shape[:2] != (n, self.local) or frames.shape[2] < enough
        ):
            raise ValueError(
                f"프레임의 모양은 ({n}, {self.local}, M), {length}표본에는 M ≥ {enough}이어야 하는데 "
                f"{tuple(frames.shape)}을 받았습니다."
            )
        if label is not None and (
            label.shape != (n,) or label.min() < 0 or label.max() >= self.classes
        ):
            raise ValueError(
                f"클래스는 0부터 {self.classes - 1}까지의 정수 ({n},)이어야 하는데 모양 "
                f"{tuple(label.shape)}을 받았습니다."
            )
        return frames, label


def stretch(frames: Tensor, hop: int, length: int) -> Tensor:
    """프레임 (B, C, M) → 표본 (B, C, length). 프레임 m은 표본 m·hop에 놓이고 그 사이는 직선으로 잇습니다.

    마지막 프레임 뒤에서는 같은 값을 되풀이합니다. hop = 1이면 앞의 length개입니다.
    """
    if hop == 1:
        return frames[..., :length]
    count = -(-length // hop) + 1
    frames = pad(frames[..., :count], (0, max(0, count - frames.shape[-1])), mode="replicate")
    left, right = frames[..., :-1, None], frames[..., 1:, None]  # (B, C, M, 1)
    share = torch.arange(hop, dtype=frames.dtype, device=frames.device) / hop
    return (left + (right - left) * share).flatten(2)[..., :length]
