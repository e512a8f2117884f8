"""A2장의 결과 파일: 같은 예산의 모든 갈래(model_comparison)와 만든 데이터로 배운 분류기(generated_data)."""

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.recipes.results import code_hash, run_each

CODE = ["recipes/comparison.py", "classifier.py", "evaluation.py"]
LEVELS, DIM = 17, 64

# 모든 줄이 같은 CPU 초만큼 배웁니다(process_time). 매개변수의 수는 8만 개 안팎, 2차원은 3만 5천 개 안팎으로 맞춥니다.
BUDGET = {"digits": 7.0, "grid25": 5.0}
BATCH = {"digits": 64, "grid25": 256}
# 학습률은 앞 장들의 결과 파일에서 쓴 값이거나 검증용 287장에서 시드 0으로 고른 값입니다.
DIGITS = {
    "PixelCNN": {"lr": 1e-2, "shape": {"width": 30, "layers": 6, "first": 5, "kernel": 3}},
    "Row LSTM": {"lr": 8e-3, "shape": {"hidden": 32, "depth": 2, "head": 56}},
    "VAE": {"lr": 3e-3, "shape": {"latent_dim": 8, "hidden": [156, 156]}},
    "DCGAN": {"lr": 1e-3, "shape": {"width": 28, "latent_dim": 16}},
    "WGAN-GP": {"lr": 2e-3, "shape": {"width": 28, "latent_dim": 16}, "penalty": 10.0},
    "SNGAN": {"lr": 1e-3, "shape": {"width": 16, "latent_dim": 16}},
    "NICE": {"lr": 2e-3, "shape": {"couplings": 8, "hidden": [74, 74]}},
    "RealNVP": {"lr": 2e-3, "shape": {"couplings": 8, "hidden": [64, 64]}},
    "MAF": {"lr": 2e-3, "shape": {"layers": 5, "hidden": [64, 64]}},
    "IAF": {"lr": 2e-3, "shape": {"layers": 5, "hidden": [64, 64]}},
    "GMM": {"components": 10, "floor": 1e-3},
}
GRID = {
    "MADE MoG": {"lr": 5e-3, "shape": {"components": 10, "hidden": [158, 158]}},
    "VAE": {"lr": 3e-3, "shape": {"latent_dim": 2, "hidden": [128, 128]}},
    "GAN": {"lr": 5e-3, "shape": {"latent_dim": 4, "hidden": [128, 128]}, "r1": 0.05},
    "WGAN-GP": {"lr": 1e-2, "shape": {"latent_dim": 4, "hidden": [128, 128]}, "penalty": 0.1},
    "SNGAN": {"lr": 1e-2, "shape": {"latent_dim": 4, "hidden": [128, 128]}},
    "NICE": {"lr": 5e-3, "shape": {"couplings": 8, "hidden": [64, 64]}},
    "RealNVP": {"lr": 5e-3, "shape": {"couplings": 8, "hidden": [64, 64]}},
    "MAF": {"lr": 5e-3, "shape": {"layers": 5, "hidden": [80, 80]}},
    "IAF": {"lr": 5e-3, "shape": {"layers": 5, "hidden": [80, 80]}},
    "GMM": {"components": 25, "floor": 1e-6},
}
SETTINGS = {"digits": DIGITS, "grid25": GRID}
GANS = ("GAN", "DCGAN", "WGAN-GP", "SNGAN")
MEASURE = {
    "samples": 1000,
    "mode_samples": 2500,
    "radius_in_sd": 4,
    "test_points": 5000,
    "dequantisations": 4,
    "importance": 200,
    "kept": {"digits": 8, "grid25": 250},
    "alpha": 0.05,
    "dropout": 0.2,
}


