"""16장 연습문제의 채점."""

import torch

from course_lib.autoregressive.wavenet import WaveNet, encode, mu_law
from course_lib.exercises import exercise


@exercise(
    "16-1",
    hint="한 층이 (k − 1)d칸을 더 보게 하고, 팽창은 1, 2, …, 2^(layers−1)을 stacks번 되풀이합니다.",
)
def _(answer):
    for stacks, layers, kernel in ((2, 10, 2), (1, 9, 2), (3, 4, 3), (5, 10, 2)):
        want = 1 + (kernel - 1) * stacks * (2**layers - 1)
        if stacks * layers < 20:
            model = WaveNet(8, stacks=stacks, layers=layers, kernel=kernel, channels=1)
            assert model.receptive_field == want
        if (got := int(answer(stacks, layers, kernel))) != want:
            return f"stacks = {stacks}, layers = {layers}, kernel = {kernel}이면 {want}인데 {got}입니다."
    return True


@exercise(
    "16-2",
    hint="먼저 f(x) = sign(x) ln(1 + 255|x|)/ln 256, 그다음 [−1, 1]을 0…255로 옮겨 반올림합니다.",
)
def _(answer):
    x = torch.linspace(-1, 1, 2001).double()
    got = answer(x)
    if not torch.equal(got.long(), encode(mu_law(x))):
        wrong = int((got.long() != encode(mu_law(x))).sum())
        return f"2001개 값 가운데 {wrong}개의 번호가 다릅니다."
    return not got.is_floating_point()


@exercise(
    "16-3", hint="과거 탭은 h를 d칸 뒤로 민 것입니다. 앞의 d칸에는 0을 채우고, 길이는 그대로입니다."
)
def _(answer):
    for d in (1, 3, 16):
        h, past, now = torch.randn(12, 4), torch.randn(5, 4), torch.randn(5, 4)
        conv = torch.nn.Conv1d(4, 5, 2, dilation=d, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.stack([past, now], 2))
            want = conv(torch.nn.functional.pad(h.T[None], (d, 0)))[0].T
        got = answer(h, past, now, d)
        if got.shape != want.shape:
            return f"모양이 {tuple(want.shape)}이어야 하는데 {tuple(got.shape)}입니다."
        if not torch.allclose(got, want, atol=1e-5):
            return f"d = {d}에서 값이 다릅니다."
    return True


@exercise(
    "16-4",
    hint="자리 t % d에는 d걸음 전의 값이 있습니다. 먼저 읽어 두고(clone), 그 자리에 지금 값을 적습니다.",
)
def _(answer):
    for d in (1, 4):
        buffer, seen = torch.zeros(d, 3), []
        for t in range(3 * d + 2):
            h = torch.randn(3)
            past = answer(buffer, t, h)
            want = seen[t - d] if t >= d else torch.zeros(3)
            if not torch.equal(past, want):
                return f"d = {d}, t = {t}에서 돌려준 값이 d걸음 전의 값이 아닙니다."
            seen.append(h)
    return True
