"""잠재 공간을 돌아다니는 위젯: 2차원이면 평면을 끌고, 더 높은 차원이면 슬라이더를 움직입니다.

독자가 그린 숫자를 인코더에 넣어 그 자리로 가고, 두 자리를 기억해 둔 다음 그 사이를 이어 볼 수도 있습니다.
"""

import copy
import threading
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor, nn

from course_lib.plots import INK, blank_figure, encode_png
from course_lib.vae.vae import BernoulliPixels, GaussianVAE
from course_lib.widgets.frame import TriView, decoder_player, player
from course_lib.widgets.latent_interpolation import spherical
from course_lib.widgets.pad import Pad

CLASS_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                "#56B4E9", "#22262B", "#8C564B", "#9AA3AF", "#6A3D9A"]  # fmt: skip
REACH = 3.0
PIXELS = 280  # 그림 한 변의 픽셀 수


def freeze(model: GaussianVAE) -> GaussianVAE:
    """위젯이 붙들 얼린 복사본. 셀이 학습을 이어 가도 위젯은 흔들리지 않습니다."""
    return copy.deepcopy(model).eval().requires_grad_(False).float()


def decoded(model: GaussianVAE, z: Sequence[float], shape: tuple[int, int]) -> np.ndarray:
    """p(x|z)의 평균 (H, W). ``ValueError``: 평균이 유한하지 않을 때."""
    with torch.inference_mode():
        image = model.decode(torch.tensor([list(z)], dtype=torch.float32)).mean
    if not image.isfinite().all():
        raise ValueError("디코더의 출력에 NaN이나 무한대가 있습니다. 모델의 학습을 확인하세요.")
    return image.reshape(shape).numpy()


def picture(image: np.ndarray, pixels: int = PIXELS) -> bytes:
    """[0, 1]의 그림 (H, W)를 한 변 ``pixels``의 PNG로. 0은 흰 종이, 1은 검은 잉크입니다."""
    grey = (255 * (1 - image.clip(0, 1))).round().astype(np.uint8)
    scale = max(1, pixels // max(image.shape))
    return encode_png(
        PillowImage.fromarray(grey.repeat(scale, 0).repeat(scale, 1)).convert("RGB"), 32
    )


def encoded(model: GaussianVAE, drawing: Tensor) -> list[float]:
    """그린 그림 (H, W), 0~1을 인코더에 넣은 q(z|x)의 평균 [K].

    Bernoulli 모델이라면 학습할 때와 같은 0과 1이 되도록 0.5에서 자릅니다.
    ``ValueError``: 아무것도 그리지 않았을 때.
    """
    if not drawing.any():
        raise ValueError("화판이 비어 있습니다. 숫자를 먼저 그려 주세요.")
    if isinstance(model.pixels, BernoulliPixels):
        drawing = (drawing > 0.5).float()
    with torch.inference_mode():
        mean = model.encode(drawing.reshape(1, *model.event_shape)).mean[0]
    return [float(value) for value in mean]


def between(a: Sequence[float], b: Sequence[float], t: float) -> list[float]:
    """기억해 둔 두 자리를 잇는 구면 경로의 t ∈ [0, 1]."""
    path = spherical(torch.tensor(list(a)), torch.tensor(list(b)), torch.tensor([t]))
    return path[0].tolist()


def code_map(codes: Tensor | None, labels: Tensor | None, reach: float = REACH) -> bytes:
    """잠재 평면 [−reach, reach]² 위의 부호를 클래스마다 다른 색으로 찍은 PNG. 축과 여백이 없습니다."""
    figure = blank_figure(3.6, 3.6)
    axis = figure.add_axes([0, 0, 1, 1])
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
    for radius in (1, 2):
        angle = np.linspace(0, 2 * np.pi, 100)
        axis.plot(radius * np.cos(angle), radius * np.sin(angle), color=INK, lw=0.6, alpha=0.3)
    if codes is not None:
        kinds = torch.zeros(len(codes), dtype=torch.int64) if labels is None else labels
        for kind in kinds.unique().tolist():
            points, color = codes[kinds == kind], CLASS_COLORS[kind % 10]
            axis.plot(*points.T.numpy(), "o", ms=3.4, mew=0, alpha=0.4, color=color)
            if labels is not None:
                middle = points.median(0).values.tolist()
                axis.text(*middle, str(kind), fontsize=15, fontweight="bold", ha="center",
                          va="center", color=color,
                          bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": color})  # fmt: skip
    canvas = figure.canvas
    figure.set_dpi(100)
    canvas.draw()
    return encode_png(PillowImage.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()), 64)


def browser_decoder(model: GaussianVAE) -> nn.Sequential | None:
    """디코더가 Linear와 간단한 활성화뿐이면 평균을 내는 nn.Sequential, 아니면 None."""
    layers = [m for m in model.decoder.modules() if not list(m.children())]
    if any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in layers):
        return None
    if isinstance(model.pixels, BernoulliPixels):
        return nn.Sequential(*layers, nn.Sigmoid())
    last, dim = layers[-1], model.event_shape.numel()
    if not isinstance(last, nn.Linear):
        return None
    mean = nn.Linear(last.in_features, dim)  # 출력의 앞 절반이 평균입니다
    mean.weight.data, mean.bias.data = last.weight.data[:dim], last.bias.data[:dim]
    return nn.Sequential(*layers[:-1], mean, *([nn.Sigmoid()] if model.pixels.squash else []))


