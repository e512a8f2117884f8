"""05, 06장의 체크포인트."""

import math
import time
from pathlib import Path

import torch

from course_lib.recipes.mnist import binarised, card
from course_lib.recipes.results import UNFINISHED, save_result

CONV_VAE = {
    "vae_conv_16d": {"model": {"latent_dim": 16}, "epochs": 30},
    "vae_conv_2d": {
        "model": {"latent_dim": 2, "width": 16, "mlp_decoder": (200, 200)},
        "epochs": 20,
    },
}


def conv_vae(name: str) -> dict:
    """동적으로 이진화한 MNIST에서 ConvVAE를 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    Adam 1e-3, 코사인으로 0까지, 배치 128. 합성곱은 bfloat16으로 계산합니다(가중치와 하한은 float32).
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.distributed import first_only, fit
    from course_lib.training import progress
    from course_lib.vae.conv_vae import ConvVAE

    torch.manual_seed(0)
    model = ConvVAE(**CONV_VAE[name]["model"]).to(memory_format=torch.channels_last)
    images, _ = load_mnist("train")
    steps = CONV_VAE[name]["epochs"] * (len(images) // 128)

    def loss(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return -model.elbo(x).mean()

    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    batches = binarised(images[:, None], 128)
    for _ in progress(fit(model, loss, batches, steps=steps, state=state), steps, name):
        pass
    first_only()
    hours = (time.perf_counter() - start) / 3600
    if model.latent_dim == 2:
        save_codes(model, name, time.perf_counter() - start)
    return save_checkpoint(model, name, card(name, hours), measure=measure_vae, half=True)


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
