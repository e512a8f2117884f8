"""결과 파일을 만드는 조리법. 한 함수가 ``data/results/NAME.json`` 하나를 처음부터 다시 만듭니다.

    python -m course_lib.recipes                     조리법의 이름을 보여 줍니다
    python -m course_lib.recipes flow_stability      실행합니다(중간에 꺼지면 이어서 합니다)
    python -m course_lib.recipes flow_stability --seeds 0 1 2

노트북의 표 가운데 여러 시드가 들거나 몇 분 이상 걸리는 것은 이 파일들을 읽어 보여 줍니다.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

DATA = Path(__file__).resolve().parents[1] / "data"
RESULTS = DATA / "results"
UNFINISHED = DATA / "cache" / "recipes"


# ── 결과 파일 ───────────────────────────────────────────────────────────────────────────────────


def save_result(
    name: str,
    values: dict,
    *,
    command: str,
    seeds: Sequence[int],
    seconds: float,
    folder: Path | None = None,
) -> Path:
    """``data/results/NAME.json``에 값과 카드를 씁니다. 다 쓴 다음에 제 이름을 주므로 반쪽 파일은 없습니다.

    command  이 결과를 다시 만드는 명령, seconds  걸린 시간(초, 여러 번에 나누어 했다면 모두 더한 것)
    """
    card = {
        "command": command,
        "seeds": list(seeds),
        "hardware": hardware(),
        "torch": torch.__version__,
        "seconds": round(seconds, 1),
    }
    text = json.dumps({"card": card, "values": values}, ensure_ascii=False, indent=1)
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def load_result(name: str, folder: Path | None = None) -> dict:
    """``data/results/NAME.json``의 {"card": …, "values": …}. 없으면 FileNotFoundError."""
    path = (folder or RESULTS) / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"결과 파일 {path.name}이 없습니다. python -m course_lib.recipes {name}으로 만드세요."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def hardware() -> dict:
    """CPU의 이름, 코어 수, torch가 쓰는 스레드 수."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass  # Linux x86이 아니면 platform이 아는 이름을 씁니다
    return {"cpu": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def run_each(name: str, keys: Sequence[dict], run: Callable[[dict], dict]) -> list[dict]:
    """keys의 실험을 하나씩 하고 결과를 모읍니다. 한 줄씩 저장해 두므로 꺼져도 이어서 합니다.

    run(key)가 돌려준 dict에 key와 걸린 시간 "seconds"를 더해 돌려줍니다. 설정이 바뀌면 다시 하도록
    결과를 바꾸는 것은 모두 key에 넣으세요.
    """
    from course_lib.training import progress

    path = UNFINISHED / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    finished: dict[str, dict] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # 쓰다가 꺼진 마지막 줄
            finished[json.dumps(record["key"], sort_keys=True)] = record
    records = []
    for key in progress(keys, desc=name):
        known = json.dumps(key, sort_keys=True)
        if known not in finished:
            start = time.perf_counter()
            result = run(key)
            finished[known] = {"key": key, **result, "seconds": time.perf_counter() - start}
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n" * (file.tell() > 0) + json.dumps(finished[known]))
        records.append(finished[known])
    return records


# ── 조리법 ──────────────────────────────────────────────────────────────────────────────────────

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
        {"data": data, "model": model, "seed": seed, "settings": STABILITY, "code": code_hash()}
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


def code_hash() -> str:
    """flow와 학습 코드의 지문. 코드가 바뀌면 이어서 하지 않고 다시 합니다."""
    folder = Path(__file__).parent
    files = ["base.py", "nn.py", "units.py", "training.py", "flows/nice.py", "flows/realnvp.py"]
    files += ["datasets/toy2d.py", "datasets/digits.py"]
    text = "".join((folder / file).read_text(encoding="utf-8") for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ── 체크포인트 ──────────────────────────────────────────────────────────────────────────────────

CONV_VAE = {
    "vae_conv_16d": {"model": {"latent_dim": 16}, "epochs": 30},
    "vae_conv_2d": {"model": {"latent_dim": 2, "width": 16, "mlp_decoder": (200, 200)}, "epochs": 20},
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


def measure_vae(model, images: int = 40, k: int = 5000) -> dict[str, float]:
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


# 이름 → (함수, 기본 시드). 함수는 시드들을 받아 결과 파일의 값을 돌려줍니다.
RECIPES: dict[str, tuple[Callable[[Sequence[int]], dict], Sequence[int]]] = {
    "flow_stability": (flow_stability, range(20)),
}

CHECKPOINTS: dict[str, Callable[[str], dict]] = {name: conv_vae for name in CONV_VAE}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.recipes", description="결과 파일을 처음부터 다시 만듭니다."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="조리법의 이름")
    parser.add_argument("--seeds", type=int, nargs="+", help="쓸 시드들(기본값은 조리법마다)")
    options = parser.parse_args(arguments)
    if options.name in CHECKPOINTS:
        torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "1")))
        card = CHECKPOINTS[options.name](options.name)
        print(f"저장했습니다: data/checkpoints/{options.name}.safetensors, {card['metric']}")
        return 0
    if options.name not in RECIPES:
        if options.name is not None:
            print(f"{options.name}이라는 조리법은 없습니다.", file=sys.stderr)
        print("조리법의 이름을 하나 고르세요:")
        for name, (recipe, _) in RECIPES.items():
            print(f"  {name:20} {recipe.__doc__.splitlines()[0]}")
        for name, recipe in CHECKPOINTS.items():
            print(f"  {name:20} {recipe.__doc__.splitlines()[0]}")
        return 0 if options.name is None else 2
    torch.set_num_threads(int(os.environ.get("COURSE_THREADS", "1")))
    recipe, seeds = RECIPES[options.name]
    command = f"python -m course_lib.recipes {options.name}"
    if options.seeds is not None:
        seeds = options.seeds
        command += " --seeds " + " ".join(map(str, seeds))
    start = time.perf_counter()
    values = recipe(seeds)
    seconds = values.pop("seconds", time.perf_counter() - start)
    path = save_result(options.name, values, command=command, seeds=seeds, seconds=seconds)
    print(f"썼습니다: {path.relative_to(DATA.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
