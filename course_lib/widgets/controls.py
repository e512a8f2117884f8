"""슬라이더 여러 개를 순수 함수 하나에 잇는 위젯. 그림은 PNG 바이트로만 오갑니다."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Knob(NamedTuple):
    """슬라이더 하나: 범위 [low, high], 눈금 간격 step, 처음 값 start."""

    low: float
    high: float
    step: float
    start: float


def controls_view(
    draw: Callable[..., bytes],
    knobs: Mapping[str, Knob],
    *,
    presets: Mapping[str, Mapping[str, float]] | None = None,
    extra: Sequence = (),
    max_width: str = "780px",
):
    """``draw(**{이름: 값}) → PNG``에 슬라이더를 잇습니다. (VBox, {이름: 슬라이더}, 그림)을 돌려줍니다.

    presets  ``{단추 이름: {슬라이더 이름: 값}}``. 누르면 슬라이더가 한꺼번에 옮겨 가고 그림은 한 번만
             다시 그립니다.
    extra    그림 위에 놓을 다른 조작기
    """
    import ipywidgets as widgets
    import torch

    lock = threading.RLock()
    wide = widgets.Layout(width="100%", max_width=max_width)
    picture = widgets.Image(format="png", layout=wide)
    sliders = {}
    quiet = [False]

    def redraw(_=None) -> None:
        if quiet[0]:
            return
        with lock, torch.inference_mode():
            picture.value = draw(**{name: slider.value for name, slider in sliders.items()})

    for name, knob in knobs.items():
        slider = widgets.FloatSlider(
            knob.start, min=knob.low, max=knob.high, step=knob.step, description=name, layout=wide
        )
        slider.style.description_width = "6em"
        slider.readout_format = ".0f" if float(knob.step).is_integer() else ".2f"
        slider.observe(redraw, "value")
        sliders[name] = slider

    buttons = []
    for label, values in (presets or {}).items():
        button = widgets.Button(description=label, layout=widgets.Layout(width="auto"))

        def press(_, values=values) -> None:
            quiet[0] = True
            try:
                for name, value in values.items():
                    sliders[name].value = value
            finally:
                quiet[0] = False
            redraw()

        button.on_click(press)
        buttons.append(button)
    redraw()
    rows = [*extra, picture, *sliders.values()]
    if buttons:
        rows.append(widgets.HBox(buttons, layout=widgets.Layout(flex_flow="row wrap")))
    return widgets.VBox(rows, layout=widgets.Layout(width="100%")), sliders, picture
