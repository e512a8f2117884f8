"""텐서를 받아 matplotlib ``Figure``를 돌려주는 순수 함수들. pyplot의 전역 상태는 쓰지 않습니다.

    show(scatter2d({"데이터": x, "표본": model.sample(1000)}))

그림을 그리는 함수는 화면에 아무것도 내보내지 않으므로 다른 스레드(위젯의 콜백)에서 불러도 됩니다.
``show``만 노트북에 PNG를 내보냅니다. 여러 칸짜리 그림은 ``{칸 제목: 값}`` 사전으로 그립니다.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import numpy as np
import torch
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from course_lib.fonts import INK, MUTED, PALETTE, RULE, STYLE, use_course_font

__all__ = [
    "DENSITY", "DIVERGING", "INK", "MODEL_COLORS", "MUTED", "PALETTE", "RULE",
    "bars", "blank_figure", "colour_grid", "curves", "density2d", "density_grid", "heat_map", "histogram",
    "image_grid", "model_color", "new_figure", "png", "scatter2d", "show", "sounds", "tree",
]  # fmt: skip

# 같은 모델은 강의 전체에서 같은 색입니다. 한 그림에서 비교하는 모델끼리는 색이 겹치지 않습니다.
MODEL_COLORS = {
    "데이터": "#3F4650",
    "NICE": PALETTE["orange"],
    "RealNVP": PALETTE["blue"],
    "MAF": PALETTE["green"],
    "IAF": PALETTE["vermillion"],
    "MintNet": PALETTE["purple"],
    "Gaussianization": PALETTE["sky"],
    "PCA": PALETTE["orange"],
    "pPCA": PALETTE["orange"],
    "FA": PALETTE["blue"],
    "GMM": PALETTE["green"],
    "KDE": PALETTE["sky"],
    "AE": PALETTE["vermillion"],
    "VAE": PALETTE["purple"],
    "NADE": PALETTE["orange"],
    "MADE": PALETTE["sky"],
    "PixelRNN": PALETTE["vermillion"],
    "Row LSTM": PALETTE["orange"],
    "Diagonal BiLSTM": PALETTE["sky"],
    "PixelCNN": PALETTE["green"],
    "PixelCNN++": PALETTE["sky"],
    "Gated PixelCNN": PALETTE["purple"],
    "GAN": PALETTE["vermillion"],
    "DCGAN": PALETTE["orange"],
    "WGAN": PALETTE["blue"],
    "WGAN-GP": PALETTE["sky"],
    "SNGAN": PALETTE["green"],
    "WaveNet": PALETTE["green"],
    "Parallel WaveNet": PALETTE["vermillion"],
    "EBM": PALETTE["black"],
}

# 밝기가 한 방향으로만 변하는 색표: 흑백으로 인쇄해도 순서가 남습니다.
DENSITY = LinearSegmentedColormap.from_list(
    "course_density", ["#FFFFFF", "#D6EAF6", "#7CC0E8", "#0072B2", "#06325A", "#021527"]
)
DIVERGING = LinearSegmentedColormap.from_list(
    "course_diverging",
    ["#06325A", "#0072B2", "#BFDDF0", "#FFFFFF", "#F6CFA9", "#D55E00", "#6B2D00"],
)
SCALE = 100  # 1인치를 화면의 몇 CSS 픽셀로 보일지
SHARP = 1.75  # CSS 픽셀 하나에 넣는 그림 픽셀 수: 고해상도 화면과 프로젝터에서 글자가 또렷합니다


def model_color(name: str, index: int = 0) -> str:
    """모델 이름으로 *시작하는* 말("RealNVP 표본")의 색. 처음 보는 이름이면 ``index``번째 색입니다."""
    known = [model for model in MODEL_COLORS if name.startswith(model)]
    if known:
        return MODEL_COLORS[max(known, key=len)]
    return [PALETTE[key] for key in list(PALETTE)[:6]][index % 6]


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = 6.4, height: float = 4.0, **kwargs
) -> tuple[Figure, np.ndarray]:
    """강의의 모습을 갖춘 빈 그림과 축 ``(rows, columns)``. 크기는 인치, 1인치는 100 CSS 픽셀."""
    figure = blank_figure(width, height, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def blank_figure(width: float, height: float, layout: str | None = None) -> Figure:
    """강의의 글꼴을 쓰는 빈 그림."""
    if rcParams["font.family"] != STYLE["font.family"]:
        use_course_font()
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, *, sharp: float = SHARP, budget: int = 80_000) -> bytes:
    """그림의 PNG 바이트. 노트북이 가볍도록 ``budget`` 바이트 아래로 팔레트의 색 수를 줄입니다."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=SCALE * sharp, pil_kwargs={"compress_level": 1})
    image = Image.open(buffer).convert("RGB")
    for colors in (256, 128, 64, 32):
        data = encode_png(image, colors)
        if len(data) <= budget:
            break
    return data


