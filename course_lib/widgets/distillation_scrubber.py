"""증류의 되감기: 학생이 교사를 따라가는 과정을 단계마다 기록해 두고 앞뒤로 넘겨 봅니다.

왼쪽은 교사의 밀도(등고선)와 학생의 표본, 오른쪽은 세 곡선입니다.

    뒤 방향(증류)   KL(s‖t) = H(s, t) − H(s)      학생의 표본으로 잽니다
    앞 방향(최대우도) KL(t‖s) = H(t, s) − H(t)      교사의 표본으로 잽니다. −H(t)는 학생과 무관한 상수입니다
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.parallel_wavenet.distillation import distillation_kl
from course_lib.plots import MUTED, PALETTE, blank_figure, density_grid
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

COLORS = {"KL": "vermillion", "교차 엔트로피": "blue", "−엔트로피": "green"}
LEVELS = (0.02, 0.1, 0.25, 0.45, 0.7)  # 등고선의 높이, 최댓값에 대한 비


@dataclass(frozen=True)
class Recording:
    """기록 하나. steps ``(S,)``, points ``(S, N, 2)``, curves {이름: ``(S,)`` nats}, 교사의 밀도 격자."""

    steps: np.ndarray
    points: np.ndarray
    curves: Mapping[str, np.ndarray]
    grid: tuple[np.ndarray, np.ndarray, np.ndarray]


class Recorder:
    """학습하는 동안 ``see(단계)``를 부르면 정해 둔 단계에서 학생의 표본과 세 값을 적습니다.

    log_prob   교사의 log t(x), (B, 2) → (B,)
    limits     (x₁ 최소, 최대, x₂ 최소, 최대)
    steps      학습의 전체 단계. 적는 때는 0부터 제곱으로 띄운 frames번입니다(처음을 촘촘히).
    samples    교사의 표본 ``(N, 2)``를 주면 앞 방향 KL(t‖s)를, 주지 않으면 뒤 방향 KL(s‖t)를 잽니다.
    draws      뒤 방향을 잴 때 학생에게서 뽑는 표본의 수
    난수는 따로 쓰므로 학습의 난수를 건드리지 않습니다.
    """

    def __init__(
        self,
        student,
        log_prob: Callable[[Tensor], Tensor],
        limits: tuple[float, float, float, float],
        steps: int,
        *,
        samples: Tensor | None = None,
        frames: int = 13,
        draws: int = 2000,
        shown: int = 200,
        seed: int = 0,
    ):
        if steps < 1 or frames < 2:
            raise ValueError(f"steps는 1 이상, frames는 2 이상이어야 합니다: {steps}, {frames}")
        self._student, self._log_prob, self._samples = student, log_prob, samples
        self._draws, self._shown, self._seed = draws, shown, seed
        self.at = sorted({round(steps * (k / (frames - 1)) ** 2) for k in range(frames)})
        self._grid = density_grid(log_prob, limits, 90)
        self._rows: list[tuple] = []
        self.see(0)

    def see(self, step: int) -> None:
        """적을 단계이고 아직 적지 않았으면 적습니다."""
        if step not in self.at or step in (row[0] for row in self._rows):
            return
        training = self._student.training
        self._student.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            points = self._student.sample(self._shown)
            values = self._reverse() if self._samples is None else self._forward()
        self._student.train(training)
        self._rows.append((step, points.numpy(), *(float(v) for v in values)))

    def _reverse(self):
        kl, cross, entropy = distillation_kl(self._student, self, self._draws)
        return kl.mean(), cross.mean(), -entropy.mean()

    def _forward(self):
        cross = -self._student.log_prob(self._samples).mean()
        minus_entropy = self._log_prob(self._samples).mean()
        return cross + minus_entropy, cross, minus_entropy

    def log_prob(self, x: Tensor) -> Tensor:
        """교사의 log t(x)"""
        return self._log_prob(x)

    def recording(self) -> Recording:
        """지금까지 적은 것."""
        steps, points, *values = (np.array(column) for column in zip(*self._rows, strict=True))
        return Recording(steps, points, dict(zip(COLORS, values, strict=True)), self._grid)


class ScrubberStage:
    """기록 하나를 그리는 준비된 그림. ``draw(k)``가 k번째 기록의 PNG를 돌려줍니다."""

    def __init__(self, recording: Recording, dpi: float = 110, shades: int = 24):
        self._recording = r = recording
        figure = blank_figure(7.6, 3.5)
        left = figure.add_axes([0.05, 0.1, 0.4, 0.79])
        x, y, density = r.grid
        left.contour(x, y, density, [level * density.max() for level in LEVELS], colors=MUTED,
                     linewidths=1.0)  # fmt: skip
        left.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        left.set_title("교사(선)와 학생의 표본(점)", fontsize=12)
        left.locator_params(nbins=5)
        right = figure.add_axes([0.545, 0.17, 0.43, 0.72])
        self._place = np.sqrt(r.steps / max(r.steps[-1], 1))
        values = np.concatenate(list(r.curves.values()))
        low, high = values.min(), min(values.max(), np.median(values) + 6.0)
        edge = 0.08 * (high - low) + 0.05
        right.set(xlim=(-0.02, 1.02), ylim=(low - edge, high + edge))
        ticks = np.linspace(0, 1, 5)
        right.set_xticks(ticks, [f"{round(r.steps[-1] * t**2)}" for t in ticks])
        right.set_xlabel("단계(제곱근 간격)", fontsize=10)
        right.set_ylabel("nats", fontsize=10)
        right.axhline(0, color=MUTED, lw=0.8)
        self._lines, self._dots = [], []
        for name, key in COLORS.items():
            right.plot([], [], color=PALETTE[key], lw=2.2, label=name)
            style = {"color": PALETTE[key], "animated": True}
            self._lines.append(right.plot([], [], lw=2.2, **style)[0])
            self._dots.append(right.plot([], [], "o", ms=6, **style)[0])
        right.legend(fontsize=10.5, loc="lower center", bbox_to_anchor=(0.5, 0.99), ncols=3, frameon=False,
                     handlelength=1.2, columnspacing=1.2)  # fmt: skip
        color = PALETTE["vermillion"]
        self._points = left.plot([], [], "o", color=color, ms=3, mew=0, alpha=0.6, animated=True)[0]
        self._stage = Stage(figure, dpi)
        colors = [PALETTE[key] for key in COLORS.values()]
        self._stage.palette = Palette.ramps("black", MUTED, *colors, steps=shades)

    def draw(self, k: int, level: int = 1) -> bytes:
        """k번째 기록까지의 곡선과 그때의 표본."""
        r = self._recording
        k = min(max(k, 0), len(r.steps) - 1)
        with self._stage.lock:
            self._points.set_data(*r.points[k].T)
            for line, dot, values in zip(self._lines, self._dots, r.curves.values(), strict=True):
                line.set_data(self._place[: k + 1], values[: k + 1])
                dot.set_data(self._place[k : k + 1], values[k : k + 1])
            artists = [self._points, *self._lines, *self._dots]
            return self._stage.png(self._stage.pixels(artists), level)


def caption(recording: Recording, k: int) -> str:
    """재생기의 설명 한 줄."""
    kl, cross, minus = (values[k] for values in recording.curves.values())
    return (
        f"{recording.steps[k]}단계: KL {kl:.2f} = 교차 엔트로피 {cross:.2f} − 엔트로피 {-minus:.2f}"
    )


def distillation_scrubber(recordings: Mapping[str, Recording]) -> TriView:
    """증류를 되감아 보는 위젯. ``{이름: Recording}``에서 고르고 슬라이더로 단계를 넘깁니다.

    학습한 모델의 표본이 그림에 들어가므로 이 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    ValueError: 기록이 없거나, 적은 횟수가 서로 다를 때.
    """
    import ipywidgets as widgets

    recordings = dict(recordings)
    counts = {len(r.steps) for r in recordings.values()}
    if len(counts) != 1:
        raise ValueError(f"기록마다 적은 횟수가 같아야 합니다. 받은 횟수: {sorted(counts)}")
    last = counts.pop() - 1
    stages = {name: ScrubberStage(r) for name, r in recordings.items()}
    menu = widgets.Dropdown(options=list(stages), layout=widgets.Layout(width="280px"))
    box, _, _, redraw = slider_view(
        lambda k: stages[menu.value].draw(k),
        steps=last, start=last, label="기록", interval=450, extra=[menu],
    )  # fmt: skip
    menu.observe(lambda _: redraw(), "value")
    picks = np.linspace(0, last, min(9, last + 1)).round().astype(int)  # 재생기에는 아홉 장만
    frames = {}
    for name, r in recordings.items():
        small = ScrubberStage(r, 70, shades=6)
        frames[name] = [small.draw(k, level=9) for k in picks]
    labels = [f"기록 {k} / {last}" for k in picks]
    html = player(frames, labels, alt="학생의 표본이 교사의 밀도를 따라가는 과정과 KL의 곡선",
                  start=len(picks) - 1, seconds=6, width=780)  # fmt: skip
    return TriView(box, html, next(iter(frames.values()))[-1], "증류의 되감기")
