"""07–11장의 결과 파일과 체크포인트."""

import math
import statistics
import time
from collections.abc import Sequence

import torch

from course_lib.recipes.classifiers import mnist_card
from course_lib.recipes.results import UNFINISHED, code_hash, run_each

CODE = ["gan/gan.py", "gan/losses.py", "datasets/toy2d.py", "evaluation.py"]
MODES = {
    "hidden": [128, 128],
    "latent_dim": 4,
    "batch": 128,
    "lr": {"ring8": 3e-3, "grid25": 5e-3},
    "steps": {"ring8": 1500, "grid25": 6000},
    "r1": {"ring8": 0.005, "grid25": 0.05},
    "betas": {"ring8": [0.5, 0.999], "grid25": [0.0, 0.99]},
    "ring8": {"radius": 2.0, "sd": 0.02},
    "samples": 2500,
    "radius_in_sd": {"ring8": 8, "grid25": 4},
}
GAN_METHODS = {
    "minimax": ("minimax", False, "constant"),
    "non-saturating": ("non_saturating", False, "constant"),
    "non-saturating + R1": ("non_saturating", True, "cosine"),
}
COMPARED = {
    "grid25": ("non-saturating + R1", "non-saturating"),
    "ring8": ("non-saturating + R1", "minimax"),
}
DCGAN = {"epochs": 20, "batch": 64, "lr": 2e-4, "width": 64}
MNIST_GAN = {"epochs": 50, "batch": 100, "train": 50_000, "validation": 1000, "samples": 10_000}


def toy_data(name: str):
    """결과 파일이 쓰는 2D 분포: 고리는 봉우리가 좁은 것(반지름 2, 표준편차 0.02)을 씁니다."""
    from course_lib.datasets.toy2d import Grid25, Ring8

    return Ring8(**MODES["ring8"]) if name == "ring8" else Grid25()


def gan_modes(seeds: Sequence[int]) -> dict:
    """7장: 8 고리와 25 격자에서 손실마다 덮은 봉우리의 수를 여러 시드로 잽니다.

    신경망, 배치, 학습률, 단계 수는 데이터마다 같습니다. R1을 쓰는 줄만 벌점과 코사인 학습률을 씁니다. 설정은
    시드 0과 1에서 골랐습니다(그 두 시드는 새로운 시드가 아닙니다).
    """
    keys = [
        {
            "data": data,
            "method": method,
            "seed": seed,
            "settings": MODES,
            "recipe": list(GAN_METHODS[method]),
            "code": code_hash(*CODE),
        }
        for data in ("grid25", "ring8")
        for method in reversed(GAN_METHODS)
        if method in COMPARED[data]
        for seed in seeds
    ]
    records = run_each("gan_modes", keys, _modes_run)
    values: dict = {"settings": MODES, "final": {}}
    for record in records:
        key = record["key"]
        rows = values["final"].setdefault(key["data"], {})
        row = rows.setdefault(key["method"], {"covered": [], "share": [], "cpu_seconds": []})
        for name in row:
            row[name].append(round(record[name], 4))
    for rows in values["final"].values():
        for row in rows.values():
            row["cpu_seconds"] = statistics.median(row["cpu_seconds"])
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _modes_run(key: dict) -> dict:
    from course_lib.evaluation import mode_coverage
    from course_lib.gan import losses
    from course_lib.gan.gan import players, toy_gan
    from course_lib.training import fit_gan

    data, (loss, penalised, schedule) = key["data"], key["recipe"]
    toy = toy_data(data)
    torch.manual_seed(key["seed"])
    gan = toy_gan(MODES["latent_dim"], MODES["hidden"])
    r1 = MODES["r1"][data] if penalised else 0.0
    training = fit_gan(
        gan,
        *players(getattr(losses, loss), r1),
        lambda generator: toy.sample(MODES["batch"], generator),
        steps=MODES["steps"][data],
        lr=MODES["lr"][data],
        betas=tuple(MODES["betas"][data]),
        schedule=schedule,
        seed=key["seed"],
    )
    start = time.process_time()
    for _ in training:
        pass
    spent = time.process_time() - start
    torch.manual_seed(10**6)
    radius = MODES["radius_in_sd"][data] * toy.sd
    found = mode_coverage(gan.sample(MODES["samples"]), toy.modes, radius)
    return {"covered": found.covered, "share": found.share, "cpu_seconds": spent}


