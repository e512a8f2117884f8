"""03장의 체크포인트: 동적으로 이진화한 MNIST의 Row LSTM과 Diagonal BiLSTM."""

import time

import torch

from course_lib.recipes.mnist import binarised, card, exact_nll
from course_lib.recipes.results import UNFINISHED

# 한 스레드로 반 시간 안에 끝나는 크기입니다. 논문의 Diagonal BiLSTM은 1층 h = 32와 7층 h = 16입니다.
BINARY = {
    "row_lstm": {"model": {"hidden": 32, "depth": 3, "head": 64}, "epochs": 2},
    "diagonal_bilstm": {"model": {"hidden": 32, "depth": 1, "head": 64}, "epochs": 3},
}
LR, BATCH, WARMUP = 4e-3, 64, 200


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
    from course_lib.distributed import first_only, fit
    from course_lib.training import progress

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
        binarised(images[:, None], BATCH),
        steps=steps,
        lr=LR,
        warmup=WARMUP,
        max_grad_norm=50.0,
        state=UNFINISHED / f"{name}.safetensors",
    )
    start = time.perf_counter()
    for _ in progress(training, steps, name):
        pass
    first_only()
    hours = (time.perf_counter() - start) / 3600
    return save_checkpoint(model, name, card(name, hours), measure=exact_nll, half=True)


CHECKPOINTS = {name: binary_mnist for name in BINARY}
