"""08b장 연습문제의 채점."""

import torch

from course_lib.exercises import exercise


@exercise("08b-1", hint="뒤의 층에서 앞의 층으로 가며 r ← (r − 1)·보폭 + 커널을 되풀이하세요.")
def _(answer):
    from course_lib.gan.pix2pix import receptive_field

    for layers in ([(3, 1)], [(4, 2), (4, 1)], [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)], [(5, 3), (3, 2), (7, 1)]):  # fmt: skip
        want, got = receptive_field(layers), int(answer(layers))
        if got != want:
            return f"{layers}의 수용 영역은 {want}인데 {got}을 받았습니다."
    return True


@exercise(
    "08b-2", hint="맞는 짝의 손실에 나머지 두 손실의 평균을 더합니다. −log(1 − σ(s)) = softplus(s)."
)
def _(answer):
    from torch.nn.functional import softplus

    right, wrong, fake = torch.randn(3, 7).double()
    want = softplus(-right).mean() + 0.5 * (softplus(wrong).mean() + softplus(fake).mean())
    got = torch.as_tensor(answer(right, wrong, fake))
    if got.ndim != 0:
        return "배치의 평균을 낸 값 하나를 돌려주세요."
    return bool(torch.isclose(got.double(), want))


@exercise("08b-3", hint="채널마다 따로 세 색의 값을 늘어놓고 가운데 값을 고르세요: torch.median.")
def _(answer):
    colours = torch.rand(5, 3)
    median, mean = (torch.as_tensor(v).flatten() for v in answer(colours))
    if not torch.allclose(mean, colours.mean(0)):
        return "둘째 값(L2의 답)은 평균이어야 합니다."
    return torch.allclose(median, colours.median(0).values)
