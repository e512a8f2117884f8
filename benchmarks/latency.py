"""슬라이더를 움직인 뒤 그림이 바뀌기까지의 시간을 실제 JupyterLab에서 잽니다.

    python -m benchmarks.latency [--changes 30] [--rounds 3]

한 노트북에 놓고 번갈아 한 번씩 누릅니다. 번갈아 재므로 컴퓨터가 잠시 바빠져도 모두에 고르게 돌아갑니다.

    맨 슬라이더          슬라이더 + Image, 미리 그린 같은 크기의 PNG를 다시 보내기만 함
    flow 변형, 잠재 공간  살아 있는 위젯: 매번 새로 그림(잠재 공간은 MNIST 합성곱 VAE의 체크포인트)
    재생기               같은 일을 브라우저가 직접 함(커널을 쓰지 않음)

시간은 누른 순간부터 화소가 달라진 첫 애니메이션 프레임까지입니다. 화면이 초당 60번 그려지므로 16.7 ms보다
작아질 수 없습니다. 결과는 data/results/latency.json에 씁니다. 다른 일이 없는 컴퓨터에서 재십시오.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LIMIT_RATIO, LIMIT_P95, LIMIT_PLAYER = 1.3, 150.0, 20.0

SETUP = """
import torch
from IPython.display import HTML, display
from ipywidgets import FloatSlider, Image, Layout, VBox
from course_lib.checkpoints import load_checkpoint
from course_lib.datasets.digits import load_digits_images
from course_lib.datasets.toy2d import TOY2D
from course_lib.flows.realnvp import RealNVP
from course_lib.training import fit
from course_lib.vae.conv_vae import ConvVAE
from course_lib.vae.vae import VAE
from course_lib.widgets.flow_warp import STEPS_PER_LAYER, WarpStage, flow_warp, warp_path
from course_lib.widgets.frame import slider_view
from course_lib.widgets.latent_traversal import decoded, latent_traversal, picture

torch.set_num_threads(1)
torch.manual_seed(0)
moons, model = TOY2D["moons"], RealNVP(2)
nll = lambda model, x: -model.log_prob(x).mean()
for _ in fit(model, nll, lambda g: moons.sample(256, g), steps=400):
    pass
data = moons.sample(300, torch.Generator().manual_seed(0))
warp = flow_warp(model, data)
stage = WarpStage(warp_path(model, data))
steps = 8 * STEPS_PER_LAYER
ready = [stage.draw(k / STEPS_PER_LAYER) for k in range(steps + 1)]

digits = load_digits_images("train")[0].flatten(1) / 16
vae = VAE(64, 8, (256,))
for _ in fit(vae, lambda m, x: -m.elbo(x).mean(), lambda g: digits[:100].bernoulli(generator=g), steps=300):
    pass