ABLATION = {"width": 32, "latent_dim": 16, "steps": 600, "batch": 64, "lr": 1e-3, "samples": 2000}


def break_rule(gan, rule: str):
    """DCGAN의 지침 하나를 어긴 것으로 바꿉니다(제자리). ``rule``은 ``RULES``의 이름입니다."""
    from torch import nn

    to_x, judge = gan.generator.net, gan.discriminator.net
    if rule == "배치 정규화를 빼면":
        for net in (to_x, judge):
            for k, layer in enumerate(net):
                if isinstance(layer, nn.BatchNorm2d):
                    net[k] = nn.Identity()
    elif rule == "G의 출력과 D의 입력에도 배치 정규화":
        to_x.insert(len(to_x) - 1, nn.BatchNorm2d(1))
        judge.insert(0, nn.BatchNorm2d(1))
    elif rule == "보폭 대신 풀링과 확대":
        for k, layer in enumerate(judge):
            if isinstance(layer, nn.Conv2d):
                same = nn.Conv2d(layer.in_channels, layer.out_channels, 5, 1, 2)
                judge[k] = nn.Sequential(same, nn.MaxPool2d(2))
        for k, layer in enumerate(to_x):
            if isinstance(layer, nn.ConvTranspose2d):
                same = nn.Conv2d(layer.in_channels, layer.out_channels, 5, 1, 2)
                to_x[k] = nn.Sequential(nn.Upsample(scale_factor=2), same)
    elif rule == "D에도 ReLU":
        for k, layer in enumerate(judge):
            if isinstance(layer, nn.LeakyReLU):
                judge[k] = nn.ReLU()
    elif rule != "지침대로":
        raise ValueError(f"모르는 지침입니다: {rule!r}. {', '.join(RULES)} 가운데에서 고르세요.")
    return gan


RULES = (
    "지침대로",
    "배치 정규화를 빼면",
    "G의 출력과 D의 입력에도 배치 정규화",
    "보폭 대신 풀링과 확대",
    "D에도 ReLU",
)


def dcgan_ablation(seeds: Sequence[int]) -> dict:
    """7장: DCGAN의 지침을 하나씩 어기고 8×8 숫자를 배웁니다. 분류기 특징의 프레셰 거리(여러 시드).

    학습률과 단계 수는 지침대로인 모델로 검증용 287장에서 골랐고 모든 줄에 같습니다. 거리는 검증용에서 잽니다.
    """
    keys = [
        {
            "rule": rule,
            "seed": seed,
            "settings": ABLATION,
            "code": code_hash("gan/gan.py", "gan/dcgan.py", "classifier.py", "evaluation.py"),
        }
        for rule in RULES
        for seed in seeds
    ]
    records = run_each("dcgan_ablation", keys, _ablation_run)
    values: dict = {"settings": ABLATION, "final": {}}
    for record in records:
        row = values["final"].setdefault(record["key"]["rule"], {"frechet": [], "confidence": []})
        for name in row:
            row[name].append(round(record[name], 4))
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _ablation_run(key: dict) -> dict:
    from course_lib.classifier import classification_loss, digits_classifier, judge_samples
    from course_lib.datasets.digits import load_digits_images
    from course_lib.gan.dcgan import dcgan as build
    from course_lib.gan.gan import players
    from course_lib.gan.losses import non_saturating
    from course_lib.training import fit, fit_gan, minibatches

    (images, labels), (held_out, _) = (load_digits_images(s) for s in ("train", "validation"))
    torch.manual_seed(0)  # 심사하는 분류기는 모든 줄에 같습니다
    judge = digits_classifier()
    pairs = minibatches((images.flatten(1) / 16, labels), 100)
    for _ in fit(judge, classification_loss, pairs, steps=600, lr=3e-3):
        pass
    torch.manual_seed(key["seed"])
    gan = build(8, width=ABLATION["width"], latent_dim=ABLATION["latent_dim"])
    break_rule(gan, key["rule"])
    training = fit_gan(
        gan,
        *players(non_saturating),
        minibatches(images[:, None] / 8.0 - 1, ABLATION["batch"]),
        steps=ABLATION["steps"],
        lr=ABLATION["lr"],
        schedule="cosine",
        seed=key["seed"],
    )
    for _ in training:
        pass
    torch.manual_seed(10**6)
    samples = (gan.sample(ABLATION["samples"]).flatten(1) + 1) / 2
    return judge_samples(judge, samples, held_out.flatten(1) / 16)


