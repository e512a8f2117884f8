"""독자가 점을 그리고 단추를 누르면 몇 초 만에 flow를 학습하여 변형을 보여 주는 위젯."""

import copy
import math
import threading
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from course_lib.plots import png, scatter2d
from course_lib.widgets.flow_warp import WarpView, warp_path
from course_lib.widgets.frame import TriView, still
from course_lib.widgets.pad import Pad

LIMITS = (-3.0, 3.0, -3.0, 3.0)
FEWEST = 20  # 이보다 점이 적으면 학습하지 않습니다
EXAMPLES = ("하트", "소용돌이", "두 고리")


def example_points(name: str) -> Tensor:
    """화판에 미리 찍어 둘 점 (N, 2). 난수 없이 정해집니다."""
    u = torch.arange(150) / 150 * 2 * math.pi
    wobble = torch.stack([(u * 37).sin(), (u * 53).cos()], 1) * 0.06
    if name == "하트":
        x = 16 * u.sin() ** 3
        y = 13 * u.cos() - 5 * (2 * u).cos() - 2 * (3 * u).cos() - (4 * u).cos()
        return torch.stack([x, y + 2.5], 1) / 7.5 + wobble
    if name == "소용돌이":
        angle = (u / (2 * math.pi)).sqrt() * 3.2 * math.pi
        return torch.stack([angle.cos(), angle.sin()], 1) * angle[:, None] / 4.2 + wobble
    if name == "두 고리":
        radius = torch.where(torch.arange(150) % 3 == 0, 0.9, 2.3)[:, None]
        return torch.stack([u.cos(), u.sin()], 1) * radius + wobble
    raise ValueError(f"모르는 예시입니다: {name!r}. {', '.join(EXAMPLES)} 가운데에서 고르세요.")


def train_on_points(
    model, points: Tensor, *, fit: Callable, steps: int, noise: float = 0.07, seed: int = 0
) -> Iterator[dict]:
    """그린 점 ``points`` (N, 2)로 ``model``을 학습하며 단계마다 dict(step=1…steps, loss)를 냅니다.

    손실은 −mean log p(x + noise·ε), ε ~ N(0, I)입니다. 점 몇십 개를 그대로 쓰면 우도가 점 위에서
    한없이 커지므로 잡음을 더합니다. 이는 폭이 ``noise``인 커널 밀도 추정의 표본으로 배우는 것과 같습니다.
    ``fit``은 ``course_lib.training.fit``과 같은 모양의 함수입니다.
    ValueError: 점이 너무 적거나 모두 같은 자리에 있을 때.
    """
    if len(points) < FEWEST:
        raise ValueError(f"점이 {len(points)}개뿐입니다. {FEWEST}개 이상 그려 주세요.")
    if not points.isfinite().all():
        raise ValueError("점의 좌표에 NaN이나 무한대가 있습니다. 지우고 다시 그려 주세요.")
    if points.std(0).max() < 1e-3:
        raise ValueError("점이 모두 같은 자리에 있습니다. 조금 넓게 그려 주세요.")

    def batches(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(points), (128,), generator=generator)
        return points[rows] + noise * torch.randn(128, 2, generator=generator)

    def loss(model, batch: Tensor) -> Tensor:
        return -model.log_prob(batch).mean()

    yield from fit(model, loss, batches, steps=steps, lr=4e-3, max_grad_norm=5.0, seed=seed)


def draw_and_train(
    make_model: Callable | None = None,
    fit: Callable | None = None,
    *,
    steps: int = 500,
    example: str = "하트",
    seed: int = 0,
) -> TriView:
    """점을 그려 flow를 학습하는 위젯. 셀의 마지막 줄에 쓰면 나타납니다.

    make_model  2차원 FlowModel을 새로 만드는 함수. 기본값은 ``RealNVP(2)``
    fit         학습 함수. 기본값은 ``course_lib.training.fit``
    steps       학습 단계 수. 기본값은 노트북 CPU에서 3~6초입니다

    학습은 따로 도는 스레드에서 하므로 그동안에도 다른 셀과 위젯을 쓸 수 있습니다. 누를 때마다 같은
    초깃값에서 시작하고 전역 난수 상태를 건드리지 않습니다.
    """
    if make_model is None:
        from course_lib.flows.realnvp import RealNVP

        def make_model():
            return RealNVP(2)

    if fit is None:
        from course_lib.training import fit
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model()
    trainer = Trainer(model, fit, steps=steps, example=example, seed=seed)
    poster = png(scatter2d(example_points(example), limits=LIMITS, title=f"그린 점: {example}"))
    note = "노트북을 실행하면 여기에 점을 그리고 학습시킬 수 있습니다."
    return TriView(
        trainer.box, still(poster, "점을 그려 학습하는 위젯", note), poster, "그려서 학습하기"
    )