def latent_traversal(
    model: GaussianVAE,
    codes: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    shape: tuple[int, int],
    dims: Sequence[int] | None = None,
) -> TriView:
    """VAE의 잠재 공간 탐색기. 셀의 마지막 줄에 쓰면 나타납니다.

    codes, labels  평면 뒤에 깔 부호 (N, 2)와 클래스 (N,)(K = 2일 때)
    shape          그림의 (H, W)
    dims           슬라이더로 보일 차원의 번호(K > 2일 때). 기본값은 앞에서부터 8개

    살아 있는 위젯: 평면 또는 슬라이더, 숫자를 그려 넣는 화판, 두 자리를 잇는 보간.
    커널이 없는 곳: MLP 디코더는 브라우저에서 그대로 돌고, 합성곱 디코더는 차원마다 −3에서 3까지의 그림을
    넘겨 봅니다. 학습한 가중치가 들어가므로 이 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    """
    frozen = freeze(model)
    dims = list(range(min(8, frozen.latent_dim))) if dims is None else list(dims)
    if any(not 0 <= d < frozen.latent_dim for d in dims):
        raise ValueError(f"dims의 번호는 0에서 {frozen.latent_dim - 1}까지입니다: {dims}")
    view = TraversalView(frozen, codes, labels, shape, dims)
    poster = picture(decoded(frozen, [0.0] * frozen.latent_dim, shape))
    portable = browser_decoder(frozen)
    weights = sum(p.numel() for p in portable.parameters()) if portable is not None else 10**9
    if weights <= 200_000 and frozen.latent_dim == len(dims):
        background = code_map(codes, labels) if frozen.latent_dim == 2 else None
        html = decoder_player(
            portable, shape, poster, start=[0.0] * frozen.latent_dim, background=background,
            alt="잠재 변수를 움직이면 디코더가 그리는 숫자",
        )  # fmt: skip
    else:
        html = _walk_player(frozen, shape, dims)
    return TriView(view.box, html, poster, "잠재 공간 탐색")


def _walk_player(model: GaussianVAE, shape: tuple[int, int], dims: Sequence[int]) -> str:
    """차원 하나씩만 −3에서 3까지 움직인 그림들의 재생기. z = 0에서는 모두 같은 그림이라 +2에서 시작합니다."""
    ticks = np.linspace(-REACH, REACH, 13)
    frames = {}
    for d in dims:
        z = np.zeros((len(ticks), model.latent_dim))
        z[:, d] = ticks
        frames[f"z{d + 1}"] = [picture(decoded(model, row, shape), 196) for row in z]
    labels = [f"{t:+.1f}".replace("-", "−") for t in ticks]
    return player(frames, labels, alt="잠재 차원 하나를 움직인 숫자", start=10, width=240)