def encode_png(image: Image.Image, colors: int = 256) -> bytes:
    """RGB 그림을 ``colors``색 팔레트 PNG로 바꿉니다."""
    image = image.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def show(figure: Figure, alt: str | None = None) -> None:
    """그림을 노트북에 PNG로 보입니다. ``alt``는 그림을 볼 수 없는 독자에게 읽어 줄 한 문장입니다.

    text/plain을 내보내지 않으므로 출력에 메모리 주소가 남지 않습니다. ``alt``를 쓰지 않으면
    그림 안의 제목을 모아 대신합니다.
    """
    from IPython.display import display

    if alt is None:
        titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
        alt = ", ".join(titles) or "그림"
    width = round(figure.get_size_inches()[0] * SCALE)
    display(
        {"image/png": png(figure)},
        metadata={"image/png": {"alt": alt, "width": width}},
        raw=True,
    )


def scatter2d(
    points: Tensor | Mapping[str, Tensor],
    *,
    labels: Tensor | Mapping[str, Tensor] | None = None,
    limits: tuple[float, float, float, float] | None = None,
    title: str | None = None,
    color: str | None = None,
) -> Figure:
    """2차원 점 ``(N, 2)``의 산점도. 사전을 주면 같은 축 범위의 칸을 나란히 그립니다.

    ``labels`` (N,)는 정수 범주이고 범주마다 색이 다릅니다. (N, K) 실수이면 범주마다의 무게이고 색을 그
    비율로 섞습니다. ``{칸 제목: labels}``로 주면 적힌 칸에만 색을 입힙니다. ``limits``는 (x 최소, x 최대,
    y 최소, y 최대)이고 생략하면 모든 칸의 점이 들어가게 정합니다.
    """
    panels = {name: _array(value) for name, value in _panels(points, title).items()}
    for name, value in panels.items():
        if value.ndim != 2 or value.shape[1] != 2:
            raise ValueError(f"점의 모양은 (N, 2)여야 하는데 {value.shape}을 받았습니다: {name!r}")
    limits = limits or _limits(np.concatenate(list(panels.values())))
    aspect = (limits[3] - limits[2]) / (limits[1] - limits[0])
    figure, axes = _row_of_panels(len(panels), aspect=aspect)
    for index, (axis, (name, value)) in enumerate(zip(axes, panels.items(), strict=True)):
        size = float(np.clip(6000 / max(len(value), 1), 4, 26))
        given = labels.get(name) if isinstance(labels, Mapping) else labels
        if given is None:
            shade = color or model_color(name, index)
        else:
            shade = _class_colors(_array(given))
        axis.scatter(*value.T, s=size, c=shade, alpha=0.65, linewidths=0)
        _square(axis, limits, name)
    return figure


