"""소리 실험대 둘: 온도와 조건을 옮기며 듣는 ``sound_grid``, μ 법칙과 고른 칸을 견주는 ``mu_law_lab``.

계산도 소리도 브라우저에서 만들므로 커널이 할 일이 없고, 살아 있는 위젯은 따로 없습니다.
"""

import base64
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from course_lib import plots
from course_lib.audio import RATE
from course_lib.autoregressive.wavenet import (
    decode,
    encode,
    inverse_mu_law,
    mu_law,
    quantise_linear,
)
from course_lib.widgets.frame import TriView, self_contained

SPAN = (-60, 0)  # 소리의 크기, dB


def snr_db(x: Tensor, level: float, law: str, bits: int = 8) -> float:
    """신호 x(최댓값 1)를 level dB로 줄여 2^bits칸에 맞췄을 때의 신호 대 잡음비, dB.

    10 log₁₀(Σ s² / Σ (s − q)²),  s = x · 10^(level/20).  law: "μ-law"(μ = 255) 또는 "고른 칸".
    """
    if law not in ("μ-law", "고른 칸") or not 2 <= bits <= 16:
        raise ValueError(f'law는 "μ-law"나 "고른 칸", bits는 2–16입니다: {law!r}, {bits}.')
    s = x.double() * 10 ** (level / 20)
    levels = 2**bits
    if law == "μ-law":
        q = inverse_mu_law(decode(encode(mu_law(s), levels), levels, s.dtype))
    else:
        q = quantise_linear(s, levels)
    return float(10 * (s.square().sum() / (s - q).square().sum()).log10())


def _int16(x: Tensor) -> str:
    values = (x.detach().double().clamp(-1, 1) * 32767).round().to(torch.int16)
    return base64.b64encode(values.numpy().astype("<i2").tobytes()).decode()


def mu_law_lab(x: Tensor, *, rate: int = RATE, level: int = -40, bits: int = 8) -> TriView:
    """μ 법칙 실험대: 소리의 크기와 비트 수를 옮기며 파형, 신호 대 잡음비, 소리를 견줍니다.

    x (T,)는 최댓값이 1이 되게 맞춥니다. 들을 때는 늘 같은 크기로 키우므로 잡음의 크기만 달라집니다.
    """
    if x.ndim != 1 or not 1000 <= len(x) <= 16_000 or not float(x.abs().max()) > 0:
        raise ValueError(f"표본 1000–16000개인 소리 하나를 넣으세요. 받은 모양: {tuple(x.shape)}.")
    x = x / x.abs().max()
    levels = torch.arange(SPAN[0], SPAN[1] + 1, 2.0)
    curves = {
        law: (levels, [snr_db(x, float(v), law, bits) for v in levels])
        for law in ("μ-law", "고른 칸")
    }
    figure = plots.curves(curves, xlabel="소리의 크기(dB)", ylabel="신호 대 잡음비(dB)")
    picture = plots.png(figure, sharp=1.25)
    data = {
        "kind": "quantise",
        "sound": _int16(x),
        "rate": rate,
        "level": level,
        "bits": bits,
        "span": list(SPAN),
    }
    alt = "소리의 크기에 따른 신호 대 잡음비. 작은 소리에서는 μ-law가, 큰 소리에서는 고른 칸이 높습니다"
    html = self_contained("sound_lab.js", data, picture, alt)
    return TriView(None, html, picture, "μ 법칙 실험대")


def sound_grid(
    sounds: Mapping[str, Sequence[Tensor]],
    labels: Sequence[str],
    *,
    alt: str,
    slider: str = "온도",
    start: int = 0,
    rate: int = RATE,
    budget: int = 300_000,
) -> TriView:
    """``{조건: [눈금마다의 파형 (T,)]}``. 조건을 고르고 슬라이더를 옮기면 파형과 스펙트로그램, 소리가 바뀝니다.

    값이 [−1, 1]을 넘는 신호는 최댓값이 1이 되게 줄입니다. ``ValueError``: 눈금의 수가 다르거나 HTML이 ``budget``을 넘을 때.
    """
    if not sounds or any(len(row) != len(labels) for row in sounds.values()):
        raise ValueError(f"조건마다 소리가 눈금의 수만큼 있어야 합니다: {len(labels)}개.")
    scaled = [[x / max(1.0, float(x.abs().max())) for x in row] for row in sounds.values()]
    shown = {
        f"{name} · {slider} {labels[start]}": row[start]
        for name, row in zip(sounds, scaled, strict=True)
    }
    picture = plots.png(plots.sounds(shown, rate=rate, columns=4), sharp=1.25, budget=40_000)
    data = {
        "kind": "grid",
        "names": list(sounds),
        "labels": list(labels),
        "slider": slider,
        "sounds": [[_int16(x) for x in row] for row in scaled],
        "start": start,
        "rate": rate,
    }
    html = self_contained("sound_lab.js", data, picture, alt)
    if len(html) > budget:
        raise ValueError(
            f"실험대가 {len(html) // 1000} kB라서 한도 {budget // 1000} kB를 넘습니다. 소리의 수나 길이를 줄이세요."
        )
    return TriView(None, html, picture, f"소리 {len(sounds)}×{len(labels)}")
