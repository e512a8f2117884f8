"""04장 연습문제의 채점."""

import torch

from course_lib.exercises import exercise


@exercise("04-1", hint="래스터 순서의 번호를 매기고 한가운데의 번호와 견주세요.")
def _(answer):
    from course_lib.nn import MaskedConv2d

    for size in (3, 5, 7):
        for kind in "AB":
            value = answer(size, kind)
            if value.shape != (size, size):
                return f"모양이 ({size}, {size})이어야 하는데 {tuple(value.shape)}입니다."
            want = MaskedConv2d(1, 1, size, kind).mask[0, 0]
            if not torch.equal(value.to(want), want):
                return f"크기 {size}, 종류 {kind}의 마스크가 다릅니다."
    return True


@exercise("04-2", hint="첫 층이 한 줄을 쓰며 3칸을 벌고, 남은 줄에서 한 줄에 한 칸씩 법니다.")
def _(answer):
    from course_lib.autoregressive.pixel_cnn import PixelCNN

    for n in (0, 1, 3, 6):
        seen = PixelCNN((1, 10, 25), 2, width=1, layers=n + 1).sees(9, 10)
        for d in range(1, min(9, 3 + n) + 1):
            want = int(seen[9 - d].nonzero().max()) - 10
            if answer(d, n) != want:
                return f"n = {n}, d = {d}에서 답이 다릅니다."
    return True


@exercise("04-3", hint="k = 0이면 아래 경계의 σ가 0, k = levels − 1이면 위 경계의 σ가 1입니다.")
def _(answer):
    from course_lib.autoregressive.pixel_cnn_pp import bin_log_prob

    for levels in (2, 17, 256):
        k = torch.arange(levels)
        for mean, scale in ((-0.3, 0.2), (0.7, 0.05), (1.5, 1.0)):
            value = answer(k, torch.tensor(mean), torch.tensor(scale), levels)
            if value.shape != (levels,):
                return f"모양이 ({levels},)이어야 하는데 {tuple(value.shape)}입니다."
            if abs(float(value.sum()) - 1) > 1e-4:
                return f"확률을 모두 더하면 1이 아니라 {float(value.sum()):.3f}입니다. 양 끝 칸을 보세요."
            v = k.double() * 2 / (levels - 1) - 1
            want = bin_log_prob(v, torch.tensor(mean), torch.tensor(scale).log(), levels).exp()
            if not torch.allclose(value.double(), want, atol=1e-5):
                return (
                    "합은 맞지만 칸마다의 확률이 다릅니다. 칸의 너비는 2δ = 2/(levels − 1)입니다."
                )
    return True
