"""심사하는 분류기의 체크포인트."""

import time

import torch

from course_lib.recipes.results import UNFINISHED, hardware

MNIST_CLASSIFIER = {"epochs": 6, "batch": 128, "lr": 2e-3, "shift": 2}


class ShiftedBatches:
    """상하좌우로 최대 ``shift`` 화소를 옮긴 MNIST 미니배치 (x (B, 1, 28, 28), y (B,)). 이어서 학습할 수 있습니다."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, batch: int, shift: int):
        from course_lib.training import minibatches

        self.shift = shift
        self.inner = minibatches((images[:, None], labels), batch)

    def __call__(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = self.inner(generator)
        across, down = torch.randint(
            -self.shift, self.shift + 1, (2,), generator=generator
        ).tolist()
        # 가장자리 네 화소는 늘 비어 있어 돌아 나온 획이 생기지 않습니다
        return x.roll((down, across), (2, 3)).float() / 255, y

    def state_dict(self) -> dict:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.inner.load_state_dict(state)


def mnist_classifier(name: str) -> dict:
    """MNIST 분류기를 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    Adam, 코사인으로 0까지, 배치마다 같은 양만큼 옮긴 그림. 합성곱은 bfloat16으로 계산합니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.classifier import accuracy, classification_loss
    from course_lib.classifier import mnist_classifier as build
    from course_lib.datasets.mnist import load_mnist
    from course_lib.training import fit, progress

    settings = MNIST_CLASSIFIER
    torch.manual_seed(0)
    model = build().to(memory_format=torch.channels_last)
    images, labels = load_mnist("train")
    steps = settings["epochs"] * (len(images) // settings["batch"])

    def loss(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return classification_loss(model, batch)

    def measure(stored) -> dict[str, float]:
        x, y = load_mnist("test")
        return {"test_accuracy": accuracy(stored, x[:, None].float() / 255, y)}

    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    batches = ShiftedBatches(images, labels, settings["batch"], settings["shift"])
    training = fit(model, loss, batches, steps=steps, lr=settings["lr"], warmup=200, state=state)
    for _ in progress(training, steps, name):
        pass
    hours = (time.perf_counter() - start) / 3600
    return save_checkpoint(model, name, mnist_card(name, hours), measure=measure, half=True)


def mnist_card(name: str, hours: float, images: str = "60 000장") -> dict:
    """회색 MNIST로 배운 체크포인트의 카드에서 사람이 정하는 항목."""
    return {
        "command": f"python -m course_lib.recipes {name}",
        "seed": 0,
        "seeds_tried": [0],
        "data": f"MNIST 학습 이미지 {images}(회색, 값 0–255를 255로 나눔)",
        "binarisation": "없음",
        "hours": round(hours, 3),
        "hardware": f"{hardware()['cpu']}, 스레드 {torch.get_num_threads()}개",
        "licence": "MNIST: CC BY-SA 3.0",
    }


CHECKPOINTS = {"mnist_classifier": mnist_classifier}