class ScaledImages:
    """미니배치를 float으로 바꾸어 ``low``에서 1까지로 옮깁니다. 이어서 학습할 수 있습니다."""

    def __init__(self, images: torch.Tensor, batch: int, low: float):
        from course_lib.training import minibatches

        self.inner, self.low = minibatches(images, batch), low

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        return self.inner(generator).float() / 255 * (1 - self.low) + self.low

    def state_dict(self) -> dict:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.inner.load_state_dict(state)


def _in_bfloat16(loss):
    """손실을 bfloat16 autocast 안에서 계산합니다(가중치와 점수의 손실은 float32)."""

    def wrapped(gan, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return loss(gan, batch)

    return wrapped


def dcgan(name: str) -> dict:
    """MNIST DCGAN을 학습하고 체크포인트로 저장합니다. 카드를 돌려줍니다.

    논문의 Adam 2e-4, β₁ = 0.5, 배치 64, 20 에폭(논문은 배치 128). 합성곱은 bfloat16으로 계산합니다.
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.gan.dcgan import dcgan as build
    from course_lib.gan.gan import players
    from course_lib.gan.losses import non_saturating
    from course_lib.training import fit_gan, progress

    torch.manual_seed(0)
    gan = build(width=DCGAN["width"]).to(memory_format=torch.channels_last)
    images, _ = load_mnist("train")
    steps = DCGAN["epochs"] * (len(images) // DCGAN["batch"])
    d_loss, g_loss = map(_in_bfloat16, players(non_saturating))
    batches = ScaledImages(images[:, None], DCGAN["batch"], low=-1.0)
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    training = fit_gan(
        gan, d_loss, g_loss, batches, steps=steps, lr=DCGAN["lr"], state=state, save_every=1000
    )
    for _ in progress(training, steps, name):
        pass
    hours = (time.perf_counter() - start) / 3600
    return save_checkpoint(gan, name, mnist_card(name, hours), measure=measure_dcgan, half=True)


def measure_dcgan(gan) -> dict[str, float]:
    """표본 10 000장을 분류기로 심사하고, D의 특징 위의 선형 분류기의 시험 정확도를 잽니다."""
    from course_lib.datasets.mnist import load_mnist

    torch.manual_seed(0)
    samples = torch.cat([gan.sample(1000) for _ in range(10)])
    (train, labels), (test, truth) = load_mnist("train"), load_mnist("test")

    def features(x: torch.Tensor) -> torch.Tensor:
        scaled = (x[:, None].float() / 127.5 - 1).split(1000)
        return torch.cat([gan.discriminator.features(part) for part in scaled])

    from sklearn.linear_model import LogisticRegression

    few = slice(0, 1000)  # 레이블 1000개만 씁니다
    judge = LogisticRegression(C=0.01, max_iter=300).fit(features(train[few]), labels[few])
    pixels = LogisticRegression(C=0.01, max_iter=300).fit(train[few].flatten(1) / 255, labels[few])
    return judge_mnist((samples + 1) / 2) | {
        "accuracy_1000_labels_d_features": judge.score(features(test), truth),
        "accuracy_1000_labels_pixels": pixels.score(test.flatten(1) / 255, truth),
    }


@torch.no_grad()
def judge_mnist(samples: torch.Tensor) -> dict[str, float]:
    """화소 [0, 1]의 표본 (N, 1, 28, 28)을 체크포인트 분류기로 심사합니다. 진짜는 시험 이미지 전부입니다.

    ``judge_samples``의 점수표에 셋을 더합니다.

    frechet_real_halves   진짜 그림을 무작위로(시드 0) 반씩 나눈 거리. 바닥으로 읽을 수 있는 기준입니다
    frechet_real_writers  진짜 그림의 앞의 반과 뒤의 반 사이의 거리. 쓴 사람들이 달라서 바닥이 아닙니다
                          (C. Yadav, L. Bottou, Cold Case: The Lost MNIST Digits, 2019, arXiv 1905.10498)
    rarest_digit          가장 드문 숫자의 비율(고르면 0.1, 0.01보다 작으면 무너진 것으로 봅니다)
    """
    from course_lib.checkpoints import load_checkpoint
    from course_lib.classifier import judge_samples, mnist_classifier
    from course_lib.datasets.mnist import load_mnist
    from course_lib.evaluation import frechet

    judge = mnist_classifier().eval()
    load_checkpoint("mnist_classifier", judge)
    images, _ = load_mnist("test")
    real = images[:, None].float() / 255
    features = torch.cat([judge.features(part) for part in real.split(1000)])
    # 파일의 차례에는 쓴 사람이 들어 있으므로 섞은 뒤에 나눕니다
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    half = len(real) // 2
    read = torch.cat([judge(part).argmax(1) for part in samples.split(1000)])
    rarest = torch.bincount(read, minlength=10).min() / len(read)
    return judge_samples(judge, samples, real) | {
        "frechet_real_halves": frechet(features[order[:half]], features[order[half:]]),
        "frechet_real_writers": frechet(features[:half], features[half:]),
        "rarest_digit": float(rarest),
    }


def gan(name: str) -> dict:
    """논문의 MNIST GAN(MLP와 맥스아웃)을 학습하고 생성자를 저장합니다. 카드를 돌려줍니다.

    학습률과 모멘텀은 저자의 설정입니다(DecayingSGD). 50 000장, 50 에폭(논문은 검증 우도로 멈춥니다).
    """
    from course_lib.checkpoints import save_checkpoint
    from course_lib.datasets.mnist import load_mnist
    from course_lib.gan.gan import DecayingSGD, mnist_gan, players
    from course_lib.gan.losses import non_saturating
    from course_lib.training import fit_gan, progress

    images = load_mnist("train")[0].flatten(1)
    train = images[: MNIST_GAN["train"]]
    per_epoch = MNIST_GAN["train"] // MNIST_GAN["batch"]
    torch.manual_seed(0)
    model = mnist_gan(train.float().mean(0) / 255)
    optimizers = tuple(
        DecayingSGD(player.parameters(), ramp=250 * per_epoch)
        for player in (model.discriminator, model.generator)
    )
    steps = MNIST_GAN["epochs"] * per_epoch
    d_loss, g_loss = map(_in_bfloat16, players(non_saturating))
    batches = ScaledImages(train, MNIST_GAN["batch"], low=0.0)
    start, state = time.perf_counter(), UNFINISHED / f"{name}.safetensors"
    training = fit_gan(
        model, d_loss, g_loss, batches, steps=steps, optimizers=optimizers, state=state, save_every=1000
    )  # fmt: skip
    for _ in progress(training, steps, name):
        pass
    hours = (time.perf_counter() - start) / 3600

    def measure(generator) -> dict[str, float]:
        model.generator.load_state_dict(generator.state_dict())
        torch.manual_seed(0)
        samples = model.eval().sample(MNIST_GAN["samples"])
        return parzen_card(samples, images) | judge_mnist(samples.reshape(-1, 1, 28, 28))

    card = mnist_card(name, hours, "앞의 50 000장")
    return save_checkpoint(model.generator, name, card, measure=measure, half=True)


def parzen_card(samples: torch.Tensor, train: torch.Tensor) -> dict[str, float]:
    """논문의 절차: 학습 데이터의 마지막 1000장으로 σ를 고르고 시험 데이터의 평균과 표준오차를 잽니다."""
    from course_lib.datasets.mnist import load_mnist
    from course_lib.evaluation import parzen_log_prob, parzen_sigma

    validation = train[-MNIST_GAN["validation"] :].float() / 255
    sigma = parzen_sigma(samples, validation, torch.logspace(-1, 0, 10))
    test = load_mnist("test")[0].flatten(1).float() / 255
    scores = parzen_log_prob(samples, test, sigma)
    return {
        "parzen_test_nats": float(scores.mean()),
        "parzen_standard_error": float(scores.std()) / math.sqrt(len(scores)),
        "parzen_sigma": sigma,
    }


RESULT_FILES = {"gan_modes": (gan_modes, range(5)), "dcgan_ablation": (dcgan_ablation, range(3))}
CHECKPOINTS = {"dcgan": dcgan, "gan": gan}
