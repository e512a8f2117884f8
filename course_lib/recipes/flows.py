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
    from course_lib.datasets import TOY2D

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
    values: dict = {"settings": STABILITY, "final": {}}
    for record in records:
        key = record["key"]
        row = values["final"].setdefault(key["data"], {}).setdefault(key["model"], {"per_seed": []})
        row["per_seed"].append(record["nll"])
        row["parameters"] = record["parameters"]
        row.setdefault("cpu_seconds", []).append(record["cpu_seconds"])
    for data, rows in values["final"].items():
        for row in rows.values():
            finite = [v for v in row["per_seed"] if v is not None]
            row["unit"] = "bits/dim" if data == "digits" else "nats"
            row["diverged"] = len(row["per_seed"]) - len(finite)
            row["median"] = statistics.median(finite) if finite else None
            row["cpu_seconds"] = statistics.median(row["cpu_seconds"])
            row["worst_minus_median"] = max(finite) - row["median"] if finite else None
            if data in TOY2D:
                row["entropy"] = TOY2D[data].entropy
    values["seconds"] = sum(record["seconds"] for record in records)
    return values


def _stability_run(key: dict) -> dict:
    from course_lib.datasets import TOY2D
    from course_lib.flows.nice import NICE
    from course_lib.flows.realnvp import RealNVP
    from course_lib.training import TrainingDiverged, fit

    build = {"NICE": NICE, "RealNVP": RealNVP}[key["model"]]
    shape = {name: STABILITY[name] for name in ("couplings", "hidden")}
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

    training = fit(
        model,
        lambda model, x: -model.log_prob(x).mean(),
        batches,
        steps=STABILITY["steps"][kind],
        lr=STABILITY["lr"][kind],
        warmup=STABILITY["warmup"],
        max_grad_norm=STABILITY["max_grad_norm"],
        seed=key["seed"],
    )
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


def _digits_flow(build, shape) -> tuple:
    """8×8 숫자용 (모델, batches, 시험 bits/dim을 재는 함수). 역양자화와 logit을 거칩니다."""
    from course_lib.datasets.digits import LEVELS, load_digits_images
    from course_lib.flows.realnvp import checkerboard_mask
    from course_lib.training import minibatches
    from course_lib.units import LogitPreprocess, bits_per_dim, dequantise

    settings = STABILITY["digits"]
    model = build(
        64,
        **shape,
        dropout=settings["dropout"],
        first=checkerboard_mask(8, 8, 0),
        preprocess=LogitPreprocess(settings["alpha"]),
    )
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
    "banana_layers": (banana_layers, range(8)),
}
