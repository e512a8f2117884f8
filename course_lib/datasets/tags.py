"""사진과 태그의 작은 세계: 사람마다 다른 말로 다는 태그를 시드로 만들어 씁니다.

cGAN 논문(Mirza, Osindero, 2014)은 MIR Flickr의 사진 25 000장과 YFCC100M의 메타데이터를 썼습니다. 여기서는 그
성질만 본뜹니다: 한 사진에 여러 사물이 있고, 사람마다 일부만 골라 **저마다의 말**로 적으며(동의어), 사진과 무관한
말도 섞습니다(잡음). 뜻이 가까운 사물은 함께 찍히는 사물과 분위기도 비슷합니다.

사진의 특징은 사물의 원형을 더해 고정된 무작위 ReLU 층에 넣고 잡음을 더한 것으로, ImageNet으로 배운 신경망의 4096차원
특징을 대신합니다. 같은 무리의 사물은 조금 닮게 생겼습니다.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # 무리: (사물마다 "동의어 동의어 … : 그 사물을 말할 때 쓰는 낱말", 무리의 분위기)
    "가구": (
        ("의자 걸상 체어 : 앉기", "탁자 테이블 : 나무결", "소파 카우치 : 쿠션", "침대 베드 : 낮잠", "책장 책꽂이 : 독서"),
        ("집", "인테리어", "거실", "이사"),
    ),
    "동물": (
        ("고양이 냥이 야옹이 : 츄르", "강아지 멍멍이 댕댕이 : 꼬리", "토끼 토깽이 : 당근", "병아리 삐약이 : 노랑", "햄스터 햄찌 : 쳇바퀴"),
        ("귀여움", "반려", "산책", "털"),
    ),
    "음식": (
        ("달걀 계란 : 프라이", "국수 면 : 국물", "빵 브레드 : 버터", "과자 스낵 : 바삭", "옥수수 강냉이 : 알갱이"),
        ("맛집", "점심", "요리", "간식"),
    ),
    "자연": (
        ("바다 오션 : 파도", "산 마운틴 : 등산", "호수 못 : 잔잔", "숲 수풀 : 나무", "노을 석양 : 저녁"),
        ("여행", "풍경", "주말", "바람"),
    ),
    "탈것": (
        ("자동차 차 승용차 : 운전", "자전거 따릉이 : 페달", "비행기 항공기 : 하늘", "배 선박 : 항구", "기차 열차 : 철길"),
        ("출발", "교통", "창밖", "속도"),
    ),
    "옷": (
        ("바지 팬츠 : 청바지", "신발 슈즈 : 끈", "모자 캡 : 챙", "치마 스커트 : 주름", "양말 삭스 : 짝"),
        ("코디", "쇼핑", "새옷", "멋"),
    ),
}  # fmt: skip
NOISE = ("좋아요", "선팔", "맞팔", "2016", "캐논", "일상")
NOTHING = -1  # 태그의 빈자리
SLOTS = 6  # 한 사람의 태그: 사물 셋, 설명 하나, 분위기 하나, 잡음 하나까지
USERS = 4  # 사진 한 장에 태그를 다는 사람의 수


@dataclass(frozen=True)
class Photos:
    """features (N, F), objects (N, C) 참·거짓, tags (N, USERS, SLOTS) 낱말 번호(빈자리는 −1)."""

    features: Tensor
    objects: Tensor
    tags: Tensor

    def pairs(self) -> tuple[Tensor, Tensor]:
        """(특징 (P, F), 낱말 번호 (P,)): 태그마다 사진을 되풀이합니다(논문의 학습 쌍)."""
        photo, _, _ = (self.tags != NOTHING).nonzero(as_tuple=True)
        return self.features[photo], self.tags[self.tags != NOTHING]


class TagWorld:
    """사물, 낱말, 사진을 만드는 세계. 같은 ``seed``면 같은 세계입니다.

    noise  특징에 더하는 잡음의 표준편차      alike  뜻이 가까운 사물이 닮게 생긴 정도. 0이면 생김새가 뜻과 무관합니다

    words      낱말 목록(길이 V)          concepts  사물의 이름(대표 낱말, 길이 C)
    concept    (V,) 낱말이 가리키는 사물. 분위기와 잡음은 −1
    group      (V,) 낱말이 속한 무리의 번호. 잡음은 −1
    concept_group  (C,) 사물이 속한 무리
    """

    def __init__(
        self, feature_dim: int = 64, noise: float = 0.1, alike: float = 1.0, seed: int = 0
    ):
        if feature_dim < 1 or noise < 0:
            raise ValueError(
                f"특징의 차원은 1 이상, 잡음은 0 이상이어야 합니다: {feature_dim}, {noise}."
            )
        generator = torch.Generator().manual_seed(seed)
        self.feature_dim, self.noise, self.alike = feature_dim, noise, alike
        self.words, concept, group, self.concepts, owner = [], [], [], [], []
        self._synonyms, self._own, self._moods = [], [], []
        for g, (objects, moods) in enumerate(GROUPS.values()):
            for text in objects:
                names, own = (part.split() for part in text.split(":"))
                first = len(self.words)
                self._synonyms.append([first + k % len(names) for k in range(3)])
                self._own.append(first + len(names))
                concept += [len(self.concepts)] * len(names) + [NOTHING]
                group += [g] * (len(names) + 1)
                self.words += names + own
                self.concepts.append(names[0])
                owner.append(g)
            self._moods.append(list(range(len(self.words), len(self.words) + len(moods))))
            self.words += moods
            concept += [NOTHING] * len(moods)
            group += [g] * len(moods)
        self._noise_words = torch.arange(len(self.words), len(self.words) + len(NOISE))
        self.words += NOISE
        self.concept = torch.tensor(concept + [NOTHING] * len(NOISE))
        self.group = torch.tensor(group + [NOTHING] * len(NOISE))
        self.concept_group = torch.tensor(owner)
        self._synonyms, self._own = torch.tensor(self._synonyms), torch.tensor(self._own)
        self._moods = torch.tensor(self._moods)
        self._invent(generator)

    def _invent(self, generator: torch.Generator) -> None:
        """사물마다의 분위기, 함께 찍히는 사물, 생김새를 뽑습니다."""
        count, groups = len(self.concepts), len(GROUPS)

        def peaked(*shape):  # 합이 1인 울퉁불퉁한 무게
            raw = torch.rand(*shape, generator=generator).pow(3) + 0.02
            return raw / raw.sum(-1, keepdim=True)

        self.mood_weights = peaked(count, self._moods.shape[1])  # (C, 4)
        same = self.concept_group[:, None] == self.concept_group
        other = ~same
        same = same & ~torch.eye(count, dtype=torch.bool)
        near = peaked(count, count) * same
        near = near + near.T
        # 절반은 같은 무리의 잘 어울리는 사물, 절반은 다른 무리의 아무 사물
        self.partner = 0.5 * near / near.sum(1, keepdim=True) + 0.5 * other / other.sum(
            1, keepdim=True
        )
        looks = torch.randn(groups, 12, generator=generator)[self.concept_group]
        looks = looks + self.mood_weights @ torch.randn(
            self._moods.shape[1], 12, generator=generator
        )
        self.looks = self.alike * looks + 0.8 * torch.randn(
            count, 12, generator=generator
        )  # (C, 12)
        self._layer = torch.randn(12, self.feature_dim, generator=generator) / 12**0.5

    def _scenes(self, n: int, generator: torch.Generator) -> Tensor:
        """사진마다의 사물 (n, 3), 없는 자리는 −1. 첫째가 주인공입니다."""
        if n < 1:
            raise ValueError(f"사진은 1장 이상이어야 하는데 {n}을 받았습니다.")
        main = torch.randint(len(self.concepts), (n,), generator=generator)
        others = torch.multinomial(self.partner[main], 2, generator=generator)  # 서로 다릅니다
        objects = torch.cat([main[:, None], others], 1)
        count = torch.randint(1, 4, (n, 1), generator=generator)
        return torch.where(torch.arange(3) < count, objects, NOTHING)

    def _tag(self, objects: Tensor, generator: torch.Generator) -> Tensor:
        """사물 (n, 3) → 한 사람의 태그 (n, SLOTS). 사람마다 말투(동의어)가 다릅니다."""
        n = len(objects)
        style = torch.randint(3, (n, 3), generator=generator)
        names = self._synonyms[objects.clamp_min(0), style]
        keep = torch.rand(n, 3, generator=generator) < 0.8
        keep[:, 0] |= ~(keep & (objects != NOTHING)).any(1)  # 하나는 적습니다
        names = torch.where(keep & (objects != NOTHING), names, NOTHING)
        main = objects[:, 0]
        own = torch.where(torch.rand(n, generator=generator) < 0.3, self._own[main], NOTHING)
        pick = torch.multinomial(self.mood_weights[main], 1, generator=generator)[:, 0]
        mood = self._moods[self.concept_group[main], pick]
        mood = torch.where(torch.rand(n, generator=generator) < 0.3, mood, NOTHING)
        chatter = self._noise_words[torch.randint(len(NOISE), (n,), generator=generator)]
        chatter = torch.where(torch.rand(n, generator=generator) < 0.15, chatter, NOTHING)
        return torch.cat([names, torch.stack([own, mood, chatter], 1)], 1)

    def corpus(self, n: int, generator: torch.Generator) -> Tensor:
        """사진 없이 태그만 ``(n, SLOTS)``: skip-gram이 읽을 글(논문의 YFCC100M 메타데이터 자리)."""
        return self._tag(self._scenes(n, generator), generator)

    def photos(
        self, n: int, generator: torch.Generator, *, without: Tensor | None = None
    ) -> Photos:
        """사진 ``n``장과 그 태그. ``without``에 적은 사물(번호)이 든 사진은 뽑지 않습니다."""
        objects = self._scenes(n, generator)
        if without is not None:
            rows = [objects[:0]]
            while sum(map(len, rows)) < n:
                drawn = self._scenes(n, generator)
                rows.append(drawn[~torch.isin(drawn, without).any(1)])
            objects = torch.cat(rows)[:n]
        return self.describe(objects, generator)

    def describe(self, objects: Tensor, generator: torch.Generator) -> Photos:
        """사물 ``(n, 3)``(없는 자리는 −1)이 든 사진의 특징과 태그."""
        there = torch.zeros(len(objects), len(self.concepts) + 1)
        there.scatter_(1, objects % (len(self.concepts) + 1), 1.0)
        there = there[:, :-1]  # −1은 마지막 칸으로 갔습니다
        seen = (there @ self.looks) / there.sum(1, keepdim=True).sqrt()
        clean = (seen @ self._layer).relu()
        features = clean + self.noise * torch.randn(clean.shape, generator=generator)
        tags = torch.stack([self._tag(objects, generator) for _ in range(USERS)], 1)
        return Photos(features, there.bool(), tags)
