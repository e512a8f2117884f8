"""17장의 결과 파일."""

from collections.abc import Sequence

import torch

from course_lib.recipes.results import code_hash, run_each

CODE = ["parallel_wavenet/distillation.py", "flows/iaf.py", "flows/maf.py", "autoregressive/made.py",
        "datasets/toy2d.py"]  # fmt: skip
SETTINGS = {
    "half": 2.0, "sd": 0.5,  # 봉우리는 (±half, 0)
    "layers": [1, 3, 5], "hidden": [32],
    "steps": 500, "batch": 256, "lr": 1e-2, "warmup": 20, "max_grad_norm": 5.0,
    "lost": 0.05,  # 한 봉우리의 몫이 이보다 작으면 잃은 것으로 셉니다
}  # fmt: skip


def distillation_modes(seeds: Sequence[int]) -> dict:
    """17장: 떨어진 두 봉우리를 IAF가 앞 방향(최대우도)과 뒤 방향(증류)으로 배울 때 잃는 봉우리를 셉니다.

    목표는 밀도를 정확히 아는 혼합이고, 학생은 정규분포 잡음의 IAF입니다. 몫은 봉우리에서 1.5 안에 든 표본의 비율이고,
    kl은 표본 2만 개로 잰 KL(s‖t)입니다.
    """
    keys = [
        {"direction": d, "layers": n, "seed": s, "settings": SETTINGS, "code": code_hash(*CODE)}
        for d in ("reverse", "forward")
        for n in SETTINGS["layers"]
        for s in seeds
    ]
    records = run_each("distillation_modes", keys, _run)
    rows: dict = {}
    for record in records:
        key = record["key"]
        row = rows.setdefault(key["direction"], {}).setdefault(str(key["layers"]), {})
        for name in ("shares", "kl"):
            row.setdefault(name, []).append(record[name])
    for row in (row for by_layers in rows.values() for row in by_layers.values()):
        row["lost"] = sum(min(shares) < SETTINGS["lost"] for shares in row["shares"])
        row["between"] = sum(1 - sum(shares) for shares in row["shares"]) / len(row["shares"])
    return {"settings": SETTINGS, "final": rows, "seconds": sum(r["seconds"] for r in records)}


def _run(key: dict) -> dict:
    from course_lib.datasets.toy2d import GaussianModes
    from course_lib.flows.iaf import IAF
    from course_lib.parallel_wavenet.distillation import distillation_kl
    from course_lib.training import fit

    s = SETTINGS
    modes = torch.tensor([[-s["half"], 0.0], [s["half"], 0.0]])
    target = GaussianModes("두 봉우리", modes, s["sd"])
    torch.manual_seed(key["seed"])
    student = IAF(2, key["layers"], tuple(s["hidden"]))

    def reverse(model, n):
        return distillation_kl(model, target, n, closed_entropy=False)[0].mean()

    def forward(model, n):
        return -model.log_prob(target.sample(n)).mean()

    how = {name: s[name] for name in ("steps", "lr", "warmup", "max_grad_norm")}
    loss = reverse if key["direction"] == "reverse" else forward
    for _ in fit(student, loss, lambda g: s["batch"], seed=key["seed"], **how):
        pass
    torch.manual_seed(10**6)
    near = torch.cdist(student.sample(5000), modes) < 1.5
    with torch.no_grad():
        kl = distillation_kl(student, target, 20_000, closed_entropy=False)[0].mean()
    return {"shares": near.double().mean(0).tolist(), "kl": float(kl)}


RESULT_FILES = {"distillation_modes": (distillation_modes, tuple(range(10)))}
