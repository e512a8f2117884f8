"""12–15장의 결과 파일과 체크포인트."""

import math
import statistics
import time
from collections.abc import Sequence

import torch

from course_lib.recipes.results import code_hash, run_each

CODE = ["flows/nice.py", "flows/realnvp.py", "datasets/toy2d.py", "datasets/digits.py"]
STABILITY = {
    "couplings": 8,
    "hidden": [64, 64],
    "steps": {"2d": 2000, "digits": 2500},
    "lr": {"2d": 5e-3, "digits": 2e-3},
    "batch": 256,
    "warmup": 100,
    "max_grad_norm": 5.0,
    "test_points": {"moons": 20_000, "banana": 200_000, "checkerboard": 20_000},
    "digits": {"dropout": 0.2, "alpha": 0.05, "dequantisations": 4},
}


def flow_stability(seeds: Sequence[int]) -> dict:
    """13장: NICE와 RealNVP를 같은 조건에서 여러 시드로 학습합니다. 2D 분포 셋과 8×8 숫자.

    층 수, 은닉층, 단계, 학습률이 같습니다. 숫자의 설정은 검증용 287장으로, 2D의 설정은 moons의 시드 0–3에서
    골랐습니다(그 네 시드는 새로운 시드가 아닙니다).
    값은 마지막 단계의 시험 NLL(2D는 nats, 숫자는 bits/dim)입니다. 가장 좋은 순간을 고르지 않습니다.
    """

    keys = [
        {
            "data": data,
            "model": model,
            "seed": seed,
            "settings": STABILITY,
            "code": code_hash(*CODE),
        }
        for data in ("moons", "banana", "checkerboard", "digits")
        for model in ("NICE", "RealNVP")
        for seed in seeds
    ]
    records = run_each("flow_stability", keys, _stability_run)
    return {"settings": STABILITY} | by_data_and_model(records)


def by_data_and_model(records: Sequence[dict]) -> dict:
    """실험들을 {"final": {데이터: {모델: 요약}}, "seconds"}로 모읍니다. 시드마다의 값, 중앙값, 발산한 수를 남깁니다."""
    from course_lib.datasets import TOY2D

    final: dict = {}
    for record in records:
        key = record["key"]
        row = final.setdefault(key["data"], {}).setdefault(key["model"], {"per_seed": []})
        row["per_seed"].append(record["nll"])
        row["parameters"] = record["parameters"]
        row.setdefault("cpu_seconds", []).append(record["cpu_seconds"])
    for data, rows in final.items():
        for row in rows.values():
            finite = [v for v in row["per_seed"] if v is not None]
            row["unit"] = "bits/dim" if data == "digits" else "nats"
            row["diverged"] = len(row["per_seed"]) - len(finite)
            row["median"] = statistics.median(finite) if finite else None
            row["cpu_seconds"] = statistics.median(row["cpu_seconds"])
            row["worst_minus_median"] = max(finite) - row["median"] if finite else None
            if data in TOY2D:
                row["entropy"] = TOY2D[data].entropy
    return {"final": final, "seconds": sum(record["seconds"] for record in records)}


def trained(model, batches, test_nll, *, seed: int, **how) -> dict:
    """−log p의 평균을 줄이고 {"parameters", "cpu_seconds", "nll"}을 돌려줍니다. 발산하면 nll은 None입니다."""
    from course_lib.training import TrainingDiverged, fit

    training = fit(model, lambda model, x: -model.log_prob(x).mean(), batches, seed=seed, **how)
    result = {"parameters": sum(p.numel() for p in model.parameters())}
    start = time.process_time()
    try:
        for _ in training:
            pass
    except TrainingDiverged as error:
        result["diverged_at"] = error.step
    result["cpu_seconds"] = time.process_time() - start
    with torch.no_grad():
        nll = float(test_nll())
    finished = "diverged_at" not in result and math.isfinite(nll)
    return result | {"nll": nll if finished else None}


