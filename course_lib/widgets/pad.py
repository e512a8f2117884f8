"""독자가 손으로 그리는 화판 하나: 점 찍기, 숫자 그리기, 손잡이 끌기.

마우스와 터치로는 누르고 끌면 되고, 키보드로는 방향키와 스페이스, 백스페이스를 씁니다.
커널이 있어야 값이 돌아오므로, 커널 없이도 보여야 하는 곳에서는 ``frame.TriView``로 감쌉니다.
"""

from pathlib import Path

import anywidget
import torch
import traitlets
from torch import Tensor


class Pad(anywidget.AnyWidget):
    """그리기 화판.

    mode        "points"  누르고 끈 길을 따라 점을 찍습니다(2차원 데이터)
                "image"   붓으로 ``shape`` = (H, W) 그림을 그립니다(숫자)
                "handles" 처음 준 ``points``를 끌어서 옮깁니다
    points      데이터 좌표 [x, y]의 목록. 파이썬에서 바꾸면 화판도 바뀝니다
    limits      (x 최소, x 최대, y 최소, y 최대)
    background  뒤에 깔 PNG 바이트
    width       화판의 최대 너비, CSS 픽셀. 좁은 화면에서는 저절로 줄어듭니다

    그린 것은 ``tensor()`` (N, 2)와 ``image()`` (H, W), 0~1로 읽고, 그릴 때마다 무언가를 하려면
    ``pad.observe(함수, "points")``나 ``pad.observe(함수, "pixels")``를 씁니다.
    ValueError: limits의 순서가 뒤집혔을 때. TraitError: 모르는 mode일 때.
    """

    _esm = Path(__file__).parent / "pad.js"

    mode = traitlets.Enum(("points", "image", "handles"), default_value="points").tag(sync=True)
    points = traitlets.List(traitlets.List(traitlets.Float(), minlen=2, maxlen=2)).tag(sync=True)
    pixels = traitlets.List(traitlets.Int(min=0, max=255)).tag(sync=True)
    limits = traitlets.List(
        traitlets.Float(), default_value=[-3.0, 3.0, -3.0, 3.0], minlen=4, maxlen=4
    ).tag(sync=True)
    shape = traitlets.List(traitlets.Int(), default_value=[28, 28], minlen=2, maxlen=2).tag(
        sync=True
    )
    background = traitlets.Bytes(b"").tag(sync=True)
    brush = traitlets.Float(1.0, min=0.1).tag(sync=True)
    width = traitlets.Int(360, min=80).tag(sync=True)
    max_points = traitlets.Int(2000, min=1).tag(sync=True)
    label = traitlets.Unicode("그리기 화판").tag(sync=True)

    @traitlets.validate("limits")
    def _check_limits(self, proposal):
        x0, x1, y0, y1 = proposal["value"]
        if not (x0 < x1 and y0 < y1):
            raise ValueError(
                f"limits는 (x 최소, x 최대, y 최소, y 최대)인데 {proposal['value']}을 받았습니다."
            )
        return proposal["value"]

    def tensor(self) -> Tensor:
        """찍은 점 (N, 2), float32. 아직 없으면 (0, 2)입니다."""
        return torch.tensor(self.points, dtype=torch.float32).reshape(-1, 2)

    def image(self) -> Tensor:
        """그린 그림 (H, W), 0(흰 종이)~1(검은 잉크), float32."""
        height, width = self.shape
        if len(self.pixels) != height * width:
            return torch.zeros(height, width)
        return torch.tensor(self.pixels, dtype=torch.float32).reshape(height, width) / 255

    def clear(self) -> None:
        """그린 것을 모두 지웁니다."""
        self.points = []
        self.pixels = []

    def __repr__(self) -> str:
        return f"Pad(mode={self.mode!r})"
