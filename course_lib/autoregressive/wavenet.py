"""WaveNet: 파형의 표본 하나하나를 앞선 표본만 보고 예측하는 자기회귀 모델.

van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016, arXiv 1609.03499.

    log p(x | y) = Σ_t log p(x_t | x_1, …, x_{t−1}, y)                              (1)
    z = tanh(W_f * h + V_f y) ⊙ σ(W_g * h + V_g y)                                  (5)  * 는 인과적 팽창 합성곱
    h ← h + W_r z,     s = Σ_k W_s z_k,     출력 = 1×1(ReLU(1×1(ReLU(s))))
    수용 영역 R = 1 + (k − 1) Σ d,   d = 1, 2, 4, …, 2^(layers−1)을 stacks번

x_t의 분포는 x_{t−1}, …, x_{t−R}만 봅니다. 입력을 한 칸 미는 곳은 ``parameters_at`` 한 군데뿐입니다.

출력의 종류
    categorical       μ-law로 나눈 levels칸의 softmax(논문)
    logistic_mixture  고른 칸(기본 2^16)에 놓인 로지스틱 혼합(Parallel WaveNet의 교사, arXiv 1711.10433)
    gaussian          평균과 로그 표준편차(ClariNet의 교사, arXiv 1807.07281)

논문과 다른 점
- 첫 층은 길이 1의 합성곱입니다(R의 식에 k − 1을 더하지 않습니다). 입력은 원-핫이 아니라 값 하나입니다.
- 논문은 지역 조건을 전치 합성곱으로 늘립니다. 여기서는 길이 3의 합성곱을 지나 선형 보간합니다. 1×1 합성곱과 보간은
  순서를 바꿀 수 있으므로 층마다의 V는 프레임에서 미리 곱합니다.
- 잔차와 건너뛰기의 1×1에는 편향이 없습니다(다음 층과 출력단의 편향이 같은 일을 합니다).
- 로그 크기의 바닥은 자르지 않고 softplus로 부드럽게 둡니다. 자르면 바닥에 닿은 뒤 기울기가 사라집니다.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu, softplus

from course_lib.autoregressive.pixel_cnn_pp import bin_log_prob
from course_lib.base import DensityModel, check_batch


def mu_law(x: Tensor, mu: float = 255.0) -> Tensor:
    """f(x) = sign(x) ln(1 + μ|x|)/ln(1 + μ), [−1, 1] → [−1, 1]. 작은 소리를 넓게 폅니다(ITU-T G.711)."""
    return x.sign() * torch.log1p(mu * x.abs()) / math.log1p(mu)


def inverse_mu_law(v: Tensor, mu: float = 255.0) -> Tensor:
    """``mu_law``의 역함수: sign(v) ((1 + μ)^|v| − 1)/μ."""
    return v.sign() * torch.expm1(v.abs() * math.log1p(mu)) / mu


def encode(v: Tensor, levels: int = 256) -> Tensor:
    """[−1, 1]의 값 → 가장 가까운 칸의 번호 0 … levels − 1 (int64). 칸은 2k/(levels − 1) − 1입니다."""
    return ((v.clamp(-1, 1) + 1) * ((levels - 1) / 2)).round().long()


def decode(code: Tensor, levels: int = 256, dtype: torch.dtype | None = None) -> Tensor:
    """칸의 번호 → [−1, 1]의 값."""
    return code.to(dtype or torch.get_default_dtype()) * (2 / (levels - 1)) - 1


def quantise_mu_law(x: Tensor, levels: int = 256) -> Tensor:
    """x를 μ-law로 편 뒤 levels칸 가운데 가장 가까운 값으로 바꿉니다(μ = levels − 1)."""
    code = encode(mu_law(x, levels - 1), levels)
    return inverse_mu_law(decode(code, levels, x.dtype), levels - 1)


def quantise_linear(x: Tensor, levels: int = 256) -> Tensor:
    """x를 고르게 나눈 levels칸 가운데 가장 가까운 값으로 바꿉니다."""
    return decode(encode(x, levels), levels, x.dtype)


class GatedBlock(nn.Module):
    """인과적 팽창 합성곱, 게이트, 잔차와 건너뛰기. h (B, T, C) → 다음 h (B, T, C), s (B, T, S).

    ``gate``는 [h_{t−(k−1)d}, …, h_{t−d}, h_t]를 이어 붙인 kC개에서 [필터, 게이트] 2C개로 가는 행렬 하나이고
    ``out``은 [W_r; W_s]를 이어 붙인 행렬 하나입니다. t < 0의 h는 0입니다.
    """

    def __init__(self, channels: int, skip: int, kernel: int, dilation: int):
        super().__init__()
        self.channels, self.skip, self.kernel, self.dilation = channels, skip, kernel, dilation
        self.gate = nn.Linear(kernel * channels, 2 * channels)
        self.out = nn.Linear(channels, channels + skip, bias=False)

    def forward(self, h: Tensor, condition: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        steps, d = h.shape[1], self.dilation
        taps = [pad(h, (0, 0, j * d, 0))[:, :steps] for j in range(self.kernel - 1, 0, -1)]
        f, g = (self.gate(torch.cat([*taps, h], -1)) + condition).chunk(2, -1)
        r, s = self.out(f.tanh() * g.sigmoid()).split([self.channels, self.skip], -1)
        return h + r, s


class WaveNet(DensityModel):
    """파형 x (B, T), 값 [−1, 1]의 자기회귀 모델. T는 event_shape와 달라도 됩니다.

    stacks, layers, kernel  팽창 1, 2, …, 2^(layers−1)을 stacks번, 합성곱의 길이 kernel
    channels, skip          잔차와 건너뛰기의 채널 수. skip의 기본값은 channels입니다
    output                  "categorical", "logistic_mixture", "gaussian"
    levels                  칸의 수. 기본값은 categorical 256, logistic_mixture 65536
    mixtures                로지스틱 성분의 수
    classes                 전역 조건의 종류 수, local 지역 조건의 채널 수, hop 조건 프레임 하나에 드는 표본 수
    min_log_scale           로그 표준편차(로그 크기)의 바닥. −7이면 표준편차 0.0009. ClariNet은 −9입니다

    y  없음, (B,) int64 클래스, (B, local, M) 실수 프레임, (프레임, 클래스) 튜플 가운데 모델에 맞는 것.
       프레임 m은 표본 m·hop의 자리에 놓이고 사이는 선형 보간합니다. M ≥ 1 + (T − 1)//hop (``LogMel``이 주는 수).
       hop = 1이면 표본마다의 조건입니다.
    """

    OUTPUTS = ("categorical", "logistic_mixture", "gaussian")

    def __init__(
        self,
        length: int = 8192,
        *,
        stacks: int = 2,
        layers: int = 10,
        kernel: int = 2,
        channels: int = 64,
        skip: int | None = None,
        output: str = "categorical",
        levels: int | None = None,
        mixtures: int = 10,
        classes: int | None = None,
        local: int | None = None,
        hop: int | None = None,
        min_log_scale: float = -7.0,
    ):
        super().__init__()
        if output not in self.OUTPUTS:
            raise ValueError(f"output은 {', '.join(self.OUTPUTS)} 가운데 하나입니다: {output!r}.")
        if min(length, stacks, layers, channels, mixtures, kernel - 1) < 1:
            raise ValueError(
                "length, stacks, layers, channels, mixtures는 1 이상, kernel은 2 이상이어야 합니다: "
                f"{length}, {stacks}, {layers}, {channels}, {mixtures}, {kernel}."
            )
        if (local is None) != (hop is None):
            raise ValueError("지역 조건에는 local(채널 수)과 hop(프레임 간격)을 함께 정하세요.")
        self.event_shape = torch.Size([length])
        self.output, self.mixtures, self.min_log_scale = output, mixtures, min_log_scale
        self.levels = levels or (256 if output == "categorical" else 65536)
        self.classes, self.local, self.hop = classes, local, hop
        self.kernel, self.channels = kernel, channels
        skip = skip or channels
        self.front = nn.Linear(1, channels)
        self.blocks = nn.ModuleList(
            GatedBlock(channels, skip, kernel, 2**i) for _ in range(stacks) for i in range(layers)
        )
        self.outputs = {
            "categorical": self.levels,
            "logistic_mixture": 3 * mixtures,
            "gaussian": 2,
        }[output]
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(skip, skip), nn.ReLU(), nn.Linear(skip, self.outputs)
        )
        wide = 2 * channels * len(self.blocks)  # 모든 층의 [필터, 게이트]
        if classes:
            self.class_gates = nn.Embedding(classes, wide)
            nn.init.normal_(self.class_gates.weight, std=0.1)
        if local:
            self.frames = nn.Conv1d(local, channels, 3, padding=1)
            self.local_gates = nn.Linear(channels, wide, bias=False)

    @property
    def receptive_field(self) -> int:
        """R = 1 + (k − 1) Σ d: x_t의 분포가 보는 앞선 표본의 수."""
        return 1 + (self.kernel - 1) * sum(block.dilation for block in self.blocks)

    # 밀도: 모든 t를 한 번에

    def parameters_at(self, x: Tensor, y=None) -> Tensor:
        """모든 t에서 p(x_t | x_<t, y)의 매개변수 (B, P, T). 신경망을 한 번만 지납니다.

        gaussian은 (평균, 로그 표준편차), logistic_mixture는 K개씩 (혼합 로짓, 평균, 로그 크기), categorical은 로짓.
        x는 칸에 맞추지 않고 그대로 넣으므로 x로 기울기가 흐릅니다.
        """
        self._check(x)
        table = self._condition_table(y, len(x), x.shape[1])
        # x_t의 자리에 x_{t−1}을 놓습니다. 한 칸 미는 곳은 여기뿐입니다
        shifted = pad(self._as_input(x)[:, :-1], (1, 0))
        return self._constrain(self._network(shifted, table).transpose(1, 2))

    def log_prob_given(self, parameters: Tensor, values: Tensor) -> Tensor:
        """log p(values_t | 매개변수_t), nats. parameters (B, P, T), values (…, B, T) → (…, B, T).

        신경망을 다시 지나지 않으므로 x_t의 후보 여럿을 한꺼번에 채점할 수 있습니다. gaussian은 밀도, 나머지 둘은
        칸의 확률의 로그이며 값은 가장 가까운 칸으로 봅니다.
        """
        if self.output == "gaussian":
            mean, log_sd = parameters.unbind(1)
            u = (values - mean) * torch.exp(-log_sd)
            return -0.5 * u.square() - log_sd - 0.5 * math.log(2 * math.pi)
        if self.output == "categorical":
            code = encode(mu_law(values, self.levels - 1), self.levels)
            table = parameters.log_softmax(1).expand(*values.shape[:-2], *parameters.shape)
            return table.gather(-2, code.unsqueeze(-2)).squeeze(-2)
        logits, mean, log_scale = parameters.chunk(3, 1)  # (B, K, T)
        each = bin_log_prob(values.unsqueeze(-2), mean, log_scale, self.levels)
        return (logits.log_softmax(1) + each).logsumexp(-2)

    def log_prob_steps(self, x: Tensor, y=None) -> Tensor:
        """log p(x_t | x_<t, y), (B, T). gaussian이 아니면 x를 먼저 칸에 맞춥니다."""
        self._check(x)
        x = self.quantise(x)
        return self.log_prob_given(self.parameters_at(x, y), x)

    def log_prob(self, x: Tensor, y=None) -> Tensor:
        """log p(x | y) = Σ_t log p(x_t | x_<t, y), nats, (B,)."""
        return self.log_prob_steps(x, y).sum(1)

    def quantise(self, x: Tensor) -> Tensor:
        """모델이 낼 수 있는 값 가운데 가장 가까운 것. gaussian은 x 그대로입니다."""
        if self.output == "gaussian":
            return x
        each = quantise_mu_law if self.output == "categorical" else quantise_linear
        return each(x, self.levels)

    # 생성: 한 번에 표본 하나씩

    @torch.no_grad()
    def sample(self, n: int, y=None) -> Tensor:
        """(n, length) 파형. ``generate(n, length, y)``와 같습니다."""
        return self.generate(n, self.event_shape[0], y)

    def draw_noise(self, n: int, length: int, generator: torch.Generator | None = None) -> Tensor:
        """``generate``가 쓰는 잡음. gaussian N(0, 1) (n, length), categorical U(0, 1) (n, length),
        logistic_mixture U(0, 1) (n, 2, length): 성분을 고르는 것과 값을 뽑는 것."""
        like = self.front.weight
        kwargs = dict(generator=generator, dtype=like.dtype, device=like.device)
        if self.output == "gaussian":
            return torch.randn(n, length, **kwargs)
        shape = (n, length) if self.output == "categorical" else (n, 2, length)
        tiny = torch.finfo(like.dtype).eps
        return torch.rand(shape, **kwargs).clamp(tiny, 1 - tiny)

    def generate(
        self, n: int, length: int, y=None, *, temperature: float = 1.0,
        generator: torch.Generator | None = None, noise: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """n개를 나란히, 앞에서부터 한 표본씩 만듭니다. (n, length). 층마다 지난 값을 간직하여 다시 계산하지 않습니다.

        temperature  표준편차(로지스틱의 크기)에 곱하고 로짓을 나누는 수, 0 이상. 0이면 가장 그럴듯한 값만 고릅니다.
        noise        ``draw_noise``의 것. 같은 잡음이면 같은 결과입니다.
        prompt       (n, T₀) 주어진 앞부분. 그 뒤를 이어서 만듭니다(결과에 앞부분도 들어 있습니다).
        """
        self._check_generation(n, length, temperature)
        with torch.inference_mode():
            steps = CachedSteps(self, n, length, y)
            out = self._generate(steps, n, length, temperature, generator, noise, prompt)
        return out.clone()  # 학습에도 쓸 수 있는 보통의 텐서로

    def generate_naively(
        self, n: int, length: int, y=None, *, temperature: float = 1.0,
        generator: torch.Generator | None = None, noise: Tensor | None = None,
        prompt: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """``generate``와 같은 값을, 표본마다 수용 영역 R개를 처음부터 다시 계산하여 만듭니다. 아주 느립니다."""
        self._check_generation(n, length, temperature)
        inputs: list[Tensor] = []

        def steps(previous: Tensor) -> Tensor:
            inputs.append(previous)
            window = torch.cat(inputs[-self.receptive_field :], 1)
            start = len(inputs) - window.shape[1]
            return self._network(window, table, start)[:, -1]

        with torch.inference_mode():
            table = self._condition_table(y, n, length)
            out = self._generate(steps, n, length, temperature, generator, noise, prompt)
        return out.clone()

    def _generate(self, steps, n, length, temperature, generator, noise, prompt) -> Tensor:
        noise = self.draw_noise(n, length, generator) if noise is None else noise
        if noise.shape[0] != n or noise.shape[-1] != length:
            raise ValueError(
                f"noise는 draw_noise({n}, {length})의 모양이어야 합니다: {tuple(noise.shape)}."
            )
        given = 0
        out = torch.zeros(n, length, dtype=noise.dtype, device=noise.device)
        if prompt is not None:
            self._check(prompt)
            given = prompt.shape[1]
            if len(prompt) != n or given > length:
                raise ValueError(
                    f"prompt는 ({n}, {length} 이하)여야 합니다: {tuple(prompt.shape)}."
                )
            out[:, :given] = self.quantise(prompt)
        previous = out.new_zeros(n, 1)
        for t, (column, eps) in enumerate(zip(out.split(1, 1), noise.unbind(-1), strict=True)):
            raw = steps(previous)  # (n, P)
            if t >= given:
                column.copy_(self.draw(self._constrain(raw), eps, temperature)[:, None])
            previous = self._as_input(column)
        return out

    def draw(self, parameters: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """분포 하나에서 값 하나씩. parameters (n, P), noise (n,) 또는 (n, 2) → (n,)."""
        if self.output == "gaussian":
            mean, log_sd = parameters.unbind(1)
            return torch.addcmul(mean, log_sd.exp(), noise, value=temperature)
        if self.output == "categorical":
            code = _pick(parameters, noise, temperature)
            return inverse_mu_law(decode(code, self.levels, noise.dtype), self.levels - 1)
        logits, mean, log_scale = parameters.chunk(3, 1)
        k = _pick(logits, noise[:, 0], temperature)[:, None]
        mean, scale = mean.gather(1, k)[:, 0], log_scale.gather(1, k)[:, 0].exp()
        value = mean + temperature * scale * torch.logit(noise[:, 1])
        return quantise_linear(value, self.levels)

    # 신경망

    def _network(self, v: Tensor, table: Tensor | None, start: int = 0) -> Tensor:
        """이미 한 칸 민 입력 v (B, T) → (B, T, P). 조건은 표본 start부터 셉니다."""
        h = self.front(v[..., None]).to(v.dtype)  # (B, T, C), autocast에서도 잔차의 합은 v의 자료형
        total = 0.0
        for k, block in enumerate(self.blocks):
            h, skip = block(h, self._condition(table, k, start, v.shape[1]))
            total = total + skip.to(v.dtype)
        # 평균은 표준편차보다 정밀해야 하므로 출력단은 bfloat16으로 계산하지 않습니다
        with torch.autocast(v.device.type, enabled=False):
            return self.head(total)

    def _as_input(self, x: Tensor) -> Tensor:
        return mu_law(x, self.levels - 1) if self.output == "categorical" else x

    def _constrain(self, raw: Tensor) -> Tensor:
        """로그 크기에 바닥을 둡니다: m + softplus(a − m). 1번 축이 매개변수입니다."""
        if self.output == "categorical":
            return raw
        size = 1 if self.output == "gaussian" else self.mixtures
        rest, a = raw.split([raw.shape[1] - size, size], 1)
        return torch.cat([rest, self.min_log_scale + softplus(a - self.min_log_scale)], 1)

    def _condition_table(self, y, batch: int, steps: int) -> Tensor | None:
        """층과 프레임마다 게이트에 더할 값 (B, M, 층·2C). 전역 조건뿐이면 M = 1, 조건이 없으면 None."""
        frames, label = self._split_condition(y, batch, steps)
        table = None
        if frames is not None:
            hidden = relu(self.frames(frames)).transpose(1, 2)  # (B, M, C)
            table = self.local_gates(torch.cat([hidden, hidden[:, -1:]], 1))  # 오른쪽 끝을 한 번 더
        if label is not None:
            each = self.class_gates(label)[:, None]
            table = each if table is None else table + each
        return table

    def _condition(self, table: Tensor | None, k: int, start: int, steps: int) -> Tensor | float:
        """k번째 층의 표본 start, …, start + steps − 1의 조건 (B, steps 또는 1, 2C)."""
        if table is None:
            return 0.0
        part = table[..., 2 * self.channels * k : 2 * self.channels * (k + 1)]
        if self.local is None:
            return part
        if self.hop == 1:
            return part[:, start : start + steps]
        first, last = start // self.hop, (start + steps - 1) // self.hop + 1
        part = part[:, first : last + 1, None]  # (B, m + 1, 1, 2C)
        weight = torch.arange(self.hop, dtype=part.dtype, device=part.device)[:, None] / self.hop
        up = torch.lerp(part[:, :-1], part[:, 1:], weight).flatten(1, 2)  # (B, m·hop, 2C)
        return up[:, start - first * self.hop :][:, :steps]

    # 검사

    def _check(self, x: Tensor) -> None:
        check_batch(x, x.shape[1:] if x.ndim == 2 else self.event_shape)
        if self.output != "gaussian" and float(x.detach().abs().max()) > 1 + 1e-5:
            raise ValueError(
                f"x의 값이 [−1, 1] 밖에 있습니다(최대 {float(x.detach().abs().max()):.3g}). "
                "신호를 최댓값으로 나누어 넣으세요."
            )

    def _check_generation(self, n: int, length: int, temperature: float) -> None:
        if n < 1 or length < 1 or not 0 <= temperature < math.inf:
            raise ValueError(
                f"n과 length는 1 이상, temperature는 0 이상이어야 합니다: {n}, {length}, {temperature}."
            )

    def _split_condition(self, y, batch: int, steps: int) -> tuple[Tensor | None, Tensor | None]:
        wants = [
            *([f"프레임 (B, {self.local}, M)"] if self.local else []),
            *([f"클래스 (B,) int64, 0–{self.classes - 1}"] if self.classes else []),
        ]
        parts = list(y) if isinstance(y, tuple) else [] if y is None else [y]
        if len(parts) != len(wants):
            raise ValueError(
                f"이 모델의 조건 y는 {'과 '.join(wants) or '없어야 합니다'}"
                f"{'의 튜플이어야 합니다' * (len(wants) == 2)}. 받은 것: {len(parts)}개."
            )
        frames = parts.pop(0) if self.local else None
        label = parts.pop(0) if self.classes else None
        if label is not None and (
            label.shape != (batch,)
            or label.dtype != torch.int64
            or not bool(((label >= 0) & (label < self.classes)).all())
        ):
            raise ValueError(
                f"클래스는 0–{self.classes - 1}의 int64 텐서 ({batch},)여야 합니다: "
                f"{label.dtype} {tuple(label.shape)}."
            )
        if frames is not None:
            need = 1 + (steps - 1) // self.hop
            if (
                frames.ndim != 3
                or frames.shape[:2] != (batch, self.local)
                or frames.shape[2] < need
                or not frames.is_floating_point()
                or not bool(frames.isfinite().all())
            ):
                raise ValueError(
                    f"표본 {steps}개의 지역 조건은 유한한 실수 텐서 ({batch}, {self.local}, {need} 이상)이어야 "
                    f"합니다(hop = {self.hop}): {frames.dtype} {tuple(frames.shape)}."
                )
        return frames, label


def _pick(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    """누적확률이 u를 처음 넘는 번호. logits (n, K), u (n,) → (n,) int64."""
    if temperature == 0:
        return logits.argmax(1)
    cumulative = (logits / temperature).softmax(1).cumsum(1)
    return (cumulative < u[:, None] * cumulative[:, -1:]).sum(1)


class CachedSteps:
    """한 표본씩 나아가는 WaveNet. ``steps(previous (n, 1)) → 출력 (n, P)``를 t = 0, 1, 2, …의 순서로 부릅니다.

    층마다 최근 (k − 1)d개의 입력만 간직합니다(Paine et al., 2016, arXiv 1611.09482). 빠르게 하는 것은 셋입니다.

    1. 팽창 d인 층의 지난 탭은 모두 d표본 이상 앞의 것이므로, 앞으로 d표본 동안 쓸 W_past h_{t−d}, …를 행렬 곱 한 번에
       미리 구합니다. 표본마다 할 일은 지금 탭의 곱 하나뿐입니다.
    2. 조건과 편향도 그때 함께 더해 둡니다.
    3. 곱의 결과를 다음 층의 링 버퍼에 바로 씁니다. 건너뛰기의 합 Σ_k W_s z_k는 z를 이어 붙여 곱 한 번으로 구합니다.
    """

    def __init__(self, model: WaveNet, n: int, length: int, y=None):
        c, k, like = model.channels, model.kernel, model.front.weight
        self.model, self.n, self.t = model, n, 0
        self.table = model._condition_table(y, n, length)
        self.chunk = max(64, max(block.dilation for block in model.blocks))  # 2의 거듭제곱
        self.length = length

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=like.dtype, device=like.device)

        self.z = zeros(n, len(model.blocks) * c)
        self.skip_weight = torch.cat([b.out.weight[c:].T for b in model.blocks]).contiguous()
        self.front = model.front.weight.T.contiguous(), model.front.bias
        self.rows = []  # 층마다 표본 하나를 계산하는 데 쓰는 것
        self.blocks = []  # 층마다 d표본을 미리 계산하는 데 쓰는 것
        for i, block in enumerate(model.blocks):
            d = block.dilation
            memory = zeros(k - 1, d, n, c)  # 최근 (k − 1)d개의 입력
            ahead = zeros(d, n, 2 * c)  # 조건 + 편향 + 지난 탭
            *past, now = (w.T.contiguous() for w in block.gate.weight.split(c, 1))
            gate = zeros(n, 2 * c)
            self.rows.append((
                memory.flatten(0, 1).unbind(0), ahead.unbind(0), d - 1, (k - 1) * d, now, gate,
                *gate.chunk(2, 1), self.z[:, i * c : (i + 1) * c],
                block.out.weight[:c].T.contiguous(),
            ))  # fmt: skip
            memory = memory.view(k - 1, d * n, c)
            self.blocks.append((d, memory, past[::-1], ahead.view(d * n, 2 * c)))
        self.due = {
            2**i: [j for j, b in enumerate(self.blocks) if b[0] <= 2**i]
            for i in range(self.chunk.bit_length())
        }

    def _conditions(self, start: int) -> list[Tensor]:
        """층마다 표본 start부터 chunk개의 편향 + 조건, (chunk·n, 2C)."""
        stop = min(self.length, start + self.chunk)
        out = []
        for k, block in enumerate(self.model.blocks):
            part = self.model._condition(self.table, k, start, stop - start) + block.gate.bias
            part = part.expand(self.n, -1, -1) if part.ndim == 3 else part.expand(self.n, 1, -1)
            part = part.transpose(0, 1)  # (stop − start 또는 1, n, 2C)
            if len(part) == 1:
                part = part.expand(self.chunk, -1, -1)
            elif len(part) < self.chunk:
                part = pad(part, (0, 0, 0, 0, 0, self.chunk - len(part)))
            out.append(part.reshape(-1, part.shape[-1]))
        return out

    def _look_ahead(self, j: int, t: int) -> None:
        """층 j의 다음 d표본 t, …, t + d − 1: 조건 + 편향 + Σ_i W_i h_{t−id}."""
        d, memory, past, ahead = self.blocks[j]
        at = t % self.chunk * self.n
        total, turn = self.conditions[j][at : at + d * self.n], t // d
        for i, weight in enumerate(past, 1):
            total = torch.addmm(total, memory[(turn - i) % len(past)], weight, out=ahead)

    def __call__(self, previous: Tensor) -> Tensor:
        t = self.t
        if t % self.chunk == 0 and (t == 0 or self.model.local is not None):
            self.conditions = self._conditions(t)
        for j in self.due[self.chunk if t % self.chunk == 0 else t & -t]:
            self._look_ahead(j, t)
        rows = self.rows
        weight, bias = self.front
        h = torch.addmm(bias, previous, weight, out=rows[0][0][t % rows[0][3]])
        for i, (_, ahead, mask, _, now, gate, f, g, z, residual) in enumerate(rows, 1):
            torch.addmm(ahead[t & mask], h, now, out=gate)
            f.tanh_()
            g.sigmoid_()
            torch.mul(f, g, out=z)
            if i < len(rows):  # 마지막 층의 잔차는 아무도 쓰지 않습니다
                h = torch.addmm(h, z, residual, out=rows[i][0][t % rows[i][3]])
        self.t += 1
        return self.model.head(self.z @ self.skip_weight)


def speech_wavenet() -> WaveNet:
    """체크포인트 ``wavenet``의 구조: 로그 멜 40개(프레임 간격 64표본)를 조건으로 받는 2×10층, 64채널."""
    return WaveNet(
        8192, output="gaussian", stacks=2, layers=10, channels=64, local=40, hop=64,
        min_log_scale=-6.0,
    )  # fmt: skip


def vowel_wavenet() -> WaveNet:
    """체크포인트 ``wavenet_vowels``의 구조: 모음, 높이와 위상(``IntonedVowels.conditions``)을 받는 1×9층, 32채널."""
    return WaveNet(
        4096, output="gaussian", stacks=1, layers=9, channels=32, local=3, hop=1, classes=5
    )