def fingerprint() -> str:
    """이 파일과, 모델 밖에서 값을 정하는 파일의 지문. 커밋한 결과가 지금의 설정에서 나왔는지 시험이 봅니다."""
    package = Path(__file__).resolve().parents[1]
    text = "".join((package / file).read_text(encoding="utf-8") for file in CODE)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def build(data: str, name: str) -> nn.Module | None:
    """설정의 모양대로 새 모델을 만듭니다. GMM은 데이터에서 시작하므로 None입니다."""
    shape = dict(SETTINGS[data][name].get("shape", {}))
    if name == "GMM":
        return None
    if name in GANS:
        return _gan(data, name, shape)
    if name in ("PixelCNN", "Row LSTM"):
        from course_lib.autoregressive.pixel_cnn import PixelCNN
        from course_lib.autoregressive.pixel_rnn import RowLSTM

        kind = PixelCNN if name == "PixelCNN" else RowLSTM
        return kind((1, 8, 8), LEVELS, **shape)
    if name == "VAE":
        from course_lib.vae.vae import VAE, GaussianPixels

        return VAE(DIM if data == "digits" else 2, **shape, pixels=GaussianPixels())
    from course_lib.flows.iaf import IAF
    from course_lib.flows.maf import MAF, MADEMoG
    from course_lib.flows.nice import NICE
    from course_lib.flows.realnvp import RealNVP, checkerboard_mask
    from course_lib.units import LogitPreprocess

    kind = {"NICE": NICE, "RealNVP": RealNVP, "MAF": MAF, "IAF": IAF, "MADE MoG": MADEMoG}[name]
    if data == "digits":
        shape["preprocess"] = LogitPreprocess(MEASURE["alpha"])
        if "couplings" in shape:
            shape["first"] = checkerboard_mask(8, 8, 0)
        if name != "IAF":
            shape["dropout"] = MEASURE["dropout"]
    return kind(DIM if data == "digits" else 2, **shape)


def _gan(data: str, name: str, shape: dict) -> nn.Module:
    from course_lib.gan.dcgan import dcgan
    from course_lib.gan.gan import toy_gan
    from course_lib.gan.sngan import sngan, toy_sngan
    from course_lib.gan.wgan_gp import conv_wgan_gp

    if data == "digits":
        return {"DCGAN": dcgan, "WGAN-GP": conv_wgan_gp, "SNGAN": sngan}[name](8, **shape)
    return (toy_sngan if name == "SNGAN" else toy_gan)(**shape)


