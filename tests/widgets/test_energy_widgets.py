"""A1장의 위젯: 걸음이 라이브러리의 랑주뱅과 같은지, 끝에서 끝까지 그려지는지, 조작기가 다 듣는지."""

import numpy as np
import pytest
import torch

from course_lib import checks
from course_lib.energy import ebm
from course_lib.widgets import energy_landscape as el

BOX = (-3.0, 3.0, -2.0, 2.5)


def bowl(x):
    return x.square().sum(1) / 2


def model(seed=0):
    torch.manual_seed(seed)
    return checks.randomise_(ebm.energy_mlp(2, (8,), scale=1.0), 0.5, seed)


def test_the_walk_is_the_librarys_langevin_and_is_repeatable():
    start = el.noise_start(BOX, 20)
    record = el.walk(bowl, start, BOX, 0.05, 0.5, frames=4)
    random = torch.Generator().manual_seed(0)
    end = ebm.langevin(bowl, start, 4 * el.EVERY, 0.05, temperature=0.5, generator=random)
    assert np.allclose(record.path[-1], end.numpy(), atol=1e-6)
    assert np.allclose(record.path[0], start.numpy()) and record.path.shape == (5, 20, 2)
    assert np.allclose(record.energies[-1], float(bowl(end).mean()), atol=1e-6)
    again = el.walk(bowl, start, BOX, 0.05, 0.5, frames=4)
    assert np.array_equal(record.path, again.path)


@pytest.mark.parametrize("temperature", el.TEMPERATURES)
def test_density_and_mean_energy_belong_to_the_temperature(temperature):
    wide = (-9.0, 9.0, -8.0, 8.0)
    record = el.walk(bowl, el.noise_start(wide, 5), wide, 0.01, temperature, frames=1)
    cell = 18 / el.CELLS * 16 / el.CELLS
    assert record.density.sum() * cell == pytest.approx(1)
    assert record.mean == pytest.approx(temperature, rel=0.02)  # E_p[‖x‖²/2] = T (D = 2)
    tilted = lambda x: bowl(x - torch.tensor([2.0, -1.0]))  # noqa: E731
    field = el.walk(tilted, el.noise_start(wide, 5), wide, 0.01, 0.1, frames=1).density
    row, column = np.unravel_index(field.argmax(), field.shape)
    assert -8 + (row + 0.5) * 16 / el.CELLS == pytest.approx(-1, abs=0.2)  # 행이 x₂
    assert -9 + (column + 0.5) * 18 / el.CELLS == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("step_size", [el.STEP_SIZES[0], 0.02, el.STEP_SIZES[-1]])
@pytest.mark.parametrize("temperature", [el.TEMPERATURES[0], 1.0, el.TEMPERATURES[-1]])
def test_every_setting_is_drawn_from_end_to_end(step_size, temperature):
    stage = el.LandscapeStage(BOX, 50)
    stage.load("시험", el.walk(model(), el.noise_start(BOX, 30), BOX, step_size, temperature))
    pictures = [stage.draw(k) for k in (0, el.FRAMES // 2, el.FRAMES)]
    assert len(set(pictures)) == 3 and all(p.startswith(b"\x89PNG") for p in pictures)
    assert stage.draw(-5) == pictures[0] and stage.draw(99) == pictures[2]


def test_a_diverging_walk_is_still_drawn():
    steep = lambda x: 500 * x.square().sum(1)  # noqa: E731  η = 0.1이면 발산하는 골짜기
    stage = el.LandscapeStage(BOX, 50)
    stage.load("발산", el.walk(steep, el.noise_start(BOX, 10), BOX, 0.1, 1.0))
    assert stage.draw(el.FRAMES).startswith(b"\x89PNG")


def test_every_control_moves_the_picture_and_the_model_is_not_touched():
    first, points = model(0).train(), torch.randn(50, 2)
    before = {k: v.clone() for k, v in first.state_dict().items()}
    view = el.energy_landscape(
        {"그릇": bowl, "배운 것": first}, BOX, {"배운 것": {"버퍼에서": points}}
    )
    row, picture, bar = view.live.children
    menu, start, step, heat = row.children
    slider = bar.children[1]
    seen = [picture.value]

    def moved():
        assert picture.value not in seen
        seen.append(picture.value)

    for control, value in (
        (slider, slider.max), (slider, slider.min), (slider, 10), (step, el.STEP_SIZES[-1]),
        (step, el.STEP_SIZES[0]), (heat, el.TEMPERATURES[0]), (heat, el.TEMPERATURES[-1]),
        (menu, "배운 것"), (start, "버퍼에서"),
    ):  # fmt: skip
        control.value = value
        moved()
    menu.value = "그릇"
    assert list(start.options) == [el.NOISE] and start.value == el.NOISE
    assert first.training and all(torch.equal(v, before[k]) for k, v in first.state_dict().items())
    assert len(view.html) <= 300_000 and view.png.startswith(b"\x89PNG")
    assert set(view._repr_mimebundle_()) >= {"text/html", "image/png", "text/plain"}


def test_bad_input():
    with pytest.raises(ValueError, match="하나 이상"):
        el.energy_landscape({}, BOX)
    with pytest.raises(ValueError, match="네 수"):
        el.energy_landscape({"그릇": bowl}, (-1.0, 1.0))


def test_product_of_experts_is_the_normalised_product():
    points, _ = ebm.grid(BOX, 30)
    levels = [bowl(points).reshape(30, 30).numpy(), points[:, 0].abs().reshape(30, 30).numpy()]
    p = el.product(*levels, (1, 0.5))
    want = np.exp(-levels[0]) * np.exp(-levels[1]) ** 0.5
    assert np.allclose(p, want / want.sum()) and p.sum() == pytest.approx(1)
    shifted = el.product(levels[0] + 900, levels[1] - 900, (1, 0.5))
    assert np.allclose(p, shifted)


def test_product_view_moves_from_end_to_end():
    view = el.expert_product(bowl, lambda x: 2 * (x[:, 0] - 1).square(), BOX)
    picture, bar = view.live.children
    slider, seen = bar.children[1], []
    for value in (slider.min, slider.max // 2, slider.max):
        slider.value = value
        seen.append(picture.value)
    assert len(set(seen)) == 3 and len(view.html) <= 300_000 and view.png.startswith(b"\x89PNG")
