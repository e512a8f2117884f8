"""색칠한 도형: 윤곽선–그림 짝, 흑백–색 짝, 한국어 설명이 붙은 그림을 시드로 만들어 씁니다.

pix2pix 논문(Isola et al., 2017)은 건물 정면(facades), 지도, 풍경 사진을, GAN-INT-CLS 논문(Reed et al., 2016)은 새(CUB)와
꽃(Oxford-102) 사진에 사람이 쓴 설명을 붙여 썼습니다. 여기서는 답을 정확히 아는 작은 그림으로 같은 성질을 봅니다.

그림은 (3, size, size), 값은 [−1, 1]이고 바탕은 흰색(1)입니다.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SHAPES = ("원", "네모", "세모")
# 짝 데이터의 색 셋: 밝기(0.299R + 0.587G + 0.114B)가 0.42로 같아서 흑백으로는 가려낼 수 없습니다
PAINTS = torch.tensor([[0.92, 0.19, 0.29], [0.08, 0.60, 0.38], [0.25, 0.39, 1.00]])
LUMA = torch.tensor([0.299, 0.587, 0.114])
STRIPE, DARK = 6, 0.45  # 줄무늬의 주기(화소)와 짙은 줄의 밝기 배율. 짙은 줄은 주기의 1/3입니다


def distance(kind: Tensor, centre: Tensor, radius: Tensor, angle: Tensor, size: int) -> Tensor:
    """도형의 테두리까지 부호 있는 거리(안이 음수), 화소 단위, (B, size, size).

    kind (B,) SHAPES의 번호, centre (B, 2) (x, y) 화소, radius (B,), angle (B,) 라디안
    """
    axis = torch.arange(size) + 0.5
    x = axis[None, None, :] - centre[:, 0, None, None]
    y = axis[None, :, None] - centre[:, 1, None, None]
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = c * x + s * y, c * y - s * x
    r = radius[:, None, None]
    circle = (u.square() + v.square()).sqrt() - r
    square = torch.maximum(u.abs(), v.abs()) - 0.75 * r
    # 정삼각형: 세 변의 바깥 법선 방향 거리의 최댓값
    triangle = torch.maximum(torch.maximum(0.866 * u - 0.5 * v, -0.866 * u - 0.5 * v), v) - 0.58 * r
    every = torch.stack([circle, square, triangle])  # (3, B, size, size)
    return every.gather(0, kind[None, :, None, None].expand(1, -1, size, size))[0]


@dataclass(frozen=True)
class Outlines:
    """윤곽만 정해진 도형 B개. 색과 무늬는 아직 정해지지 않았습니다."""

    kind: Tensor
    centre: Tensor
    radius: Tensor
    angle: Tensor
    size: int

    def distance(self) -> Tensor:
        return distance(self.kind, self.centre, self.radius, self.angle, self.size)


def outlines(n: int, size: int, generator: torch.Generator) -> Outlines:
    """도형의 종류, 자리, 크기, 기울기를 고르게 뽑습니다."""
    if n < 1 or size < 16:
        raise ValueError(f"그림은 1장 이상, 한 변은 16 이상이어야 합니다: {n}, {size}.")
    kind = torch.randint(len(SHAPES), (n,), generator=generator)
    radius = size * (0.26 + 0.14 * torch.rand(n, generator=generator))
    room = (size / 2 - 1.2 * radius - 0.5).clamp_min(0)[:, None]
    centre = size / 2 + room * (2 * torch.rand(n, 2, generator=generator) - 1)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    return Outlines(kind, centre, radius, angle, size)


def draw_edges(shapes: Outlines) -> Tensor:
    """윤곽선 그림 (B, 1, size, size): 흰 바탕(1)에 검은 선(−1)."""
    ink = torch.exp(-(shapes.distance() / 0.9).square())
    return (1 - 2 * ink)[:, None]


def paint(shapes: Outlines, colours: Tensor, phase: Tensor, striped: bool = True) -> Tensor:
    """윤곽 안을 칠한 그림 (B, 3, size, size). colours (B, 3) [0, 1], phase (B,) 줄무늬의 위상(화소, 정수)."""
    inside = torch.sigmoid(-2.5 * shapes.distance())[:, None]
    shade = torch.ones(len(phase), 1, shapes.size, shapes.size)
    if striped:
        axis = torch.arange(shapes.size)
        place = axis[None, :] + axis[:, None]  # 45도
        dark = (place - phase[:, None, None]) % STRIPE < STRIPE // 3
        shade = torch.where(dark, DARK, 1.0)[:, None]
    fill = colours[:, :, None, None] * shade
    return 2 * (inside * fill + 1 - inside) - 1


def random_paint(shapes: Outlines, generator: torch.Generator, striped: bool = True):
    """색과 위상을 고르게 뽑아 칠합니다. (그림 (B, 3, size, size), 색의 번호 (B,))."""
    colour = torch.randint(len(PAINTS), (len(shapes.kind),), generator=generator)
    phase = torch.randint(STRIPE, (len(shapes.kind),), generator=generator)
    return paint(shapes, PAINTS[colour], phase, striped), colour


def edge_pairs(n: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(윤곽선 (n, 1, size, size), 그 안을 칠한 그림 (n, 3, size, size)). 한 윤곽선에 답이 18가지입니다."""
    shapes = outlines(n, size, generator)
    return draw_edges(shapes), random_paint(shapes, generator)[0]