def training(
    data: str, name: str, model, source: Callable, steps: int, seed: int
) -> Iterator[dict]:
    """model을 steps단계 학습하는 제너레이터. source(generator)는 데이터의 배치입니다(digits는 정수 화소)."""
    from course_lib.training import fit, fit_gan

    settings = SETTINGS[data][name]
    batches = _prepared(data, name, source)
    if name in GANS:
        from course_lib.gan.gan import players
        from course_lib.gan.losses import hinge, non_saturating
        from course_lib.gan.wgan_gp import fit_wgan_gp

        how = {"steps": steps, "lr": settings["lr"], "schedule": "cosine", "seed": seed}
        if name == "WGAN-GP":
            penalty = settings["penalty"]
            return fit_wgan_gp(model, batches, n_critic=2, penalty=penalty, **how)
        if name == "SNGAN":
            return fit_gan(model, *players(hinge), batches, d_steps=2, betas=(0.0, 0.9), **how)
        betas = (0.0, 0.99) if name == "GAN" else (0.5, 0.999)
        return fit_gan(
            model, *players(non_saturating, settings.get("r1", 0.0)), batches, betas=betas, **how
        )
    how = {"steps": steps, "lr": settings["lr"], "seed": seed, "max_grad_norm": 5.0}
    if name in ("PixelCNN", "Row LSTM"):
        how["max_grad_norm"] = 50.0
    how["warmup"] = min(50, steps // 4)
    return fit(model, _loss, batches, **how)


def _loss(model, x: Tensor) -> Tensor:
    return -(model.elbo(x) if hasattr(model, "elbo") else model.log_prob(x)).mean()


def _prepared(data: str, name: str, source: Callable) -> Callable:
    """정수 화소의 배치를 모델의 입력으로: 화소 모델은 정수, GAN은 [−1, 1], 연속 밀도는 역양자화한 [0, 1)."""
    from course_lib.units import dequantise

    if data != "digits":
        return source
    if name in ("PixelCNN", "Row LSTM"):
        return lambda g: source(g)[:, None].float()
    if name in GANS:
        return lambda g: source(g)[:, None].float() / 8 - 1
    return lambda g: dequantise(source(g), LEVELS, g).flatten(1)


def steps_within(make: Callable[[], Iterator[dict]], seconds: float) -> int:
    """``seconds`` CPU초에 들어갈 단계의 수. make()가 낸 학습을 한 단계 흘려보내고 잠깐(0.4초까지) 재어 봅니다."""
    trial = make()
    next(trial)
    start, done = time.process_time(), 0
    for _ in trial:
        done += 1
        if time.process_time() - start > min(0.4, seconds / 5):
            break
    return max(4, int(seconds * done / max(time.process_time() - start, 1e-6)))


def trained(data: str, name: str, source: Callable, everything: Tensor, seed: int):
    """예산만큼 배운 (모델, 단계 수, CPU초). everything은 GMM이 쓰는 데이터 전체(연속값)입니다."""
    from course_lib.training import TrainingDiverged

    budget = BUDGET[data]
    torch.manual_seed(seed)
    if name == "GMM":
        return _fitted_gmm(data, everything, budget, seed)

    def rehearsal():
        return training(data, name, build(data, name), source, 100_000, seed)

    steps = steps_within(rehearsal, budget)
    torch.manual_seed(seed)
    model = build(data, name)
    start, done = time.process_time(), 0
    try:
        for metrics in training(data, name, model, source, steps, seed):
            done = metrics["step"]
    except TrainingDiverged:
        pass  # 마지막으로 유한했던 가중치를 잽니다. 마친 단계의 수가 남습니다
    return model.eval(), done, time.process_time() - start


def _fitted_gmm(data: str, x: Tensor, budget: float, seed: int):
    """EM을 예산 안에서 시작점을 바꾸어 되풀이하고, 학습 로그우도가 가장 큰 것을 고릅니다."""
    from course_lib.unsupervised.gmm import GMM, em

    settings = SETTINGS[data]["GMM"]
    generator = torch.Generator().manual_seed(seed)
    best, height, rounds = None, -float("inf"), 0
    start = time.process_time()
    while best is None or time.process_time() - start < budget:
        model = GMM.start(x, settings["components"], generator)
        for state in em(model, x, steps=60, floor=settings["floor"]):
            last = state["log_likelihood"]
            rounds += 1
            if time.process_time() - start > budget:
                break
        if last > height:
            best, height = model, last
    return best.eval(), rounds, time.process_time() - start


# ---------------------------------------------------------------------------- 재는 함수


def pixels(name: str, model, n: int, mean: bool = True) -> Tensor:
    """표본 n장을 강의의 표현, 곧 0–16의 정수 / 16 (n, 64)로. VAE는 mean이 참이면 디코더의 평균입니다."""
    with torch.no_grad():
        if name == "VAE":
            p = model.decode(model.prior().sample((n,)))
            x = p.mean if mean else p.sample()
        else:
            x = torch.cat([model.sample(min(100, n)) for _ in range(-(-n // 100))])[:n]
    x = x.flatten(1)
    if name in ("PixelCNN", "Row LSTM"):
        return x / 16
    if name in GANS:
        return ((x + 1) * 8).round().clamp(0, 16) / 16
    return (x * LEVELS).floor().clamp(0, 16) / 16


def milliseconds(action: Callable[[], object], n: int, least: float = 0.25) -> float:
    """action()이 n개를 만들 때 하나에 드는 CPU 밀리초. 한 번 해 본 뒤 least초 넘게 되풀이하여 평균합니다."""
    action()
    start, rounds = time.process_time(), 0
    while rounds < 2 or time.process_time() - start < least:
        action()
        rounds += 1
    return 1000 * (time.process_time() - start) / rounds / n


def sequential_passes(model, action: Callable[[], object]) -> int:
    """action() 동안 차례로 부른 신경망의 수. 신경망은 MLP, MaskedMLP, 화소 모델의 ``logits``, GAN의 생성자입니다.

    기울기를 켜 두면 자기회귀 플로우는 걸음마다 신경망 전체를 다시 부르므로(``maf.solve_in_order``) 기다리는 걸음의 수가
    그대로 세어집니다. 신경망이 없는 모델(GMM)은 1입니다.
    """
    from course_lib.autoregressive.made import MaskedMLP
    from course_lib.autoregressive.pixels import PixelModel
    from course_lib.gan.gan import GAN
    from course_lib.nn import MLP

    if isinstance(model, PixelModel):
        calls, original = [], model.logits
        model.logits = lambda *a: (calls.append(1), original(*a))[1]
        try:
            action()
        finally:
            del model.logits
        return len(calls)
    if isinstance(model, GAN):
        nets = [model.generator]
    else:
        nets = [m for m in model.modules() if isinstance(m, MLP | MaskedMLP)]
    calls = []
    hooks = [net.register_forward_hook(lambda *_: calls.append(1)) for net in nets]
    try:
        action()
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, len(calls))


def _sample_once(name: str, model) -> Callable[[], object]:
    """차례로 부르는 수를 셀 표본 추출: 캐시를 쓰지 않고, 플로우는 기울기를 켭니다."""
    if name in ("PixelCNN", "Row LSTM"):
        return lambda: model.sample(1, cached=False)
    if hasattr(model, "flow"):
        return lambda: model.flow(model.base.sample((1,)))
    return lambda: model.sample(1)


def _density(name: str, model) -> Callable[[Tensor], Tensor] | None:
    """log p 또는 그 하한을 주는 함수. GAN에는 없습니다."""
    if name in GANS:
        return None
    return model.elbo if name == "VAE" else model.log_prob


def costs(name: str, model, x: Tensor) -> dict:
    """시간(하나에 드는 CPU 밀리초)과 차례로 부르는 신경망의 수. x (100, …)는 밀도를 잴 데이터입니다."""
    density = _density(name, model)
    with torch.no_grad():
        result = {
            "ms_1": milliseconds(lambda: model.sample(1), 1),
            "ms_100": milliseconds(lambda: model.sample(100), 100),
            "density_ms_100": density and milliseconds(lambda: density(x), 100),
        }
    result["sample_passes"] = sequential_passes(model, _sample_once(name, model))
    if density is not None:
        result["density_passes"] = sequential_passes(model, lambda: density(x[:1]))
    return result | {"parameters": sum(p.numel() for p in model.parameters())}


def _nearest(a: Tensor, b: Tensor) -> float:
    """a의 점마다 b에서 가장 가까운 점까지의 거리의 중앙값."""
    return float(torch.cdist(a, b).amin(1).median())


def digits_data() -> dict:
    """학습용 1150장, 검증용 287장, 시험용 360장과 심사하는 분류기. 시험용은 마지막에 한 번만 잽니다."""
    from course_lib.classifier import classification_loss, digits_classifier
    from course_lib.datasets.digits import load_digits_images
    from course_lib.training import fit, minibatches

    data = {part: load_digits_images(part) for part in ("train", "validation", "test")}
    images, labels = load_digits_images("train+validation")
    torch.manual_seed(0)  # 심사하는 분류기는 모든 줄에 같습니다
    judge = digits_classifier()
    pairs = minibatches((images.flatten(1) / 16, labels), 100)
    for _ in fit(judge, classification_loss, pairs, steps=700, lr=3e-3):
        pass
    return data | {"judge": judge}


def picture_quality(fake: Tensor, data: dict) -> dict:
    """표본 (N, 64)의 점수. 진짜는 시험용이고, 이웃 재기는 진짜와 같은 수의 표본으로 합니다."""
    from course_lib.classifier import judge_samples
    from course_lib.evaluation import coverage, parzen_log_prob, parzen_sigma, sharpness

    real, train = (data[part][0].flatten(1) / 16 for part in ("test", "train"))
    validation = data["validation"][0].flatten(1) / 16
    judged = judge_samples(data["judge"], fake, real)
    sigma = parzen_sigma(fake, validation, torch.logspace(-1.3, 0, 12))
    return {
        "frechet": judged["frechet"],
        "confidence": judged["confidence"],
        "class_entropy": judged["class_entropy"],
        "sharpness": sharpness(fake.unflatten(1, (8, 8))),
        "coverage": coverage(real, fake[: len(real)]),
        "nearest": _nearest(fake[: len(real)], train) / _nearest(real, train),
        "parzen": float(parzen_log_prob(fake, real, sigma).mean()),
    }


@torch.no_grad()
def digits_bits(name: str, model, images: Tensor) -> float | None:
    """정수 화소의 bits/dim. 화소 모델은 정확한 값, 나머지는 역양자화 때문에(VAE는 ELBO 때문에도) 위쪽 한계입니다."""
    from course_lib.units import bits_per_dim, dequantise

    density = _density(name, model)
    if density is None:
        return None
    if name in ("PixelCNN", "Row LSTM"):
        return float(bits_per_dim(density(images[:, None].float()).mean(), DIM, 1))
    generator = torch.Generator().manual_seed(10**6)
    torch.manual_seed(10**6)
    values = [
        density(dequantise(images, LEVELS, generator).flatten(1)).mean()
        for _ in range(MEASURE["dequantisations"])
    ]
    return float(bits_per_dim(torch.stack(values).mean(), DIM, LEVELS))


def _digits_run(key: dict, data: dict | None = None) -> dict:
    from course_lib.training import minibatches
    from course_lib.units import bits_per_dim, dequantise

    name, seed = key["model"], key["seed"]
    data = data or _digits_once()
    images, test = data["train"][0], data["test"][0]
    if name == "데이터":
        few = picture_quality(images.flatten(1)[: MEASURE["samples"]] / 16, data)
        return few | {"steps": 0, "cpu_seconds": 0.0}
    source = minibatches(images, BATCH["digits"])
    noise = torch.Generator().manual_seed(seed)
    several = torch.cat([dequantise(images, LEVELS, noise).flatten(1) for _ in range(2)])
    model, steps, spent = trained("digits", name, source, several, seed)
    torch.manual_seed(10**6)
    fake = pixels(name, model, MEASURE["samples"])
    result = {"steps": steps, "cpu_seconds": spent, **picture_quality(fake, data)}
    x = _prepared("digits", name, lambda g: test[:100])(torch.Generator().manual_seed(0))
    result |= costs(name, model, x)
    result["bits"] = digits_bits(name, model, test)
    result["bits_train"] = digits_bits(name, model, images[: len(test)])
    if name == "VAE":
        noisy = pixels(name, model, MEASURE["samples"], mean=False)
        judged = picture_quality(noisy, data)
        result |= {f"noisy_{k}": judged[k] for k in ("frechet", "sharpness", "coverage")}
        deq = dequantise(test, LEVELS, torch.Generator().manual_seed(10**6)).flatten(1)
        with torch.no_grad():
            inner = model.importance_log_prob(deq, MEASURE["importance"]).mean()
        result["bits_importance"] = float(bits_per_dim(inner, DIM, LEVELS))
        result |= _features(model, data, seed)
    if seed == 0:
        kept = fake[: MEASURE["kept"]["digits"]] * 16
        result["kept"] = kept.round().int().tolist()
    return result


def _features(vae, data: dict, seed: int) -> dict:
    """q(z|x)의 평균, 배우지 않은 인코더, 화소를 특징으로 삼은 로지스틱 회귀의 정확도(클래스마다 레이블 5개)."""
    from course_lib.evaluation import few_label_accuracy

    (train, labels), (test, truth) = data["train"], data["test"]
    train, test = (train.flatten(1) + 0.5) / LEVELS, (test.flatten(1) + 0.5) / LEVELS
    torch.manual_seed(seed + 1)
    untrained = build("digits", "VAE").eval()
    with torch.no_grad():
        views = {
            "posterior": (vae.encode(train).mean, vae.encode(test).mean),
            "random": (untrained.encode(train).mean, untrained.encode(test).mean),
            "pixels": (train, test),
        }
    return {
        f"probe_{name}": few_label_accuracy(a, labels, b, truth, 5, draws=10, seed=seed)
        for name, (a, b) in views.items()
    }


def _grid_run(key: dict) -> dict:
    from course_lib.datasets.toy2d import Grid25
    from course_lib.evaluation import mode_coverage

    toy, name, seed = Grid25(), key["model"], key["seed"]
    everything = toy.sample(5000, torch.Generator().manual_seed(seed))
    model, steps, spent = trained(
        "grid25", name, lambda g: toy.sample(BATCH["grid25"], g), everything, seed
    )
    test = toy.sample(MEASURE["test_points"], torch.Generator().manual_seed(10**6))
    torch.manual_seed(10**6)
    points = model.sample(MEASURE["mode_samples"])
    found = mode_coverage(points, toy.modes, MEASURE["radius_in_sd"] * toy.sd)
    result = {"steps": steps, "cpu_seconds": spent, "modes": found.covered, "share": found.share}
    result |= costs(name, model, test[:100])
    with torch.no_grad():
        if name == "VAE":
            result["nll_bound"] = -float(model.elbo(test).mean())
            result["nll"] = -float(model.importance_log_prob(test, MEASURE["importance"]).mean())
        elif name not in GANS:
            result["nll"] = -float(model.log_prob(test).mean())
    if seed == 0:
        kept = points[: MEASURE["kept"]["grid25"]]
        result["kept"] = [[round(float(v), 2) for v in p] for p in kept]
    return result


_KEPT: dict = {}


def _digits_once() -> dict:
    """심사하는 분류기는 한 번만 배웁니다."""
    if not _KEPT:
        _KEPT.update(digits_data())
    return _KEPT


def model_comparison(seeds: Sequence[int]) -> dict:
    """A2장: 모든 갈래를 같은 CPU초, 비슷한 매개변수 수로 8×8 숫자와 25 격자에서 견줍니다(여러 시드).

    학습은 학습용 1150장, 설정과 파젠의 σ는 검증용 287장, 값은 시험용 360장에서 잽니다. "데이터" 줄은 학습용 그림을
    표본인 셈 치고 잰 기준선입니다.
    """
    code = code_hash(*CODE)
    keys = [
        {"data": data, "model": name, "seed": seed, "budget": BUDGET[data], "code": code}
        for seed in seeds
        for data, models in SETTINGS.items()
        for name in models
    ]
    keys.append({"data": "digits", "model": "데이터", "seed": 1, "budget": 0, "code": code})
    records = run_each("model_comparison", keys, _comparison_run)
    final: dict = {}
    kept: dict = {}
    for record in records:
        data, name = record["key"]["data"], record["key"]["model"]
        row = final.setdefault(data, {}).setdefault(name, {})
        for field, value in record.items():
            if field == "kept":
                kept.setdefault(data, {})[name] = value
            elif field not in ("key", "seconds"):
                value = round(value, 5) if isinstance(value, float) else value
                row.setdefault(field, []).append(value)
    return {
        "budget": BUDGET,
        "batch": BATCH,
        "settings": SETTINGS,
        "measure": MEASURE,
        "fingerprint": fingerprint(),
        "final": final,
        "kept": kept,
        "seconds": sum(record["seconds"] for record in records),
    }


def _comparison_run(key: dict) -> dict:
    return (_digits_run if key["data"] == "digits" else _grid_run)(key)


# ---------------------------------------------------------------------------- 만든 데이터로 배우기

GENERATED = {
    "real": [50, 100, 500],
    "made": 1000,
    "budget": 4.0,
    "GAN": {"lr": 2e-3, "latent_dim": 16, "hidden": [128, 128]},
    "PixelCNN": {"lr": 5e-3, "width": 16, "layers": 4, "first": 5, "kernel": 3, "dropout": 0.2},
    "RealNVP": {"lr": 2e-3, "couplings": 4, "hidden": [32, 32], "dropout": 0.2},
    "Gaussian": {"shrink": 0.3},
    "classifier": {"steps": 300, "lr": 3e-3, "batch": 100},
}
MAKERS = ("조건부 GAN", "조건부 PixelCNN", "클래스마다 RealNVP", "클래스마다 정규분포")


def made_by(maker: str, x: Tensor, y: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """진짜 (x, y)만 보고 배운 조건부 모델의 그림 n장(0–16의 정수, uint8)과 레이블. 클래스의 수는 고릅니다."""
    labels = torch.arange(n) % 10
    torch.manual_seed(seed)
    run = {
        "조건부 GAN": _from_gan,
        "조건부 PixelCNN": _from_pixelcnn,
        "클래스마다 RealNVP": _from_flows,
        "클래스마다 정규분포": _from_gaussians,
    }
    if maker not in run:
        raise ValueError(f"maker는 {', '.join(MAKERS)} 가운데 하나여야 합니다: {maker!r}.")
    made = run[maker](x, y, labels, seed)
    return made.round().clamp(0, 16).to(torch.uint8), labels


def _within(make: Callable[[int], tuple], seconds: float, steps: int | None = None):
    """make(단계 수) → (모델, 학습). 예산만큼(steps를 주면 그만큼) 배운 모델을 돌려줍니다."""
    model, run = make(steps or steps_within(lambda: make(100_000)[1], seconds))
    for _ in run:
        pass
    return model.eval()


def _from_gan(x: Tensor, y: Tensor, labels: Tensor, seed: int) -> Tensor:
    """투영 판별자를 쓰는 조건부 SNGAN(MLP)."""
    from course_lib.gan.gan import players
    from course_lib.gan.losses import hinge
    from course_lib.gan.sngan import toy_sngan
    from course_lib.training import fit_gan, minibatches

    how = dict(GENERATED["GAN"])
    lr, batches = how.pop("lr"), minibatches((x.flatten(1) / 8 - 1, y), 50)

    def make(steps):
        model = toy_sngan(dim=DIM, classes=10, **how)
        betas = (0.0, 0.9)
        run = fit_gan(
            model, *players(hinge), batches, steps=steps, lr=lr, betas=betas, d_steps=2,
            schedule="cosine", seed=seed,
        )  # fmt: skip
        return model, run

    model = _within(make, GENERATED["budget"])
    return (model.sample(len(labels), labels).unflatten(1, (8, 8)) + 1) * 8


def _from_pixelcnn(x: Tensor, y: Tensor, labels: Tensor, seed: int) -> Tensor:
    from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN
    from course_lib.training import fit, minibatches

    how = dict(GENERATED["PixelCNN"])
    lr, batches = how.pop("lr"), minibatches((x[:, None].float(), y), 50)

    def make(steps):
        model = GatedPixelCNN((1, 8, 8), LEVELS, classes=10, **how)
        loss = lambda m, pair: -m.log_prob(*pair).mean()  # noqa: E731
        return model, fit(model, loss, batches, steps=steps, lr=lr, max_grad_norm=50.0, seed=seed)

    return _within(make, GENERATED["budget"]).sample(len(labels), labels)[:, 0]


def _from_flows(x: Tensor, y: Tensor, labels: Tensor, seed: int) -> Tensor:
    from course_lib.flows.realnvp import RealNVP, checkerboard_mask
    from course_lib.training import fit, minibatches
    from course_lib.units import LogitPreprocess, dequantise

    how = dict(GENERATED["RealNVP"])
    lr = how.pop("lr")
    made, steps = torch.empty(len(labels), 8, 8), None
    for c in range(10):
        images = minibatches(x[y == c], 50)

        def batches(g, images=images):
            return dequantise(images(g), LEVELS, g).flatten(1)

        def make(steps, batches=batches):
            model = RealNVP(
                DIM, first=checkerboard_mask(8, 8, 0), preprocess=LogitPreprocess(0.05), **how
            )
            return model, fit(
                model, _loss, batches, steps=steps, lr=lr, max_grad_norm=5.0, seed=seed
            )

        if steps is None:  # 열 모델의 단계 수는 같습니다
            steps = steps_within(lambda make=make: make(100_000)[1], GENERATED["budget"] / 10)
        model = _within(make, GENERATED["budget"] / 10, steps)
        count = int((labels == c).sum())
        made[labels == c] = (model.sample(count) * LEVELS).floor().unflatten(1, (8, 8))
    return made


def _from_gaussians(x: Tensor, y: Tensor, labels: Tensor, seed: int) -> Tensor:
    """N(m_c, Σ_c): Σ_c는 클래스 안의 공분산과 모든 클래스가 함께 쓰는 공분산의 중간입니다."""
    generator = torch.Generator().manual_seed(seed)
    flat = x.flatten(1).float()
    means = torch.stack([flat[y == c].mean(0) for c in range(10)])
    inside = flat - means[y]
    shared = inside.T @ inside / len(flat) + 0.05 * torch.eye(DIM)
    made = torch.empty(len(labels), DIM)
    for c in range(10):
        own, keep = torch.cov(flat[y == c].T), GENERATED["Gaussian"]["shrink"]
        root = torch.linalg.cholesky(keep * own + (1 - keep) * shared)
        eps = torch.randn(int((labels == c).sum()), DIM, generator=generator)
        made[labels == c] = means[c] + eps @ root.T
    return made.unflatten(1, (8, 8))


def shifted(x: Tensor, y: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """진짜 그림을 상하좌우로 한 화소까지 민 그림 n장. 생성 모델을 쓰지 않는 옛 방법(증강)입니다."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(n) % len(x)
    wide = nn.functional.pad(x[rows], (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, n), generator=generator)
    i = (down[:, None] + torch.arange(8))[:, :, None]
    j = (right[:, None] + torch.arange(8))[:, None, :]
    return wide[torch.arange(n)[:, None, None], i, j], y[rows]


def classifier_accuracy(x: Tensor, y: Tensor, test: tuple[Tensor, Tensor], seed: int) -> float:
    """(x, y)만으로 같은 단계 수를 배운 분류기의 시험 정확도."""
    from course_lib.classifier import accuracy, classification_loss, digits_classifier
    from course_lib.training import fit, minibatches

    how = GENERATED["classifier"]
    torch.manual_seed(seed)
    model = digits_classifier()
    batches = minibatches((x.flatten(1) / 16, y), how["batch"])
    for _ in fit(model, classification_loss, batches, steps=how["steps"], lr=how["lr"], seed=seed):
        pass
    return accuracy(model, test[0].flatten(1) / 16, test[1])


def mixed(real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], seed: int):
    """진짜와 만든 것이 반반이 되게, 진짜를 되풀이하여 같은 수로 맞춘 (x, y)."""
    rows = torch.arange(len(fake[0])) % len(real[0])
    return torch.cat([real[0][rows], fake[0]]), torch.cat([real[1][rows], fake[1]])


def _generated_run(key: dict) -> dict:
    from course_lib.datasets.digits import load_digits_images

    (images, labels), test = load_digits_images("train"), load_digits_images(key["judged_on"])
    seed, n, source = key["seed"], key["real"], key["source"]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1000 + seed))
    rows = torch.cat([order[labels[order] == c][: n // 10] for c in range(10)])
    real = images[rows], labels[rows]
    if source == "진짜만":
        return {"with_real": classifier_accuracy(*real, test, seed)}
    if source == "밀어서 늘린 진짜":
        fake = shifted(*real, GENERATED["made"], seed)
        return {"with_real": classifier_accuracy(*mixed(real, fake, seed), test, seed)}
    fake = made_by(source, *real, GENERATED["made"], seed)
    result = {
        "with_real": classifier_accuracy(*mixed(real, fake, seed), test, seed),
        "alone": classifier_accuracy(*fake, test, seed),
    }
    if seed == 0:
        result["kept"] = fake[0][:10].flatten(1).int().tolist()
    return result


def generated_data(seeds: Sequence[int]) -> dict:
    """A2장: 진짜 n장으로 배운 조건부 모델의 그림을 더하면 분류기가 나아지는지 잽니다(여러 시드).

    생성 모델도 분류기도 같은 n장만 봅니다(학습용 1150장에서 클래스마다 n/10장). 값은 시험용 360장의 정확도입니다.
    with_real은 진짜와 섞어 배운 것, alone은 만든 것만으로 배운 것입니다.
    """
    keys = [
        {
            "real": n,
            "source": source,
            "seed": seed,
            "judged_on": "test",
            "settings": GENERATED,
            "code": code_hash(*CODE),
        }
        for seed in seeds
        for n in GENERATED["real"]
        for source in ("진짜만", "밀어서 늘린 진짜", *MAKERS)
    ]
    records = run_each("generated_data", keys, _generated_run)
    values: dict = {"settings": GENERATED, "fingerprint": fingerprint(), "accuracy": {}, "kept": {}}
    for record in records:
        key = record["key"]
        row = values["accuracy"].setdefault(str(key["real"]), {}).setdefault(key["source"], {})
        for field in ("with_real", "alone"):
            if field in record:
                row.setdefault(field, []).append(round(record[field], 4))
        if "kept" in record:
            values["kept"].setdefault(str(key["real"]), {})[key["source"]] = record["kept"]
    values["spread"] = {
        n: {source: statistics.stdev(row["with_real"]) if len(row["with_real"]) > 1 else 0.0
            for source, row in rows.items()}
        for n, rows in values["accuracy"].items()
    }  # fmt: skip
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


RESULT_FILES = {
    "model_comparison": (model_comparison, range(3)),
    "generated_data": (generated_data, range(5)),
}
