"""InfoGAN의 부호를 움직이는 위젯: 범주형 부호, 연속형 부호 둘, 잡음."""

import copy

import torch
from torch import Tensor

from course_lib.gan.infogan import InfoGAN
from course_lib.widgets.class_style_grid import GridStage
from course_lib.widgets.controls import Knob, controls_view
from course_lib.widgets.frame import TriView, player, subscript

NOISES, ACROSS = 8, 7  # 고를 수 있는 잡음의 수, 연속형 부호 하나를 훑는 칸의 수


def noise_bank(gan: InfoGAN, seed: int = 0) -> Tensor:
    """위젯이 고르는 입력들 (NOISES, K). 같은 시드면 늘 같습니다."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return gan.latent(NOISES)


@torch.no_grad()
def code_sheet(
    gan: InfoGAN, z: Tensor, kind: int, levels: Tensor, shape: tuple[int, int]
) -> Tensor:
    """부호를 훑은 그림 (2 + continuous, max(classes, ACROSS), H, W). 남는 칸은 빈 종이입니다.

    z (K,), kind는 지금의 범주, levels (continuous,)는 지금의 연속형 부호입니다.
    0번 줄: 지금의 부호로 그린 그림 하나    1번 줄: 범주만 0부터 끝까지
    2번 줄부터: 지금의 범주에서 연속형 부호 하나만 −1에서 1까지
    """
    width = max(gan.classes, ACROSS)
    sheet = torch.zeros(2 + gan.continuous, width, *shape)
    row = z.expand(gan.classes, -1)
    kinds = torch.arange(gan.classes)
    every = gan.generator(gan.with_codes(row, kinds, levels)).reshape(-1, *shape)
    sheet[0, 0], sheet[1, : gan.classes] = every[kind], every
    for code in range(gan.continuous):
        swept = levels.repeat(ACROSS, 1)
        swept[:, code] = torch.linspace(-1, 1, ACROSS)
        inputs = gan.with_codes(z.expand(ACROSS, -1), kind, swept)
        sheet[2 + code, :ACROSS] = gan.generator(inputs).reshape(-1, *shape)
    return sheet


@torch.no_grad()
def all_kinds(gan: InfoGAN, z: Tensor, levels: Tensor, shape: tuple[int, int]) -> Tensor:
    """범주마다 한 칸, 입력 z (R, K)마다 한 줄인 그림 (R, classes, H, W). 연속형 부호는 levels로 같습니다."""
    rows = z.repeat_interleave(gan.classes, 0)
    kinds = torch.arange(gan.classes).repeat(len(z))
    return gan.generator(gan.with_codes(rows, kinds, levels)).reshape(len(z), -1, *shape)


def infogan_codes(gan: InfoGAN, shape: tuple[int, int], *, seed: int = 0) -> TriView:
    """InfoGAN의 부호를 움직여 봅니다. 셀의 마지막 줄에 쓰면 나타납니다. 화소는 [0, 1]입니다.

    살아 있는 위젯은 범주, 연속형 부호, 잡음의 슬라이더입니다. 커널이 없는 곳에서는 연속형 부호 하나를 골라 모든
    범주가 함께 변하는 것을 넘겨 봅니다. 학습한 모델의 그림이 HTML에 들어가므로 이 셀에는
    ``nbval-ignore-output`` 꼬리표를 답니다. ``ValueError``: 연속형 부호가 없을 때.
    """
    if gan.continuous < 1:
        raise ValueError("연속형 부호가 하나 이상 있어야 합니다.")
    frozen = copy.deepcopy(gan).eval().requires_grad_(False)
    bank = noise_bank(frozen, seed)
    codes = [f"c{subscript(k + 1)}" for k in range(gan.continuous)]
    width = max(gan.classes, ACROSS)
    stage = GridStage(
        (2 + gan.continuous, width, *shape),
        ["지금", "범주", *(f"$c_{k + 1}$" for k in range(gan.continuous))],
        [""] * width,
        "범주만 바꾼 줄과 연속형 부호 하나만 −1에서 1까지 바꾼 줄",
    )

    def draw(**values) -> bytes:
        z = bank[int(values["잡음"]) - 1]
        levels = torch.tensor([float(values[name]) for name in codes])
        return stage.draw(code_sheet(frozen, z, int(values["범주"]), levels, shape))

    knobs = {"범주": Knob(0, gan.classes - 1, 1, 0)}
    knobs |= {name: Knob(-1.0, 1.0, 0.05, 0.0) for name in codes}
    knobs |= {"잡음": Knob(1, NOISES, 1, 1)}
    live, *_ = controls_view(draw, knobs, max_width="720px")

    rows = bank[:4]
    still = GridStage(
        (len(rows), gan.classes, *shape), ["z1", "z2", "z3", "z4"],
        [str(k) for k in range(gan.classes)], "칸마다 범주, 줄마다 잡음", dpi=80,
    )  # fmt: skip
    ticks = torch.linspace(-1, 1, 2 * ACROSS - 1)
    frames = {}
    for k, name in enumerate(codes):
        frames[name] = []
        for tick in ticks:
            levels = torch.zeros(gan.continuous)
            levels[k] = tick
            frames[name].append(still.draw(all_kinds(frozen, rows, levels, shape), level=9))
    labels = [f"{float(t):+.2f}".replace("-", "−") for t in ticks]
    html = player(
        frames, labels, alt="범주마다 한 칸인 InfoGAN의 그림", start=ACROSS - 1, width=576
    )
    return TriView(live, html, frames[codes[0]][ACROSS - 1], "InfoGAN의 부호")
