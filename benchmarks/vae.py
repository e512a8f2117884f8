"""VAE(784-400-20, 배치 128)의 학습 한 단계를 아무 도움 없이 쓴 PyTorch와 견줍니다.

    python benchmarks/vae.py            두 구현의 시간과 비. data/results/benchmark_vae.json에 씁니다

같은 손실(화소에 대해 더한 이진 교차 엔트로피 + 닫힌 꼴의 KL), 같은 Adam입니다. 두 구현을 번갈아 재고
단계마다의 시간에서 10번째 백분위수를 견줍니다. 스레드 하나의 CPU 시간이라 다른 일이 코어를 써도 덜 흔들립니다.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from course_lib.recipes import save_result  # noqa: E402
from course_lib.vae.vae import VAE  # noqa: E402

LIMIT, ROUNDS, STEPS = 1.10, 15, 20


class Bare(nn.Module):
    """흔히 쓰는 꼴 그대로의 VAE."""

    def __init__(self):
        super().__init__()
        self.hidden, self.code = nn.Linear(784, 400), nn.Linear(400, 40)
        self.back, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        mu, log_var = self.code(relu(self.hidden(x))).chunk(2, dim=-1)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        logits = self.out(relu(self.back(z)))
        bce = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)
        return (bce + kl).mean()


def stepper(model, loss, x):
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def step():
        start = time.thread_time()
        value = loss(x)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return time.thread_time() - start

    return step


def main() -> int:
    began = time.perf_counter()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = (torch.rand(128, 784) < 0.2).float()
    bare, ours = Bare(), VAE(784, 20, (400,), activation=nn.ReLU)
    assert sum(p.numel() for p in bare.parameters()) == sum(p.numel() for p in ours.parameters())
    steps = {
        "PyTorch": stepper(bare, bare, x),
        "course_lib": stepper(ours, lambda x: -ours.elbo(x).mean(), x),
    }
    times = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name] += [step() for _ in range(STEPS)]
    low = {name: sorted(values)[len(values) // 10] * 1e3 for name, values in times.items()}
    ratio = low["course_lib"] / low["PyTorch"]
    for name, value in low.items():
        print(f"{name:12} {value:.2f} ms")
    print(f"비 {ratio:.3f} (한도 {LIMIT})")
    save_result(
        "benchmark_vae",
        {"unit": "ms", "rounds": ROUNDS, "steps": STEPS, "p10": low, "ratio": ratio},
        command="python benchmarks/vae.py",
        seeds=[0],
        seconds=time.perf_counter() - began,
    )
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
