"""소리를 재는 함수들: 짧은 구간 푸리에 변환, 멜 필터, 로그 멜 스펙트로그램, WAV.

신호는 어디서나 (B, T) 또는 (T,)의 실수 텐서이고 값은 [−1, 1], 표본율의 기본값은 8000 Hz입니다.
"""

import io
import math
import wave

import torch
from torch import Tensor, nn

RATE = 8000  # Hz


def stft_magnitude(x: Tensor, n_fft: int = 256, hop: int = 64) -> Tensor:
    """|STFT|: (…, T) → (…, n_fft/2 + 1, 1 + T // hop). 한(Hann) 창, 양 끝은 반사로 채웁니다.

    |X[f, m]| = |Σ_n w[n] x[m·hop + n − n_fft/2] e^{−2πi f n / n_fft}|
    칸 f의 주파수는 f·rate/n_fft Hz입니다. ``ValueError``: 신호가 n_fft/2보다 길지 않을 때.
    """
    if x.shape[-1] <= n_fft // 2:
        raise ValueError(
            f"신호가 {x.shape[-1]}표본입니다. n_fft/2 = {n_fft // 2}보다 길어야 합니다. "
            "더 긴 신호를 넣거나 n_fft를 줄이세요."
        )
    window = torch.hann_window(n_fft, dtype=x.dtype, device=x.device)
    flat = x.reshape(-1, x.shape[-1])
    spectrum = torch.stft(flat, n_fft, hop, window=window, return_complex=True).abs()
    return spectrum.reshape(*x.shape[:-1], *spectrum.shape[1:])


def decibels(magnitude: Tensor, floor: float = -80.0) -> Tensor:
    """20 log₁₀(크기 / 그 신호의 최댓값), dB. 마지막 두 축이 한 장이고 floor보다 작은 값은 floor입니다.

    신호 전체의 크기를 바꾸어도 결과가 같습니다. 소리가 전혀 없으면 모두 floor입니다.
    """
    loudest = magnitude.amax((-2, -1), keepdim=True)
    ratio = torch.where(loudest > 0, magnitude / loudest.clamp(min=1e-30), 0.0)
    return 20 * ratio.clamp(min=10 ** (floor / 20)).log10()


def hz_to_mel(hz: Tensor | float) -> Tensor:
    """멜 척도 2595 log₁₀(1 + f/700). 사람이 같은 간격으로 느끼는 높이가 같은 간격이 됩니다."""
    return 2595 * torch.log10(1 + torch.as_tensor(hz, dtype=torch.float64) / 700)


def mel_to_hz(mel: Tensor | float) -> Tensor:
    """``hz_to_mel``의 역함수."""
    return 700 * (10 ** (torch.as_tensor(mel, dtype=torch.float64) / 2595) - 1)


def mel_filters(mels: int = 40, n_fft: int = 256, rate: int = RATE, low: float = 60.0) -> Tensor:
    """멜 척도에서 같은 간격으로 놓인 세모 필터 (mels, n_fft/2 + 1). 꼭짓점의 높이는 1입니다.

    ``ValueError``: 필터가 너무 촘촘하여 주파수 칸이 하나도 들지 않는 것이 있을 때.
    """
    edges = mel_to_hz(torch.linspace(float(hz_to_mel(low)), float(hz_to_mel(rate / 2)), mels + 2))
    hz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate / n_fft
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    up, down = (hz - left) / (centre - left), (right - hz) / (right - centre)
    bank = torch.minimum(up, down).clamp(min=0)
    if (bank.sum(1) == 0).any():
        raise ValueError(
            f"멜 필터 {mels}개는 n_fft = {n_fft}에 너무 많습니다. mels를 줄이거나 n_fft를 늘리세요."
        )
    return bank.float()


