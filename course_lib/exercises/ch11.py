"""11장 연습문제의 채점."""

import math

import torch

from course_lib.exercises import exercise


@exercise(
    "11-1", hint="입력 하나가 보폭만큼씩 벌어져 놓이고, 양 끝에서 padding만큼 잘립니다: 식 (1)."
)
def _(answer):
    for length, kernel, stride, padding, extra in ((8, 25, 4, 11, 1), (100, 24, 4, 10, 0), (7, 5, 2, 2, 1)):  # fmt: skip
        layer = torch.nn.ConvTranspose1d(1, 1, kernel, stride, padding, extra)
        want = layer(torch.zeros(1, 1, length)).shape[-1]
        got = answer(length, kernel, stride, padding, extra)
        if int(got) != want:
            return f"길이 {length}, 커널 {kernel}, 보폭 {stride}에서 {want}여야 하는데 {got}입니다."
    return True


@exercise("11-2", hint="r번 자리에 닿는 커널의 칸은 r, r + s, r + 2s, …입니다. w[r::s]를 더하세요.")
def _(answer):
    for kernel, stride in ((25, 4), (24, 4), (7, 3)):
        w = torch.randn(kernel).double()
        layer = torch.nn.ConvTranspose1d(1, 1, kernel, stride, bias=False).double()
        with torch.no_grad():
            layer.weight.copy_(w[None, None])
            y = layer(torch.ones(1, 1, 60).double())[0, 0]
        middle = y[20 * stride : 21 * stride]  # 끝에서 멀어 모든 칸이 닿는 곳
        got = torch.as_tensor(answer(w, stride)).double()
        if got.shape != (stride,):
            return f"보폭이 {stride}이면 값이 {stride}개여야 합니다."
        if not torch.allclose(got, middle):
            return f"커널 {kernel}, 보폭 {stride}에서 출력의 되풀이되는 값과 다릅니다."
    return True


@exercise(
    "11-3",
    hint="자리 t + k가 0보다 작으면 |t + k|, 마지막 자리 L을 넘으면 2L − (t + k)에서 가져옵니다.",
)
def _(answer):
    x = torch.randn(3, 12)
    for k in (0, 2, -1, -3, 3):
        want = torch.nn.functional.pad(x[None], (3, 3), mode="reflect")[0, :, 3 + k : 15 + k]
        got = answer(x, k)
        if got.shape != x.shape:
            return f"모양이 {tuple(got.shape)}입니다. 길이가 그대로여야 합니다."
        if not torch.equal(got, want):
            return f"k = {k}일 때의 값이 다릅니다."
    return True


@exercise("11-4", hint="p(y)는 p(y|x)의 평균입니다. KL의 0·log 0은 torch.xlogy가 0으로 셉니다.")
def _(answer):
    if not math.isclose(float(answer(torch.eye(10).double())), 10, rel_tol=1e-9):
        return "열 숫자를 하나씩, 확신에 차서 말하면 점수는 10입니다."
    if not math.isclose(float(answer(torch.full((7, 10), 0.1).double())), 1, rel_tol=1e-9):
        return "아무것도 확신하지 못하면 점수는 1입니다."
    p = torch.randn(50, 10).double().mul(2).softmax(1)
    kl = (p * (p / p.mean(0)).log()).sum(1).mean()
    return math.isclose(float(answer(p)), float(kl.exp()), rel_tol=1e-9)