def density_grid(
    log_prob: Callable[[Tensor], Tensor],
    limits: tuple[float, float, float, float],
    resolution: int = 200,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """격자 칸 *중심*에서 잰 밀도 exp(log p). (x (R,), y (R,), 밀도 (R, R))를 돌려주며 행이 y입니다.

    밀도의 합 × 칸 넓이가 1에 가까우면 ``limits`` 안에 확률이 거의 다 들어 있다는 뜻입니다.
    """
    x0, x1, y0, y1 = limits
    x = x0 + (np.arange(resolution) + 0.5) * (x1 - x0) / resolution
    y = y0 + (np.arange(resolution) + 0.5) * (y1 - y0) / resolution
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    with torch.no_grad():
        chunks = torch.as_tensor(grid, dtype=torch.get_default_dtype()).split(8192)
        log_density = torch.cat([log_prob(chunk) for chunk in chunks])
    density = np.exp(_array(log_density).astype(float)).reshape(resolution, resolution)
    return x, y, density


def density2d(
    log_prob: Callable | Mapping[str, Callable],
    limits: tuple[float, float, float, float],
    *,
    points: Tensor | None = None,
    resolution: int = 200,
    title: str | None = None,
) -> Figure:
    """2차원 밀도 그림. ``log_prob``는 (B, 2) → (B,) nats인 함수이거나 그 사전입니다.

    색은 칸마다 최댓값으로 나눈 √밀도입니다. 제곱근을 쓰면 옅은 꼬리도 보입니다.
    """
    panels = _panels(log_prob, title)
    aspect = (limits[3] - limits[2]) / (limits[1] - limits[0])
    figure, axes = _row_of_panels(len(panels), aspect=aspect)
    for axis, (name, function) in zip(axes, panels.items(), strict=True):
        function = getattr(function, "log_prob", function)
        _, _, density = density_grid(function, limits, resolution)
        density = np.nan_to_num(density, nan=0.0, posinf=0.0)
        peak = density.max() or 1.0
        axis.imshow(np.sqrt(density / peak), cmap=DENSITY, origin="lower", extent=limits,
                    vmin=0, vmax=1, interpolation="bilinear", aspect="equal")  # fmt: skip
        if points is not None:
            axis.scatter(*_array(points).T, s=3, c=PALETTE["vermillion"], alpha=0.5, linewidths=0)
        _square(axis, limits, name)
        axis.grid(False)
    return figure


def image_grid(
    images: Tensor | Mapping[str, Tensor],
    *,
    columns: int = 10,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    width: float = 6.4,
) -> Figure:
    """흑백 그림 ``(N, H, W)``를 격자로 보입니다. 0은 흰 종이, 최댓값은 검은 잉크입니다.

    사전을 주면 ``{줄 이름: (N, H, W)}``마다 한 줄씩 그립니다(원본과 복원을 위아래로 비교할 때).
    ``limits``는 (흰색이 될 값, 검은색이 될 값)이고 생략하면 모든 그림의 최솟값과 최댓값입니다.
    """
    rows = _panels(images, None)
    named = isinstance(images, Mapping)
    stacks = []
    for value in rows.values():
        value = _array(value).astype(float)
        if value.ndim == 4 and value.shape[1] == 1:
            value = value[:, 0]
        if value.ndim != 3 or len(value) == 0:
            raise ValueError(f"그림의 모양은 (N, H, W)여야 하는데 {value.shape}을 받았습니다.")
        stacks.append(value)
    low, high = limits or (min(s.min() for s in stacks), max(s.max() for s in stacks))
    columns = max(len(s) for s in stacks) if named else min(columns, len(stacks[0]))
    tall, wide = stacks[0].shape[1:]
    gap = max(1, round(max(tall, wide) / 14))
    lines = [s[i : i + columns] for s in stacks for i in range(0, len(s), columns)]
    canvas = np.full((len(lines) * (tall + gap) - gap, columns * (wide + gap) - gap), np.nan)
    for r, line in enumerate(lines):
        for c, image in enumerate(line):
            top, left = r * (tall + gap), c * (wide + gap)
            canvas[top : top + tall, left : left + wide] = image
    label_space = max(0.8, 0.15 * max(map(len, rows)) + 0.1) if named else 0.0
    height = (width - label_space) * canvas.shape[0] / canvas.shape[1] + (0.4 if title else 0.1)
    figure, axes = new_figure(width=width, height=max(height, 0.7))
    figure.get_layout_engine().set(w_pad=0.08)  # 줄 이름의 첫 글자가 그림 끝에 닿지 않게
    axis = axes[0, 0]
    axis.imshow(canvas, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.set_xticks([])
    if named:
        axis.set_yticks([r * (tall + gap) + tall / 2 for r in range(len(lines))], list(rows))
        axis.tick_params(length=0)
    else:
        axis.set_yticks([])
    if title:
        axis.set_title(title)
    return figure


def curves(
    series: Mapping[str, Sequence[float] | Tensor | tuple],
    *,
    reference: Mapping[str, float] | None = None,
    xlabel: str = "학습 단계",
    ylabel: str = "",
    title: str | None = None,
    log_y: bool = False,
    smooth: int = 1,
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """여러 곡선. 값은 y이거나 (x, y)이고, ``reference``는 ``{이름: y값}``인 점선입니다.

    ``smooth``가 1보다 크면 이동 평균을 진하게, 원래 값을 옅게 그립니다. 범례 대신 곡선 끝에 이름을
    적으면 겹칠 수 있으므로 범례를 그림 위에 둡니다.
    """
    figure, axes = new_figure(height=3.8)
    axis = axes[0, 0]
    for index, (name, value) in enumerate(series.items()):
        x, y = value if isinstance(value, tuple) else (np.arange(len(value)), value)
        x, y = _array(x).astype(float), _array(y).astype(float)
        color = model_color(name, index)
        if smooth > 1 and len(y) > smooth:
            axis.plot(x, y, color=color, alpha=0.25, linewidth=0.8)
            mean = np.convolve(y, np.full(smooth, 1 / smooth), mode="valid")
            x, y = x[smooth - 1 :], mean
        axis.plot(x, y, color=color, label=name)
    for name, level in (reference or {}).items():
        axis.axhline(level, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
        axis.annotate(name, (1, level), (0, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", va="bottom", fontsize=10,
                      bbox={"fc": "white", "alpha": 0.75, "lw": 0, "pad": 1})  # fmt: skip
    if log_y:
        axis.set_yscale("log")
    if ylim:
        axis.set_ylim(ylim)
    axis.margins(x=0.01)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    if len(series) > 1 or title is None:
        figure.legend(loc="outside upper left", ncols=4, handlelength=1.4, columnspacing=1.4)
    if title:
        axis.set_title(title)
    return figure


def bars(
    values: Mapping[str, float],
    *,
    errors: Mapping[str, float] | None = None,
    reference: Mapping[str, float] | None = None,
    xlabel: str = "",
    title: str | None = None,
    digits: int = 2,
) -> Figure:
    """가로 막대. 이름이 길어도 겹치지 않으며 막대 끝에 값을 적습니다. ``errors``는 ± 길이입니다."""
    figure, axes = new_figure(height=0.42 * len(values) + (1.4 if reference else 1.1))
    axis = axes[0, 0]
    names = list(values)
    lengths = np.array([float(values[name]) for name in names])
    error = [float((errors or {}).get(name, 0.0)) for name in names]
    colors = [model_color(name, i) for i, name in enumerate(names)]
    axis.barh(names, lengths, xerr=error if errors else None, color=colors, height=0.62,
              error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 3})  # fmt: skip
    for y, (length, spread) in enumerate(zip(lengths, error, strict=True)):
        end = length + spread if length >= 0 else length - spread
        axis.annotate(f"{length:.{digits}f}".replace("-", "−"), (end, y),
                      (5 if length >= 0 else -5, 0), textcoords="offset points", fontsize=10,
                      va="center", ha="left" if length >= 0 else "right")  # fmt: skip
    for name, level in (reference or {}).items():
        axis.axvline(level, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
        axis.annotate(name, (level, 1), (0, 3), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="center", va="bottom", fontsize=10)  # fmt: skip
    axis.margins(x=0.14)
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(xlabel)
    if title:
        axis.set_title(title)
    return figure


def histogram(
    values: Tensor | Mapping[str, Tensor],
    *,
    curve: Callable[[np.ndarray], np.ndarray] | Mapping[str, Callable] | None = None,
    bins: int = 60,
    limits: tuple[float, float] | None = None,
    xlabel: str = "",
    title: str | None = None,
) -> Figure:
    """넓이가 1인 히스토그램과 밀도 곡선. ``curve``는 (n,) → 밀도 (n,)인 함수이거나 그 사전입니다."""
    groups = {name: _array(value).ravel() for name, value in _panels(values, None).items()}
    figure, axes = new_figure(height=3.6)
    axis = axes[0, 0]
    every = np.concatenate(list(groups.values()))
    low, high = limits or (float(every.min()), float(every.max()))
    for index, (name, value) in enumerate(groups.items()):
        inside = (value >= low) & (value <= high)
        weight = np.full(inside.sum(), bins / (high - low) / len(value))
        axis.hist(value[inside], bins=bins, range=(low, high), weights=weight, alpha=0.45,
                  color=model_color(name, index), label=name or "표본", linewidth=0)  # fmt: skip
    functions = curve if isinstance(curve, Mapping) else {"밀도": curve} if curve else {}
    x = np.linspace(low, high, 400)
    for index, (name, function) in enumerate(functions.items()):
        axis.plot(x, _array(function(x)), color=[INK, PALETTE["vermillion"]][index % 2], label=name)
    axis.set_xlim(low, high)
    axis.set_xlabel(xlabel)
    axis.set_ylabel("밀도")
    figure.legend(loc="outside upper left", ncols=4, handlelength=1.4, columnspacing=1.4)
    if title:
        axis.set_title(title)
    return figure


def heat_map(
    matrix: Tensor | Mapping[str, Tensor],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
    limit: float | None = None,
) -> Figure:
    """행렬의 색지도. 참·거짓 행렬(야코비안의 0이 아닌 자리)은 두 색, 실수는 0을 가운데 둔 두 갈래 색.

    사전을 주면 나란히 그립니다. ``limit``은 색의 끝에 해당하는 절댓값입니다.
    """
    panels = {name: _array(value) for name, value in _panels(matrix, title).items()}
    figure, axes = _row_of_panels(len(panels), 0.6)
    binary = all(value.dtype == bool for value in panels.values())
    peak = limit or max(float(np.abs(value).max()) for value in panels.values()) or 1.0
    signed = any((value < 0).any() for value in panels.values() if value.dtype != bool)
    for axis, (name, value) in zip(axes, panels.items(), strict=True):
        if value.ndim != 2:
            raise ValueError(f"행렬의 모양은 (행, 열)이어야 하는데 {value.shape}을 받았습니다.")
        low = -peak if signed and not binary else 0
        image = axis.imshow(value.astype(float), cmap=DIVERGING if signed else DENSITY,
                            vmin=low, vmax=1.6 if binary else peak, interpolation="nearest")  # fmt: skip
        rows, columns = value.shape
        if max(rows, columns) <= 24:
            axis.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
            axis.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
            axis.grid(which="minor", color="white", linewidth=1.2)
            axis.tick_params(which="minor", length=0)
        for side, count in ((axis.xaxis, columns), (axis.yaxis, rows)):
            side.set_ticks(range(0, count, max(1, -(-count // 8))))
            side.set_major_formatter(lambda k, _: f"{int(k) + 1}")
        axis.grid(which="major", visible=False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.set_xlabel(xlabel)
        axis.set_title(name)
    axes[0].set_ylabel(ylabel)
    if not binary:
        bar = figure.colorbar(image, ax=list(axes), shrink=0.8, aspect=24, pad=0.02)
        bar.outline.set_visible(False)
    return figure


SOUND_CELL = (1.9, 1.9)  # 소리 카드 하나의 크기, 인치
SOUND_SPAN = (0.17, 0.97)  # 카드 안에서 시간 축이 차지하는 곳


def sounds(signals: Mapping[str, Tensor], *, rate: int = 8000, columns: int = 4) -> Figure:
    """``{이름: 파형 (T,)}``마다 위에 파형, 아래에 스펙트로그램(가장 큰 칸에서 −60 dB까지)을 그립니다.

    카드의 크기가 모두 같으므로 ``widgets.audio_player``가 그림 한 장을 잘라 씁니다.
    """
    from course_lib.audio import decibels, stft_magnitude

    columns = min(columns, len(signals))
    rows = -(-len(signals) // columns)
    figure = blank_figure(SOUND_CELL[0] * columns, SOUND_CELL[1] * rows)
    left, right = SOUND_SPAN
    for i, (name, x) in enumerate(signals.items()):
        x = torch.as_tensor(_array(x)).float()
        seconds, row, column = len(x) / rate, i // columns, i % columns
        boxes = {}
        for kind, (bottom, height) in {"wave": (0.66, 0.2), "picture": (0.15, 0.48)}.items():
            place = ((column + left) / columns, 1 - (row + 1 - bottom) / rows)
            size = ((right - left) / columns, height / rows)
            boxes[kind] = figure.add_axes((*place, *size))
        wave, picture = boxes["wave"], boxes["picture"]
        wave.plot(np.arange(len(x)) / rate, _array(x), color=INK, linewidth=0.5)
        wave.set(xlim=(0, seconds), ylim=(-1.05, 1.05), xticks=[], yticks=[])
        wave.set_title(name, fontsize=9, pad=2)
        wave.spines[:].set_visible(False)
        level = decibels(stft_magnitude(x), -60.0)
        picture.imshow(_array(level), origin="lower", aspect="auto", cmap=DENSITY, vmin=-60, vmax=0,
                       extent=(0, seconds, 0, rate / 2000), interpolation="nearest")  # fmt: skip
        picture.grid(False)
        picture.set_xticks([0, seconds], ["0", f"{seconds:.2g}초"], fontsize=8)
        for label, side in zip(picture.get_xticklabels(), ("left", "right"), strict=True):
            label.set_horizontalalignment(side)
        picture.set_yticks([0, rate / 2000], ["0", f"{rate / 2000:g}k"], fontsize=8)
        picture.tick_params(length=2, pad=1)
    return figure


def colour_grid(
    rows: Mapping[str, Tensor],
    *,
    captions: Sequence[str] | None = None,
    title: str | None = None,
    width: float = 7.2,
) -> Figure:
    """색 그림 ``{줄 이름: (N, 3, H, W)}``, 값 [−1, 1]을 한 줄씩 보입니다. 채널이 하나면 흑백입니다.

    ``captions``는 칸(열)마다의 글로, 맨 위에 적습니다.
    """
    stacks = {name: _array(value).astype(float) for name, value in rows.items()}
    for name, value in stacks.items():
        if value.ndim != 4 or value.shape[1] not in (1, 3) or len(value) == 0:
            raise ValueError(
                f"그림의 모양은 (N, 1이나 3, H, W)여야 하는데 {name}은 {value.shape}입니다."
            )
    tall, wide = next(iter(stacks.values())).shape[2:]
    columns, gap = max(map(len, stacks.values())), max(1, round(tall / 14))
    canvas = np.ones((len(stacks) * (tall + gap) - gap, columns * (wide + gap) - gap, 3))
    for r, value in enumerate(stacks.values()):
        for c, image in enumerate(np.clip((value + 1) / 2, 0, 1)):
            top, left = r * (tall + gap), c * (wide + gap)
            canvas[top : top + tall, left : left + wide] = image.transpose(1, 2, 0)
    height = (width - 1.1) * canvas.shape[0] / canvas.shape[1]
    figure, axes = new_figure(
        width=width, height=height + (0.4 if title else 0.1) + 0.5 * bool(captions)
    )
    axis = axes[0, 0]
    axis.imshow(canvas, interpolation="nearest")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.set_yticks([r * (tall + gap) + tall / 2 for r in range(len(stacks))], list(stacks))
    axis.set_xticks([])
    if captions:
        axis.set_xticks(
            [c * (wide + gap) + wide / 2 for c in range(len(captions))], captions, fontsize=9
        )
        axis.xaxis.tick_top()
    if title:
        axis.set_title(title)
    return figure


def tree(branches: Mapping, *, root: str, width: float = 9.0) -> Figure:
    """왼쪽에서 오른쪽으로 자라는 나무 그림. ``{가지: {가지: [잎, …]}}`` 꼴의 사전을 그립니다."""
    leaves: list[float] = []
    lines, labels = [], []

    def place(node, name: str, depth: int) -> float:
        children = (
            node.items() if isinstance(node, Mapping) else [(leaf, None) for leaf in node or ()]
        )
        ys = [place(child, label, depth + 1) for label, child in children]
        if not ys:
            leaves.append(-1.0 * len(leaves))
        y = sum(ys) / len(ys) if ys else leaves[-1]
        lines.extend(((depth, y), (depth + 1, child_y)) for child_y in ys)
        labels.append((depth, y, name))
        return y

    place(branches, root, 0)
    figure, axes = new_figure(width=width, height=0.36 * len(leaves) + 0.3)
    axis = axes[0, 0]
    for (x0, y0), (x1, y1) in lines:
        t = np.linspace(0, 1, 30)
        axis.plot(x0 + (x1 - x0) * t, y0 + (y1 - y0) * (3 * t**2 - 2 * t**3), color=RULE, zorder=1)
    colors = [PALETTE[key] for key in ("black", "blue", "vermillion", "green")]
    for depth, y, name in labels:
        color = colors[min(depth, 3)]
        axis.text(depth, y, name, ha="left" if depth else "center", va="center", color="white",
                  fontsize=10, bbox={"boxstyle": "round,pad=0.35", "fc": color, "lw": 0})  # fmt: skip
    axis.set(xlim=(-0.35, max(x for x, _, _ in labels) + 0.9), ylim=(min(leaves) - 0.7, 0.7))
    axis.set_axis_off()
    return figure


def _class_colors(labels: np.ndarray) -> np.ndarray:
    """범주 (N,) 또는 무게 (N, K) → RGB (N, 3). 무게는 색을 그 비율로 섞습니다."""
    order = ("blue", "vermillion", "green", "purple", "orange", "sky", "black", "yellow")
    colors = np.array([to_rgb(PALETTE[key]) for key in order])
    if labels.ndim == 1:
        return colors[labels.astype(int) % len(colors)]
    every = colors[np.arange(labels.shape[1]) % len(colors)]
    return np.clip(labels / labels.sum(1, keepdims=True) @ every, 0, 1)


def _panels(value, title) -> dict:
    """값 하나를 ``{제목: 값}``으로 맞춥니다."""
    return dict(value) if isinstance(value, Mapping) else {title or "": value}


def _array(value) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def _row_of_panels(
    count: int, label_space: float = 0.35, aspect: float = 1.0
) -> tuple[Figure, np.ndarray]:
    """칸 ``count``개를 한 줄에 셋까지 놓습니다. ``aspect``는 칸 하나의 높이/너비입니다."""
    columns = min(count, 3)
    rows = -(-count // columns)
    width = {1: 4.6, 2: 7.2, 3: 9.0}[columns]
    side = width / columns
    figure, axes = new_figure(
        rows, columns, width=width, height=rows * (side * aspect + label_space)
    )
    for axis in axes.ravel()[count:]:
        axis.set_visible(False)
    return figure, axes.ravel()[:count]


def _limits(points: np.ndarray) -> tuple[float, float, float, float]:
    """점이 모두 들어가는 정사각형 범위."""
    points = points[np.isfinite(points).all(1)]
    if len(points) == 0:
        return (-1.0, 1.0, -1.0, 1.0)
    low, high = points.min(0), points.max(0)
    center, half = (low + high) / 2, max(float((high - low).max()) / 2 * 1.08, 1e-3)
    return tuple(float(v) for c in center for v in (c - half, c + half))


def _square(axis: Axes, limits, title: str) -> None:
    axis.set(xlim=limits[:2], ylim=limits[2:], aspect="equal")
    axis.set_title(title)
    axis.locator_params(nbins=5)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
