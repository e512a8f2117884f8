"""NADE의 손으로 적은 backward를, 같은 식을 누적합으로 적어 자동미분한 것과 견주어 잽니다.

    python benchmarks/nade.py                 # data/results/benchmark_nade.json

재는 일: 이진 NADE의 −log p 합과 그 기울기(forward와 backward), H = 500, D = 784, B = 100, 한 스레드.
두 방법을 번갈아 한 번씩 부르고 CPU 시간의 중앙값을 견줍니다. 재기 전에 float64에서 기울기가 같은지 확인합니다.

자동미분 쪽은 a = cumsum([c, x_1 W_1, …, x_{D−1} W_{D−1}])를 한 번에 구하는 흔한 구현입니다. (B, D, H) 크기의
텐서를 여러 벌(하나가 157 MB) 저장했다가 다시 읽으므로, 계산이 아니라 메모리가 시간을 정합니다.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from course_lib.autoregressive.fvbn import bernoulli_log_prob  # noqa: E402
from course_lib.autoregressive.nade import NADELogits  # noqa: E402
from course_lib.recipes import save_result  # noqa: E402

HIDDEN, DIM, BATCH = 500, 784, 100


def by_cumsum(x, W, c, V):
    steps = x[:, :-1, None] * W[:-1]
    a = torch.cat([c.expand(len(x), 1, -1), steps], 1).cumsum(1)  # (B, D, H)
    return (a.sigmoid() * V).sum(-1)


WAYS = {"hand_written": NADELogits.apply, "autograd_cumsum": by_cumsum}


def problem(batch, dim, hidden, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(batch, dim, generator=generator) < 0.13).to(dtype)  # MNIST의 획만큼
    sizes = [(dim, hidden), (hidden,), (dim, hidden)]
    return x, [
        (0.05 * torch.randn(s, generator=generator, dtype=dtype)).requires_grad_() for s in sizes
    ]


def gradients(way, x, parameters):
    return torch.autograd.grad(-bernoulli_log_prob(way(x, *parameters), x).sum(), parameters)


def main() -> None:
    parser = argparse.ArgumentParser(description="NADE의 두 backward를 견줍니다.")
    parser.add_argument(
        "--calls", type=int, default=12, help="방법마다 부르는 수(첫 번은 버립니다)"
    )
    parser.add_argument("--no-save", action="store_true", help="결과 파일을 쓰지 않습니다")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()

    x, parameters = problem(20, 200, 50, torch.float64)
    ours, theirs = (gradients(way, x, parameters) for way in WAYS.values())
    difference = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    assert difference < 1e-10, difference

    x, parameters = problem(BATCH, DIM, HIDDEN)
    times = {name: [] for name in WAYS}
    for _ in range(options.calls + 1):
        for name, way in WAYS.items():
            cpu = time.process_time()
            gradients(way, x, parameters)
            times[name].append(1000 * (time.process_time() - cpu))
    summary = {
        name: {"median": round(statistics.median(t[1:]), 2), "min": round(min(t[1:]), 2)}
        for name, t in times.items()
    }
    ratio = {
        key: round(summary["autograd_cumsum"][key] / summary["hand_written"][key], 2)
        for key in ("median", "min")
    }
    print(summary, "배:", ratio, "기울기 차이(float64):", difference)
    if not options.no_save:
        values = {
            "unit": "CPU ms",
            "work": {"hidden": HIDDEN, "dim": DIM, "batch": BATCH},
            "calls": options.calls,
            "times": summary,
            "speed_up": ratio,
            "largest_gradient_difference_float64": difference,
        }
        path = save_result(
            "benchmark_nade",
            values,
            command="python benchmarks/nade.py",
            seeds=[0],
            seconds=time.perf_counter() - start,
        )
        print(path.name)


if __name__ == "__main__":
    main()
