"""모든 위젯이 함께 쓰는 틀: 빠른 그림(Stage), 재생기(player, decoder_player), 세 모습(TriView)."""

import base64
import hashlib
import html as html_lib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image


class Stage:
    """축과 눈금은 한 번만 그려 두고 움직이는 부분만 다시 그리는 Agg 그림.

    전체를 다시 그리면 70 ms쯤 걸리는 그림이 10 ms 안팎에 끝납니다. pyplot을 쓰지 않고 자물쇠로
    감싸므로 셀이 도는 동안 다른 스레드의 콜백이 불러도 안전합니다.

    figure   배경이 될 그림. 움직이는 artist는 animated=True로 만들어 둡니다.
    dpi      1인치의 픽셀 수
    """

    def __init__(self, figure: Figure, dpi: float):
        figure.set_dpi(dpi)
        self.lock = threading.RLock()
        self.canvas = FigureCanvasAgg(figure)
        self.canvas.draw()
        figure.set_layout_engine("none")
        self._background = self.canvas.copy_from_bbox(figure.bbox)
        self.palette: Palette | None = None  # ``png``보다 먼저 정해 둡니다

    def pixels(self, artists: Sequence[Artist]) -> np.ndarray:
        """배경 위에 ``artists``를 차례로 그린 RGBA 픽셀 (H, W, 4), uint8."""
        with self.lock:
            self.canvas.restore_region(self._background)
            renderer = self.canvas.get_renderer()
            for artist in artists:
                artist.draw(renderer)
            return np.array(self.canvas.buffer_rgba())

    def png(self, pixels: np.ndarray, level: int = 1) -> bytes:
        """팔레트로 줄인 PNG 바이트. ``level``은 압축 세기(0~9)입니다."""
        with self.lock:
            return self.palette.png(pixels, level)


