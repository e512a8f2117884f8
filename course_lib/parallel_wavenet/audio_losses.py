"""소리의 증류: KL에 더하는 세 손실(파워, 지각, 대조)과 그 모두를 모은 ``fit``용 손실.

van den Oord et al., "Parallel WaveNet", ICML 2018, arXiv 1711.10433의 3절. 정규분포의 닫힌 식을 쓰는 안정한 꼴은
Ping, Peng, Chen, "ClariNet", ICLR 2019, arXiv 1807.07281.

    파워   ‖φ(x̂) − φ(x)‖² / ‖φ(x)‖²,   φ = |STFT|                               식 (4)
    지각   Σ_층 ‖G(f(x̂)) − G(f(x))‖² / ‖G(f(x))‖²,   G = F Fᵀ / 시간의 칸 수      식 (5)
    대조   KL(P_S(y₁) ‖ P_T(y₁)) − γ KL(P_S(y₁) ‖ P_T(y₂)),   γ = 0.3             식 (6)

x̂은 학생의 소리, x는 같은 조건의 녹음, f는 따로 배운 분류기의 특징입니다. 학생은 x의 우도를 보지 않습니다.

논문과 다른 점
- 파워와 지각 손실을 진짜 쪽의 크기로 나눕니다. 소리의 크기와 무관한 값이 되어 무게를 정하기 쉽습니다.
- 논문의 φ는 |STFT|²의 시간 평균입니다. 다시 구현한 사람들은 |STFT|가 낫다고 적었습니다. 여기서는 |STFT|가 기본이고
  ``power=2``와 ``average=True``가 논문의 꼴입니다. 창의 길이는 하나가 아니라 여럿을 평균합니다.
- ``log_power_loss``와 ``balanced``는 논문에 없습니다. 앞의 것은 여러 창의 로그 크기 손실(Yamamoto, Song, Kim, "Parallel
  WaveGAN", ICASSP 2020, arXiv 1910.11480), 뒤의 것은 교사의 σ²을 곱한 KL입니다(``Distillation``).
- 지각 손실의 분류기는 글자(음소)가 아니라 모음이나 숫자를 맞힙니다. 학생을 심사하는 분류기와는 **다른** 것이어야 합니다.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from course_lib.audio import RATE, LogMel, stft_magnitude
from course_lib.parallel_wavenet.distillation import (
    cross_entropy_per_step,
    freeze,
    gaussian_kl,
    student_entropy,
)

WINDOWS = ((512, 128), (256, 64), (128, 32))  # (n_fft, hop): 느린 무늬와 빠른 무늬를 함께 봅니다


def power_loss(
    x: Tensor,
    y: Tensor,
    *,
    windows: Sequence[tuple[int, int]] = WINDOWS,
    power: float = 1.0,
    average: bool = False,
) -> Tensor:
    """식 (4). 소리 x, y (B, T) → (B,). 0이면 모든 창에서 크기가 같습니다. 위상과 부호는 보지 않습니다.

    power    1이면 |STFT|, 2이면 |STFT|²
    average  True이면 시간으로 평균한 스펙트럼끼리(논문), False이면 순간마다 견줍니다.
    """
    _same_batch(x, y)
    total = x.new_zeros(len(x))
    for n_fft, hop in windows:
        ours, theirs = (stft_magnitude(v, n_fft, hop).pow(power) for v in (x, y))  # (B, F, M)
        if average:
            ours, theirs = ours.mean(2, keepdim=True), theirs.mean(2, keepdim=True)
        total = total + _relative(ours, theirs)
    return total / len(windows)


def log_power_loss(
    x: Tensor, y: Tensor, *, windows: Sequence[tuple[int, int]] = WINDOWS, floor: float = 2.5e-3
) -> Tensor:
    """로그 크기의 차이 mean |log φ(x) − log φ(y)|, φ² = |STFT|² + ε². 소리 (B, T) → (B,), 단위 nats.

    ``power_loss``는 큰 칸이 좌우하고, 이것은 조용한 칸과 높은 주파수도 같은 무게로 봅니다.
    ε² = 3/8·n_fft·floor²은 표준편차가 floor인 흰 잡음의 |STFT|²의 평균입니다(한 창의 Σw² = 3n/8). 침묵의 로그를 막습니다.
    """
    _same_batch(x, y)
    total = x.new_zeros(len(x))
    for n_fft, hop in windows:
        noise = 0.375 * n_fft * floor**2
        ours, theirs = (
            0.5 * (stft_magnitude(v, n_fft, hop).square() + noise).log() for v in (x, y)
        )
        total = total + (ours - theirs).abs().mean((1, 2))
    return total / len(windows)


def gram(features: Tensor) -> Tensor:
    """특징 (B, …, M)의 그람 행렬 (B, C, C). 마지막 축(시간)만 더하므로 *언제*는 버리고 *함께 켜짐*만 남습니다."""
    flat = features.flatten(1, -2)  # (B, C, M): 채널과 주파수를 한 축으로
    return flat @ flat.mT / flat.shape[-1]


def perceptual_loss(
    features: Callable[[Tensor], Sequence[Tensor]], x: Tensor, y: Tensor, *, kind: str = "style"
) -> Tensor:
    """식 (5). 소리 (B, T) → (B,). features는 층마다의 특징 (B, …, M)의 목록을 돌려줍니다.

    kind  "style"은 그람 행렬끼리(논문에서 더 나았던 쪽), "feature"는 특징을 그대로 견줍니다.
    """
    if kind not in ("style", "feature"):
        raise ValueError(f'kind는 "style"이나 "feature"여야 합니다. 받은 값: {kind!r}.')
    _same_batch(x, y)
    total = x.new_zeros(len(x))
    with torch.no_grad():
        theirs = features(y)
    ours = features(x)
    for a, b in zip(ours, theirs, strict=True):
        if kind == "style":
            a, b = gram(a), gram(b)
        total = total + _relative(a, b)
    return total / len(ours)


def contrastive_loss(same: Tensor, other: Tensor, gamma: float = 0.3) -> Tensor:
    """식 (6). 옳은 조건의 KL ``same``과 틀린 조건의 KL ``other``, 같은 모양. γ는 [0, 1)입니다.

    조건을 무시하는 학생은 두 KL이 같아 이 항이 줄여 주지 않습니다. 조건을 따르면 ``other``가 커져 손실이 줄어듭니다.
    """
    if not 0 <= gamma < 1:
        raise ValueError(
            f"γ는 0 이상 1 미만이어야 하는데 {gamma}를 받았습니다. 1 이상이면 교사에게서 "
            "멀어질수록 손실이 끝없이 줄어듭니다."
        )
    return same - gamma * other


def mismatched(y):
    """배치 안에서 조건을 한 칸씩 돌려 서로 바꾼 것. 텐서나 (프레임, 클래스)를 받습니다. 배치는 둘 이상이어야 합니다."""
    parts = y if isinstance(y, tuple) else (y,)
    if not all(isinstance(p, Tensor) and len(p) > 1 for p in parts):
        raise ValueError("조건이 있고 배치가 둘 이상이어야 다른 조건을 고를 수 있습니다.")
    moved = tuple(p.roll(1, 0) for p in parts)
    return moved if isinstance(y, tuple) else moved[0]


class Listener(nn.Module):
    """지각 손실에 쓰는 작은 분류기: 파형 (B, T) → 로짓 (B, classes). 로그 멜 위의 2차원 합성곱 셋.

    ``features(x)``는 층마다의 특징 (B, C, 주파수, 시간)입니다. 심사에 쓰는 분류기와는 따로 배웁니다.
    """

    def __init__(self, classes: int = 5, width: int = 12, rate: int = RATE):
        super().__init__()
        self.picture = LogMel(hop=128, rate=rate)
        sizes = (1, width, 2 * width, 2 * width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1)))
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.head = nn.Linear(sizes[-1] * 5, classes)  # 주파수 40칸이 세 번 반이 되어 5칸

    def features(self, x: Tensor) -> list[Tensor]:
        h, out = self.picture(x)[:, None], []
        for block in self.blocks:
            h = block(h)
            out.append(h)
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)[-1].mean(3).flatten(1))  # 시간으로 평균


class Distillation:
    """``fit``에 넘기는 손실: 배치 (녹음 x (B, T), 조건 y) → 스칼라. 교사는 얼립니다.

    closed_form  True이면 정규분포끼리의 닫힌 KL(``gaussian_kl``, 교사와 학생이 모두 정규분포일 때),
                 False이면 교차 엔트로피(시각마다 samples개로 어림) − 학생의 엔트로피
    entropy      학생의 엔트로피의 무게. 1이면 KL이고, 0이면 교사의 nats만 줄입니다(무너지는 것을 보이는 실험)
    power, log_power, perceptual, contrastive  손실의 무게. 0이면 셈하지 않습니다. contrastive는 γ입니다
    features     지각 손실의 특징 함수(``Listener().features``)
    mismatch     y → 틀린 조건. 기본은 배치 안에서 서로 바꾸기(``mismatched``)
    regularise   닫힌 KL에 더하는 (log σ_교사 − log s)²의 무게 λ(ClariNet은 4)
    floor        닫힌 KL 안에서 log σ와 log s를 자르는 바닥(``gaussian_kl``)
    balanced     True이면 닫힌 KL과 λ항에 시각마다 σ_교사²(상수로 보고, 평균이 1이 되게)을 곱합니다. μ의 기울기
                 (μ − μ_교사)/σ²이 조용한 곳에서 몇백 배 커져 큰 소리를 배우지 못하는 것을 막습니다

    KL은 표본 하나(시각)마다의 nats로 재므로 신호의 길이와 무관합니다.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        closed_form: bool = True,
        samples: int = 8,
        kl: float = 1.0,
        entropy: float = 1.0,
        power: float = 0.0,
        log_power: float = 0.0,
        perceptual: float = 0.0,
        contrastive: float = 0.0,
        features: Callable[[Tensor], Sequence[Tensor]] | None = None,
        mismatch: Callable = mismatched,
        regularise: float = 4.0,
        floor: float = -7.0,
        balanced: bool = False,
    ):
        if balanced and not closed_form:
            raise ValueError("balanced는 닫힌 KL에만 씁니다. closed_form=True로 두세요.")
        if perceptual and features is None:
            raise ValueError(
                "지각 손실에는 features가 있어야 합니다. Listener().features를 주세요."
            )
        self.teacher, self.closed_form, self.samples = freeze(teacher), closed_form, samples
        self.kl, self.entropy, self.power, self.perceptual = kl, entropy, power, perceptual
        self.contrastive, self.features, self.mismatch = contrastive, features, mismatch
        self.log_power, self.balanced = log_power, balanced
        self.regularise, self.floor = regularise, floor
        self.last: dict[str, float] = {}  # 마지막으로 잰 항들. 곡선을 그릴 때 씁니다

    def divergence(self, student, sampled, y) -> tuple[Tensor, Tensor]:
        """KL(학생 ‖ 교사)와 λ항, 시각마다 평균한 (B,) 둘. 교사는 학생의 소리 x에서 **한 번** 돕니다."""
        parameters = self.teacher.parameters_at(sampled.x, y)
        if self.closed_form:
            mean, log_sd = parameters.unbind(1)
            kl = gaussian_kl(
                sampled.mu, sampled.log_s, mean, log_sd, regularise=0.0, floor=self.floor
            )
            pull = self.regularise * (log_sd - sampled.log_s).square()
            if self.balanced:
                variance = (2 * log_sd.detach()).exp()
                kl, pull = (v * variance / variance.mean() for v in (kl, pull))
            return kl.mean(1), pull.mean(1)
        cross = cross_entropy_per_step(
            lambda v: self.teacher.log_prob_given(parameters, v),
            sampled.mu, sampled.log_s, self.samples, base=student.base,
        )  # fmt: skip
        kl = cross.mean(1) - entropy_per_step(student, sampled)
        return kl, torch.zeros_like(kl)

    def parts(self, student, x: Tensor, y) -> dict[str, Tensor]:
        """항마다의 배치 평균. "합"이 줄일 값이고 "교차 엔트로피" − "엔트로피" = "KL"입니다."""
        sampled = student.rsample_and_parameters(len(x), x.shape[1], y)
        kl, pull = self.divergence(student, sampled, y)
        entropy = entropy_per_step(student, sampled)
        terms = {"교차 엔트로피": kl + entropy, "엔트로피": entropy, "KL": kl}
        total = self.kl * (kl + (1 - self.entropy) * entropy + pull)
        if self.contrastive:
            terms["다른 조건의 KL"] = self.divergence(student, sampled, self.mismatch(y))[0]
            gap = contrastive_loss(kl, terms["다른 조건의 KL"], self.contrastive) - kl
            total = total + self.kl * gap
        if self.power:
            terms["파워"] = power_loss(sampled.x, x)
            total = total + self.power * terms["파워"]
        if self.log_power:
            terms["로그 파워"] = log_power_loss(sampled.x, x)
            total = total + self.log_power * terms["로그 파워"]
        if self.perceptual:
            terms["지각"] = perceptual_loss(self.features, sampled.x, x)
            total = total + self.perceptual * terms["지각"]
        return {name: value.mean() for name, value in (terms | {"합": total}).items()}

    def __call__(self, student, batch) -> Tensor:
        terms = self.parts(student, *batch)
        self.last = {name: float(value.detach()) for name, value in terms.items()}
        return terms["합"]


def entropy_per_step(student, sampled) -> Tensor:
    """학생의 조건부 분포의 엔트로피를 시각마다 평균한 (B,), nats. 로지스틱이면 mean_t log s_t + 2."""
    return student_entropy(sampled.log_s, student.base) / sampled.x.shape[1]


def _relative(a: Tensor, b: Tensor) -> Tensor:
    """‖a − b‖² / ‖b‖², 배치마다 (B,). b가 모두 0이면(무음) 나누지 않습니다."""
    size = b.square().flatten(1).sum(1)
    size = torch.where(size > 0, size, torch.ones_like(size))
    return (a - b).square().flatten(1).sum(1) / size


def _same_batch(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or x.shape != y.shape or not len(x):
        raise ValueError(
            f"두 소리의 모양이 같은 (B, T)여야 하는데 {tuple(x.shape)}, {tuple(y.shape)}을 받았습니다."
        )
