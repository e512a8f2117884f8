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
    "08b-2",
    hint="표본마다 가까운 낱말 near개를 세고(torch.bincount), 가장 많이 나온 count개를 고르세요.",
)
def _(answer):
    for near, count in ((1, 3), (2, 4)):
        vectors = torch.randn(9, 4)
        centre = vectors[
            torch.multinomial(torch.tensor([9.0, 5, 3, 2, 1, 0, 0, 0, 0]), 400, replacement=True)
        ]
        samples = centre + 0.01 * torch.randn(400, 4)
        cosine = torch.nn.functional.normalize(samples) @ torch.nn.functional.normalize(vectors).T
        votes = torch.bincount(cosine.topk(near, dim=1).indices.flatten(), minlength=9)
        got = torch.as_tensor(answer(samples, vectors, near, count)).flatten().tolist()
        if len(got) != count or len(set(got)) != count:
            return f"낱말 {count}개를 겹치지 않게 돌려주세요. 받은 값: {got}."
        if sorted(votes[got].tolist(), reverse=True) != votes.topk(count).values.tolist():
            return f"near = {near}일 때 가장 많은 표를 받은 낱말들이 아닙니다."
    return True


@exercise(
    "08b-3", hint="맞는 짝의 손실에 나머지 두 손실의 평균을 더합니다. −log(1 − σ(s)) = softplus(s)."
)
def _(answer):
    from torch.nn.functional import softplus

    right, wrong, fake = torch.randn(3, 7).double()
    want = softplus(-right).mean() + 0.5 * (softplus(wrong).mean() + softplus(fake).mean())
    got = torch.as_tensor(answer(right, wrong, fake))
    if got.ndim != 0:
        return "배치의 평균을 낸 값 하나를 돌려주세요."
    return bool(torch.isclose(got.double(), want))


@exercise("08b-4", hint="채널마다 따로 세 색의 값을 늘어놓고 가운데 값을 고르세요: torch.median.")
def _(answer):
    colours = torch.rand(5, 3)
    median, mean = (torch.as_tensor(v).flatten() for v in answer(colours))
    if not torch.allclose(mean, colours.mean(0)):
        return "둘째 값(L2의 답)은 평균이어야 합니다."
    return torch.allclose(median, colours.median(0).values)
