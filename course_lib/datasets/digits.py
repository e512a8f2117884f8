"""8×8 손글씨 숫자: scikit-learn에 들어 있어 내려받지 않아도 되는 작은 실제 데이터.

UCI Optical Recognition of Handwritten Digits(Alpaydin & Kaynak, 1998)의 시험용 부분 1797장입니다.
화소는 0–16의 정수이므로 밝기 단계는 17개입니다(``units.bits_per_dim``의 levels = 17).
"""

import torch
from torch import Tensor

LEVELS = 17
SPLITS = {
    "train": slice(0, 1150),
    "validation": slice(1150, 1437),
    "train+validation": slice(0, 1437),
    "test": slice(1437, 1797),
}


def load_digits_images(split: str = "train") -> tuple[Tensor, Tensor]:
    """(화소 ``(N, 8, 8)`` uint8, 값 0–16; 정답 ``(N,)`` int64)를 돌려줍니다.

    seed 0의 ``torch.randperm``으로 섞어 앞 80%(1437장)를 학습에, 나머지 360장을 시험에 씁니다.
    80%의 뒤쪽 287장은 설정을 고르는 검증용입니다.

    split  "train"(1150장), "validation"(287장), "test"(360장),
           "train+validation"(1437장: 설정을 다 고른 뒤 마지막으로 학습할 때)
    오류   split이 다른 값이면 ValueError
    """
    if split not in SPLITS:
        raise ValueError(f"split은 {', '.join(SPLITS)} 중 하나여야 하는데 {split!r}을 받았습니다.")
    from sklearn.datasets import load_digits  # import에 1초쯤 걸리므로 쓸 때만 부릅니다

    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    chosen = order[SPLITS[split]]
    images = torch.from_numpy(digits.images).to(torch.uint8)
    labels = torch.from_numpy(digits.target).to(torch.int64)
    return images[chosen], labels[chosen]
