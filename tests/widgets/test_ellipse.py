"""타원 위젯: 그리는 수가 맞고, 손잡이마다 그림이 바뀝니다."""

import math

import numpy as np
import pytest
import torch

from course_lib.gan.sngan import power_step
from course_lib.widgets import ellipse as el


@pytest.mark.parametrize("seed", range(4))
def test_arrows_are_the_librarys_power_iteration_and_reach_the_long_axis(seed):
    random = np.random.default_rng(seed)
    matrix = random.normal(size=4)
    path = el.arrows(matrix, 40.0, 60)
    assert np.allclose(np.linalg.norm(path, axis=1), 1)
    a = torch.tensor(matrix.reshape(2, 2))
    u = a @ torch.tensor(path[0])
    for k in range(1, 6):
        u, v = power_step(a, u)
        assert np.allclose(v.numpy(), path[k])
    found = el.shape(matrix)
    assert np.linalg.norm(matrix.reshape(2, 2) @ path[-1]) == pytest.approx(found.sigma[0])
    tangents = [math.tan(math.radians(el.angle(matrix, v))) for v in path[:3]]
    ratio = (found.sigma[1] / found.sigma[0]) ** 2
    assert tangents[1] == pytest.approx(ratio * tangents[0], rel=1e-6)


def test_edge_cases_stay_put():
    assert np.allclose(el.arrows((0, 0, 0, 0), 30.0, 3), el.arrows((0, 0, 0, 0), 30.0, 0)[0])
    assert el.angle((0.8, -0.6, 0.6, 0.8), np.array([0.0, 1.0])) == 0.0
    assert el.angle((2.0, 0.0, 0.0, 1.0), np.array([0.0, 1.0])) == pytest.approx(90)


def test_every_knob_moves_the_picture_and_everything_fits_in_it():
    stage = el.EllipseStage(60)
    start = [*el.START, el.ANGLE, 2]
    seen = {stage.draw(*start)}
    for place, (low, high) in enumerate([(-2, 2)] * 4 + [(0, 175), (0, el.STEPS)]):
        for value in (low, high):
            seen.add(stage.draw(*start[:place], value, *start[place + 1 :]))
    assert len(seen) == 13 and all(p.startswith(b"\x89PNG") for p in seen)
    assert stage.draw(0, 0, 0, 0, 0, 0).startswith(b"\x89PNG")
    for matrix in el.PRESETS.values():
        assert el.shape(matrix).sigma[0] < el.HALF * 0.93


def test_view_has_sliders_presets_and_a_player():
    view = el.ellipse()
    picture, *sliders = view.live.children[:7]
    before = picture.value
    sliders[5].value = 0
    assert picture.value != before
    view.live.children[7].children[1].click()
    assert [s.value for s in sliders[:4]] == pytest.approx(el.PRESETS["길쭉하게"])
    assert len(view.html) < 300_000
    assert set(view._repr_mimebundle_()) >= {"text/html", "image/png", "text/plain"}
