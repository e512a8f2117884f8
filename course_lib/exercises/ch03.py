"""03장 연습문제의 채점."""

import torch

from course_lib.exercises import exercise


@exercise("03-1", hint="i번째 줄은 out[i, i : i + W]에 놓입니다.")
def _(answer):
    from course_lib.autoregressive.pixel_rnn import skew

    for height, width in ((3, 4), (4, 3), (1, 5), (5, 1)):
        x = torch.randn(height, width).double()
        value = answer(x)
        if value.shape != (height, width + height - 1):
            return f"모양이 {(height, width + height - 1)}이어야 하는데 {tuple(value.shape)}입니다."
        if not torch.equal(value, skew(x)):
            return False
    return True


@exercise("03-2", hint="왼쪽 3 + N + d칸, 바로 위 1칸, 오른쪽 3 + d − 1칸을 더합니다.")
def _(answer):
    from course_lib.autoregressive.pixel_rnn import RowLSTM

    for depth in (1, 2, 4):
        seen = RowLSTM((1, 6, 60), 2, 2, depth, 2).sees(5, 30)
        for d in range(1, 6):
            if int(answer(depth, d)) != int(seen[5 - d].sum()):
                return f"N = {depth}, d = {d}에서 {int(seen[5 - d].sum())}개여야 합니다."
    return True


@exercise("03-3", hint="log_softmax(1)을 쓰고, gather로 x의 값을 고른 뒤 화소에 대해 더하세요.")
def _(answer):
    logits, x = torch.randn(3, 5, 2, 4).double() * 1000, torch.randint(5, (3, 2, 4))
    value = answer(logits, x)
    if value.shape != (3,):
        return f"모양이 (3,)이어야 하는데 {tuple(value.shape)}입니다."
    if not value.isfinite().all():
        return "유한하지 않은 값이 나왔습니다. softmax를 먼저 구해 로그를 취하면 넘칩니다."
    want = -torch.nn.functional.cross_entropy(logits, x, reduction="none").flatten(1).sum(1)
    return torch.allclose(value, want)
