"""05, 06장의 체크포인트."""

import math
import time
from pathlib import Path

import torch

from course_lib.recipes.results import UNFINISHED, hardware, save_result

CONV_VAE = {
    "vae_conv_16d": {"model": {"latent_dim": 16}, "epochs": 30},
    "vae_conv_2d": {
        "model": {"latent_dim": 2, "width": 16, "mlp_decoder": (200, 200)},
        "epochs": 20,
    },
}


class BinarisedBatches:
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


def conv_vae(name: str) -> dict:
    """동적으로 이진화한 MNIST에서 ConvVAE를 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    Adam 1e-3, 코사인으로 0까지, 배치 128. 합성곱은 bfloat16으로 계산합니다(가중치와 하한은 float32).
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.training import fit, progress
    from course_lib.vae.conv_vae import ConvVAE

    torch.manual_seed(0)
    model = ConvVAE(**CONV_VAE[name]["model"]).to(memory_format=torch.channels_last)
    images, _ = load_mnist("train")
    steps = CONV_VAE[name]["epochs"] * (len(images) // 128)

    def loss(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return -model.elbo(x).mean()

    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    batches = BinarisedBatches(images, 128)
    for _ in progress(fit(model, loss, batches, steps=steps, state=state), steps, name):
        pass
    hours = (time.perf_counter() - start) / 3600
    if model.latent_dim == 2:
        save_codes(model, name, time.perf_counter() - start)
    return save_checkpoint(model, name, conv_vae_card(name, hours), measure=measure_vae, half=True)


def save_codes(model, name: str, seconds: float, count: int = 1000) -> Path:
    """시험 이미지 앞 ``count``장의 코드 μ(x)와 숫자를 결과 파일에 남깁니다(잠재 평면의 배경)."""
    from course_lib.datasets.mnist import binarised_test, load_mnist

    with torch.no_grad():
        codes = model.encode(binarised_test()[:count, None]).mean
    labels = load_mnist("test")[1][:count]
    values = {
        "codes": [[round(v, 3) for v in row] for row in codes.tolist()],
        "labels": labels.tolist(),
    }
    command = f"python -m course_lib.recipes {name}"
    return save_result(f"{name}_codes", values, command=command, seeds=[0], seconds=seconds)


def conv_vae_card(name: str, hours: float) -> dict:
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


def measure_vae(model, images: int = 500, k: int = 5000) -> dict[str, float]:
    """시험 이미지의 ELBO와 음의 로그우도 추정값, 단위 nats.

    중요도 가중 추정(k = 5000)은 비싸므로 앞의 ``images``장에서만 재고, 같은 이미지의 ELBO와의 차이를
    시험 이미지 10 000장의 ELBO에 더합니다(통제 변량). 차이는 이미지마다의 흔들림이 작아 표준오차가 작습니다.
    """
    from course_lib.datasets.mnist import binarised_test

    torch.manual_seed(0)
    test = binarised_test()[:, None]
    with torch.no_grad():
        bound = torch.cat([model.elbo(x, 3) for x in test.split(500)])
        some = torch.cat([model.elbo(x, 200) for x in test[:images].split(20)])
        tight = torch.cat([_importance(model, x, k) for x in test[:images]])
    gap = tight - some
    return {
        "negative_elbo_10000": -float(bound.mean()),
        f"gap_is{k}_minus_elbo_{images}": float(gap.mean()),
        "gap_standard_error": float(gap.std()) / math.sqrt(images),
        f"nll_is{k}": -float(bound.mean() + gap.mean()),
    }


def _importance(model, x: torch.Tensor, k: int, chunk: int = 500) -> torch.Tensor:
    """이미지 하나의 중요도 가중 추정 (1,). 활성값이 커지지 않게 나누어 계산합니다."""
    parts = [model.importance_log_prob(x[None], chunk) for _ in range(k // chunk)]
    return torch.stack(parts).logsumexp(0) - math.log(k // chunk)


CHECKPOINTS = {name: conv_vae for name in CONV_VAE}