class Trainer:
    """화판, 단추, 진행 막대, 변형 그림을 잇고 학습 스레드를 돌봅니다."""

    def __init__(self, model, fit: Callable, *, steps: int, example: str, seed: int):
        import ipywidgets as widgets

        self.model, self.fit, self.steps, self.seed = model, fit, steps, seed
        self.pad = Pad(points=example_points(example).tolist(), limits=list(LIMITS), width=330)
        self.examples = widgets.Dropdown(
            options=[*EXAMPLES, "빈 화판"], value=example, description="예시",
            layout=widgets.Layout(width="220px"), style={"description_width": "auto"},
        )  # fmt: skip
        self.button = widgets.Button(description="학습", button_style="primary", icon="play",
                                     layout=widgets.Layout(height="42px", width="220px"))  # fmt: skip
        self.progress = widgets.IntProgress(0, 0, steps, layout=widgets.Layout(width="220px"))
        self.message = widgets.HTML("점을 그리고 <b>학습</b>을 누르세요.")
        self.warp = WarpView({"": warp_path(model, **self._light)})
        side = widgets.VBox([self.examples, self.button, self.progress, self.message],
                            layout=widgets.Layout(width="240px"))  # fmt: skip
        top = widgets.HBox(
            [self.pad, side], layout=widgets.Layout(flex_flow="row wrap", grid_gap="8px 16px")
        )
        self.box = widgets.VBox([top, self.warp.box])
        self.thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.button.on_click(self._press)
        self.examples.observe(self._load, "value")

    _light = {"samples": 700, "mesh": 65}  # 학습 도중의 그림은 가볍게

    def _load(self, change) -> None:
        name = change["new"]
        self.pad.points = [] if name == "빈 화판" else example_points(name).tolist()

    def _press(self, _) -> None:
        if self.thread is not None and self.thread.is_alive():
            self._stop.set()
            return
        self._stop.clear()
        points = self.pad.tensor()
        self.thread = threading.Thread(target=self._train, args=(points,), daemon=True)
        self.thread.start()

    def _train(self, points: Tensor) -> None:
        model = copy.deepcopy(self.model)
        self.button.description, self.button.icon = "멈추기", "stop"
        self.progress.value, self.progress.bar_style = 0, ""
        shows = {round(self.steps * share) for share in (0.15, 0.35, 0.6)}
        try:
            recent = []
            for state in train_on_points(
                model, points, fit=self.fit, steps=self.steps, seed=self.seed
            ):
                done = state["step"]
                recent = [*recent[-19:], state["loss"]]
                if done % 20 == 0 or done == self.steps:
                    self.progress.value = done
                    self._say(
                        f"{done} / {self.steps} 단계<br>음의 로그우도 {np.mean(recent):.2f} nats"
                    )
                if done in shows:
                    self.warp.show("", warp_path(model, points, **self._light))
                if self._stop.is_set():
                    break
            self.warp.show("", warp_path(model, points))
            self.progress.bar_style = "success"
            self._say(
                f"{len(points)}개의 점으로 배웠습니다.<br>음의 로그우도 {np.mean(recent):.2f} nats<br>"
                "아래 슬라이더를 움직여 보세요."
            )
        except Exception as error:  # 스레드의 오류는 셀에 나타나지 않으므로 위젯에 적습니다.
            self.progress.bar_style = "danger"
            self._say(str(error))
        finally:
            self.button.description, self.button.icon = "학습", "play"

    def _say(self, text: str) -> None:
        self.message.value = f'<div style="line-height:1.5;white-space:normal">{text}</div>'
