"""13–15장의 체크포인트: MNIST의 MAF, NICE, RealNVP, 가우스화 플로우, MintNet. 단위는 차원당 비트와 nats이고 역양자화는 (k + u)/256입니다."""

import functools
import time

import torch
from torch import Tensor

from course_lib.recipes.mnist import Batches, card
from course_lib.recipes.results import UNFINISHED

LEVELS = 256
# 은닉층은 파일이 8 MB를 넘지 않도록 줄였습니다(논문: MAF 1024, NICE 1000 × 5층)
MAF = {
    "model": {"layers": 5, "hidden": (256, 256), "batch_norm": True},
    "alpha": 1e-6,
    "batch": 100,
    "epochs": 30,
    "lr": 1e-3,
    "warmup": 100,
    "weight_decay": 1e-6,
}
NICE = {
    "model": {"couplings": 4, "hidden": (400,) * 5},
    "batch": 200,
    "epochs": 60,
    "lr": 1e-3,
    "warmup": 100,
    "weight_decay": 0.0,
}
REALNVP = {  # 논문의 이미지 모델은 특징 지도 32 또는 64개, 잔차 블록 4 또는 8개
    "model": {"scales": 3, "width": 16, "blocks": 2},
    "alpha": 0.05,
    "batch": 64,
    "epochs": 5,
    "lr": 2e-3,
    "warmup": 100,
    "weight_decay": 0.0,
}
GAUSSIANIZATION = {  # 반사는 논문의 D개 대신 32개
    "model": {"layers": 4, "anchors": 30, "reflections": 32},
    "alpha": 1e-6,
    "start_points": 2000,
    "batch": 100,
    "epochs": 2,
    "lr": 1e-2,
    "warmup": 100,
    "weight_decay": 0.0,
}
MINTNET = {  # 논문은 20층, K = 45, 600 에폭
    "model": {"layers": 6, "latent": 8, "squeeze_after": [2, 4]},
    "alpha": 1e-6,
    "batch": 100,
    "epochs": 2,
    "lr": 5e-3,
    "warmup": 100,
    "weight_decay": 0.0,
}
TRAIN = 50_000  # 나머지 10 000장은 검증용


def maf_model():
    """체크포인트 ``maf``의 구조. [0, 1]로 역양자화한 그림 (B, 784)을 받습니다."""
    from course_lib.flows.maf import MAF as Model
    from course_lib.units import LogitPreprocess

    return Model(784, **MAF["model"], preprocess=LogitPreprocess(MAF["alpha"]))


def nice_model():
    """체크포인트 ``nice``의 구조. [0, 1]로 역양자화한 그림 (B, 784)을 받습니다."""
    from course_lib.flows.nice import NICE as Model

    return Model(784, **NICE["model"])


def realnvp_model():
    """체크포인트 ``realnvp``의 구조. [0, 1]로 역양자화한 그림 (B, 1, 28, 28)을 받습니다."""
    from course_lib.flows.realnvp import ImageRealNVP
    from course_lib.units import LogitPreprocess

    preprocess = LogitPreprocess(REALNVP["alpha"])
    return ImageRealNVP((1, 28, 28), **REALNVP["model"], preprocess=preprocess)


def gaussianization_model():
    """체크포인트 ``gaussianization_flow``의 구조. [0, 1]로 역양자화한 그림 (B, 784)을 받습니다."""
    from course_lib.flows.gaussianization import GaussianizationFlow
    from course_lib.units import LogitPreprocess

    preprocess = LogitPreprocess(GAUSSIANIZATION["alpha"])
    return GaussianizationFlow(784, **GAUSSIANIZATION["model"], preprocess=preprocess)


def mintnet_model():
    """체크포인트 ``mintnet``의 구조. [0, 1]로 역양자화한 그림 (B, 1, 28, 28)을 받습니다."""
    from course_lib.flows.mintnet import MintNet
    from course_lib.units import LogitPreprocess

    preprocess = LogitPreprocess(MINTNET["alpha"])
    return MintNet((1, 28, 28), **MINTNET["model"], preprocess=preprocess)


def pixels(images: Tensor, generator: torch.Generator | None = None, shape=(784,)) -> Tensor:
    """uint8 그림 (N, 28, 28) → 역양자화한 화소 (N, *shape), 값 [0, 1)."""
    from course_lib.units import dequantise

    return dequantise(images.int(), LEVELS, generator).reshape(len(images), *shape)


