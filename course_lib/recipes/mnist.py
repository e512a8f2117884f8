"""MNIST로 배우는 체크포인트가 함께 쓰는 것: 미니배치, 카드, 정확한 음의 로그우도."""

from collections.abc import Callable

import torch

from course_lib.recipes.results import hardware

DYNAMIC = "학습은 배치마다 새로 뽑은 동적 이진화, 시험은 강의의 고정된 이진화 한 벌"


class Batches:
    """``training.minibatches``의 배치를 ``change(배치, generator)``로 바꾸어 냅니다. 이어서 학습할 수 있습니다.

    data  텐서 또는 텐서의 튜플, batch_size  배치 크기
    """

    def __init__(self, data, batch_size: int, change: Callable):
        from course_lib.training import minibatches

        self.inner, self.change = minibatches(data, batch_size), change

    def __call__(self, generator: torch.Generator):
        return self.change(self.inner(generator), generator)

    def state_dict(self) -> dict:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.inner.load_state_dict(state)


def binarised(images: torch.Tensor, batch_size: int) -> Batches:
    """뽑을 때마다 새로 이진화하는 미니배치. images는 값이 0–255인 uint8 (N, …)."""
    from course_lib.datasets.mnist import dynamic_binarise

    return Batches(images, batch_size, dynamic_binarise)


def card(name: str, hours: float, **fields) -> dict:
    """체크포인트 카드에서 사람이 정하는 항목. 기본은 동적으로 이진화한 MNIST입니다."""
    from course_lib.distributed import launcher, processes

    many = f", 프로세스 {processes()}개" if processes() > 1 else ""
    return {
        "command": f"{launcher()} -m course_lib.recipes {name}",
        "seed": 0,
        "data": "MNIST 학습 이미지 60 000장",
        "binarisation": DYNAMIC,
        "hours": round(hours, 3),
        "hardware": f"{hardware()['cpu']}, 스레드 {torch.get_num_threads()}개{many}",
        "licence": "MNIST: CC BY-SA 3.0",
    } | fields


def exact_nll(model, chunk: int = 250) -> dict[str, float]:
    """시험 이미지 10 000장의 정확한 음의 로그우도와 그 표준오차, 단위 nats(저장한 파일의 가중치, float32)."""
    from course_lib.datasets.mnist import binarised_test

    images = binarised_test().reshape(-1, *model.event_shape)
    with torch.no_grad():
        nll = -torch.cat([model.log_prob(x) for x in images.split(chunk)]).double()
    return {
        "nll_10000": float(nll.mean()),
        "nll_standard_error": float(nll.std() / len(nll) ** 0.5),
    }
