"""WaveNet에서 소리를 뽑는 세 가지 방법의 빠르기를 잽니다.

    python benchmarks/wavenet.py              # data/results/benchmark_wavenet.json

모델은 2×10층, 64채널, 커널 2입니다(수용 영역 2047표본). 출력은 μ-law 256칸(조건 없음)과 정규분포(로그 멜 조건, 체크포인트
``wavenet``과 같은 꼴)의 두 가지이고, 가중치는 배우지 않은 것입니다. 배치 1, 한 스레드, float32.

naive         표본마다 수용 영역 2047개를 처음부터 다시 계산합니다. 몇 표본만 재어 초당 표본 수로 바꿉니다(늘려 셈).
ring_buffer   층마다 링 버퍼를 둔 뻔한 반복문(이 파일의 ``plain``)
course_lib    ``WaveNet.generate``(CachedSteps)

재기 전에, 같은 잡음에서 세 방법이 같은 소리를 내는지 확인합니다. 세 방법을 번갈아 부르고 CPU 시간의 중앙값을 견줍니다.
다른 라이브러리(wavenet_vocoder)는 같은 크기의 모델에서 두 스레드로 초당 392표본이라는 예전 기록만 있고 여기서는 재지 않습니다.
"""

import argparse
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from torch.nn.functional import linear  # noqa: E402

from course_lib.autoregressive.wavenet import WaveNet  # noqa: E402
from course_lib.recipes import save_result  # noqa: E402

SIZE = {"stacks": 2, "layers": 10, "kernel": 2, "channels": 64}
LENGTH, NAIVE = 4096, 6  # 한 번에 만드는 표본 수와, naive로 재는 표본 수


def models():
    torch.manual_seed(0)
    mel = torch.rand(1, 40, 1 + LENGTH // 64) - 1
    yield "categorical", WaveNet(LENGTH, output="categorical", **SIZE).eval(), None
    yield (
        "gaussian, log-mel",
        WaveNet(LENGTH, output="gaussian", local=40, hop=64, **SIZE).eval(),
        mel,
    )


@torch.inference_mode()
def plain(model: WaveNet, length: int, y, noise):
    """층마다 링 버퍼 하나를 두고 한 표본씩 돕니다. 묶거나 미리 계산하지 않습니다."""
    c = model.channels
    table = model._condition_table(y, 1, length)
    conditions = [
        model._condition(table, k, 0, length) for k in range(len(model.blocks))
    ]  # 조건은 처음에 한 번만
    buffers = [torch.zeros(block.dilation, 1, c) for block in model.blocks]
    previous, out = torch.zeros(1, 1), []
    for t in range(length):
        h, total = model.front(previous), 0.0
        for k, block in enumerate(model.blocks):
            slot = t % block.dilation
            past = buffers[k][slot].clone()
            buffers[k][slot] = h
            a = linear(torch.cat([past, h], 1), block.gate.weight, block.gate.bias)
            if table is not None:
                a = a + conditions[k][:, t]
            f, g = a.chunk(2, 1)
            r, s = block.out(f.tanh() * g.sigmoid()).split([c, block.skip], 1)
            h, total = h + r, total + s
        value = model.draw(model._constrain(model.head(total)), noise[..., t])
        out.append(value)
        previous = model._as_input(value[:, None])
    return torch.stack(out, 1)


def same_call(model: WaveNet, length: int, y, noise):
    return model.generate(1, length, y, noise=noise)


@torch.inference_mode()
def naive_stretch(model: WaveNet, y, samples: int) -> None:
    """수용 영역을 꽉 채운 자리에서 표본 ``samples``개를 처음부터 다시 계산하여 만듭니다."""
    table = model._condition_table(y, 1, LENGTH)
    window = torch.zeros(1, model.receptive_field)
    noise = model.draw_noise(1, samples)
    for t in range(samples):
        raw = model._network(window, table, LENGTH - model.receptive_field - samples + t)[:, -1]
        value = model.draw(model._constrain(raw), noise[..., t])
        window = torch.cat([window[:, 1:], model._as_input(value[:, None])], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="WaveNet의 생성 속도를 잽니다.")
    parser.add_argument(
        "--rounds", type=int, default=5, help="번갈아 부르는 바퀴 수(첫 바퀴는 버립니다)"
    )
    parser.add_argument("--no-save", action="store_true", help="결과 파일을 쓰지 않습니다")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    rates = {}
    for name, model, y in models():
        part = None if y is None else y[..., :3]  # 처음 80표본에서 세 방법이 같은지
        noise = model.draw_noise(1, LENGTH)
        want = model.generate_naively(1, 80, part, noise=noise[..., :80])
        for way in (plain, same_call):
            assert float((way(model, 80, part, noise[..., :80]) - want).abs().max()) < 1e-3, name
        count = LENGTH // 4
        ways = {
            "naive": (NAIVE, partial(naive_stretch, model, y, NAIVE)),
            "ring_buffer": (count, partial(plain, model, count, y, noise[..., :count])),
            "course_lib": (count, partial(same_call, model, count, y, noise[..., :count])),
        }
        times = {way: {"cpu": [], "wall": []} for way in ways}
        for _ in range(options.rounds + 1):
            for way, (_, work) in ways.items():
                cpu, wall = time.process_time(), time.perf_counter()
                work()
                times[way]["cpu"].append(time.process_time() - cpu)
                times[way]["wall"].append(time.perf_counter() - wall)
        rates[name] = {
            way: {
                "samples": count,
                "samples_per_cpu_second": round(
                    count / statistics.median(times[way]["cpu"][1:]), 1
                ),
                "samples_per_second": round(count / statistics.median(times[way]["wall"][1:]), 1),
            }
            for way, (count, _) in ways.items()
        }
        print(name)
        for way, row in rates[name].items():
            print(f"  {way:12} CPU 1초에 {row['samples_per_cpu_second']:8.1f}표본")
    if options.no_save:
        return
    path = save_result(
        "benchmark_wavenet",
        {
            "unit": "samples/s",
            "work": SIZE | {"batch": 1, "receptive_field": model.receptive_field},
            "note": "naive는 samples개만 재어 늘려 셈한 값",
            "rounds": options.rounds,
            "rates": rates,
        },
        command="python benchmarks/wavenet.py",
        seeds=[0],
        seconds=time.perf_counter() - start,
    )
    print(path.name)


if __name__ == "__main__":
    main()
