"""소리 재생기: 파형과 스펙트로그램 카드를 누르면 소리가 납니다. WAV가 HTML 안에 들어 있어 인터넷이 필요 없습니다."""

import base64
from collections.abc import Mapping

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
