"""12장의 위젯: 그림이 그리는 수가 식과 같은지, 끝에서 끝까지 그려지는지."""

import numpy as np
import pytest

from course_lib.widgets import determinant, pushforward


@pytest.mark.parametrize("seed", range(4))
def test_area_of_the_image_is_the_determinant(seed):
    matrix = np.random.default_rng(seed).normal(size=4)
    assert determinant.area(matrix) == pytest.approx(np.linalg.det(matrix.reshape(2, 2)))


def test_determinant_pictures_change_with_every_entry():
    stage = determinant.DeterminantStage(60)
    start = stage.draw(*determinant.START)
    seen = {start}
    for k in range(4):
        for value in (-2.0, 2.0):
            moved = list(determinant.START)
            moved[k] = value
            seen.add(stage.draw(*moved))
    assert len(seen) == 9 and all(picture.startswith(b"\x89PNG") for picture in seen)
    assert stage.draw(0, 0, 0, 0).startswith(b"\x89PNG")


def test_determinant_view_moves_and_presets_jump():
    view = determinant.determinant_explorer()
    picture, *sliders = view.live.children[:5]
    before = picture.value
    sliders[0].value = -1.0
    assert picture.value != before
    buttons = view.live.children[5].children
    buttons[0].click()
    assert [s.value for s in sliders] == pytest.approx(determinant.PRESETS["늘이기"])
    assert set(view._repr_mimebundle_()) >= {"text/html", "image/png", "text/plain"}


@pytest.mark.parametrize("name", pushforward.MAPS)
def test_every_strip_keeps_its_probability(name):
    which = pushforward.MAPS[name]
    for left in np.linspace(which.start, which.stop, 7):
        sources, (low, high) = pushforward.strips(which, float(left))
        grids = [np.linspace(a, b, 4001) for a, b in sources]
        before = sum(np.trapezoid(which.base(z), z) for z in grids)
        x = np.linspace(low, high, 4001)[1:-1]  # 끝에서 밀도가 뛰거나 무한대가 될 수 있습니다
        after = np.trapezoid(pushforward.density(which, x), x)
        assert after == pytest.approx(before, rel=0.02, abs=1e-3)
        assert which.slope(np.array([left + 0.1]))[0] == pytest.approx(
            (which.f(left + 0.1 + 1e-6) - which.f(left + 0.1 - 1e-6)) / 2e-6, rel=1e-4
        )


@pytest.mark.parametrize("name", pushforward.MAPS)
def test_densities_integrate_to_one(name):
    which = pushforward.MAPS[name]
    x = np.linspace(-40, 400, 2_000_001)
    value = pushforward.density(which, x)
    # x = z²의 밀도는 0에서 무한대로 가므로 격자가 조금 놓칩니다
    assert np.trapezoid(value, x) == pytest.approx(1, abs=0.03)


def test_two_branches_of_the_square():
    square = pushforward.MAPS["x = z²,  z는 N(0, 1)"]
    sources, _ = pushforward.strips(square, 1.0)
    assert sources == [
        (pytest.approx(1.0), pytest.approx(1.0 + pushforward.WIDTH)),
        (pytest.approx(-1.0 - pushforward.WIDTH), pytest.approx(-1.0)),
    ]


def test_pushforward_view_from_end_to_end():
    view = pushforward.pushforward()
    menu, picture, bar = view.live.children
    slider, seen = bar.children[1], set()
    for name in pushforward.MAPS:
        menu.value = name
        for tick in (0, 30, pushforward.TICKS):
            slider.value = tick
            seen.add(picture.value)
    assert len(seen) == 12 and len(view.html) < 300_000
