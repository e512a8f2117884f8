"""우리 flow와 다른 라이브러리의 flow를 같은 일로 견주어 잽니다.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/flows.py                # data/results/benchmark_flows.json

재는 일: RealNVP(아핀 결합층 8개)와 MAF(MADE 5개, 층마다 순서를 뒤집음), 은닉 2×64, D = 64, 배치 256.
학습 한 단계(zero_grad, −log p의 평균, backward, Adam)와 표본 추출(256개)입니다.
모두 한 프로세스 안에서 번갈아 가며 한 번씩 부르고, 부를 때마다 따로 잽니다.
optimizer는 모두 같은 Adam(fused)이므로 차이는 모델에서만 납니다. 다른 일이 코어를 나눠 쓰는 기계에서는
벽시계가 아니라 CPU 시간을 봅니다.

라이브러리마다 기본 정의대로 만들되 빠른 쪽을 고릅니다. FrEIA는 GLOWCouplingBlock(두 묶음을 차례로 바꾸므로
결합층 둘)과, 결합층 하나짜리 블록 사이에 순서를 바꾸는 층을 둔 것, 둘 다 잽니다.
"""

import argparse
import os
import random
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from course_lib.flows.maf import MAF  # noqa: E402
from course_lib.flows.realnvp import RealNVP  # noqa: E402
from course_lib.recipes import save_result  # noqa: E402

PEERS = ["FrEIA", "zuko", "nflows", "normflows", "pyro-ppl"]
COUPLINGS, MADES, HIDDEN, DIM, BATCH = 8, 5, (64, 64), 64, 256


def mlp(dim_in: int, dim_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dim_in, HIDDEN[0]),
        nn.ReLU(),
        nn.Linear(HIDDEN[0], HIDDEN[1]),
        nn.ReLU(),
        nn.Linear(HIDDEN[1], dim_out),
    )


# 각 함수는 (모듈, log_prob(x), sample(n))을 돌려줍니다.


def ours():
    model = RealNVP(DIM, couplings=COUPLINGS, hidden=HIDDEN)
    return model, model.log_prob, model.sample


def zuko():
    from zuko.flows import RealNVP as Peer

    model = Peer(DIM, transforms=COUPLINGS, hidden_features=HIDDEN)
    return model, lambda x: model().log_prob(x), lambda n: model().sample((n,))


def nflows():
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform

    class Net(nn.Module):  # nflows는 결합층의 신경망에 조건 자리를 하나 더 넘깁니다
        def __init__(self, dim_in, dim_out):
            super().__init__()
            self.net = mlp(dim_in, dim_out)

        def forward(self, x, context=None):
            return self.net(x)

    sign = torch.where(torch.arange(DIM) % 2 == 0, -1, 1)
    layers = [AffineCouplingTransform(sign * (-1) ** i, Net) for i in range(COUPLINGS)]
    model = Flow(CompositeTransform(layers), StandardNormal([DIM]))
    return model, model.log_prob, model.sample


