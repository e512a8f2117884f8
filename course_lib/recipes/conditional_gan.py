"""08장의 결과 파일과 체크포인트: 조건부 GAN과 InfoGAN."""

import json
import math
import time
from collections.abc import Sequence

import torch

from course_lib.recipes.classifiers import mnist_card
from course_lib.recipes.gan import ScaledImages, _in_bfloat16, judge_mnist, parzen_card
from course_lib.recipes.results import UNFINISHED, code_hash, run_each

# 8×8 숫자. 설정은 검증용 287장에서 맥스아웃 판별자로 골랐고 모든 줄에 같습니다.
CGAN8 = {
    "steps": 1500,
    "batch": 100,
    "lr": 2e-3,
    "betas": (0.0, 0.99),
    "r1": 1.0,
    "latent_dim": 16,
    "g": (32, 64, 128),
}
INFOGAN8 = {"steps": 1200, "batch": 64, "lr": (2e-4, 1e-3), "noise": 16, "width": 32, "hidden": 128}
MOMENTS = {"기울기": "slant", "너비": "width"}
JUDGES = {  # (x, y, 합친 층)의 (단위, 조각). None은 x와 y를 처음부터 이어 붙인 두 층의 ReLU
    "맥스아웃": ((60, 5), (12, 5), (60, 4)),
    "ReLU": ((150, 1), (30, 1), (150, 1)),
    "처음부터 이어 붙인 ReLU": None,
    "작은 맥스아웃(매개변수 1/16)": ((6, 5), (2, 5), (6, 4)),
}

# 저자의 스크립트는 배치 128로 5000번 갱신합니다. hidden은 파일이 8 MB를 넘지 않도록 줄였습니다(저자는 1024).
INFOGAN = {
    "whole": [0, 1, 2],
    "screened": [3, 4, 5, 6, 7, 8],
    "screen": 1000,
    "steps": 5000,
    "more": 2500,
    "batch": 128,
    "lr": (2e-4, 1e-3),
    "hidden": 256,
    "samples": 10_000,
}
MNIST_CGAN = {
    "epochs": 200,
    "stop": 80,
    "patience": 20,
    "batch": 100,
    "train": 50_000,
    "decay": 1.00004,
    "lowest": 1e-6,
    "ramp_epochs": 250,
    "watched": 2000,
    "samples": 10_000,
}


COMPARED = ("parzen_test_nats", "label_accuracy", "diversity")  # 생성자의 dropout을 끄고도 재는 것


def digits_cgan(judge: str = "맥스아웃"):
    """8×8 숫자의 조건부 GAN. ``judge``는 ``JUDGES``에 있는 판별자의 이름입니다. dropout은 쓰지 않습니다."""
    from torch import nn

    from course_lib.gan.cgan import ConditionalDiscriminator
    from course_lib.gan.cgan import cgan as build
    from course_lib.nn import MLP

    if judge not in JUDGES:
        raise ValueError(f"판별자는 {', '.join(JUDGES)} 가운데 하나여야 합니다: {judge!r}.")
    sizes = JUDGES[judge] or JUDGES["ReLU"]
    gan = build(
        64, 10, CGAN8["latent_dim"], g_units=CGAN8["g"], d_units=sizes, dropout=0.0, irange=None
    )
    if JUDGES[judge] is None:
        whole = MLP(74, (159, 159), 1)
        gan.discriminator = ConditionalDiscriminator(nn.Identity(), nn.Identity(), whole, 10)
    return gan


def cgan_ablation(seeds: Sequence[int]) -> dict:
    """8장: 판별자의 구조만 바꾼 8×8 조건부 GAN의 점수표(여러 시드, 검증용에서 잽니다)."""
    code = code_hash("gan/gan.py", "gan/cgan.py", "gan/losses.py", "classifier.py", "evaluation.py")
    keys = [
        {"judge": judge, "seed": seed, "settings": {**CGAN8, "units": JUDGES[judge]}, "code": code}
        for judge in JUDGES
        for seed in seeds
    ]
    return _table("cgan_ablation", keys, _ablation_run, "judge", CGAN8)


