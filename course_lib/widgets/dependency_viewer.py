"""화소의 순서와 의존성: 화소를 누르면 모델이 그 화소를 그릴 때 무엇을 보는지 칠합니다.

볼 수 있는 것은 래스터 순서에서 앞선 화소입니다. 정말 보는 것은 기울기로 잽니다: 화소 i의 로짓을 화소 j로 미분한
값이 0이 아니면 i는 j를 봅니다. 앞선 화소인데 0이면 못 보는 화소(맹점), 뒤의 화소인데 0이 아니면 누출입니다.
"""

import base64
import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from course_lib.autoregressive.pixels import PixelModel
from course_lib.plots import DENSITY, MUTED, PALETTE, blank_figure, encode_png
from course_lib.widgets.frame import TriView, self_contained

MAX_PIXELS = 256
HIDDEN, BLIND, LEAK = "#E6E8EB", "#FBE3D3", "#B00020"
Function = Callable[[Tensor], Tensor]


def outputs(model: PixelModel | Function, y: Tensor | None = None) -> Function:
    """모델을 (B, C, H, W) → (B, C, H, W)인 함수로. 로짓은 값마다 다른 계수를 곱해 더합니다.

    원본이 학습을 이어 가도 흔들리지 않도록 float64 복사본을 씁니다. 함수를 주면 그대로 돌려줍니다.
    """
    if not isinstance(model, PixelModel):
        return model
    frozen = copy.deepcopy(model).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)

    def mixed(x: Tensor) -> Tensor:
        logits = frozen.logits(x, None if y is None else y.expand(len(x)))
        weight = torch.randn(logits.shape[1], generator=generator.manual_seed(0), dtype=x.dtype)
        return torch.einsum("bl...,l->b...", logits, weight)

    return mixed


def influence(function: Function, points: Tensor) -> Tensor:
    """화소 i의 출력을 화소 j로 미분한 값의 크기, (n, n), n = HW. ``points`` (N, C, H, W)에서 평균합니다.

    채널이 여럿이면 화소마다 더합니다. 그림 하나를 n장 복사해 i째 복사본에서는 i째 출력만 미분하므로 역전파 한
    번으로 n개 화소가 모두 끝납니다.
    """
    channels, height, width = points.shape[1:]
    n = height * width
    total = torch.zeros(n, n, dtype=torch.float64)
    for point in points.double():
        x = point.expand(n, -1, -1, -1).clone().requires_grad_()
        out = function(x)
        if out.shape != x.shape:
            raise ValueError(
                f"함수는 {tuple(x.shape)}을 받아 같은 모양을 돌려주어야 하는데 {tuple(out.shape)}입니다."
            )
        every = out.flatten(2).sum(1).diagonal().sum()
        total += torch.autograd.grad(every, x)[0].abs().sum(1).flatten(1)
    return total / len(points)


def levels(table: Tensor) -> np.ndarray:
    """영향의 크기를 0–255로, uint8 (n, n). 정확히 0인 것만 0입니다. 줄마다 가장 큰 것이 255입니다.

    기울기는 거리에 따라 몇 자릿수씩 작아지므로 0.3제곱으로 눌러 약한 것도 보이게 합니다.
    """
    relative = (table / table.amax(1, keepdim=True).clamp(min=1e-300)) ** 0.3
    return torch.where(table > 0, (255 * relative).round().clamp(1, 255), 0).to(torch.uint8).numpy()


def kinds(row: np.ndarray, index: int) -> list[str]:
    """화소 ``index``에서 본 화소마다의 처지: seen, blind, self, future, leak."""
    names = []
    for j, level in enumerate(row):
        if j < index:
            names.append("seen" if level else "blind")
        elif level:
            names.append("leak")
        else:
            names.append("self" if j == index else "future")
    return names