def normflows():
    import normflows as nf

    layers = []
    for _ in range(COUPLINGS):
        net = nf.nets.MLP([DIM // 2, *HIDDEN, DIM], init_zeros=True)
        layers += [nf.flows.AffineCouplingBlock(net), nf.flows.Permute(DIM, mode="swap")]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(DIM, trainable=False), layers)
    return model, model.log_prob, lambda n: model.sample(n)[0]


def pyro():
    import pyro.distributions as dist
    from pyro.distributions.transforms import Permute, affine_coupling

    swap = torch.arange(DIM).roll(DIM // 2)
    couplings = [affine_coupling(DIM, list(HIDDEN)) for _ in range(COUPLINGS)]
    transforms = []
    for coupling in couplings:
        transforms += [coupling, Permute(swap)]
    base = dist.Normal(torch.zeros(DIM), torch.ones(DIM)).to_event(1)
    flow = dist.TransformedDistribution(base, transforms)

    def log_prob(x):
        flow.clear_cache()
        return flow.log_prob(x)

    return nn.ModuleList(couplings), log_prob, lambda n: flow.sample((n,))


def _freia(append):
    from FrEIA.framework import SequenceINN

    model = SequenceINN(DIM)
    append(model)
    constant = -0.5 * DIM * torch.log(torch.tensor(2 * torch.pi))

    def log_prob(x):
        z, log_det = model(x)
        return constant - 0.5 * z.square().sum(1) + log_det

    return model, log_prob, lambda n: model(torch.randn(n, DIM), rev=True)[0]


def freia():
    from FrEIA.modules import GLOWCouplingBlock

    def append(model):
        for _ in range(COUPLINGS // 2):
            model.append(GLOWCouplingBlock, subnet_constructor=mlp)

    return _freia(append)


def freia_one_sided():
    from FrEIA.modules import AffineCouplingOneSided, PermuteRandom

    def append(model):
        for i in range(COUPLINGS):
            model.append(AffineCouplingOneSided, subnet_constructor=mlp)
            model.append(PermuteRandom, seed=i)

    return _freia(append)


def our_maf():
    model = MAF(DIM, MADES, HIDDEN)
    return model, model.log_prob, model.sample


def zuko_maf():
    from zuko.flows import MAF as Peer

    model = Peer(DIM, transforms=MADES, hidden_features=HIDDEN)
    return model, lambda x: model().log_prob(x), lambda n: model().sample((n,))


def nflows_maf():
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import MaskedAffineAutoregressiveTransform
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.permutations import ReversePermutation

    layers = []
    for _ in range(MADES):
        layers.append(
            MaskedAffineAutoregressiveTransform(
                DIM, HIDDEN[0], num_blocks=len(HIDDEN), use_residual_blocks=False
            )
        )
        layers.append(ReversePermutation(DIM))
    model = Flow(CompositeTransform(layers), StandardNormal([DIM]))
    return model, model.log_prob, model.sample


def normflows_maf():
    import normflows as nf

    layers = []
    for _ in range(MADES):
        made = nf.flows.MaskedAffineAutoregressive(
            DIM, HIDDEN[0], num_blocks=len(HIDDEN), use_residual_blocks=False
        )
        # 이 라이브러리의 기본 방향은 IAF이므로 뒤집어야 밀도가 한 번에 나옵니다
        layers += [nf.flows.Reverse(made), nf.flows.Permute(DIM, mode="swap")]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(DIM, trainable=False), layers)
    return model, model.log_prob, lambda n: model.sample(n)[0]


def pyro_maf():
    import pyro.distributions as dist
    from pyro.distributions.transforms import Permute, affine_autoregressive

    reverse = torch.arange(DIM).flip(0)
    mades = [affine_autoregressive(DIM, list(HIDDEN)) for _ in range(MADES)]
    transforms = []
    for made in mades:
        transforms += [made.inv, Permute(reverse)]  # 기본 방향은 IAF입니다
    base = dist.Normal(torch.zeros(DIM), torch.ones(DIM)).to_event(1)
    flow = dist.TransformedDistribution(base, transforms)

    def log_prob(x):
        flow.clear_cache()
        return flow.log_prob(x)

    return nn.ModuleList(mades), log_prob, lambda n: flow.sample((n,))


# 종류 → 이름 → 만드는 함수. 다른 flow를 견주려면 여기에 종류를 더합니다.
FLOWS = {
    "RealNVP": {
        "course_lib": ours,
        "FrEIA": freia,
        "FrEIA (one-sided)": freia_one_sided,
        "zuko": zuko,
        "nflows": nflows,
        "normflows": normflows,
        "pyro": pyro,
    },
    "MAF": {
        "course_lib": our_maf,
        "zuko": zuko_maf,
        "nflows": nflows_maf,
        "normflows": normflows_maf,
        "pyro": pyro_maf,
    },
}


def prepare(build):
    """(매개변수 수, {일의 이름: 인자 없는 함수})"""
    torch.manual_seed(0)
    module, log_prob, sample = build()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4, fused=True)
    x = torch.randn(BATCH, DIM)

    def train():
        optimizer.zero_grad()
        (-log_prob(x).mean()).backward()
        optimizer.step()

    def draw():
        with torch.no_grad():
            sample(BATCH)

    # 재기 전에, 같은 일을 하는지 확인합니다.
    assert log_prob(x).shape == (BATCH,) and sample(BATCH).shape == (BATCH, DIM)
    trainable = [p for p in module.parameters() if p.requires_grad]
    train()
    assert all(p.grad is not None for p in trainable)
    return sum(p.numel() for p in trainable), {"train": train, "sample": draw}


def timed(work) -> tuple[float, float]:
    """(CPU 시간, 벽시계 시간), ms"""
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    work()
    return (time.process_time_ns() - cpu) / 1e6, (time.perf_counter_ns() - wall) / 1e6


def measure(builders: dict, rounds: int, calls: int) -> dict:
    prepared = {name: prepare(build) for name, build in builders.items()}
    times = {name: {job: [] for job in jobs} for name, (_, jobs) in prepared.items()}
    order = list(prepared)
    shuffle = random.Random(0)
    for round_ in range(rounds + 1):  # 첫 바퀴는 몸풀기
        for name in order:
            for job in times[name]:
                times[name][job].append([])
        for _ in range(calls):
            shuffle.shuffle(order)
            for name in order:
                for job, work in prepared[name][1].items():
                    times[name][job][-1].append(timed(work))
        print(f"\r{round_}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)

    def summary(name, job):
        result = {}
        for clock, index in (("cpu", 0), ("wall", 1)):
            per_round = [[t[index] for t in call] for call in times[name][job][1:]]
            every = sorted(t for one in per_round for t in one)
            result[clock] = {
                "median": round(statistics.median(every), 4),
                "p10": round(every[len(every) // 10], 4),
                "rounds": [round(statistics.median(one), 4) for one in per_round],
            }
        return result

    return {
        name: {"parameters": parameters} | {job: summary(name, job) for job in jobs}
        for name, (parameters, jobs) in prepared.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="flow의 속도를 다른 라이브러리와 견줍니다.")
    parser.add_argument("--rounds", type=int, default=20, help="몇 바퀴 돌지(10 이상)")
    parser.add_argument("--calls", type=int, default=20, help="한 바퀴에 일마다 부르는 수")
    parser.add_argument("--no-save", action="store_true", help="결과 파일을 쓰지 않습니다")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    times = {kind: measure(f, options.rounds, options.calls) for kind, f in FLOWS.items()}

    for kind, rows in times.items():
        peers = [row for name, row in rows.items() if name != "course_lib"]
        print(f"\n{kind}: CPU ms 중앙값(10분위), 가장 빠른 상대를 1로 한 비")
        for name, row in rows.items():
            line = f"{name:18} {row['parameters']:7d}"
            for job in ("train", "sample"):
                cpu = row[job]["cpu"]
                floor = min(r[job]["cpu"]["median"] for r in peers)
                low = min(r[job]["cpu"]["p10"] for r in peers)
                line += f"   {job} {cpu['median']:6.3f} ({cpu['p10']:6.3f})"
                line += f" {cpu['median'] / floor:5.2f} ({cpu['p10'] / low:5.2f})"
            print(line)
    if not options.no_save:
        print(
            save_result(
                "benchmark_flows",
                {
                    "unit": "ms",
                    "work": {
                        "couplings": COUPLINGS,
                        "mades": MADES,
                        "hidden": HIDDEN,
                        "dim": DIM,
                        "batch": BATCH,
                    },
                    "rounds": options.rounds,
                    "calls": options.calls,
                    "versions": {name: version(name) for name in PEERS},
                    "times": times,
                },
                command="python benchmarks/flows.py",
                seeds=[0],
                seconds=time.perf_counter() - start,
            ).name
        )


if __name__ == "__main__":
    main()