mnist = ConvVAE(16).eval()
load_checkpoint("vae_conv_16d", mnist)
walk = [[0.0] * 2 + [z / 20] + [0.0] * 13 for z in range(-60, 61)]  # 꺼지지 않은 차원
digit = [picture(decoded(mnist, z, (28, 28))) for z in walk]
small = Image(format="png", value=digit[60], layout=Layout(width="280px"))
bare = FloatSlider(0.0, min=-3.0, max=3.0, step=0.05)
bare.observe(lambda c: setattr(small, "value", digit[round(20 * c["new"]) + 60]), "value")
"""
# (이름, 셀, 견줄 맨 슬라이더의 이름). 마지막 칸이 없으면 맨 슬라이더이거나 재생기입니다.
WIDGETS = [
    (
        "맨 슬라이더(변형 그림)",
        "display(slider_view(lambda k: ready[k], steps=steps, start=steps // 2)[0])",
        None,
    ),
    ("flow 변형", "warp", "맨 슬라이더(변형 그림)"),
    ("flow 변형 재생기", "display(HTML(warp.html))", None),
    ("맨 슬라이더(숫자 그림)", "display(VBox([bare, small]))", None),
    ("잠재 공간", "latent_traversal(mnist, shape=(28, 28), dims=range(2, 10))", "맨 슬라이더(숫자 그림)"),
    ("잠재 공간 재생기", "display(HTML(latent_traversal(vae, shape=(8, 8)).html))", None),
]
NAMES = [name for name, _, _ in WIDGETS]

PROBE = r"""
() => {
  const scratch = new OffscreenCanvas(96, 96).getContext("2d", { willReadFrequently: true });
  const cells = window.jupyterapp.shell.currentWidget.content.widgets.slice(1).map((c) => c.node);
  const visible = (e) => e.getClientRects().length && e.getBoundingClientRect().width > 24;
  const slider = (cell) => [...cell.querySelectorAll(".noUi-handle, input[type=range]")].find((e) => e.getClientRects().length);
  const pixels = (cell) => {
    let sum = "";
    for (const e of cell.querySelectorAll("img, canvas")) {
      if (!visible(e)) continue;
      if (e.tagName === "IMG" && !(e.complete && e.naturalWidth)) return null;
      scratch.clearRect(0, 0, 96, 96);
      scratch.drawImage(e, 0, 0, 96, 96);
      let h = 2166136261;
      for (const v of scratch.getImageData(0, 0, 96, 96).data) h = Math.imul(h ^ v, 16777619);
      sum += h + ",";
    }
    return sum;
  };
  const frame = () => new Promise(requestAnimationFrame);
  window.latency = {
    counts: () => cells.map((c) => (slider(c) ? 1 : 0)),
    change: async (i, key) => {
      const cell = cells[i], handle = slider(cell);
      handle.scrollIntoView({ block: "center" });
      let before = pixels(cell), quiet = performance.now();
      while (performance.now() - quiet < 150) {
        await frame();
        const now = pixels(cell);
        if (now !== before) { before = now; quiet = performance.now(); }
      }
      const start = performance.now();
      if (handle.tagName === "INPUT") {
        handle.value = +handle.value + (key === "ArrowRight" ? 1 : -1) * (+handle.step || 1);
        handle.dispatchEvent(new Event("input", { bubbles: true }));
      } else {
        handle.focus();
        const code = key === "ArrowRight" ? 39 : 37;
        handle.dispatchEvent(new KeyboardEvent("keydown", { key, code: key, keyCode: code, which: code, bubbles: true }));
      }
      while (performance.now() - start < 5000) {
        await frame();
        const now = pixels(cell);
        if (now !== null && now !== before) return performance.now() - start;
      }
      return null;
    },
  };
}
"""


def measure(changes: int, rounds: int) -> dict:
    """번갈아 잰 시간(ms)을 이름마다 모읍니다."""
    import nbformat
    from playwright.sync_api import sync_playwright

    from tests.notebooks import chromium

    path = chromium.find_chromium()
    if path is None:
        raise SystemExit("Chromium이 없습니다. 설치하거나 환경 변수 CHROMIUM에 경로를 적어 주세요.")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(c) for c in (SETUP, *(cell for _, cell, _ in WIDGETS))]
    )
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    times: dict[str, list[float]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = Path(folder) / "root"
        root.mkdir()
        (root / "latency.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=path, args=chromium.CHROMIUM_ARGUMENTS)
        with chromium.jupyterlab(root, Path(folder) / "settings") as address:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{address}/lab/tree/latency.ipynb?reset", wait_until="domcontentloaded")
            chromium.run_all(page, 300)
            page.evaluate(PROBE)
            if errors := page.evaluate(chromium.ERRORS):
                raise SystemExit(f"노트북의 셀이 오류로 끝났습니다: {errors}")
            page.wait_for_function("() => window.latency.counts().every(Boolean)", timeout=30_000)
            page.wait_for_timeout(1000)
            for step in range(rounds * changes + 2):
                # 처음 두 번은 몸풀기이고, 끝에 부딪히지 않게 방향을 바꾸어 가며 움직입니다.
                key = "ArrowLeft" if (step // 30) % 2 == 0 else "ArrowRight"
                for index, name in enumerate(NAMES):
                    ms = page.evaluate("([i, k]) => window.latency.change(i, k)", [index, key])
                    if ms is None:
                        raise SystemExit(f"그림이 바뀌지 않았습니다: {name}")
                    if step >= 2:
                        times[name].append(ms)
        version = browser.version
        browser.close()
    return {"times": times, "chromium": version}


def summary(times: dict[str, list[float]]) -> dict:
    """이름마다 중앙값과 95 백분위, 그리고 맨 슬라이더와의 비, 한도를 지켰는지."""
    values = {}
    for name, ms in times.items():
        ordered = sorted(ms)
        values[name] = {
            "n": len(ms),
            "median_ms": round(statistics.median(ms), 1),
            "p95_ms": round(ordered[min(len(ms) - 1, int(0.95 * len(ms)))], 1),
        }
    values["ratio"] = {
        name: round(values[name]["median_ms"] / values[bare]["median_ms"], 3)
        for name, _, bare in WIDGETS
        if bare
    }
    values["within_limits"] = bool(
        max(values["ratio"].values()) <= LIMIT_RATIO
        and max(values[name]["p95_ms"] for name in values["ratio"]) <= LIMIT_P95
        and max(values[n]["median_ms"] for n in NAMES if n.endswith("재생기")) <= LIMIT_PLAYER
    )
    return values


def hardware() -> str:
    """CPU 이름과 코어 수."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="슬라이더에서 화소까지의 시간을 잽니다.")
    parser.add_argument("--changes", type=int, default=30, help="한 번에 누르는 횟수")
    parser.add_argument("--rounds", type=int, default=3, help="되풀이")
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "results" / "latency.json")
    options = parser.parse_args()
    import ipywidgets
    import jupyterlab
    import torch

    start = time.perf_counter()
    measured = measure(options.changes, options.rounds)
    card = {
        "command": f"python -m benchmarks.latency --changes {options.changes} "
        f"--rounds {options.rounds}",
        "seeds": [0],
        "hardware": hardware(),
        "load_average": [round(x, 2) for x in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else None,
        "torch": torch.__version__,
        "versions": {
            "chromium": measured["chromium"],
            "jupyterlab": jupyterlab.__version__,
            "ipywidgets": ipywidgets.__version__,
        },
        "seconds": round(time.perf_counter() - start, 1),
        "values": summary(measured["times"]),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card, ensure_ascii=False, indent=2) + "\n"
    options.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