def _table(name: str, keys: list[dict], run, row: str, settings: dict) -> dict:
    keys = [json.loads(json.dumps(key)) for key in keys]  # 튜플은 파일에서 목록이 됩니다
    values: dict = {"settings": settings, "final": {}, "seconds": 0.0}
    for record in run_each(name, keys, run):
        values["seconds"] += record["seconds"]
        rows = values["final"].setdefault(record["key"][row], {})
        for metric, value in record.items():
            if metric not in ("key", "seconds"):
                rows.setdefault(metric, []).append(round(value, 4))
    return values


def _ablation_run(key: dict) -> dict:
    from course_lib.classifier import (
        accuracy,
        classification_loss,
        digits_classifier,
        judge_samples,
    )
    from course_lib.datasets.digits import load_digits_images
    from course_lib.gan.gan import players
    from course_lib.gan.losses import non_saturating
    from course_lib.training import fit, fit_gan, minibatches

    (images, labels), (held_out, _) = (load_digits_images(s) for s in ("train", "validation"))
    grey = images.flatten(1) / 16
    torch.manual_seed(0)  # 심사하는 분류기는 모든 줄에 같습니다
    judge = digits_classifier()
    for _ in fit(judge, classification_loss, minibatches((grey, labels), 100), steps=600, lr=3e-3):
        pass
    torch.manual_seed(key["seed"])
    gan = digits_cgan(key["judge"])
    pairs = minibatches((grey, labels), CGAN8["batch"])
    training = fit_gan(
        gan, *players(non_saturating, CGAN8["r1"]), pairs,
        steps=CGAN8["steps"], lr=CGAN8["lr"], betas=CGAN8["betas"], schedule="cosine", seed=key["seed"],
    )  # fmt: skip
    for _ in training:
        pass
    torch.manual_seed(10**6)
    wanted = torch.arange(2000) % 10
    samples = gan.sample(2000, wanted)
    return {
        "frechet": judge_samples(judge, samples, held_out.flatten(1) / 16)["frechet"],
        "label_accuracy": accuracy(judge, samples, wanted),
        "diversity": diversity(samples, wanted) / diversity(grey, labels),
        "parameters": sum(p.numel() for p in gan.discriminator.parameters()),
    }


def infogan_seeds(seeds: Sequence[int]) -> dict:
    """8장: InfoGAN의 부호가 레이블 없이 찾은 것, λ = 1과 λ = 0(Q만 배움). 여러 시드, 시험용 360장에서 잽니다."""
    code = code_hash("gan/gan.py", "gan/infogan.py", "gan/losses.py")
    keys = [
        {"method": method, "seed": seed, "settings": INFOGAN8, "code": code}
        for method in ("λ = 1", "λ = 0")
        for seed in seeds
    ]
    return _table("infogan_seeds", keys, _infogan_run, "method", INFOGAN8)


def digits_infogan():
    """8×8 숫자의 InfoGAN: 저자의 구조에서 층의 크기만 줄인 것."""
    from course_lib.gan.infogan import infogan as build

    sizes = {"noise_dim": INFOGAN8["noise"], "width": INFOGAN8["width"]}
    return build(8, **sizes, hidden=INFOGAN8["hidden"], code_hidden=64)


def _infogan_run(key: dict) -> dict:
    from course_lib.datasets.digits import load_digits_images
    from course_lib.gan.infogan import code_effects, info_players, information, matched_accuracy
    from course_lib.gan.losses import non_saturating
    from course_lib.training import fit_gan, minibatches

    (images, _), (test, truth) = (load_digits_images(s) for s in ("train", "test"))
    torch.manual_seed(key["seed"])
    gan = digits_infogan()
    pair = info_players(non_saturating, reward_generator=key["method"] == "λ = 1")
    training = fit_gan(
        gan, *pair, minibatches(images[:, None] / 16, INFOGAN8["batch"]),
        steps=INFOGAN8["steps"], lr=INFOGAN8["lr"], betas=(0.5, 0.999), seed=key["seed"],
    )  # fmt: skip
    for _ in training:
        pass
    torch.manual_seed(10**6)
    z = gan.latent(1000)
    with torch.no_grad():
        discrete, continuous = information(gan, z, gan.generator(z))
        found = gan.discriminator.posterior(test[:, None] / 16)[0].argmax(1)
    codes, noise = code_effects(gan, z), code_effects(gan, z, list(range(gan.noise_dim)))
    return {
        "class_accuracy": matched_accuracy(found, truth),
        "information_discrete": float(discrete),
        "information_continuous": float(continuous),
        **{f"code_{en}": float(codes[ko].abs().max()) for ko, en in MOMENTS.items()},
        **{f"noise_{en}": float(noise[ko].abs().mean()) for ko, en in MOMENTS.items()},
    }