def _stability_run(key: dict) -> dict:
    from course_lib.datasets import TOY2D
    from course_lib.flows.iaf import IAF
    from course_lib.flows.maf import MAF, MADEMoG
    from course_lib.flows.nice import NICE
    from course_lib.flows.realnvp import RealNVP

    models = {"NICE": NICE, "RealNVP": RealNVP, "MAF": MAF, "IAF": IAF, "MADE MoG": MADEMoG}
    build = models[key["model"].partition("(")[0]]
    shape = key.get("shape", {name: STABILITY[name] for name in ("couplings", "hidden")})
    kind = "digits" if key["data"] == "digits" else "2d"
    torch.manual_seed(key["seed"])
    if key["data"] == "digits":
        model, batches, test_nll = _digits_flow(build, shape)
    else:
        model, toy = build(2, **shape), TOY2D[key["data"]]
        generator = torch.Generator().manual_seed(10**6)  # 시험 표본은 모든 시드에 같습니다
        test = toy.sample(STABILITY["test_points"][key["data"]], generator)

        def batches(generator):
            return toy.sample(STABILITY["batch"], generator)

        def test_nll():
            return -model.log_prob(test).mean()

    how = {"steps": STABILITY["steps"][kind], "lr": STABILITY["lr"][kind]}
    how |= {name: STABILITY[name] for name in ("warmup", "max_grad_norm")}
    return trained(model, batches, test_nll, seed=key["seed"], **how)


def _digits_flow(build, shape) -> tuple:
    """8×8 숫자용 (모델, batches, 시험 bits/dim을 재는 함수). 역양자화와 logit을 거칩니다."""
    from course_lib.base import Compose
    from course_lib.datasets.digits import LEVELS, load_digits_images
    from course_lib.flows.nice import regroup
    from course_lib.flows.realnvp import checkerboard_mask
    from course_lib.training import minibatches
    from course_lib.units import LogitPreprocess, bits_per_dim, dequantise

    settings = STABILITY["digits"]
    options = {"dropout": settings["dropout"], "preprocess": LogitPreprocess(settings["alpha"])}
    first, shape = checkerboard_mask(8, 8, 0), dict(shape)
    if "couplings" in shape:  # 결합층은 좌표를 두 묶음으로 나누므로 어느 화소가 앞인지 정합니다
        options["first"] = first
    if shape.pop("order", None) == "checkerboard":
        options["preprocess"] = Compose(*regroup(64, first), options["preprocess"])
    model = build(64, **options | shape)
    images = minibatches(load_digits_images("train+validation")[0], STABILITY["batch"])
    held_out = load_digits_images("test")[0]

    def batches(generator):
        return dequantise(images(generator), LEVELS, generator).flatten(1)

    def test_bits():
        generator = torch.Generator().manual_seed(10**6)
        log_probs = [
            model.log_prob(dequantise(held_out, LEVELS, generator).flatten(1))
            for _ in range(settings["dequantisations"])
        ]
        return bits_per_dim(torch.stack(log_probs).mean(), 64, LEVELS)

    return model, batches, test_bits


# 매개변수의 수를 flow_stability의 RealNVP(2차원 35 312개, 64차원 83 712개)와 맞춥니다. 마지막 줄만 따로 고른 것입니다.
# 화소의 순서: 따로 적지 않으면 왼쪽 위부터 줄을 따라(논문), checkerboard는 RealNVP의 마스크처럼 앞 칸을 모두 지난 뒤 뒤 칸
ORDERED = {
    "MAF": {"2d": {"layers": 5, "hidden": [80, 80]}, "digits": {"layers": 5, "hidden": [64, 64]}},
    "MADE MoG": {
        "2d": {"components": 10, "hidden": [158, 158]},
        "digits": {"components": 5, "hidden": [76, 76]},
    },
    "IAF": {"2d": {"layers": 5, "hidden": [80, 80]}},
    "MAF(체커보드 순서)": {"digits": {"layers": 5, "hidden": [64, 64], "order": "checkerboard"}},
    "MAF(체커보드 순서, 은닉 128)": {
        "digits": {"layers": 5, "hidden": [128, 128], "order": "checkerboard", "dropout": 0.3}
    },
}
MANY = {
    ("MAF", "2d"),
    ("MAF(체커보드 순서, 은닉 128)", "digits"),
}  # 시드를 모두 쓰는 것. 나머지는 앞의 열 개