def train_flow(name: str, model, settings: dict) -> float:
    """MNIST 50 000장에서 −log p의 평균을 줄입니다(Adam, 코사인). 걸린 시간(시)을 돌려줍니다."""
    from course_lib.datasets.mnist import load_mnist
    from course_lib.training import fit, progress

    images = load_mnist("train")[0][:TRAIN]
    steps = settings["epochs"] * (TRAIN // settings["batch"])
    optimizer = torch.optim.Adam(
        model.parameters(), settings["lr"], weight_decay=settings["weight_decay"], fused=True
    )
    start = time.perf_counter()
    cut = functools.partial(pixels, shape=model.event_shape)
    training = fit(
        model, lambda model, x: -model.log_prob(x).mean(), Batches(images, settings["batch"], cut),
        steps=steps, optimizer=optimizer, warmup=settings["warmup"], max_grad_norm=50.0,
        state=UNFINISHED / f"{name}.safetensors", save_every=500,
    )  # fmt: skip
    for _ in progress(training, steps, name):
        pass
    return (time.perf_counter() - start) / 3600


@torch.no_grad()
def scores(model, images: Tensor, alpha: float | None = None) -> dict[str, float]:
    """그림 (N, 28, 28)의 평균 log p(x)와 그 표준오차(nats, x ∈ [0, 1]^784), 차원당 비트.

    alpha를 주면 logit으로 편 공간의 로그우도도 잽니다: log p(x)에서 logit 전처리의 log-det를 뺀 것. MAF 논문의 표가
    쓰는 단위입니다.
    """
    from course_lib.units import LogitPreprocess, bits_per_dim

    x = pixels(images, torch.Generator().manual_seed(0), model.event_shape)
    log_p = torch.cat([model.log_prob(part) for part in x.split(500)]).double()
    found = {
        "log_p": float(log_p.mean()),
        "standard_error": float(log_p.std() / len(x) ** 0.5),
        "bits_per_dim": float(bits_per_dim(log_p, 784, LEVELS).mean()),
    }
    if alpha is not None:
        logit = log_p - LogitPreprocess(alpha).inverse(x)[1].double()
        found["log_p_in_logit_space"] = float(logit.mean())
        found["log_p_in_logit_space_error"] = float(logit.std() / len(x) ** 0.5)
    return found


def measured(alpha: float | None = None):
    """시험 10 000장과 검증 10 000장의 점수를 재는 함수. 저장한 파일의 가중치로 잽니다."""

    def measure(model) -> dict[str, float]:
        from course_lib.datasets.mnist import load_mnist

        test = scores(model, load_mnist("test")[0], alpha)
        validation = scores(model, load_mnist("train")[0][TRAIN:], alpha)
        return test | {f"validation_{key}": value for key, value in validation.items()}

    return measure


def flow_card(name: str, hours: float) -> dict:
    return card(
        name, hours, data="MNIST 학습 이미지 50 000장(회색, (k + u)/256)", binarisation="없음"
    )


def maf(name: str) -> dict:
    """MNIST의 MAF(5)를 학습해 저장합니다. 논문은 은닉 1024, Adam 1e-4, 조기 종료입니다.

    배치 정규화의 통계는 논문처럼 학습 데이터 전체의 것으로 바꾸어 저장합니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist

    torch.manual_seed(0)
    model = maf_model()
    hours = train_flow(name, model, MAF)
    images = load_mnist("train")[0][:TRAIN]
    model.use_statistics_of(pixels(images, torch.Generator().manual_seed(1)))
    return save_checkpoint(
        model, name, flow_card(name, hours), measure=measured(MAF["alpha"]), half=True
    )


def nice(name: str) -> dict:
    """MNIST의 NICE를 학습해 저장합니다. 논문은 은닉 1000 × 5층, 1500 에폭입니다."""
    from course_lib.checkpoints import save_checkpoint

    torch.manual_seed(0)
    model = nice_model()
    hours = train_flow(name, model, NICE)
    return save_checkpoint(model, name, flow_card(name, hours), measure=measured(), half=True)


def realnvp(name: str) -> dict:
    """MNIST의 다중 스케일 RealNVP를 학습해 저장합니다. 논문에는 MNIST의 값이 없습니다."""
    from course_lib.checkpoints import save_checkpoint

    torch.manual_seed(0)
    model = realnvp_model().to(memory_format=torch.channels_last)
    hours = train_flow(name, model, REALNVP)
    measure = measured(REALNVP["alpha"])
    return save_checkpoint(model, name, flow_card(name, hours), measure=measure, half=True)


def gaussianization_flow(name: str) -> dict:
    """MNIST의 가우스화 플로우를 학습해 저장합니다. 논문의 MNIST 값은 확인하지 못했습니다."""
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist

    torch.manual_seed(0)
    model = gaussianization_model()
    images = load_mnist("train")[0][: GAUSSIANIZATION["start_points"]]
    model.start_from(pixels(images, torch.Generator().manual_seed(1)))
    hours = train_flow(name, model, GAUSSIANIZATION)
    measure = measured(GAUSSIANIZATION["alpha"])
    return save_checkpoint(model, name, flow_card(name, hours), measure=measure, half=True)


def mintnet(name: str) -> dict:
    """MNIST의 MintNet을 학습해 저장합니다. 논문은 20층, K = 45, 600 에폭입니다(0.98 bits/dim)."""
    from course_lib.checkpoints import save_checkpoint

    torch.manual_seed(0)
    model = mintnet_model()
    hours = train_flow(name, model, MINTNET)
    measure = measured(MINTNET["alpha"])
    return save_checkpoint(model, name, flow_card(name, hours), measure=measure, half=True)


CHECKPOINTS = {
    "maf": maf,
    "nice": nice,
    "realnvp": realnvp,
    "gaussianization_flow": gaussianization_flow,
    "mintnet": mintnet,
}