def infogan(name: str) -> dict:
    """MNIST InfoGAN을 여러 시드로 시작해 하나를 끝까지 배워 저장합니다. 카드를 돌려줍니다.

    저자의 구조(전연결 1024만 256으로), Adam β₁ = 0.5, 판별자 2e-4, 생성자 1e-3, λ = 1. 레이블은 학습에 쓰지 않습니다.
    ``whole``의 시드는 5000단계까지 배워 봅니다. 가장 나은 시드 0도 7과 9를 가르지 못했습니다. 그래서 ``screened``의
    시드를 ``screen``단계까지만 배우고, 학습 이미지 10 000장의 레이블로 잰 클래스 오류가 가장 작은 것을 고릅니다.
    고른 시드는 5000단계까지 배우고, 학습률을 코사인으로 0까지 줄이며 ``more``단계 더 배웁니다.
    """
    from course_lib.checkpoints import save_checkpoint

    def train(seed: int, steps: int):
        gan = _new_infogan(seed)
        training = _infogan_training(
            gan, name, seed, INFOGAN["steps"], "constant", f"{name}_{seed}"
        )
        for record in training:
            if record["step"] >= steps:
                break
        return gan.eval()

    start = time.perf_counter()
    limits = dict.fromkeys(INFOGAN["whole"], INFOGAN["steps"])
    limits |= dict.fromkeys(INFOGAN["screened"], INFOGAN["screen"])
    tried = {
        seed: _screened(train(seed, steps)) | {"steps": steps} for seed, steps in limits.items()
    }
    best = min(INFOGAN["screened"], key=lambda seed: tried[seed]["class_error_train_10000"])
    gan = train(best, INFOGAN["steps"])
    found = _screened(gan)["class_error_train_10000"]
    tried[best]["class_error_train_10000_before_more"] = found
    for _ in _infogan_training(gan, name, best, INFOGAN["more"], "cosine", f"{name}_{best}_more"):
        pass
    card = mnist_card(name, (time.perf_counter() - start) / 3600) | {
        "seed": best,
        "seeds_tried": list(tried),
        "seeds": {str(seed): values for seed, values in tried.items()},
        "seeds_collapsed": sum(values["collapsed"] for values in tried.values()),
        "chosen_by": "학습 이미지 10 000장의 클래스 오류가 가장 작은 시드",
    }
    return save_checkpoint(gan, name, card, measure=measure_infogan, half=True)


def _new_infogan(seed: int):
    from course_lib.gan.infogan import infogan as build

    torch.manual_seed(seed)
    return build(hidden=INFOGAN["hidden"]).to(memory_format=torch.channels_last)


def _screened(gan) -> dict:
    """배우다 만 InfoGAN의 클래스 오류와 무너졌는지."""
    from course_lib.datasets.mnist import load_mnist

    images, labels = load_mnist("train")
    counts = torch.bincount(_classes(_draw(gan, INFOGAN["samples"])), minlength=10)
    return {
        "class_error_train_10000": class_error(gan, images[:10_000], labels[:10_000]),
        "collapsed": int((counts < 0.01 * INFOGAN["samples"]).any()),  # 1 %도 안 되는 숫자가 있으면
    }


def _infogan_training(gan, name: str, seed: int, steps: int, schedule: str, state: str):
    from course_lib.datasets.mnist import load_mnist
    from course_lib.gan.infogan import info_players
    from course_lib.gan.losses import non_saturating
    from course_lib.training import fit_gan, progress

    images, _ = load_mnist("train")
    d_loss, g_loss = map(_in_bfloat16, info_players(non_saturating))
    training = fit_gan(
        gan, d_loss, g_loss, ScaledImages(images[:, None], INFOGAN["batch"], low=0.0),
        steps=steps, lr=INFOGAN["lr"], betas=(0.5, 0.999), schedule=schedule, seed=seed,
        state=UNFINISHED / f"{state}.safetensors", save_every=500,
    )  # fmt: skip
    return progress(training, steps, f"{name}, 시드 {seed}")