def autoregressive_flows(seeds: Sequence[int]) -> dict:
    """14장: MAF, MADE MoG, IAF를 ``flow_stability``와 같은 단계, 학습률, 배치, 매개변수 수로 학습합니다.

    설정은 모두 ``flow_stability``의 것입니다(숫자의 dropout도 같습니다). 마지막 줄 하나만 은닉층과 dropout과 화소의
    순서를 학습용 1150장과 검증용 287장에서 시드 0으로 골랐습니다. IAF를 최대우도로 학습하려면 단계마다 층마다 D번
    계산해야 하므로 2차원에서만 합니다.
    """

    code = code_hash("flows/maf.py", "flows/iaf.py", "autoregressive/made.py", *CODE[2:])
    keys = [
        {
            "data": data,
            "model": model,
            "seed": seed,
            "settings": STABILITY,
            "shape": shapes[kind],
            "code": code,
        }
        for place, seed in enumerate(seeds)
        for model, shapes in ORDERED.items()
        for data in ("moons", "banana", "checkerboard", "digits")
        for kind in ["digits" if data == "digits" else "2d"]
        if kind in shapes and (place < 10 or (model, kind) in MANY)
    ]
    records = run_each("autoregressive_flows", keys, _stability_run)
    return {"settings": STABILITY, "shapes": ORDERED} | by_data_and_model(records)


POSTERIOR = {
    "latent_dims": [2, 4],
    "hidden": [128],
    "steps": {"대각": 0, "IAF": 2},
    "ar_hidden": 64,
    "context": 16,
    "updates": 1200,
    "batch": 128,
    "lr": 3e-3,
    "samples": 200,
}


def iaf_posterior(seeds: Sequence[int]) -> dict:
    """14장: 같은 VAE에 대각 가우시안 사후분포와 IAF 사후분포를 달아 8×8 이진 숫자에서 견줍니다.

    두 모델은 시드와 설정이 같고 IAF 쪽에만 걸음과 조건 h가 있습니다. 값은 시험 360장의 하한(추정량 A, 표본 200개)이며
    설정은 검증용 287장의 시드 0, 1에서 한 번 정했습니다.
    """
    code = code_hash("vae/iaf_posterior.py", "vae/vae.py", "autoregressive/made.py")
    keys = [
        {"latent_dim": k, "posterior": name, "seed": seed, "settings": POSTERIOR, "code": code}
        for seed in seeds
        for k in POSTERIOR["latent_dims"]
        for name in POSTERIOR["steps"]
    ]
    records = run_each("iaf_posterior", keys, _posterior_run)
    values: dict = {"settings": POSTERIOR, "elbo": {}, "parameters": {}}
    for record in records:
        key = record["key"]
        rows = values["elbo"].setdefault(str(key["latent_dim"]), {})
        rows.setdefault(key["posterior"], []).append(round(record["elbo"], 4))
        values["parameters"][f"{key['latent_dim']} {key['posterior']}"] = record["parameters"]
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _posterior_run(key: dict) -> dict:
    from course_lib.datasets.digits import load_digits_images
    from course_lib.training import fit, minibatches
    from course_lib.vae.iaf_posterior import IAFVAE

    train, test = (
        (load_digits_images(part)[0].flatten(1) > 7).float()
        for part in ("train+validation", "test")
    )
    torch.manual_seed(key["seed"])
    vae = IAFVAE(
        64,
        key["latent_dim"],
        POSTERIOR["hidden"],
        steps=POSTERIOR["steps"][key["posterior"]],
        ar_hidden=POSTERIOR["ar_hidden"],
        context=POSTERIOR["context"],
    )
    batches = minibatches(train, POSTERIOR["batch"])
    settings = {"steps": POSTERIOR["updates"], "lr": POSTERIOR["lr"], "warmup": 50}
    for _ in fit(vae, lambda m, x: -m.elbo(x).mean(), batches, seed=key["seed"], **settings):
        pass
    torch.manual_seed(10**6)
    with torch.no_grad():
        elbo = float(vae.elbo(test, POSTERIOR["samples"]).mean())
    return {"elbo": elbo, "parameters": sum(p.numel() for p in vae.parameters())}


