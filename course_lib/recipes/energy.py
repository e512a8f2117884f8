"""A1장의 결과 파일."""

from collections.abc import Sequence

import torch

from course_lib.recipes.results import code_hash, run_each

CODE = ["energy/ebm.py", "datasets/toy2d.py", "evaluation.py"]
SETTINGS = {
    "noise": 0.2, "scale": 4.0, "hidden": [128, 128], "fresh": [-2.0, 3.0],
    "steps": 500, "batch": 256, "lr": 1e-2, "betas": [0.0, 0.999], "max_grad_norm": 10.0,
    "buffer": 1000, "long": 1000, "chains": 1000, "box": [-6.0, 6.0, -6.0, 6.0], "points": 240,
    "ways": {
        "replay": {"start": "replay", "k": 10, "eta": 0.02},
        "persistent": {"start": "replay", "k": 10, "eta": 0.02, "restart": 0.0},
        "data10": {"start": "data", "k": 10, "eta": 0.02},
        "data1": {"start": "data", "k": 1, "eta": 0.02},
        "data1_tiny": {"start": "data", "k": 1, "eta": 0.002},
        "noise10": {"start": "noise", "k": 10, "eta": 0.02},
        "noise40": {"start": "noise", "k": 40, "eta": 0.02},
        "replay_alpha0.1": {"start": "replay", "k": 10, "eta": 0.02, "alpha": 0.1},
        "replay_alpha1": {"start": "replay", "k": 10, "eta": 0.02, "alpha": 1.0},
        "replay_spectral": {"start": "replay", "k": 10, "eta": 0.02, "spectral": True},
    },
}  # fmt: skip


def energy_drift(seeds: Sequence[int]) -> dict:
    """A1장: 두 반달을 대조 발산으로 배우고, 연쇄를 학습 때보다 길게 돌리면 표본이 어디로 가는지 잽니다.

    kl     격자에서 적분한 KL(데이터‖모델), nats          rise  −log p(데이터의 밀도)의 평균, 긴 연쇄 − 짧은 연쇄
    drift  학습 길이의 표본과 긴 표본 사이의 프레셰 거리     energy  데이터의 평균 에너지(떠다니는 정도)
    출발점은 학습 때와 같습니다(데이터, 새 잡음, 버퍼).
    """
    keys = [
        {"way": way, "seed": s, "settings": SETTINGS, "code": code_hash(*CODE)}
        for way in SETTINGS["ways"]
        for s in seeds
    ]
    records = run_each("energy_drift", keys, _run)
    rows: dict = {}
    for record in records:
        row = rows.setdefault(record["key"]["way"], {})
        for name in ("kl", "rise", "drift", "energy", "seconds"):
            row.setdefault(name, []).append(record[name])
    return {"settings": SETTINGS, "final": rows, "seconds": sum(r["seconds"] for r in records)}


def _run(key: dict) -> dict:
    from course_lib.datasets.toy2d import Moons
    from course_lib.energy import ebm
    from course_lib.evaluation import frechet
    from course_lib.parallel_wavenet.distillation import grid_kl
    from course_lib.training import fit

    s, way = SETTINGS, SETTINGS["ways"][key["way"]]
    data, (low, high) = Moons(s["noise"]), s["fresh"]
    torch.manual_seed(key["seed"])
    model = ebm.energy_mlp(2, s["hidden"], scale=s["scale"], spectral=way.get("spectral", False))

    def fresh(n):
        return low + (high - low) * torch.rand(n, 2)

    start = {"data": "data", "noise": fresh}.get(way["start"])
    if start is None:
        start = ebm.ReplayBuffer(s["buffer"], fresh, way.get("restart", 0.05))
    loss = ebm.ContrastiveDivergence(
        start, steps=way["k"], step_size=way["eta"], alpha=way.get("alpha", 0.0)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=s["lr"], betas=tuple(s["betas"]))
    training = fit(
        model, loss, lambda g: data.sample(s["batch"], g), steps=s["steps"], optimizer=optimizer,
        max_grad_norm=s["max_grad_norm"], seed=key["seed"],
    )  # fmt: skip
    for _ in training:
        pass
    torch.manual_seed(10**6)
    begin = {"data": data.sample, "noise": fresh}.get(way["start"], lambda n: start.chains[:n])
    begin = begin(s["chains"])
    short = ebm.langevin(model, begin, way["k"], way["eta"])
    long = ebm.langevin(model, begin, s["long"], way["eta"])
    log_prob = ebm.grid_log_prob(model, s["box"], s["points"])
    with torch.no_grad():
        energy = float(model(data.sample(2000)).mean())
    return {
        "kl": grid_kl(data.log_prob, log_prob, s["box"], s["points"]),
        "rise": float(data.log_prob(short).mean() - data.log_prob(long).mean()),
        "drift": frechet(short, long),
        "energy": energy,
    }


RESULT_FILES = {"energy_drift": (energy_drift, tuple(range(5)))}