class TraversalView:
    """살아 있는 위젯. ``z``를 바꾸는 길은 평면(또는 슬라이더), 그린 숫자, 보간 셋입니다."""

    def __init__(self, model: GaussianVAE, codes, labels, shape, dims):
        import ipywidgets as widgets

        self.model, self.shape = model, shape
        self.dims = [] if model.latent_dim == 2 else list(dims)  # 슬라이더가 맡는 차원
        self.z = [0.0] * model.latent_dim
        # 처음의 두 자리. 독자가 단추로 바꿉니다. 모든 좌표가 ±1.5이고 서로 반대편은 아닙니다.
        signs = range(model.latent_dim)
        self.memory = {
            "A": [1.5 if i % 2 else -1.5 for i in signs],
            "B": [-1.5 if i // 2 % 2 else 1.5 for i in signs],
        }
        self._lock = threading.RLock()
        self._quiet = False
        self.picture = widgets.Image(
            format="png", layout=widgets.Layout(width="280px", max_width="100%")
        )
        self.sliders, self.plane = [], None
        if model.latent_dim == 2:
            self.plane = Pad(
                mode="handles", points=[[0.0, 0.0]], limits=[-REACH, REACH] * 2, width=300,
                background=code_map(codes, labels), label="잠재 평면: 점을 끌어 보세요",
            )  # fmt: skip
            self.plane.observe(self._from_plane, "points")
            steer = self.plane
        else:
            for d in self.dims:
                slider = widgets.FloatSlider(
                    0.0, min=-REACH, max=REACH, step=0.05, description=f"z{d + 1}",
                    layout=widgets.Layout(width="300px", max_width="100%"),
                )  # fmt: skip
                slider.observe(self._from_sliders, "value")
                self.sliders.append(slider)
            steer = widgets.VBox(self.sliders)

        self.drawing = Pad(mode="image", shape=list(shape), width=200, label="숫자를 그려 보세요",
                           brush=max(1.0, shape[0] / 14))  # fmt: skip
        self.message = widgets.Label("")
        row = widgets.Layout(flex_flow="row wrap", align_items="flex-start")
        self.buttons = {
            name: self._button(name, call)
            for name, call in {
                "그린 숫자의 자리로": self._encode,
                "여기를 A로": lambda: self._remember("A"),
                "여기를 B로": lambda: self._remember("B"),
            }.items()
        }
        self.mix = widgets.FloatSlider(
            0.0, min=0.0, max=1.0, step=0.02, description="A → B",
            layout=widgets.Layout(width="300px", max_width="100%"),
        )  # fmt: skip
        self.mix.observe(self._from_mix, "value")
        names = list(self.buttons)
        draw_box = widgets.VBox([self.drawing, self.buttons[names[0]]])
        tools = widgets.HBox([*(self.buttons[n] for n in names[1:]), self.mix], layout=row)
        self.box = widgets.VBox(
            [widgets.HBox([steer, self.picture, draw_box], layout=row), tools, self.message]
        )
        self._redraw()

    def _button(self, name, call):
        import ipywidgets as widgets

        button = widgets.Button(description=name, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: call())
        return button

    def move(self, z: Sequence[float]) -> None:
        """z로 옮기고 평면의 점이나 슬라이더도 맞춥니다(범위를 벗어나면 조작기만 끝에 둡니다)."""
        with self._lock:
            self.z = [float(v) for v in z]
            self._quiet = True
            try:
                clipped = [min(max(v, -REACH), REACH) for v in self.z]
                if self.plane is not None:
                    self.plane.points = [clipped]
                for slider, d in zip(self.sliders, self.dims, strict=True):
                    slider.value = clipped[d]
            finally:
                self._quiet = False
            self._redraw()

    def _redraw(self) -> None:
        with self._lock:
            self.picture.value = picture(decoded(self.model, self.z, self.shape))

    def _from_plane(self, change) -> None:
        if not self._quiet and change["new"]:
            self.z = list(change["new"][0])
            self._redraw()

    def _from_sliders(self, _) -> None:
        if not self._quiet:
            for slider, d in zip(self.sliders, self.dims, strict=True):
                self.z[d] = slider.value
            self._redraw()

    def _encode(self) -> None:
        try:
            self.move(encoded(self.model, self.drawing.image()))
            self.message.value = "그린 숫자를 부호화한 자리입니다."
        except ValueError as error:
            self.message.value = str(error)

    def _remember(self, name: str) -> None:
        self.memory[name] = list(self.z)
        self.message.value = f"{name}를 기억했습니다. A → B를 끌어 보세요."

    def _from_mix(self, change) -> None:
        self.move(between(self.memory["A"], self.memory["B"], change["new"]))
