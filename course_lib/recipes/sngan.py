"""10장의 결과 파일과 체크포인트: 학습률과 자르기, 네 GAN의 비교, MNIST의 SNGAN."""

import time
from collections.abc import Sequence

import torch

from course_lib.recipes.classifiers import mnist_card
from course_lib.recipes.gan import ScaledImages, _in_bfloat16, judge_mnist
from course_lib.recipes.results import UNFINISHED, code_hash, run_each

CODE = ["gan/gan.py", "gan/losses.py", "gan/sngan.py", "gan/wgan.py", "gan/wgan_gp.py"]
STABILITY = {
    "rates": [3e-4, 1e-3, 3e-3, 1e-2, 3e-2],
    "clips": [0.01, 0.1, 0.3],
    "ring8": {"radius": 2.0, "sd": 0.02},
    "hidden": [64, 64],
    "latent_dim": 4,
    "batch": 128,
    "steps": 800,
    "d_steps": 2,
    "betas": [0.0, 0.9],
    "samples": 2500,
    "radius_in_sd": 8,
}
FOUR = ("DCGAN", "WGAN", "WGAN-GP", "SNGAN")
DIGITS = {
    "width": 32,
    "latent_dim": 16,
    "batch": 64,
    "steps": 400,
    "d_steps": 2,
    "samples": 2000,
    "lr": {"DCGAN": 1e-3, "WGAN": 2e-3, "WGAN-GP": 2e-3, "SNGAN": 1e-3},
    "clip": 0.01,
    "penalty": 10.0,
    "seeds": 5,
}
GRID = {
    "hidden": [64, 64],
    "latent_dim": 4,
    "batch": 128,
    "steps": 2000,
    "d_steps": 2,
    "samples": 2500,
    "radius_in_sd": 4,
    "lr": {"DCGAN": 3e-3, "WGAN": 1e-2, "WGAN-GP": 1e-2, "SNGAN": 1e-2},
    "clip": 0.3,
    "penalty": 0.1,
    "betas": [0.0, 0.9],
    "seeds": 3,
}
MNIST_SNGAN = {
    "steps": 5000,
    "batch": 64,
    "lr": 2e-4,
    "d_steps": 2,
    "width": 32,
    "samples": 10_000,
}


def sngan_rates(seeds: Sequence[int]) -> dict:
    """10장: 학습률마다 8 고리에서 덮은 봉우리의 수, 스펙트럼 정규화와 가중치 자르기(여러 시드).

    신경망, Adam, 단계 수, 줄어드는 학습률은 모두 같고 판별자를 묶는 방법만 다릅니다. SN은 힌지, 자르기는 바서슈타인
    손실입니다. 발산한 학습은 덮은 봉우리 0으로 칩니다.
    """
    keys = [
        {"rate": rate, "clip": clip, "seed": seed, "settings": STABILITY, "code": code_hash(*CODE)}
        for clip in (None, *STABILITY["clips"])
        for rate in STABILITY["rates"]
        for seed in seeds
    ]
    records = run_each("sngan_rates", keys, _rates_run)
    values: dict = {"settings": STABILITY, "final": {}}
    for record in records:
        clip = record["key"]["clip"]
        rows = values["final"].setdefault("SN" if clip is None else f"c = {clip}", {})
        row = rows.setdefault(str(record["key"]["rate"]), {"covered": [], "share": []})
        for name in row:
            row[name].append(round(record[name], 4))
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _rates_run(key: dict) -> dict:
    from course_lib.datasets.toy2d import Ring8
    from course_lib.gan.gan import players, toy_gan
    from course_lib.gan.losses import clip_weights_, hinge, wasserstein
    from course_lib.gan.sngan import toy_sngan
    from course_lib.training import TrainingDiverged, fit_gan

    toy, clip = Ring8(**STABILITY["ring8"]), key["clip"]
    torch.manual_seed(key["seed"])
    build = toy_sngan if clip is None else toy_gan
    gan = build(STABILITY["latent_dim"], STABILITY["hidden"])
    training = fit_gan(
        gan,
        *players(hinge if clip is None else wasserstein),
        lambda generator: toy.sample(STABILITY["batch"], generator),
        steps=STABILITY["steps"],
        lr=key["rate"],
        betas=tuple(STABILITY["betas"]),
        schedule="cosine",
        d_steps=STABILITY["d_steps"],
        after_d=None if clip is None else lambda critic: clip_weights_(critic, clip),
        seed=key["seed"],
    )
    try:
        for _ in training:
            pass
    except TrainingDiverged:
        return {"covered": 0, "share": 0.0}
    return _coverage(gan, toy, STABILITY)


