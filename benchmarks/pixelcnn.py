"""PixelCNN 계열의 학습 한 단계와 표본 추출을 잽니다. data/results/benchmark_pixelcnn.json

    python benchmarks/pixelcnn.py

학습: 7층 × 64, 배치 16, 28×28 이진 그림에서 Gated PixelCNN과 우리의 PixelCNN을 한 단계씩 번갈아 잽니다.
표본: 같은 Gated PixelCNN으로 28×28 그림 16장. 기억한 것을 다시 쓰는 방법(기본)은 처음부터 끝까지,
화소마다 그림 전체를 다시 계산하는 방법은 화소마다 하는 일이 똑같으므로 화소 몇 개만 재어 784개로 늘립니다.
다른 일이 코어를 나눠 쓰는 기계에서도 견줄 수 있게 스레드 하나의 CPU 시간을 봅니다.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN  # noqa: E402
from course_lib.autoregressive.pixel_cnn import PixelCNN  # noqa: E402
from course_lib.autoregressive.pixels import PixelModel  # noqa: E402
from course_lib.recipes import save_result  # noqa: E402

SHAPE, LEVELS, LAYERS, WIDTH, BATCH = (1, 28, 28), 2, 7, 64, 16
MODELS = {"PixelCNN": PixelCNN, "Gated PixelCNN": GatedPixelCNN}
GOAL = {"gated_over_plain": 3.6, "naive_over_cached": 10.0}


def cpu(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def stepper(model, x):
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

    def step():
        optimizer.zero_grad()
        (-model.log_prob(x).mean()).backward()
        optimizer.step()

    return step


def training(rounds: int) -> dict:
    """모델마다 학습 한 단계의 CPU 시간, ms. 번갈아 재고 첫 바퀴는 버립니다."""
    x = (torch.rand(BATCH, *SHAPE) < 0.2).float()
    models = {
        name: build(SHAPE, LEVELS, width=WIDTH, layers=LAYERS) for name, build in MODELS.items()
    }
    steps = {name: stepper(model, x) for name, model in models.items()}
    times = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            times[name].append(1e3 * cpu(step))
        print(f"\r{round_}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {
        name: {
            "parameters": sum(p.numel() for p in models[name].parameters()),
            "median_ms": round(statistics.median(every[1:]), 2),
            "fastest_ms": round(min(every[1:]), 2),
        }
        for name, every in times.items()
    }


@torch.no_grad()
def sampling(pixels: int) -> dict:
    """그림 16장의 CPU 초: 기억해 쓰기(끝까지)와 매번 다시 계산하기(화소 ``pixels``개에서 784개로)."""
    model = GatedPixelCNN(SHAPE, LEVELS, width=WIDTH, layers=LAYERS).eval()
    noise = torch.rand(BATCH, *SHAPE)
    model.sample(1)
    cached = min(cpu(lambda: model.sample(BATCH, noise=noise)) for _ in range(2))
    x = (torch.rand(BATCH, *SHAPE) < 0.2).float()
    at = PixelModel.incremental(model, x, None)
    at(0, 0)
    every = [
        cpu(
            lambda k=k: model.draw(
                at(*divmod(97 * k % 784, 28)), noise[:, 0, 0, 0], 0, x[..., 0, 0]
            )
        )
        for k in range(pixels)
    ]
    # 두 방법이 같은 그림을 그리는지: float64, 작은 그림
    small = GatedPixelCNN((1, 10, 10), LEVELS, width=16, layers=LAYERS).double().eval()
    u = torch.rand(4, 1, 10, 10).double()
    same = torch.equal(small.sample(4, noise=u), small.sample(4, noise=u, cached=False))
    return {
        "cached_s": round(cached, 3),
        "naive_s_extrapolated": round(statistics.median(every) * SHAPE[1] * SHAPE[2], 1),
        "naive_pixels_timed": pixels,
        "same_samples_float64": same,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="PixelCNN 계열의 속도를 잽니다.")
    parser.add_argument("--rounds", type=int, default=12, help="학습 단계를 몇 바퀴 잴지")
    parser.add_argument("--pixels", type=int, default=16, help="느린 방법으로 잴 화소 수")
    parser.add_argument("--no-save", action="store_true", help="결과 파일을 쓰지 않습니다")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start = time.perf_counter()
    train, sample = training(options.rounds), sampling(options.pixels)
    ratios = {
        "gated_over_plain": round(
            train["Gated PixelCNN"]["median_ms"] / train["PixelCNN"]["median_ms"], 2
        ),
        "naive_over_cached": round(sample["naive_s_extrapolated"] / sample["cached_s"], 1),
    }
    for name, row in train.items():
        print(f"{name:16} {row['parameters']:8d}  {row['median_ms']:8.1f} ms")
    print(
        f"표본 16장: 기억 {sample['cached_s']} s, 다시 계산 {sample['naive_s_extrapolated']} s(늘려 셈)"
    )
    print(ratios)
    if not options.no_save:
        save_result(
            "benchmark_pixelcnn",
            {
                "work": {"shape": SHAPE, "layers": LAYERS, "width": WIDTH, "batch": BATCH},
                "clock": "스레드 하나의 CPU 시간",
                "rounds": options.rounds,
                "train": train,
                "sample": sample,
                "ratios": ratios,
                "goal": GOAL,
            },
            command="python benchmarks/pixelcnn.py",
            seeds=[0],
            seconds=time.perf_counter() - start,
        )
    good = ratios["gated_over_plain"] <= GOAL["gated_over_plain"]
    good &= ratios["naive_over_cached"] >= GOAL["naive_over_cached"]
    return int(not (good and sample["same_samples_float64"]))


if __name__ == "__main__":
    sys.exit(main())