def poster(tables: Mapping[str, np.ndarray], shape: tuple[int, int], index: int) -> bytes:
    """화소 ``index``를 골랐을 때의 그림 한 장, PNG."""
    height, width = shape
    columns = max(len(tables), 2)
    figure = blank_figure(2.5 * columns, 2.5 * height / width + 0.7)
    for axis, (name, table) in zip(
        figure.subplots(1, columns, squeeze=False)[0], tables.items(), strict=False
    ):
        names = kinds(table[index], index)
        image = np.ones((height, width, 3))
        for j, kind in enumerate(names):
            flat = {"future": HIDDEN, "blind": BLIND, "leak": LEAK, "self": "#FFFFFF"}
            level = 0.15 + 0.75 * float(table[index, j]) / 255
            color = flat[kind] if kind in flat else DENSITY(level)
            image[j // width, j % width] = _rgb(color)
            if kind == "blind":
                axis.plot(j % width, j // width, "x", color=PALETTE["vermillion"], ms=7, mew=1.6)
        axis.imshow(image, interpolation="nearest")
        axis.plot(index % width, index // width, "s", ms=11, mfc="none", mew=2.4,
                  mec=PALETTE["vermillion"])  # fmt: skip
        axis.set_title(name, fontsize=11)
        axis.set_xlabel(f"봄 {names.count('seen')} · 못 봄 {names.count('blind')}", color=MUTED)
    for axis in figure.axes:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.set_visible(bool(axis.get_title()))
    figure.set_dpi(100)
    figure.subplots_adjust(0.02, 0.14, 0.98, 0.86, 0.08)
    figure.canvas.draw()
    from PIL import Image

    return encode_png(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()), 64)


def _rgb(color) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def dependency_viewer(
    models: Mapping[str, PixelModel | Function],
    shape: tuple[int, int, int],
    *,
    y: Tensor | None = None,
    points: int = 3,
    start: int | None = None,
) -> TriView:
    """화소 의존성 보기. 셀의 마지막 줄에 쓰면 나타납니다. 화소를 누르거나, 방향키나 순서 막대로 고릅니다.

    models  {이름: PixelModel이나 (B, C, H, W) → (B, C, H, W)인 float64 함수}
    shape   그림의 모양 (C, H, W), HW는 256 이하
    y       클래스 조건 모델에 줄 조건 (1,)
    points  기울기를 잴 무작위 그림의 수. ReLU가 우연히 꺼진 자리를 메웁니다
    start   처음 고른 화소의 래스터 순번. 기본값은 셋째 줄 안쪽

    미리 다 계산해 두므로 커널 없이도 똑같이 움직입니다. 학습한 모델을 넣으면 값이 기계마다 조금 다르므로 셀에
    ``nbval-ignore-output`` 꼬리표를 답니다.
    ``ValueError``: 모델이 없거나, 그림이 크거나, 모델과 그림의 모양이 다르거나, 기울기가 유한하지 않을 때.
    """
    channels, height, width = shape
    n = height * width
    if not models or n > MAX_PIXELS:
        raise ValueError(
            f"모델은 하나 이상, 그림은 {MAX_PIXELS}화소까지인데 모델 {len(models)}개, {n}화소를 받았습니다. "
            "더 작은 그림으로 모델을 만드세요."
        )
    if start is None:
        start = min(2, height - 1) * width + width // 3
    if not 0 <= start < n:
        raise ValueError(f"start는 0에서 {n - 1}까지인데 {start}을 받았습니다.")
    generator, tables = torch.Generator().manual_seed(0), {}
    for name, model in models.items():
        if isinstance(model, PixelModel) and model.event_shape != torch.Size(shape):
            raise ValueError(
                f"{name}의 그림은 {tuple(model.event_shape)}인데 shape는 {shape}입니다."
            )
        top = model.levels if isinstance(model, PixelModel) else 2
        images = torch.randint(top, (points, *shape), generator=generator).double()
        table = influence(outputs(model, y), images)
        if not table.isfinite().all():
            raise ValueError(f"{name}의 기울기에 NaN이나 무한대가 있습니다.")
        tables[name] = levels(table)
    data = {
        "names": list(tables),
        "shape": [height, width],
        "levels": [base64.b64encode(t.tobytes()).decode() for t in tables.values()],
        "start": start,
        "duration": 60 * n,
    }
    picture = poster(tables, (height, width), start)
    html = self_contained(
        "dependency_player.js", data, picture, "고른 화소가 보는 화소와 보지 못하는 화소"
    )
    return TriView(None, html, picture, "화소 의존성 보기")