class LogMel(nn.Module):
    """파형 (B, T) → 로그 멜 스펙트로그램 (B, mels, 1 + T // hop), 값은 [−1, 0].

    한 신호에서 가장 큰 칸을 0, 그보다 ``range_db`` 작은 곳부터 −1로 둡니다. 그래서 소리의 크기와 무관합니다.
    """

    def __init__(
        self,
        mels: int = 40,
        n_fft: int = 256,
        hop: int = 64,
        rate: int = RATE,
        range_db: float = 60.0,
    ):
        super().__init__()
        self.n_fft, self.hop, self.range_db = n_fft, hop, range_db
        self.register_buffer("filters", mel_filters(mels, n_fft, rate), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        power = stft_magnitude(x, self.n_fft, self.hop).square()  # (B, F, M)
        energy = torch.einsum("kf,bfm->bkm", self.filters.to(power.dtype), power)
        return decibels(energy.sqrt(), -self.range_db) / self.range_db


def periodicity(
    x: Tensor, rate: int = RATE, frame: int = 512, pitch: tuple[float, float] = (70.0, 400.0)
) -> Tensor:
    """가장 큰 소리가 나는 창에서 파형이 얼마나 되풀이되는지. (B, T) → (B,), 1이면 정확히 주기적입니다.

    r(τ) = Σ_t x_t x_{t+τ} / √(Σ_t x_t² Σ_t x_{t+τ}²)의 최댓값, τ는 ``pitch`` Hz에 해당하는 지연.
    목소리의 유성음은 1에 가깝고 잡음은 작습니다. ``ValueError``: 신호가 창보다 짧을 때.
    """
    low, high = math.ceil(rate / pitch[1]), math.floor(rate / pitch[0])
    if x.ndim != 2 or x.shape[1] < frame or high >= frame:
        raise ValueError(
            f"(B, T)의 T는 {max(frame, high + 1)} 이상이어야 합니다: {tuple(x.shape)}."
        )
    frames = x.unfold(1, frame, frame // 4)  # (B, M, frame)
    loudest = frames.square().sum(2).argmax(1)
    part = frames[torch.arange(len(x)), loudest]
    part = part - part.mean(1, keepdim=True)
    best = torch.full((len(x),), -1.0, dtype=x.dtype)
    for lag in range(low, high + 1):
        a, b = part[:, :-lag], part[:, lag:]
        size = (a.square().sum(1) * b.square().sum(1)).sqrt().clamp(min=1e-12)
        best = torch.maximum(best, (a * b).sum(1) / size)
    return best


def log_spectral_distance(
    x: Tensor, y: Tensor, n_fft: int = 256, hop: int = 64, floor: float = -60.0
) -> Tensor:
    """로그 스펙트럼 거리, dB. 두 소리 (B, T) → (B,). 순간마다 주파수로 제곱 평균의 제곱근, 그다음 시간 평균입니다.

    LSD = mean_m √(mean_f (L_x[f, m] − L_y[f, m])²),   L은 저마다 가장 큰 칸을 0 dB로 둔 로그 크기(floor에서 자름)

    그래서 소리의 크기와 위상은 보지 않고 언제 어느 주파수가 울리는지를 봅니다. 길이가 같고 시작이 맞은 소리끼리 견줍니다.
    """
    _aligned(x, y)
    a, b = (decibels(stft_magnitude(v, n_fft, hop), floor) for v in (x, y))  # (B, F, M)
    return (a - b).square().mean(1).sqrt().mean(1)


def mel_cepstral_distance(
    x: Tensor, y: Tensor, coefficients: int = 12, mels: int = 40, floor: float = -60.0
) -> Tensor:
    """멜 켑스트럼 거리, dB. 두 소리 (B, T) → (B,). 스펙트럼의 **모양**(음색)만 견줍니다.

    MCD = (10 √2 / ln 10) mean_m √(Σ_{k=1}^{K} (c_k[m] − c'_k[m])²),   c_k는 로그 멜 크기의 이산 코사인 변환

    k = 0(크기)은 뺍니다. 낮은 k만 보므로 고조파의 빗살은 지워지고 포먼트의 윤곽이 남습니다. 시간은 맞추지 않고 프레임끼리
    견주므로(DTW 없음) 시작이 맞은 소리에 씁니다. 기준: Kubichek, "Mel-cepstral distance measure", IEEE PacRim 1993.
    """
    _aligned(x, y)
    if not 1 <= coefficients < mels:
        raise ValueError(f"계수의 수는 1 이상 {mels} 미만이어야 합니다: {coefficients}.")
    picture = LogMel(mels, range_db=-floor).to(x)
    k = torch.arange(1, coefficients + 1, dtype=x.dtype)[:, None]
    place = (torch.arange(mels, dtype=x.dtype) + 0.5) / mels
    basis = math.sqrt(2 / mels) * torch.cos(math.pi * k * place)  # (K, mels), 정규 직교
    a, b = (
        basis @ (picture(v) * -floor * math.log(10) / 20) for v in (x, y)
    )  # (B, K, M), 자연로그
    return 10 * math.sqrt(2) / math.log(10) * (a - b).square().sum(1).sqrt().mean(1)


def _aligned(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(
            f"두 소리의 모양이 같은 (B, T)여야 합니다: {tuple(x.shape)}, {tuple(y.shape)}. "
            "긴 쪽을 잘라 길이를 맞추세요."
        )


def wav_bytes(x: Tensor, rate: int = RATE) -> bytes:
    """파형 (T,)을 16 bit 단일 채널 WAV 파일의 내용으로 바꿉니다. [−1, 1] 밖의 값은 자릅니다."""
    if x.ndim != 1 or len(x) == 0 or not x.isfinite().all():
        raise ValueError(
            f"NaN이 없는 (T,) 신호 하나를 넣으세요. 받은 모양: {tuple(x.shape)}. "
            "여러 개라면 하나씩 넣습니다."
        )
    samples = (x.detach().double().clamp(-1, 1) * 32767).round().to(torch.int16).cpu().numpy()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()