def colour_pairs(n: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(흑백 그림 (n, 1, size, size), 원래의 색 그림 (n, 3, size, size)): 색칠하기. 답이 세 가지입니다."""
    shapes = outlines(n, size, generator)
    picture = random_paint(shapes, generator)[0]
    return grey(picture), picture


def grey(picture: Tensor) -> Tensor:
    """색 그림 (B, 3, H, W) → 흑백 (B, 1, H, W)."""
    return torch.einsum("bchw,c->bhw", picture, LUMA.to(picture))[:, None]


# ── 설명이 붙은 그림 ────────────────────────────────────────────────────────────────────────────

COLOURS = {"빨강": (0.90, 0.15, 0.15), "초록": (0.10, 0.65, 0.25), "파랑": (0.15, 0.30, 0.95), "노랑": (0.95, 0.80, 0.05)}  # fmt: skip
SIZES = ("작다", "크다")
PLACES = ("왼쪽", "오른쪽")
ATTRIBUTES = {"모양": len(SHAPES), "색": len(COLOURS), "크기": len(SIZES), "자리": len(PLACES)}
_SHAPE_WORDS = (("원", "동그라미"), ("네모", "사각형"), ("세모", "삼각형"))
_COLOUR_WORDS = (("빨간", "붉은"), ("초록", "녹색"), ("파란", "푸른"), ("노란", "샛노란"))
_SIZE_WORDS = (("작은", "조그만"), ("큰", "커다란"))
_PLACE_WORDS = (("왼쪽", "왼편"), ("오른쪽", "오른편"))
_TEMPLATES = (
    "{p}에 {s} {c} {k}",
    "{s} {c} {k}, {p}",
    "{c} {s} {k}, {p}에",
    "{p}에 있는 {c} {s} {k}",
    "{p}에 그린 {s} {c} {k}",
)
LETTERS = "".join(
    dict.fromkeys(
        "".join(
            w for row in (*_SHAPE_WORDS, *_COLOUR_WORDS, *_SIZE_WORDS, *_PLACE_WORDS) for w in row
        )
        + "".join(t.translate(str.maketrans("", "", "{}pcsk")) for t in _TEMPLATES)
    )
)  # 설명에 나오는 글자
LENGTH = 20  # 설명의 최대 글자 수(빈자리는 0)


def caption(attributes: Tensor, generator: torch.Generator) -> list[str]:
    """속성 (B, 4)(모양, 색, 크기, 자리의 번호)을 말하는 한국어 설명. 낱말과 어순을 고르게 뽑습니다."""
    sentences = []
    for kind, colour, size, place in attributes.tolist():
        words = (_SHAPE_WORDS[kind], _COLOUR_WORDS[colour], _SIZE_WORDS[size], _PLACE_WORDS[place])
        picks = torch.randint(2, (4,), generator=generator).tolist()
        k, c, s, p = (row[i] for row, i in zip(words, picks, strict=True))
        form = _TEMPLATES[int(torch.randint(len(_TEMPLATES), (1,), generator=generator))]
        sentences.append(form.format(k=k, c=c, s=s, p=p))
    return sentences


def every_caption(attributes: Tensor) -> list[str]:
    """속성 (4,) 하나를 말하는 설명 모두: 낱말 2⁴가지 × 어순 다섯."""
    import itertools

    kind, colour, size, place = attributes.tolist()
    words = (_SHAPE_WORDS[kind], _COLOUR_WORDS[colour], _SIZE_WORDS[size], _PLACE_WORDS[place])
    return [
        form.format(k=k, c=c, s=s, p=p)
        for form in _TEMPLATES
        for k, c, s, p in itertools.product(*words)
    ]


def encode(sentences: list[str]) -> Tensor:
    """설명들 → 글자 번호 (B, LENGTH). 0은 빈자리입니다. 모르는 글자나 긴 글에는 ValueError."""
    rows = torch.zeros(len(sentences), LENGTH, dtype=torch.long)
    for row, sentence in zip(rows, sentences, strict=True):
        unknown = sorted(set(sentence) - set(LETTERS))
        if unknown or not 0 < len(sentence) <= LENGTH:
            raise ValueError(
                f"설명은 {LENGTH}자까지, 문법에 나오는 글자로만 씁니다: {sentence!r}"
                + (f"(모르는 글자 {''.join(unknown)!r})." if unknown else ".")
            )
        row[: len(sentence)] = torch.tensor([LETTERS.index(letter) + 1 for letter in sentence])
    return rows


def all_attributes() -> Tensor:
    """속성의 모든 조합 (48, 4)."""
    return torch.cartesian_prod(*[torch.arange(n) for n in ATTRIBUTES.values()])


def _place(attributes: Tensor, shift: Tensor, size: int) -> Outlines:
    kind, _, big, right = attributes.unbind(1)
    radius = size * torch.where(big == 1, 0.30, 0.19)
    x = size * torch.where(right == 1, 0.66, 0.34) + shift[:, 0]
    y = size * 0.5 + shift[:, 1]
    return Outlines(kind, torch.stack([x, y], 1), radius, torch.zeros(len(kind)), size)


def draw_attributes(attributes: Tensor, shift: Tensor, size: int = 16) -> Tensor:
    """속성 (B, 4)과 자리의 어긋남 (B, 2)(화소)대로 그린 그림 (B, 3, size, size), [−1, 1]."""
    colours = torch.tensor(list(COLOURS.values()))[attributes[:, 1]]
    return paint(_place(attributes, shift, size), colours, torch.zeros(len(attributes)), False)


def captioned(
    n: int, generator: torch.Generator, *, choices: Tensor | None = None, size: int = 16
) -> tuple[Tensor, Tensor, Tensor]:
    """(그림 (n, 3, size, size), 글자 번호 (n, LENGTH), 속성 (n, 4)).

    choices  뽑을 속성 조합 (C, 4). 생략하면 48가지 모두
    """
    choices = all_attributes() if choices is None else choices
    attributes = choices[torch.randint(len(choices), (n,), generator=generator)]
    shift = 3 * torch.rand(n, 2, generator=generator) - 1.5
    shift[:, 1] *= 1.5
    return (
        draw_attributes(attributes, shift, size),
        encode(caption(attributes, generator)),
        attributes,
    )


def read_attributes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """그림 (B, 3, size, size)에서 읽은 속성 (B, 4)과 가장 가까운 본보기까지의 제곱 거리의 평균 (B,).

    학습한 분류기 없이, 잡음 없이 그린 모든 그림(속성 48가지 × 자리 35곳)과 견주어 가장 가까운 것을 고릅니다.
    """
    size = pictures.shape[-1]
    shift = torch.cartesian_prod(torch.linspace(-1.5, 1.5, 5), torch.linspace(-2.25, 2.25, 7))
    attributes = all_attributes()
    labels = attributes.repeat_interleave(len(shift), 0)
    patterns = draw_attributes(labels, shift.repeat(len(attributes), 1), size).flatten(1)
    gap = torch.cdist(pictures.detach().flatten(1).float(), patterns)
    best = gap.min(1)
    return labels[best.indices], best.values.square() / patterns.shape[1]
