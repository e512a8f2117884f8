"""15장의 결과 파일."""

from collections.abc import Sequence

import torch

from course_lib.recipes.flows import STABILITY, by_data_and_model, trained
from course_lib.recipes.results import code_hash, run_each

CODE = ["flows/gaussianization.py", "flows/mintnet.py", "datasets/toy2d.py", "datasets/digits.py"]
SETTINGS = {
    # 2D: 단계, 배치, warmup, 기울기 자르기, 시험점은 flow_stability와 같고 학습률만 두 배입니다
    "stability": STABILITY,
    "lr": 1e-2,
    "Gaussianization": {"layers": 8, "anchors": 50},
    "start_points": 2000,
    # 매개변수의 수를 RealNVP(35352개)와 비슷하게 맞춘 D채널 1화소 MintNet
    "MintNet": {"layers": 3, "latent": 36},
    # 8×8 숫자는 훨씬 적은 단계로(단계 하나가 RealNVP의 몇 배 걸립니다)
    "digits": {
        "MintNet": {"layers": 4, "latent": 12, "squeeze_after": [2]},
        "Gaussianization": {"layers": 5, "anchors": 50},
        "lr": {"MintNet": 5e-3, "Gaussianization": 1e-2},
        "alpha": 0.05, "steps": 300, "batch": 128, "warmup": 30, "max_grad_norm": 50.0,
    },
}  # fmt: skip


def flow_stability_15(seeds: Sequence[int]) -> dict:
    """15장: 가우스화 플로우와 MintNet을 flow_stability와 같은 단계와 배치로 학습합니다.

    값은 마지막 단계의 시험 NLL(2D는 nats, 숫자는 bits/dim)입니다. 가장 좋은 순간을 고르지 않습니다.
    2D의 학습률과 층 수는 moons의 시드 0과 체커보드의 400단계 시험에서 골랐습니다(시드 0은 새로운 시드가 아닙니다).
    숫자의 설정은 학습용 1150장과 검증용 287장으로 한 번씩 시험했습니다.
    """
    pairs = [(d, m) for d in ("moons", "banana", "checkerboard", "digits") for m in BUILD]
    keys = [
        {"data": d, "model": m, "seed": s, "settings": SETTINGS, "code": code_hash(*CODE)}
        for d, m in pairs
        for s in seeds
    ]
    records = run_each("flow_stability_15", keys, _run)
    return {"settings": SETTINGS} | by_data_and_model(records)


def _gaussianization(toy, seed: int):
    from course_lib.flows.gaussianization import GaussianizationFlow

    start = toy.sample(SETTINGS["start_points"], torch.Generator().manual_seed(seed + 10**7))
    return GaussianizationFlow(2, **SETTINGS["Gaussianization"]).start_from(start)


def _mintnet(toy, seed: int):
    from course_lib.flows.mintnet import MintNet

    return MintNet((2,), **SETTINGS["MintNet"])


BUILD = {"Gaussianization": _gaussianization, "MintNet": _mintnet}


def _run(key: dict) -> dict:
    from course_lib.datasets import TOY2D

    torch.manual_seed(key["seed"])
    if key["data"] == "digits":
        model, batches, test_nll = _digits(key["model"], key["seed"])
        how = {k: SETTINGS["digits"][k] for k in ("steps", "warmup", "max_grad_norm")}
        how["lr"] = SETTINGS["digits"]["lr"][key["model"]]
    else:
        toy = TOY2D[key["data"]]
        model = BUILD[key["model"]](toy, key["seed"])
        generator = torch.Generator().manual_seed(10**6)  # flow_stability와 같은 시험 표본
        test = toy.sample(STABILITY["test_points"][key["data"]], generator)
        how = {"steps": STABILITY["steps"]["2d"], "lr": SETTINGS["lr"]}
        how |= {k: STABILITY[k] for k in ("warmup", "max_grad_norm")}

        def batches(generator):
            return toy.sample(STABILITY["batch"], generator)

        def test_nll():
            return torch.cat([-model.log_prob(part) for part in test.split(10_000)]).mean()

    return trained(model, batches, test_nll, seed=key["seed"], **how)


def digits_flow(name: str):
    """8×8 숫자용 모델. 역양자화한 [0, 1] 그림을 받습니다: MintNet은 (B, 1, 8, 8), 가우스화 플로우는 (B, 64)."""
    from course_lib.flows.gaussianization import GaussianizationFlow
    from course_lib.flows.mintnet import MintNet
    from course_lib.units import LogitPreprocess

    shape = SETTINGS["digits"][name]
    preprocess = LogitPreprocess(SETTINGS["digits"]["alpha"])
    if name == "MintNet":
        return MintNet((1, 8, 8), **shape, preprocess=preprocess)
    return GaussianizationFlow(64, **shape, preprocess=preprocess)


def _digits(name: str, seed: int) -> tuple:
    from course_lib.datasets.digits import LEVELS, load_digits_images
    from course_lib.training import minibatches
    from course_lib.units import bits_per_dim, dequantise

    model = digits_flow(name)
    splits = ("train+validation", "test")
    train, test = (load_digits_images(split)[0][:, None] for split in splits)
    if name == "Gaussianization":
        train, test = train.flatten(1), test.flatten(1)
        model.start_from(dequantise(train, LEVELS, torch.Generator().manual_seed(seed + 10**7)))
    images = minibatches(train, SETTINGS["digits"]["batch"])

    def batches(generator):
        return dequantise(images(generator), LEVELS, generator)

    def test_bits():
        generator = torch.Generator().manual_seed(10**6)
        repeats = STABILITY["digits"]["dequantisations"]
        log_p = [model.log_prob(dequantise(test, LEVELS, generator)) for _ in range(repeats)]
        return bits_per_dim(torch.stack(log_p).mean(), 64, LEVELS)

    return model, batches, test_bits


RESULT_FILES = {"flow_stability_15": (flow_stability_15, range(10))}
