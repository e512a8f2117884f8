"""`test_distributed.py`가 torchrun으로 프로세스 둘에서 실행하는 것. 인자는 결과를 쓸 폴더입니다."""

import functools
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from course_lib import checkpoints, distributed, training
from course_lib.datasets import mnist
from course_lib.flows.realnvp import RealNVP
from course_lib.recipes import __main__ as command
from course_lib.recipes import autoregressive

STEPS, BATCH = 12, 24


def model():
    torch.manual_seed(0)
    return RealNVP(3, couplings=2, hidden=(8,)).double()


def batches():
    g = torch.Generator().manual_seed(1)
    return training.minibatches(torch.randn(100, 3, generator=g).double(), BATCH)


def nll(model, x):
    return -model.log_prob(x).mean()


def run(fit, flow=None, stop=None, **options):
    """학습하고 (손실, 기울기 길이, 가중치)를 돌려줍니다."""
    flow = flow or model()
    metrics = []
    for step in fit(flow, nll, batches(), steps=STEPS, max_grad_norm=1.0, **options):
        metrics.append([step["loss"], step["grad_norm"]])
        if step["step"] == stop:
            break
    return metrics, [p.tolist() for p in flow.parameters()]


def noisy(_, x):
    seen.append(torch.randn(()).item())
    return x.sum() * 0 + bias.weight.sum()


def main(folder: Path) -> None:
    global seen, bias
    distributed.start()
    found = {}
    if distributed.rank():
        torch.manual_seed(5)
    different = model()
    if distributed.rank():  # 0번의 가중치에서 시작해야 합니다
        torch.nn.utils.vector_to_parameters(
            torch.zeros(sum(p.numel() for p in different.parameters())).double(),
            different.parameters(),
        )
    found["straight"] = run(distributed.fit, different)
    state = folder / "state.safetensors"
    run(distributed.fit, state=state, save_every=5, stop=7)
    found["resumed"] = run(distributed.fit, state=state, save_every=5)
    seen, bias = [], torch.nn.Linear(1, 1)
    for _ in distributed.fit(bias, noisy, lambda g: torch.ones(4, 1), steps=2):
        pass
    try:
        list(distributed.fit(model(), nll, lambda g: torch.ones(5, 3).double(), steps=1))
    except ValueError as error:
        found["odd"] = str(error)
    try:
        bad = [1.0, float("nan")][distributed.rank()]  # 한 프로세스에서만 발산합니다
        list(
            distributed.fit(
                bias, lambda m, x: m(x).sum() * bad, lambda g: torch.ones(4, 1), steps=1
            )
        )
    except training.TrainingDiverged as error:
        found["diverged"] = error.step
    found["noise"] = seen
    every = [None] * distributed.processes()
    dist.all_gather_object(every, found)
    if distributed.rank() == 0:
        (folder / "found.json").write_text(json.dumps(every), encoding="utf-8")

    # 조리법: 0번만 저장합니다
    g = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 28, 28), generator=g, dtype=torch.uint8)
    mnist.load_mnist = lambda split: (images, None)
    mnist.binarised_test = lambda: torch.randint(2, (10, 28, 28), generator=g).float()
    autoregressive.BATCH, autoregressive.UNFINISHED = 20, folder / "cache"
    autoregressive.BINARY = {"nade": {"model": {"hidden": 4}, "epochs": 2, "lr": 1e-2}}
    checkpoints.save_checkpoint = functools.partial(checkpoints.save_checkpoint, folder=folder)
    code = command.main(["nade"])
    (folder / f"after-{distributed.rank()}").write_text(str(code), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
