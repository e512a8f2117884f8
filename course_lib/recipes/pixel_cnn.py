"""04장의 체크포인트."""

import time

import torch

from course_lib.recipes.mnist import Batches, card, exact_nll
from course_lib.recipes.results import UNFINISHED

GATED = {
    "model": {"classes": 10, "width": 32, "layers": 6, "first": 7, "kernel": 5},
    "epochs": 10,
    "lr": 3e-3,
}
PLAIN = {"model": {"width": 32, "layers": 8}, "epochs": 7, "lr": 2e-3}
PP = {
    "model": {"mixtures": 5, "width": 32, "scales": 3, "blocks": 2},
    "epochs": 2,
    "lr": 1e-3,
}
WARMUP = 200  # 학습률을 곧게 올리는 단계 수


def plain_pixelcnn(name: str) -> dict:
    """PixelCNN을 동적으로 이진화한 MNIST에서 학습하고 저장합니다. 카드를 돌려줍니다.

    Adam 2e-3, 코사인으로 0까지, 배치 64. 합성곱은 bfloat16으로 계산하고 가중치와 확률은 float32입니다.
    """
    from course_lib.autoregressive.pixel_cnn import PixelCNN
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import dynamic_binarise, load_mnist

    torch.manual_seed(0)
    model = PixelCNN((1, 28, 28), 2, **PLAIN["model"]).to(memory_format=torch.channels_last)
    images, _ = load_mnist("train")
    batches = Batches(images[:, None], 64, lambda x, g: (dynamic_binarise(x, g), None))
    hours = _train(name, model, batches, len(images) // 64, PLAIN)
    return save_checkpoint(model, name, card(name, hours), measure=exact_nll, half=True)


def gated_pixelcnn(name: str) -> dict:
    """클래스 조건부 Gated PixelCNN을 동적으로 이진화한 MNIST에서 학습하고 저장합니다. 카드를 돌려줍니다.

    Adam 3e-3, 코사인으로 0까지, 배치 64. 합성곱은 bfloat16으로 계산하고 가중치와 확률은 float32입니다.
    """
    from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import dynamic_binarise, load_mnist

    torch.manual_seed(0)
    model = GatedPixelCNN((1, 28, 28), 2, **GATED["model"]).to(memory_format=torch.channels_last)
    images, labels = load_mnist("train")
    batches = Batches(
        (images[:, None], labels), 64, lambda pair, g: (dynamic_binarise(pair[0], g), pair[1])
    )
    hours = _train(name, model, batches, len(images) // 64, GATED)
    about = card(name, hours, data="MNIST 학습 이미지 60 000장과 숫자 레이블")
    return save_checkpoint(model, name, about, measure=measure_gated, half=True)


def pixelcnn_pp(name: str) -> dict:
    """PixelCNN++를 256단계 MNIST에서 학습하고 저장합니다. 카드를 돌려줍니다.

    Adam 1e-3, 코사인으로 0까지, 배치 64. 합성곱은 bfloat16으로 계산하고 가중치와 확률은 float32입니다.
    """
    from course_lib.autoregressive.pixel_cnn_pp import PixelCNNPP
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist

    torch.manual_seed(0)
    model = PixelCNNPP((1, 28, 28), 256, **PP["model"]).to(memory_format=torch.channels_last)
    images, _ = load_mnist("train")
    batches = Batches(images[:, None], 64, lambda x, _: (x.float(), None))
    hours = _train(name, model, batches, len(images) // 64, PP)
    about = card(name, hours, data="MNIST 학습 이미지 60 000장(256단계)", binarisation="없음")
    return save_checkpoint(model, name, about, measure=measure_pp, half=True)


def measure_pp(model) -> dict[str, float]:
    """시험 이미지 10 000장의 정확한 bits/dim(저장한 파일의 가중치, float32). 이산 확률이므로 하한이 아닙니다."""
    from course_lib.datasets.mnist import load_mnist
    from course_lib.units import bits_per_dim

    x = load_mnist("test")[0][:, None].float()
    with torch.no_grad():
        log_probs = torch.cat([model.log_prob(part) for part in x.split(125)])
    bits = bits_per_dim(log_probs.double(), 784, levels=1)
    return {
        "bits_per_dim_10000": float(bits.mean()),
        "standard_error": float(bits.std() / len(bits) ** 0.5),
    }


def measure_gated(model) -> dict[str, float]:
    """시험 이미지 10 000장의 정확한 음의 로그우도, 단위 nats(저장한 파일의 가중치, float32).

    nll_given_label  −log p(x|y), nll  −log p(x) = −log (1/10) Σ_y p(x|y). 뒤의 것은 레이블을 쓰지 않으므로
    조건 없는 모델과 견줄 수 있습니다. 레이블 열 개를 모두 넣어 보아야 하므로 앞의 2000장에서만 잽니다.
    """
    from course_lib.datasets.mnist import binarised_test, load_mnist

    x, y = binarised_test()[:, None], load_mnist("test")[1]
    with torch.no_grad():
        given = torch.cat(
            [model.log_prob(a, b) for a, b in zip(x.split(250), y.split(250), strict=True)]
        )
        every = [
            torch.stack([model.log_prob(a, torch.full((len(a),), k)) for k in range(10)])
            for a in x[:2000].split(250)
        ]
    joint = torch.cat(every, 1)  # (10, 2000)
    marginal = joint.logsumexp(0) - torch.tensor(10.0).log()
    return {
        "nll_given_label_10000": -float(given.mean()),
        "nll_2000": -float(marginal.mean()),
        "nll_given_label_2000": -float(given[:2000].mean()),
        "label_accuracy_2000": float((joint.argmax(0) == y[:2000]).float().mean()),
    }


def _train(name: str, model, batches, steps_per_epoch: int, settings: dict) -> float:
    """(x, y) 배치로 −log p(x|y)를 줄이고 걸린 시간을 돌려줍니다. 꺼지면 이어서 합니다."""
    from course_lib.distributed import first_only, fit
    from course_lib.training import progress

    def loss(model, batch):
        x, y = batch
        with torch.autocast("cpu", torch.bfloat16):
            return -model.log_prob(x.contiguous(memory_format=torch.channels_last), y).mean()

    start, steps = time.perf_counter(), settings["epochs"] * steps_per_epoch
    training = fit(
        model,
        loss,
        batches,
        steps=steps,
        lr=settings["lr"],
        warmup=WARMUP,
        max_grad_norm=50.0,
        state=UNFINISHED / f"{name}.safetensors",
    )
    for _ in progress(training, steps, name):
        pass
    first_only()
    return (time.perf_counter() - start) / 3600


CHECKPOINTS = {
    "pixel_cnn": plain_pixelcnn,
    "gated_pixelcnn": gated_pixelcnn,
    "pixelcnn_pp": pixelcnn_pp,
}
