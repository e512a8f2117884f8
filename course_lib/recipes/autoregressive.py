"""02장의 체크포인트: 동적으로 이진화한 MNIST의 NADE와 MADE."""

import time

import torch

from course_lib.recipes.mnist import binarised, card, exact_nll
from course_lib.recipes.results import UNFINISHED

# 논문의 MADE(은닉 8000개)는 반정밀도로도 8 MB를 넘습니다. 1100개 두 층과 입력에서 바로 가는 연결(355만 개)은
# 7.1 MB입니다. 학습률은 앞 50 000장으로 400–1000단계만 학습해 뒤쪽 이미지로 견주었습니다: 1e-3보다 3e-3이 빨리
# 줄었고, 긴 학습에서의 안전을 생각해 그 사이로 정했습니다. 바로 가는 연결도 같은 방법으로 켜기로 했습니다.
BINARY = {
    "nade": {"model": {"hidden": 500}, "epochs": 28, "lr": 2e-3},
    "made": {
        "model": {"hidden": (1100, 1100), "masks": 8, "direct": True},
        "epochs": 32,
        "lr": 2e-3,
    },
}
BATCH = 100


def build(name: str):
    """체크포인트의 모델. 노트북도 이 함수로 만들어 가중치를 읽습니다."""
    from course_lib.autoregressive.made import MADE
    from course_lib.autoregressive.nade import NADE

    return {"nade": NADE, "made": MADE}[name](784, **BINARY[name]["model"])


def loss(model, x: torch.Tensor) -> torch.Tensor:
    """−log p(x)의 배치 평균. MADE는 미니배치마다 마스크 한 벌을 고르게 골라 씁니다."""
    if hasattr(model, "log_prob_with"):
        k = int(torch.randint(model.masks, ()))  # fit이 난수를 저장하므로 이어서 학습해도 같습니다
        return -model.log_prob_with(x, k).mean()
    return -model.log_prob(x).mean()


def binary_mnist(name: str) -> dict:
    """동적으로 이진화한 MNIST에서 NADE나 MADE를 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    래스터 순서, Adam 2e-3에서 코사인으로 0까지, 배치 100, 이미지 60 000장. 한 스레드의 CPU 시간으로 NADE는
    한 단계 74 ms(16 800단계), MADE는 44 ms(19 200단계)쯤입니다. 시험 이미지는 저장한 파일로 한 번만 잽니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.distributed import first_only, fit
    from course_lib.training import progress

    torch.manual_seed(0)
    model, settings = build(name), BINARY[name]
    images, _ = load_mnist("train")
    steps = settings["epochs"] * (len(images) // BATCH)
    batches, state = binarised(images.flatten(1), BATCH), UNFINISHED / f"{name}.safetensors"
    training = fit(
        model, loss, batches, steps=steps, lr=settings["lr"], state=state, save_every=500
    )
    start = time.perf_counter()
    for _ in progress(training, steps, name):
        pass
    first_only()
    hours = (time.perf_counter() - start) / 3600
    return save_checkpoint(model, name, card(name, hours), measure=exact_nll, half=True)


CHECKPOINTS = {name: binary_mnist for name in BINARY}
