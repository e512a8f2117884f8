"""모든 위젯이 함께 쓰는 틀: 빠른 그림(Stage), 재생기(player, decoder_player), 세 모습(TriView)."""

import base64
import hashlib
import html as html_lib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
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
        self._palette: Palette | None = None

    def pixels(self, artists: Sequence[Artist]) -> np.ndarray:
        """배경 위에 ``artists``를 차례로 그린 RGBA 픽셀 (H, W, 4), uint8."""
        with self.lock:
            self.canvas.restore_region(self._background)
            renderer = self.canvas.get_renderer()
            for artist in artists:
                artist.draw(renderer)
            return np.array(self.canvas.buffer_rgba())

    def learn_palette(self, frames: Sequence[np.ndarray], colors: int = 256) -> None:
        """대표 그림 몇 장에서 공통 팔레트를 정합니다. ``png``보다 먼저 한 번 부릅니다."""
        self._palette = Palette(np.concatenate(frames), colors)

    def png(self, pixels: np.ndarray, level: int = 1) -> bytes:
        """팔레트로 줄인 PNG 바이트. ``level``은 압축 세기(0~9)입니다."""
        with self.lock:
            return self._palette.png(pixels, level)


class Palette:
    """RGBA 픽셀을 정해 둔 색 가운데 가장 가까운 색의 번호로 바꿉니다.

    색은 채널마다 6비트로 묶어 표에서 찾습니다. 표는 처음 만난 색만 그때 채우므로 준비 시간이
    없고, 두 번째 그림부터는 찾기만 합니다. 흰 바탕은 정확히 흰색으로 남습니다.
    """

    def __init__(self, pixels: np.ndarray, colors: int):
        image = Image.fromarray(pixels[..., :3])
        image = image.quantize(colors, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        self.colors = np.array(image.getpalette(), dtype=np.int32).reshape(-1, 3)
        self.colors[np.abs(self.colors - 255).sum(1).argmin()] = 255
        self._table = np.full(1 << 18, -1, dtype=np.int16)

    def indices(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 4) → 색 번호 (H, W), uint8."""
        word = np.ascontiguousarray(pixels).view("<u4")[..., 0]
        code = ((word >> 2) & 0x3F) | ((word >> 4) & 0xFC0) | ((word >> 6) & 0x3F000)
        index = self._table[code]
        if index.min() < 0:
            new, where = np.unique(code[index < 0], return_index=True)
            seen = pixels[index < 0][where, :3].astype(np.int32)
            for part in range(0, len(new), 4096):
                gap = seen[part : part + 4096, None] - self.colors
                self._table[new[part : part + 4096]] = (gap**2).sum(-1).argmin(1)
            index = self._table[code]
        return index.astype(np.uint8)

    def png(self, pixels: np.ndarray, level: int = 1) -> bytes:
        index = self.indices(pixels)
        image = Image.frombytes("P", (index.shape[1], index.shape[0]), index.tobytes())
        image.putpalette(self.colors.astype(np.uint8).tobytes())
        buffer = BytesIO()
        image.save(buffer, "png", compress_level=level, optimize=level == 9)
        return buffer.getvalue()