def _coverage(gan, toy, settings: dict) -> dict:
    from course_lib.evaluation import mode_coverage

    torch.manual_seed(10**6)
    points = gan.eval().sample(settings["samples"])
    found = mode_coverage(points, toy.modes, settings["radius_in_sd"] * toy.sd)
    return {"covered": found.covered, "share": found.share}


def gan_comparison(seeds: Sequence[int]) -> dict:
    """10장: DCGAN, WGAN, WGAN-GP, SNGAN. 8×8 숫자의 프레셰 거리(5시드)와 25 격자의 봉우리(3시드).

    숫자: 생성자는 넷 모두 DCGAN의 것이고 판별자도 같은 모양입니다(묶는 방법과 배치 정규화만 다릅니다). 학습률은 검증용
    287장에서 시드 0으로 골랐고 거리는 시험용 360장에서 한 번 쟀습니다. 격자: 넷 모두 같은 MLP라서 DCGAN 줄은 비포화
    손실의 GAN입니다.
    """
    code = code_hash(*CODE, "gan/dcgan.py", "classifier.py", "evaluation.py")
    keys = [
        {"data": data, "model": model, "seed": seed, "settings": settings, "code": code}
        for data, settings in (("digits", DIGITS), ("grid25", GRID))
        for model in FOUR
        for seed in list(seeds)[: settings["seeds"]]
    ]
    records = run_each("gan_comparison", keys, _comparison_run)
    values: dict = {"settings": {"digits": DIGITS, "grid25": GRID}, "digits": {}, "grid25": {}}
    for record in records:
        data, model = record["key"]["data"], record["key"]["model"]
        row = values[data].setdefault(model, {})
        for name, value in record.items():
            if name not in ("key", "seconds"):
                row.setdefault(name, []).append(round(value, 4))
    values["real"] = round(_real_distance(), 4)
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _comparison_run(key: dict) -> dict:
    from course_lib.classifier import judge_samples
    from course_lib.datasets.digits import load_digits_images
    from course_lib.datasets.toy2d import Grid25
    from course_lib.training import minibatches

    grid = key["data"] == "grid25"
    torch.manual_seed(key["seed"])
    if grid:
        gan, settings, toy = _toy(key["model"]), GRID, Grid25()
        batches = lambda generator: toy.sample(GRID["batch"], generator)  # noqa: E731
    else:
        gan, settings = _same_shape(key["model"]), DIGITS
        images = load_digits_images("train")[0][:, None] / 8.0 - 1
        batches = minibatches(images, DIGITS["batch"])
    start = time.process_time()
    for _ in _training(key["model"], gan, batches, settings, key["seed"]):
        pass
    spent = time.process_time() - start
    if grid:
        return _coverage(gan, toy, GRID) | {"cpu_seconds": spent}
    torch.manual_seed(10**6)
    samples = (gan.eval().sample(DIGITS["samples"]).flatten(1) + 1) / 2
    judged = judge_samples(_judge(), samples, load_digits_images("test")[0].flatten(1) / 16)
    return judged | {"cpu_seconds": spent}


def _training(model: str, gan, batches, settings: dict, seed: int):
    from course_lib.gan.gan import players
    from course_lib.gan.losses import hinge, non_saturating
    from course_lib.gan.wgan import fit_wgan
    from course_lib.gan.wgan_gp import fit_wgan_gp
    from course_lib.training import fit_gan

    common = dict(steps=settings["steps"], lr=settings["lr"][model], schedule="cosine", seed=seed)
    if model == "WGAN":
        return fit_wgan(gan, batches, c=settings["clip"], n_critic=settings["d_steps"], **common)
    if model == "WGAN-GP":
        penalty, times = settings["penalty"], settings["d_steps"]
        return fit_wgan_gp(gan, batches, penalty=penalty, n_critic=times, **common)
    loss = hinge if model == "SNGAN" else non_saturating
    betas = tuple(settings.get("betas", (0.0, 0.9) if model == "SNGAN" else (0.5, 0.999)))
    common |= dict(d_steps=settings["d_steps"], betas=betas)
    return fit_gan(gan, *players(loss), batches, **common)


