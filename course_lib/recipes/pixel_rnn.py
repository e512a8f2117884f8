"""03장의 체크포인트: 동적으로 이진화한 MNIST의 Row LSTM과 Diagonal BiLSTM."""

import time

import torch

from course_lib.recipes.results import UNFINISHED, hardware

# 한 스레드로 두 시간 안에 끝나는 크기입니다. 논문의 Diagonal BiLSTM은 1층 h = 32와 7층 h = 16입니다.
BINARY = {
    "row_lstm": {"model": {"hidden": 32, "depth": 3, "head": 64}, "epochs": 12},
    "diagonal_bilstm": {"model": {"hidden": 32, "depth": 1, "head": 64}, "epochs": 10},
}
LR, BATCH, WARMUP = 4e-3, 64, 200


class BinarisedImages:
    """뽑을 때마다 새로 이진화하는 MNIST 미니배치 (B, 1, 28, 28). 이어서 학습할 수 있습니다."""

    def __init__(self, images: torch.Tensor, batch_size: int):
        from course_lib.training import minibatches

        self.images = minibatches(images[:, None], batch_size)

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        from course_lib.datasets.mnist import dynamic_binarise

        return dynamic_binarise(self.images(generator), generator)

    def state_dict(self) -> dict:
        return self.images.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.images.load_state_dict(state)


def build(name: str):
    """체크포인트의 모델. 노트북도 이 함수로 만들어 가중치를 읽습니다."""
    from course_lib.autoregressive.pixel_rnn import DiagonalBiLSTM, RowLSTM

    kind = {"row_lstm": RowLSTM, "diagonal_bilstm": DiagonalBiLSTM}[name]
    return kind((1, 28, 28), 2, **BINARY[name]["model"])


def binary_mnist(name: str) -> dict:
    """동적으로 이진화한 28×28 MNIST에서 PixelRNN을 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    Adam 4e-3(논문은 RMSProp), 코사인으로 0까지, 배치 64. 신경망은 bfloat16으로, 확률과 가중치는 float32로 계산합니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.training import fit, progress

    torch.manual_seed(0)
    model = build(name)
    images, _ = load_mnist("train")
    steps = BINARY[name]["epochs"] * (len(images) // BATCH)

    def loss(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return -model.log_prob(x).mean()

    training = fit(
        model,
        loss,
        BinarisedImages(images, BATCH),
        steps=steps,
        lr=LR,
        warmup=WARMUP,
        max_grad_norm=50.0,
        state=UNFINISHED / f"{name}.safetensors",
    )
    start = time.perf_counter()
    for _ in progress(training, steps, name):
        pass
    hours = (time.perf_counter() - start) / 3600
    return save_checkpoint(model, name, binary_card(name, hours), measure=measure_nll, half=True)


def binary_card(name: str, hours: float) -> dict:
    """체크포인트 카드에서 사람이 정하는 항목."""
    return {
        "command": f"python -m course_lib.recipes {name}",
        "seed": 0,
        "data": "MNIST 학습 이미지 60 000장",
        "binarisation": "학습은 배치마다 새로 뽑은 동적 이진화, 시험은 강의의 고정된 이진화 한 벌",
        "hours": round(hours, 3),
        "hardware": f"{hardware()['cpu']}, 스레드 {torch.get_num_threads()}개",
        "licence": "MNIST: CC BY-SA 3.0",
    }


def measure_nll(model) -> dict[str, float]:
    """시험 이미지 10 000장의 정확한 음의 로그우도와 그 표준오차, 단위 nats(float32)."""
    from course_lib.datasets.mnist import binarised_test

    with torch.no_grad():
        nll = -torch.cat([model.log_prob(x) for x in binarised_test()[:, None].split(250)])
    return {
        "nll_10000": float(nll.double().mean()),
        "nll_standard_error": float(nll.double().std() / len(nll) ** 0.5),
    }


CHECKPOINTS = {name: binary_mnist for name in BINARY}
