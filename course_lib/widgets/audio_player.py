"""소리 재생기와 A/B 듣기 시험. WAV가 HTML 안에 들어 있어 인터넷도 커널도 필요 없습니다."""

import base64
from collections.abc import Mapping, Sequence

from torch import Tensor

from course_lib import plots
from course_lib.audio import RATE, wav_bytes
from course_lib.widgets.frame import TriView, self_contained


def audio_player(
    sounds: Mapping[str, Tensor],
    *,
    alt: str,
    rate: int = RATE,
    columns: int = 4,
    budget: int = 300_000,
) -> TriView:
    """``{이름: 파형 (T,)}``의 소리 카드들. 값이 [−1, 1]을 넘는 신호는 최댓값이 1이 되게 줄입니다.

    alt     그림만 보이는 곳에서 읽어 줄 한 문장
    budget  HTML의 최대 바이트 수. 넘으면 ``ValueError``. 1초 신호 여덟 개쯤이 한도입니다.

    커널이 할 일이 없으므로 살아 있는 위젯은 없습니다. 학습한 모델의 소리는 컴퓨터마다 끝자리가 다를 수 있지만,
    WAV와 그림은 긴 base64라서 nbval이 가리고 이름과 조작기는 그대로 견줍니다.
    """
    sounds = {name: x / max(1.0, float(x.abs().max())) for name, x in sounds.items()}
    columns = min(columns, len(sounds))
    figure = plots.sounds(sounds, rate=rate, columns=columns)
    left, right = plots.SOUND_SPAN
    data = {
        "names": list(sounds),
        "wavs": [base64.b64encode(wav_bytes(x, rate)).decode() for x in sounds.values()],
        "seconds": [len(x) / rate for x in sounds.values()],
        "columns": columns,
        "rows": -(-len(sounds) // columns),
        "left": left,
        "right": right,
        "cell": [round(plots.SCALE * side) for side in plots.SOUND_CELL],
    }
    picture = plots.png(figure, sharp=1.25, budget=30_000)
    html = self_contained("audio_player.js", data, picture, alt)
    if len(html) > budget:
        raise ValueError(
            f"재생기가 {len(html) // 1000} kB라서 한도 {budget // 1000} kB를 넘습니다. "
            "소리의 수나 길이를 줄이세요."
        )
    return TriView(None, html, picture, f"소리 {len(sounds)}개")


def listening_test(
    trials: Mapping[str, Sequence[Tensor]],
    names: tuple[str, str],
    *,
    alt: str,
    question: str = "어느 쪽이 더 자연스럽습니까?",
    rate: int = RATE,
    budget: int = 300_000,
) -> TriView:
    """``{문제 이름: (names[0]의 소리, names[1]의 소리)}``를 A와 B로 섞어 들려주고 고르게 하는 시험.

    어느 쪽이 A인지는 문제마다 브라우저가 동전을 던져 정하고, 끝까지 고른 다음에야 밝힙니다. 결과에는 고른 수와 함께, 둘을
    전혀 가리지 못하는 사람이 우연히 이만큼 치우칠 확률(양쪽 부호 검정)을 적습니다. 두 소리의 크기는 제곱 평균으로 맞춥니다.
    큰 소리가 더 좋게 들리기 때문입니다. 재생기와 마찬가지로 노트북과 오프라인 HTML에서 똑같이 움직입니다.
    ``ValueError``: 문제가 없거나, 소리가 둘이 아니거나, HTML이 budget바이트를 넘을 때.
    """
    if not trials or any(len(pair) != 2 for pair in trials.values()):
        raise ValueError("문제마다 소리 둘을 (첫째, 둘째)로 넣으세요. 문제는 하나 이상입니다.")
    data = {
        "names": list(names),
        "question": question,
        "titles": list(trials),
        "wavs": [
            [base64.b64encode(wav_bytes(x, rate)).decode() for x in _equally_loud(*pair)]
            for pair in trials.values()
        ],
    }
    figure = plots.blank_figure(4.2, 0.9)
    figure.text(0.03, 0.62, f"A/B 듣기 시험 {len(trials)}문제", fontsize=14, color=plots.INK)
    figure.text(
        0.03, 0.2, "노트북이나 HTML로 열면 들을 수 있습니다.", fontsize=11, color=plots.MUTED
    )
    picture = plots.png(figure, sharp=1.25, budget=10_000)
    html = self_contained("listening_test.js", data, picture, alt)
    if len(html) > budget:
        raise ValueError(
            f"시험이 {len(html) // 1000} kB라서 한도 {budget // 1000} kB를 넘습니다. "
            "문제의 수나 소리의 길이를 줄이세요."
        )
    return TriView(None, html, picture, f"A/B 듣기 시험 {len(trials)}문제")


def _equally_loud(*pair: Tensor) -> list[Tensor]:
    """제곱 평균이 같고 어느 것도 [−1, 1]을 넘지 않게 함께 줄입니다."""
    pair = [x / x.square().mean().sqrt().clamp(min=1e-9) for x in pair]
    loudest = max(float(x.abs().max()) for x in pair)
    return [x * (0.9 / max(loudest, 1e-9)) for x in pair]