def _toy(model: str):
    from course_lib.gan.gan import toy_gan
    from course_lib.gan.sngan import toy_sngan

    return (toy_sngan if model == "SNGAN" else toy_gan)(GRID["latent_dim"], GRID["hidden"])


def _same_shape(model: str):
    """8×8 숫자의 GAN. 생성자와 판별자의 모양은 같고 판별자를 묶는 방법만 다릅니다."""
    from torch import nn

    from course_lib.gan.dcgan import DCGANGenerator, dcgan
    from course_lib.gan.gan import GAN, Discriminator
    from course_lib.gan.sngan import SNConv2d, SNLinear
    from course_lib.gan.wgan_gp import conv_wgan_gp

    width, latent = DIGITS["width"], DIGITS["latent_dim"]
    if model in ("DCGAN", "WGAN"):
        return dcgan(8, width=width, latent_dim=latent)
    if model == "WGAN-GP":
        return conv_wgan_gp(8, width=width, latent_dim=latent)
    judge = nn.Sequential(
        SNConv2d(1, width, 5, 2, 2), nn.LeakyReLU(0.2),
        SNConv2d(width, 2 * width, 5, 2, 2), nn.LeakyReLU(0.2),
        nn.Flatten(), SNLinear(2 * width * 4, 1),
    )  # fmt: skip
    return GAN(DCGANGenerator(latent, 8, width=width), Discriminator(judge), latent)


def _judge():
    """모든 줄을 심사하는 8×8 숫자 분류기."""
    from course_lib.classifier import classification_loss, digits_classifier
    from course_lib.datasets.digits import load_digits_images
    from course_lib.training import fit, minibatches

    images, labels = load_digits_images("train")
    torch.manual_seed(0)
    judge = digits_classifier()
    pairs = minibatches((images.flatten(1) / 16, labels), 100)
    for _ in fit(judge, classification_loss, pairs, steps=600, lr=3e-3):
        pass
    return judge


def _real_distance() -> float:
    """진짜 학습 그림과 시험 그림 사이의 프레셰 거리: 표본이 완벽해도 이쯤은 나옵니다."""
    from course_lib.classifier import judge_samples
    from course_lib.datasets.digits import load_digits_images

    train, test = (load_digits_images(s)[0].flatten(1) / 16 for s in ("train", "test"))
    return judge_samples(_judge(), train, test)["frechet"]


def sngan(name: str) -> dict:
    """MNIST SNGAN을 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    힌지 손실, 논문의 Adam 2e-4와 β = (0, 0.9). 판별자는 생성자 한 번에 두 번(논문은 5번), 너비는 32(논문은 64),
    학습률은 코사인으로 줄입니다(논문은 곧은 선).
    합성곱은 bfloat16으로 계산합니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.gan.gan import players
    from course_lib.gan.losses import hinge
    from course_lib.gan.sngan import sngan as build
    from course_lib.training import fit_gan, progress

    torch.manual_seed(0)
    gan = build(width=MNIST_SNGAN["width"]).to(memory_format=torch.channels_last)
    d_loss, g_loss = map(_in_bfloat16, players(hinge))
    images, _ = load_mnist("train")
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    training = fit_gan(
        gan,
        d_loss,
        g_loss,
        ScaledImages(images[:, None], MNIST_SNGAN["batch"], low=-1.0),
        steps=MNIST_SNGAN["steps"],
        lr=MNIST_SNGAN["lr"],
        betas=(0.0, 0.9),
        schedule="cosine",
        d_steps=MNIST_SNGAN["d_steps"],
        state=state,
        save_every=1000,
    )
    for _ in progress(training, MNIST_SNGAN["steps"], name):
        pass
    hours = (time.perf_counter() - start) / 3600
    return save_checkpoint(gan, name, mnist_card(name, hours), measure=measure_sngan, half=True)


def measure_sngan(gan) -> dict[str, float]:
    """표본 10 000장을 MNIST 분류기로 심사합니다."""
    torch.manual_seed(0)
    samples = torch.cat([gan.sample(1000) for _ in range(MNIST_SNGAN["samples"] // 1000)])
    return judge_mnist((samples + 1) / 2)


RESULT_FILES = {
    "sngan_rates": (sngan_rates, range(3)),
    "gan_comparison": (gan_comparison, range(5)),
}
CHECKPOINTS = {"sngan": sngan}