class Palette:
    """RGBA 픽셀을 정해 둔 색 가운데 가장 가까운 색의 번호로 바꿉니다.

    색은 채널마다 6비트로 묶어 표에서 찾습니다. 표는 처음 만난 색만 그때 채우므로 준비 시간이
    없고, 두 번째 그림부터는 찾기만 합니다. 흰 바탕은 정확히 흰색으로 남습니다.
    """

    def __init__(self, colors: np.ndarray):
        self.colors = np.asarray(colors, dtype=np.int32).reshape(-1, 3)
        self.colors[np.abs(self.colors - 255).sum(1).argmin()] = 255
        self._table = np.full(1 << 18, -1, dtype=np.int16)

    @classmethod
    def learn(cls, frames: Sequence[np.ndarray], colors: int = 256) -> "Palette":
        """대표 그림 몇 장에서 ``colors``색을 고릅니다."""
        image = Image.fromarray(np.concatenate(frames)[..., :3])
        image = image.quantize(colors, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        return cls(np.array(image.getpalette()))

    @classmethod
    def ramps(cls, *ends: str, steps: int = 24) -> "Palette":
        """흰색에서 각 색까지의 단계들."""
        rows = [np.linspace(255, 255 * np.array(to_rgb(end)), steps) for end in ends]
        return cls(np.concatenate(rows).round())

    @classmethod
    def gray_and(cls, accent: str, steps: int = 40) -> "Palette":
        """흑백 ``steps``단계와 강조색 하나(가장자리를 부드럽게 할 옅은 단계 포함)."""
        gray = np.repeat(np.linspace(0, 255, steps)[:, None], 3, 1)
        share = np.linspace(0.35, 1, 5)[:, None]
        return cls(
            np.concatenate([gray, 255 * (1 - share + share * np.array(to_rgb(accent)))]).round()
        )

    def indices(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 4) → 색 번호 (H, W), uint8."""
        word = np.ascontiguousarray(pixels).view("<u4")[..., 0]
        code = (word >> 2) & 0x3F
        for shift, mask in ((4, 0xFC0), (6, 0x3F000)):
            part = word >> shift
            part &= mask
            code |= part
        index = self._table[code]
        if index.min() < 0:
            new, where = np.unique(code[index < 0], return_index=True)
            seen = pixels[index < 0][where, :3].astype(np.int32)
            for first in range(0, len(new), 4096):
                gap = seen[first : first + 4096, None] - self.colors
                self._table[new[first : first + 4096]] = (gap**2).sum(-1).argmin(1)
            index = self._table[code]
        return index.astype(np.uint8)

    def png(self, pixels: np.ndarray, level: int = 1) -> bytes:
        index = self.indices(pixels)
        image = Image.frombytes("P", (index.shape[1], index.shape[0]), index.tobytes())
        image.putpalette(self.colors.astype(np.uint8).tobytes())
        buffer = BytesIO()
        image.save(buffer, "png", compress_level=level, optimize=level == 9)
        return buffer.getvalue()


def self_contained(script: str, data: Mapping, poster: bytes, alt: str, width: int = 780) -> str:
    """스크립트 파일 하나와 자료를 담은 HTML 조각. 네트워크도 커널도 쓰지 않습니다.

    스크립트가 지워지는 곳(신뢰하지 않은 노트북, GitHub)에는 ``poster`` 그림만 남습니다. 조작기는
    스크립트가 만들기 때문에 움직이지 않는 슬라이더가 보이는 일이 없습니다. 이름표는 내용의 해시라서
    다시 실행해도 같고, 같은 재생기가 한 쪽에 두 번 있어도 저마다 자기 자리를 찾습니다.
    """
    here = Path(__file__).parent
    code = (here / "player.js").read_text("utf-8") + (here / script).read_text("utf-8")
    payload = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    picture = base64.b64encode(poster).decode()
    key = hashlib.sha256((code + payload + picture).encode()).hexdigest()[:16]
    return (
        f'<div data-course-player="{key}" data-lm-suppress-shortcuts="true" '
        f'style="max-width:{width}px;margin:0 auto 8px 0">'
        f'<img src="data:image/png;base64,{picture}" alt="{html_lib.escape(alt)}" '
        f'style="max-width:100%;height:auto;display:block"></div>\n'
        f"<script>(function () {{\n{code}\nconst data = {payload};\n"
        f"const fresh = '[data-course-player=\"{key}\"]:not([data-ready])';\n"
        "let roots = [...document.querySelectorAll(fresh)];\n"
        "const me = document.currentScript;\n"
        "if (!roots.length && me && me.parentNode) roots = [...me.parentNode.querySelectorAll(fresh)];\n"
        "for (const root of roots) { root.setAttribute('data-ready', ''); courseSetup(root, data); }\n"
        "})();</script>"
    )


def player(
    frames: Sequence[bytes] | Mapping[str, Sequence[bytes]],
    labels: Sequence[str],
    *,
    alt: str,
    start: int = 0,
    seconds: float = 4.0,
    width: int = 640,
    budget: int = 300_000,
) -> str:
    """미리 그린 PNG들을 넘겨 보는 재생기 HTML: 슬라이더, 재생·멈춤, 설명 한 줄.

    ``frames``는 PNG 바이트의 목록이거나 ``{이름: 목록}``입니다(이름을 고르는 목록이 생깁니다).
    ``labels``는 장마다의 설명, ``seconds``는 처음부터 끝까지 재생하는 시간입니다.
    ``budget``은 HTML의 최대 바이트 수이며 넘으면 ``ValueError``를 냅니다.

    같은 입력이면 같은 HTML이 나옵니다. 다만 학습한 모델이 그린 PNG는 컴퓨터마다 몇 픽셀이 다를 수
    있으므로, 그런 셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    """
    groups = dict(frames) if isinstance(frames, Mapping) else {"": frames}
    for name, group in groups.items():
        if len(group) != len(labels) or not labels:
            raise ValueError(
                f"그림 {len(group)}장에 설명이 {len(labels)}개입니다. 수를 맞추세요: {name!r}"
            )
    encoded = [[base64.b64encode(frame).decode() for frame in group] for group in groups.values()]
    poster = next(iter(groups.values()))[start]
    encoded[0][start] = ""  # 첫 화면 그림은 img 요소에 이미 있습니다.
    data = {
        "names": list(groups),
        "groups": [{"labels": list(labels), "frames": group} for group in encoded],
        "start": start,
        "duration": 1000 * seconds,
    }
    html = self_contained("frame_player.js", data, poster, alt, width)
    if len(html) > budget:
        raise ValueError(
            f"재생기가 {len(html) // 1000} kB라서 한도 {budget // 1000} kB를 넘습니다. "
            "장수나 그림 크기, 색의 수를 줄이세요."
        )
    return html


class TriView:
    """한 출력에 담는 세 모습: 살아 있는 위젯, 커널 없이 움직이는 HTML, 그림 한 장.

    live  ipywidgets 위젯(없으면 None)     html  self_contained 등이 만든 HTML
    png   그림 바이트                       name  text/plain에 남길 이름

    노트북을 보여 주는 프로그램이 자기가 할 수 있는 가장 나은 모습을 고릅니다. JupyterLab은 위젯,
    nbconvert HTML과 슬라이드는 재생기, 스크립트를 지우는 곳은 그림입니다. text/plain은 늘 같은
    글이므로 출력 비교를 방해하지 않습니다.
    """

    def __init__(self, live, html: str, png: bytes, name: str):
        self.live, self.html, self.png, self.name = live, html, png, name

    def __repr__(self) -> str:
        return f"<위젯: {self.name}>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        bundle = {
            "text/plain": repr(self),
            "text/html": self.html,
            "image/png": base64.b64encode(self.png).decode(),
        }
        if self.live is not None:
            live = self.live._repr_mimebundle_()
            live = live[0] if isinstance(live, tuple) else live
            key = "application/vnd.jupyter.widget-view+json"
            bundle[key] = live[key]
        return bundle


class DrawAhead:
    """``draw(눈금) → PNG``의 결과를 기억하고, 방금 움직인 쪽의 다음 눈금을 미리 그려 둡니다.

    슬라이더를 끌거나 재생할 때 다음 눈금은 거의 늘 이웃이므로, 그림을 보낸 뒤 쉬는 시간에 그려 두면
    다음 움직임에서는 보내기만 하면 됩니다. 미리 그리는 스레드는 하나뿐이고, 막 보낸 그림의 전송을
    방해하지 않도록 잠깐 기다린 뒤 시작합니다.
    """

    PAUSE, KEEP = 0.02, 64

    def __init__(self, draw: Callable[[int], bytes], steps: int):
        self._draw, self._steps = draw, steps
        self._lock = threading.Lock()
        self._ready: dict[int, bytes] = {}
        self._version = self._last = 0
        self._pool: ThreadPoolExecutor | None = None

    def forget(self, steps: int | None = None) -> None:
        """그릴 대상이 바뀌었을 때 기억한 그림을 버립니다."""
        with self._lock:
            self._ready.clear()
            self._version += 1
            self._steps = self._steps if steps is None else steps

    def __call__(self, tick: int) -> bytes:
        picture = self._get(tick)
        following = tick + (1 if tick >= self._last else -1)
        self._last = tick
        if 0 <= following <= self._steps:
            self._pool = self._pool or ThreadPoolExecutor(1, "draw-ahead")
            self._pool.submit(self._prepare, tick, following)
        return picture

    def _prepare(self, tick: int, following: int) -> None:
        time.sleep(self.PAUSE)
        if self._last == tick:  # 그 사이에 더 움직였다면 이 눈금은 이미 지나갔습니다
            import torch

            with torch.inference_mode():
                self._get(following)

    def _get(self, tick: int) -> bytes:
        with self._lock:
            if tick in self._ready:
                return self._ready[tick]
            version = self._version
        picture = self._draw(tick)
        with self._lock:
            if version == self._version:
                if len(self._ready) >= self.KEEP:
                    self._ready.pop(next(iter(self._ready)))
                self._ready[tick] = picture
        return picture


def slider_view(
    draw: Callable[[int], bytes],
    *,
    steps: int,
    start: int = 0,
    label: str = "단계 t",
    interval: int = 60,
    max_width: str = "780px",
    extra: Sequence = (),
):
    """슬라이더와 재생 단추를 순수 함수 ``draw(눈금) → PNG``에 잇는 위젯.

    돌려주는 값은 (VBox, 슬라이더, 그림, 다시 그리기 함수)입니다. ``extra``는 그림 위에 놓을
    조작기입니다. 그릴 대상이 바뀌면(모델을 골랐을 때) 다시 그리기 함수를 부릅니다.
    """
    import ipywidgets as widgets
    import torch

    play = widgets.Play(min=0, max=steps, value=start, interval=interval, show_repeat=False)
    slider = widgets.IntSlider(start, 0, steps, description=label, readout=False,
                               layout=widgets.Layout(flex="1 1 auto", width="auto"))  # fmt: skip
    slider.style.description_width = "auto"
    widgets.jslink((play, "value"), (slider, "value"))
    picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width=max_width))

    ahead = DrawAhead(draw, steps)

    def move(change) -> None:
        with torch.inference_mode():
            picture.value = ahead(change["new"])

    def redraw() -> None:
        ahead.forget(slider.max)
        with torch.inference_mode():
            picture.value = draw(slider.value)

    slider.observe(move, "value")
    redraw()
    bar = widgets.HBox([play, slider], layout=widgets.Layout(width="100%", max_width=max_width))
    box = widgets.VBox([*extra, picture, bar], layout=widgets.Layout(width="100%"))
    return box, slider, picture, redraw


def still(picture: bytes, alt: str, note: str = "") -> str:
    """그림 한 장과 안내 한 줄의 HTML: 커널 없이는 할 수 있는 일이 없는 위젯의 대역."""
    encoded = base64.b64encode(picture).decode()
    return (
        f'<img src="data:image/png;base64,{encoded}" alt="{html_lib.escape(alt)}" '
        f'style="max-width:min(100%,420px);height:auto;display:block"><p>{html_lib.escape(note)}</p>'
    )


ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "SiLU": "silu"}


def decoder_player(
    decoder,
    shape: tuple[int, int],
    poster: bytes,
    *,
    start: Sequence[float],
    value_range: tuple[float, float] = (-3.0, 3.0),
    limits: tuple[float, float] = (0.0, 1.0),
    names: Sequence[str] | None = None,
    presets: Mapping[str, Sequence[float]] | None = None,
    background: bytes | None = None,
    alt: str = "디코더가 그린 그림",
    max_parameters: int = 200_000,
) -> str:
    """MLP 디코더를 브라우저에서 돌리는 재생기 HTML. 커널 없이 잠재 변수를 움직여 볼 수 있습니다.

    decoder     nn.Sequential(Linear, 활성화, …): z (D,) → 화소 (H·W,). 매개변수 20만 개 이하
    shape       (H, W)             start   처음 z (D,)
    value_range 슬라이더의 범위     limits  (흰색이 될 값, 검은색이 될 값)
    presets     ``{이름: z}``: 누르면 그 z로 갑니다(예: 시험 그림의 부호)
    background  D = 2일 때 잠재 평면 뒤에 깔 PNG(가로 z₁, 세로 z₂, 범위는 value_range)

    D = 2이면 평면을 끌고, 아니면 슬라이더 D개가 생깁니다. 가중치는 층마다 최댓값으로 나눈 16비트
    정수로 담으므로 상대 오차는 층마다 3e-5 안팎입니다. 학습한 가중치가 들어가므로 이 HTML을 내보내는
    셀에는 ``nbval-ignore-output`` 꼬리표를 답니다.
    ValueError: 옮길 수 없는 층이 있거나, 매개변수가 너무 많거나, 크기가 맞지 않을 때.
    """
    layers = _portable_layers(decoder)
    count = sum(layer["in"] * layer["out"] + layer["out"] for layer in layers)
    if count > max_parameters:
        raise ValueError(
            f"매개변수가 {count:,}개여서 한도 {max_parameters:,}개를 넘습니다. "
            "작은 디코더를 쓰거나 player로 미리 그린 그림을 넘기세요."
        )
    if layers[0]["in"] != len(start) or layers[-1]["out"] != shape[0] * shape[1]:
        raise ValueError(
            f"디코더는 {layers[0]['in']}차원을 {layers[-1]['out']}개 화소로 옮기는데 "
            f"start는 {len(start)}차원, shape는 {tuple(shape)}입니다."
        )
    data = {
        "layers": layers,
        "shape": list(shape),
        "limits": list(limits),
        "range": list(value_range),
        "start": [float(value) for value in start],
        "names": list(names or [f"z{subscript(i + 1)}" for i in range(len(start))]),
        "presets": [[name, [float(v) for v in z]] for name, z in (presets or {}).items()],
        "background": base64.b64encode(background).decode() if background else "",
    }
    return self_contained("decoder_player.js", data, poster, alt)


def subscript(number: int) -> str:
    """아래 첨자로 쓴 수: 12 → ₁₂. 브라우저의 글자에 씁니다(matplotlib에서는 $z_{12}$)."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _portable_layers(decoder) -> list[dict]:
    """nn.Sequential의 Linear와 활성화를 JSON에 담을 수 있는 목록으로 옮깁니다."""
    from torch import nn

    def flat(module):
        for child in module.children():
            yield from flat(child) if isinstance(child, nn.Sequential) else [child]

    layers: list[dict] = []
    for module in flat(decoder):
        kind = type(module).__name__
        if isinstance(module, nn.Linear):
            weight, bias = module.weight.detach().cpu(), module.bias
            bias = weight.new_zeros(len(weight)) if bias is None else bias.detach().cpu()
            layer = {"in": weight.shape[1], "out": weight.shape[0], "act": "linear"}
            for name, scale, value in (("weight", "scale", weight), ("bias", "biasScale", bias)):
                peak = float(value.abs().max()) or 1.0
                layer[scale] = peak
                integers = np.round(value.numpy() / peak * 32767).astype("<i2")
                layer[name] = base64.b64encode(integers.tobytes()).decode()
            layers.append(layer)
        elif kind in ACTIVATIONS and layers and layers[-1]["act"] == "linear":
            layers[-1]["act"] = ACTIVATIONS[kind]
        elif not isinstance(module, (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout)):
            raise ValueError(
                f"{kind} 층은 브라우저로 옮길 수 없습니다. Linear와 "
                f"{', '.join(ACTIVATIONS)}만 쓴 nn.Sequential을 넣으세요."
            )
    if not layers:
        raise ValueError("decoder에 Linear 층이 없습니다. nn.Sequential(Linear, …)을 넣으세요.")
    return layers
