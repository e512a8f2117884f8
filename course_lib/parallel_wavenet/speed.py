"""같은 소리 하나를 만드는 데 걸리는 시간: 순진한 자기회귀, 캐시를 쓴 자기회귀, 한 번에 만드는 학생."""

import time
from collections.abc import Callable

import torch
from torch import nn


@torch.inference_mode()
def generation_seconds(
    teacher: nn.Module,
    student: nn.Module,
    length: int,
    y=None,
    *,
    stretch: int = 12,
    cached: int = 400,
) -> dict[str, float]:
    """소리 하나(배치 1, length표본)를 만드는 초 {"순진하게", "캐시", "학생"}. 이 프로세스의 CPU 시간입니다.

    순진하게  표본마다 수용 영역 R개의 창을 처음부터 다시 계산합니다. 다 만들면 몇 분이 걸리므로, 창이 꽉 찬 걸음을
              stretch번 재어 length배로 **외삽**합니다(처음 R걸음의 짧은 창은 조금 싸지만 세지 않습니다).
    캐시      ``teacher.generate``의 앞 cached표본을 재어 외삽합니다. 표본마다의 비용이 같기 때문입니다.
    학생      소리 전체를 세 번 만들어 가장 짧은 시간. 외삽하지 않습니다.
    y         한 소리의 조건(배치 1). 창의 조건은 앞에서부터 씁니다.
    """
    if min(length, stretch, cached) < 1:
        raise ValueError(
            f"length, stretch, cached는 1 이상이어야 합니다: {length}, {stretch}, {cached}."
        )
    window = torch.zeros(1, min(teacher.receptive_field, length))
    cached = min(cached, length)
    naive = _best(
        lambda: teacher.parameters_at(window, _first(y, window.shape[1], teacher)), stretch
    )
    steps = _best(lambda: teacher.generate(1, cached, y), 1)
    whole = _best(lambda: student.generate(1, length, y), 3)
    return {"순진하게": naive * length, "캐시": steps * length / cached, "학생": whole}


def _best(run: Callable[[], object], times: int) -> float:
    """한 번 예열하고 times번 잰 것 가운데 가장 짧은 CPU 시간. 다른 일에 방해받은 것을 뺍니다."""
    if times > 1:
        run()
    spent = []
    for _ in range(times):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return min(spent)


def _first(y, length: int, teacher):
    """조건의 프레임을 앞의 length표본이 쓰는 만큼만 남깁니다."""

    def cut(part):
        return part[..., : 1 + (length - 1) // teacher.hop] if part.is_floating_point() else part

    if y is None:
        return None
    return tuple(cut(part) for part in y) if isinstance(y, tuple) else cut(y)
