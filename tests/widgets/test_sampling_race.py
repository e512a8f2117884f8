"""경주 위젯: 걸음 수가 정의와 같고, 모든 칸이 한 번씩 채워지고, 실제 모델의 순서와 맞는지."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.checks import randomise_
from course_lib.flows.iaf import IAF
from course_lib.flows.maf import MAF
from course_lib.widgets import sampling_race as race


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


@pytest.mark.parametrize("model", race.MODELS)
@pytest.mark.parametrize("task", race.TASKS)
def test_every_box_is_filled_once_in_the_stated_number_of_steps(model, task):
    when = race.step_of(model, task)
    assert when.shape == (race.LAYERS, race.DIM) and when.min() == 1
    assert when.max() == race.steps_needed(model, task)
    sequential = (model, task) in race.SEQUENTIAL
    assert len(np.unique(when)) == (race.STEPS if sequential else race.LAYERS)


@pytest.mark.parametrize("model, task", sorted(race.SEQUENTIAL))
def test_the_order_is_that_of_the_models(model, task):
    """층 안에서 먼저 정해진 변수는 나중 변수에 의존하지 않습니다."""
    flow = randomise_({"MAF": MAF, "IAF": IAF}[model](race.DIM, race.LAYERS, (32,))).double().flow
    layers = list(flow.flows) if task == "sample" else list(reversed(flow.flows))
    point = torch.randn(race.DIM).double()
    for layer, when in zip(layers, race.step_of(model, task), strict=True):
        step = layer.forward if task == "sample" else layer.inverse
        jacobian = torch.autograd.functional.jacobian(lambda v, s=step: s(v[None])[0][0], point)
        order = torch.as_tensor(when.argsort())
        ordered = jacobian[order][:, order]
        assert torch.equal(ordered, ordered.tril()) and (ordered.tril(-1) != 0).any()


def test_pictures_and_views():
    stage = race.RaceStage(60)
    first, middle, last = (pixels(stage.draw(t)) for t in (0, race.LAYERS, race.STEPS))
    assert (first != middle).any() and (middle != last).any()
    bundle = race.sampling_race()._repr_mimebundle_()
    assert len(bundle["text/html"]) <= 300_000
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1
    assert "0x" not in bundle["text/plain"]


def test_live_slider_changes_the_picture():
    box = race.sampling_race().live
    picture, bar = box.children[-2:]
    before = picture.value
    bar.children[1].value = race.STEPS
    assert picture.value != before
