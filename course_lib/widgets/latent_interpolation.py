"""두 그림 사이를 잇는 두 길: 잠재 공간 z의 구면 경로와 화소 공간 x의 직선.

z가 D차원 표준정규분포를 따르면 ‖z‖ ≈ √D인 얇은 껍질에 모여 있습니다. 두 점을 직선으로 이으면
가운데에서 껍질을 벗어나 원점 쪽으로 파고들므로, 껍질을 따라가는 구면 보간을 씁니다
(White, 2016, arXiv 1609.04468).
"""

import copy
import threading
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.plots import INK, PALETTE, blank_figure
from course_lib.widgets.frame import Palette, Stage, TriView, player, slider_view

STEPS = 24
STRIP = 9


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """구면 보간. a, b는 (D,), t는 (K,)이고 결과는 (K, D)입니다.

    ω = ∠(a, b)일 때  z(t) = [sin((1 − t) ω) a + sin(t ω) b] / sin ω

    두 벡터가 거의 나란하거나 정반대여서 sin ω ≈ 0이면 직선으로 잇습니다.
    """
    t = t.reshape(-1, 1).to(a.dtype)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    omega = cosine.arccos()
    if omega.sin() < 1e-4:
        return (1 - t) * a + t * b
    return (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin()


def interpolate(
    encode: Callable, decode: Callable, a: Tensor, b: Tensor, steps: int = STEPS
) -> tuple[Tensor, Tensor]:
    """a, b (H, W)를 잇는 두 길의 그림 ((steps+1, H, W), (steps+1, H, W)): z의 길, x의 길.

    ``encode``는 (B, H, W) → z (B, …), ``decode``는 z → (B, H, W)입니다.
    ValueError: 복원한 그림의 모양이 다르거나 NaN이 있을 때.
    """
    t = torch.linspace(0, 1, steps + 1)
    with torch.inference_mode():
        z = encode(torch.stack([a, b]))
        path = spherical(z[0].flatten(), z[1].flatten(), t).reshape(-1, *z.shape[1:])
        by_z = decode(path)
    by_x = torch.lerp(a, b, t.reshape(-1, 1, 1).to(a.dtype))
    if by_z.shape != by_x.shape:
        raise ValueError(
            f"decode의 결과는 {tuple(by_x.shape)}이어야 하는데 {tuple(by_z.shape)}입니다."
        )
    if not by_z.isfinite().all():
        raise ValueError("decode의 결과에 NaN이나 무한대가 있습니다. 모델의 학습을 확인하세요.")
    return by_z, by_x


class PathStage:
    """두 길을 한 그림에 그립니다. 위는 지금의 두 그림, 아래는 길 전체의 필름입니다."""

    def __init__(self, shape: tuple[int, int], limits: tuple[float, float], dpi: float = 110):
        width, height = 6.4, 4.6
        figure = blank_figure(width, height)
        low, high = limits
        self._gap = max(1, shape[1] // 8)
        film = (shape[0], STRIP * (shape[1] + 2 * self._gap))
        style = {"cmap": "gray_r", "vmin": low, "vmax": high, "animated": True}
        self._big, self._films = [], []
        for column, title in enumerate(("z에서: 구면 경로", "x에서: 직선")):
            axis = figure.add_axes([0.07 + 0.47 * column, 0.37, 0.42, 0.5])
            axis.set_title(title, fontsize=12)
            self._big.append(axis.imshow(np.full(shape, low), **style))
            self._bare(axis)
        for row, name in enumerate("zx"):
            bottom = 0.175 - 0.155 * row
            axis = figure.add_axes([0.06, bottom, 0.92, 0.14])
            self._films.append(axis.imshow(np.full(film, low), **style))
            self._bare(axis)
            figure.text(0.03, bottom + 0.07, f"${name}$", fontsize=13, ha="center", va="center")
        overlay = figure.add_axes([0, 0, 1, 1], facecolor="none")
        overlay.set(xlim=(0, 1), ylim=(0, 1))
        self._bare(overlay)
        self._marker = overlay.plot([], [], "v", color=PALETTE["vermillion"], ms=9,
                                    animated=True)[0]  # fmt: skip
        self._text = figure.text(0.5, 0.99, "", fontsize=12, color=INK, ha="center", va="top",
                                 animated=True)  # fmt: skip
        self._stage = Stage(figure, dpi)
        self._stage.palette = Palette.gray_and(PALETTE["vermillion"])
        box = self._films[0].get_window_extent()
        thumbnail = box.width / STRIP
        pixels = self._stage.canvas.get_width_height()[0]
        # 필름 첫 장과 끝 장의 가운데: 표시는 이 사이를 오갑니다.
        self._track = ((box.x0 + thumbnail / 2) / pixels, (box.x1 - thumbnail / 2) / pixels)
        self._paths: list[np.ndarray] = []

    @staticmethod
    def _bare(axis) -> None:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.spines[:].set_visible(False)

    def load(self, by_z: Tensor, by_x: Tensor) -> None:
        """새 두 길 (K, H, W)를 올립니다."""
        with self._stage.lock:
            self._paths = [by_z.numpy(), by_x.numpy()]
            picks = np.linspace(0, len(by_z) - 1, STRIP).round().astype(int)
            sides = ((0, 0), (0, 0), (self._gap, self._gap))
            for film, path in zip(self._films, self._paths, strict=True):
                film.set_data(np.hstack(list(np.pad(path[picks], sides, constant_values=np.nan))))

    def draw(self, t: float, level: int = 1) -> bytes:
        """길 위의 자리 t ∈ [0, 1]의 PNG."""
        with self._stage.lock:
            return self._stage.png(self._pixels(t), level)

    def _pixels(self, t: float) -> np.ndarray:
        t = min(max(t, 0.0), 1.0)
        index = round(t * (len(self._paths[0]) - 1))
        for big, path in zip(self._big, self._paths, strict=True):
            big.set_data(path[index])
        first, last = self._track
        self._marker.set_data([first + t * (last - first)], [0.345])
        self._text.set_text(f"t = {t:.2f}")
        return self._stage.pixels([self._text, *self._big, *self._films, self._marker])


def latent_interpolation(
    encode: Callable,
    decode: Callable,
    images: Mapping[str, Tensor],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
) -> TriView:
    """두 그림을 골라 z의 구면 경로와 x의 직선을 나란히 봅니다. 셀의 마지막 줄에 쓰면 나타납니다.

    encode  (B, H, W) → z (B, …)        decode  z (B, …) → (B, H, W)
    images  ``{이름: (H, W)}``, 둘 이상. 처음 두 그림에서 시작합니다
    limits  (흰색이 될 값, 검은색이 될 값)

    두 함수가 nn.Module이면 얼린 복사본을 씁니다. 함수라면 학습 중인 모델을 직접 붙들지 않게 하세요.
    학습한 모델의 그림이 HTML에 들어가므로 이 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    """
    names = list(images)
    if len(names) < 2:
        raise ValueError("그림이 둘 이상 있어야 사이를 이을 수 있습니다.")
    encode, decode = (
        copy.deepcopy(f).eval().requires_grad_(False) if isinstance(f, nn.Module) else f
        for f in (encode, decode)
    )
    view = InterpolationView(encode, decode, images, limits)
    still = PathStage(images[names[0]].shape, limits, dpi=90)
    still.load(*interpolate(encode, decode, images[names[0]], images[names[1]]))
    frames = [still.draw(k / STEPS, level=9) for k in range(STEPS + 1)]
    labels = [f"{names[0]} → {names[1]}" for _ in frames]
    html = player(frames, labels, alt="두 숫자를 잇는 두 길", start=STEPS // 2, width=576)
    return TriView(view.box, html, frames[STEPS // 2], "잠재 공간 보간")


class InterpolationView:
    """살아 있는 위젯: 시작과 끝 그림의 목록, 슬라이더, 그림."""

    def __init__(self, encode, decode, images: Mapping[str, Tensor], limits):
        import ipywidgets as widgets

        names = list(images)
        self._encode, self._decode, self._images = encode, decode, dict(images)
        self._lock = threading.Lock()
        self._stage = PathStage(images[names[0]].shape, limits)
        style = {"description_width": "auto"}
        layout = widgets.Layout(width="200px")
        self.first = widgets.Dropdown(options=names, value=names[0], description="시작",
                                      style=style, layout=layout)  # fmt: skip
        self.last = widgets.Dropdown(options=names, value=names[1], description="끝",
                                     style=style, layout=layout)  # fmt: skip
        self._load()
        row = widgets.HBox([self.first, self.last], layout=widgets.Layout(flex_flow="row wrap"))
        self.box, self.slider, self.picture, self._redraw = slider_view(
            lambda tick: self._stage.draw(tick / STEPS),
            steps=STEPS, start=STEPS // 2, label="t", extra=[row], max_width="704px",
        )  # fmt: skip
        for menu in (self.first, self.last):
            menu.observe(self._change, "value")

    def _load(self) -> None:
        a, b = self._images[self.first.value], self._images[self.last.value]
        self._stage.load(*interpolate(self._encode, self._decode, a, b))

    def _change(self, _) -> None:
        with self._lock:
            self._load()
            self._redraw()