@torch.no_grad()
def class_error(gan, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Q의 범주와 레이블을 가장 잘 맞게 짝지었을 때 틀린 비율. images (N, 28, 28) uint8."""
    from course_lib.gan.infogan import matched_accuracy

    parts = (images[:, None].float() / 255).split(1000)
    found = torch.cat([gan.discriminator.posterior(x)[0].argmax(1) for x in parts])
    return 1 - matched_accuracy(found, labels.long())


@torch.no_grad()
def measure_infogan(gan) -> dict[str, float]:
    """시험 클래스 오류, 상호정보량의 하한, 부호마다의 숫자, 연속형 부호가 바꾸는 기울기와 너비, 표본의 점수표."""
    from course_lib.datasets.mnist import load_mnist
    from course_lib.gan.infogan import code_effects, information, matched_accuracy

    torch.manual_seed(0)
    z = gan.latent(INFOGAN["samples"])
    samples = torch.cat([gan.generator(part) for part in z.split(1000)])
    discrete, continuous = information(gan, z[:1000], samples[:1000])
    said = matched_accuracy(gan.split(z)[1], _classes(samples))
    effects = code_effects(gan, z[:1000])
    moved = {
        f"code_{code + 1}_moves_{word}_in_sd": float(effects[key][code])
        for key, word in MOMENTS.items()
        for code in range(gan.continuous)
    }
    return {
        "class_error_test": class_error(gan, *load_mnist("test")),
        "information_discrete_nats": float(discrete),
        "information_continuous_nats": float(continuous),
        "samples_of_the_matched_digit": said,
        **moved,
        **judge_mnist(samples),
    }


@torch.no_grad()
def _draw(gan, n: int, y: torch.Tensor | None = None) -> torch.Tensor:
    """표본 (n, 1, 28, 28). y를 주면 조건부입니다."""
    if y is None:
        parts = [gan.sample(1000) for _ in range(n // 1000)]
    else:
        parts = [gan.sample(len(part), part) for part in y.split(1000)]
    return torch.cat(parts).reshape(-1, 1, 28, 28)


def _judge():
    from course_lib.checkpoints import load_checkpoint
    from course_lib.classifier import mnist_classifier

    judge = mnist_classifier().eval()
    load_checkpoint("mnist_classifier", judge)
    return judge


@torch.no_grad()
def _classes(samples: torch.Tensor) -> torch.Tensor:
    """체크포인트 분류기가 본 숫자 (N,). samples (N, 1, 28, 28), 화소 [0, 1]."""
    judge = _judge()
    return torch.cat([judge(part.contiguous()).argmax(1) for part in samples.split(1000)])


def cgan(name: str) -> dict:
    """논문의 MNIST 조건부 GAN을 학습하고 검증 파젠 추정이 가장 좋았던 생성자를 저장합니다. 카드를 돌려줍니다.

    신경망, 배치, 학습률, 모멘텀, dropout은 논문의 것입니다(``gan.DecayingSGD``). 앞의 50 000장으로 배우고 에폭마다
    표본 2000개로 뒤의 검증 1000장의 파젠 로그우도를 잽니다. 20 에폭 동안 나아지지 않거나 80 에폭이 되면
    그만둡니다.

    표본은 생성자의 dropout을 켠 채로 뽑습니다(``with_dropout_noise``). 끄면 클래스마다 그림이 거의 하나뿐입니다.
    카드에는 끈 채로 잰 파젠과 다양성도 적습니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.evaluation import parzen_log_prob, parzen_sigma
    from course_lib.gan.cgan import BestWeights
    from course_lib.gan.cgan import cgan as build
    from course_lib.gan.gan import DecayingSGD, players
    from course_lib.gan.losses import non_saturating
    from course_lib.recipes.mnist import Batches
    from course_lib.training import fit_gan, progress

    settings = MNIST_CGAN
    images, labels = load_mnist("train")
    images, labels = images.flatten(1), labels.long()
    train, per_epoch = settings["train"], settings["train"] // settings["batch"]
    validation = images[-1000:].float() / 255
    torch.manual_seed(0)
    gan = build()
    optimizers = tuple(
        DecayingSGD(
            player.parameters(),
            decay=settings["decay"],
            lowest=settings["lowest"],
            ramp=settings["ramp_epochs"] * per_epoch,
        )
        for player in (gan.discriminator, gan.generator)
    )
    batches = Batches(
        (images[:train], labels[:train]),
        settings["batch"],
        lambda pair, generator: (pair[0].float() / 255, pair[1]),
    )
    best = BestWeights(gan.generator, UNFINISHED / f"{name}_best.safetensors")
    wanted = torch.arange(settings["watched"]) % 10
    steps = settings["epochs"] * per_epoch
    d_loss, g_loss = map(_in_bfloat16, players(non_saturating))
    start = time.perf_counter()
    training = fit_gan(
        gan, d_loss, g_loss, batches, steps=steps, optimizers=optimizers,
        state=UNFINISHED / f"{name}.safetensors", save_every=per_epoch,
    )  # fmt: skip
    for metrics in progress(training, steps, name):
        if metrics["step"] % per_epoch:
            continue
        samples = _draw(with_dropout_noise(gan), len(wanted), wanted).flatten(1)
        sigma = parzen_sigma(samples, validation, torch.logspace(-1, 0, 10))
        score = float(parzen_log_prob(samples, validation, sigma).mean())
        best.update(score, metrics["step"])
        print(f"에폭 {metrics['step'] // per_epoch}: 검증 파젠 {score:.1f}")
        epoch = metrics["step"] // per_epoch
        if epoch >= settings["stop"] or epoch - best.step // per_epoch >= settings["patience"]:
            break
    hours = (time.perf_counter() - start) / 3600
    best.restore()

    def measure(generator) -> dict[str, float]:
        gan.generator.load_state_dict(generator.state_dict())
        still = measure_cgan(gan.eval(), images)
        return {
            "best_epoch": best.step / per_epoch,
            **measure_cgan(with_dropout_noise(gan), images),
            **{f"without_dropout_{key}": still[key] for key in COMPARED},
        }

    card = mnist_card(name, hours, "앞의 50 000장") | {"stopped_by": "검증 1000장의 파젠 추정"}
    return save_checkpoint(gan.generator, name, card, measure=measure, half=True)


def with_dropout_noise(gan):
    """생성자의 dropout만 켜 둡니다. 두 신경망을 dropout 0.5로 배우면 생성자는 z가 아니라 dropout을 잡음으로 씁니다."""
    gan.eval()
    gan.generator.train()
    return gan


def measure_cgan(gan, train: torch.Tensor) -> dict[str, float]:
    """클래스마다 1000개씩의 표본으로: 파젠, 달라고 한 숫자인지, 클래스 안의 다양성, 프레셰. train (N, 784) uint8."""
    from course_lib.datasets.mnist import load_mnist

    torch.manual_seed(0)
    wanted = torch.arange(MNIST_CGAN["samples"]) % 10
    samples = _draw(gan, len(wanted), wanted)
    test, truth = load_mnist("test")
    real = test.flatten(1).float() / 255
    return {
        **parzen_card(samples.flatten(1), train),
        "label_accuracy": float((_classes(samples) == wanted).double().mean()),
        "diversity": diversity(samples.flatten(1), wanted) / diversity(real, truth.long()),
        **judge_mnist(samples),
    }


def diversity(x: torch.Tensor, y: torch.Tensor) -> float:
    """클래스 안의 다양성: 같은 클래스의 서로 다른 두 그림 사이의 평균 거리를 클래스마다 구한 평균. x (N, D), y (N,)."""
    gaps = []
    for kind in y.unique().tolist():
        group = x[y == kind][:1000]
        n = len(group)
        gaps.append(float(torch.cdist(group, group).sum()) / (n * (n - 1)) if n > 1 else math.nan)
    return sum(gaps) / len(gaps)


RESULT_FILES = {
    "cgan_ablation": (cgan_ablation, range(3)),
    "infogan_seeds": (infogan_seeds, range(5)),
}
CHECKPOINTS = {"cgan": cgan, "infogan": infogan}