BANANA = {
    "layers": [2, 6, 10],
    "steps": 8000,
    "lr": 2e-3,
    "batch": 256,
    "max_grad_norm": 5.0,
    "test_points": 200_000,
    # 매개변수의 수가 6층 플로우(59개)와 같은 것과, 층의 수가 같은 것. 3000단계, 학습률 5e-3
    "realnvp": {
        "RealNVP(매개변수 60개)": {"couplings": 4, "hidden": [3]},
        "RealNVP(결합층 6개)": {"couplings": 6, "hidden": [32, 32]},
    },
    "realnvp_steps": 3000,
    "realnvp_lr": 5e-3,
}


def banana_layers(seeds: Sequence[int]) -> dict:
    """12장: 아핀과 PReLU를 번갈아 쌓은 플로우를 바나나에서 학습합니다. 층 수마다, 시드마다.

    값은 마지막 단계의 시험 NLL − 엔트로피(nats)입니다. 발산하면 None입니다. 학습률과 시작점은 시드 0–3에서 골랐습니다.
    """
    code = code_hash("flows/affine.py", "flows/elementwise.py", "flows/realnvp.py")
    names = [f"{n}층" for n in BANANA["layers"]] + list(BANANA["realnvp"])
    keys = [
        {"model": name, "seed": seed, "settings": BANANA, "code": code}
        for name in names
        for seed in seeds
    ]
    records = run_each("banana_layers", keys, _banana_run)
    values: dict = {"settings": BANANA, "gap": {name: [] for name in names}, "parameters": {}}
    for record in records:
        name = record["key"]["model"]
        values["gap"][name].append(record["gap"])
        values["parameters"][name] = record["parameters"]
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _banana_run(key: dict) -> dict:
    from course_lib.datasets import TOY2D
    from course_lib.flows.affine import AffinePReLU
    from course_lib.flows.realnvp import RealNVP
    from course_lib.training import TrainingDiverged, fit

    banana, seed = TOY2D["banana"], key["seed"]
    torch.manual_seed(seed)
    coupling = key["model"] in BANANA["realnvp"]
    if coupling:
        model = RealNVP(2, **BANANA["realnvp"][key["model"]])
    else:
        start = banana.sample(2000, torch.Generator().manual_seed(seed + 10**6))
        model = AffinePReLU(2, int(key["model"][:-1])).start_from(start)
    training = fit(
        model,
        lambda model, x: -model.log_prob(x).mean(),
        lambda generator: banana.sample(BANANA["batch"], generator),
        steps=BANANA["realnvp_steps" if coupling else "steps"],
        lr=BANANA["realnvp_lr" if coupling else "lr"],
        warmup=100,
        max_grad_norm=BANANA["max_grad_norm"],
        seed=seed,
    )
    result = {"parameters": sum(p.numel() for p in model.parameters()), "gap": None}
    try:
        for _ in training:
            pass
    except TrainingDiverged:
        return result
    test = banana.sample(BANANA["test_points"], torch.Generator().manual_seed(10**6))
    with torch.no_grad():
        gap = float(-model.log_prob(test).mean()) - banana.entropy
    return result | {"gap": gap if math.isfinite(gap) else None}


RESULT_FILES = {
    "flow_stability": (flow_stability, range(20)),
    "autoregressive_flows": (autoregressive_flows, range(20)),
    "iaf_posterior": (iaf_posterior, range(10)),
    "banana_layers": (banana_layers, range(8)),
}
