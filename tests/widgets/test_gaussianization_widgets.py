import numpy as np
import pytest
from scipy import stats

from course_lib.widgets import fixed_point as fp
from course_lib.widgets import quantile as qt


def is_png(data: bytes) -> bool:
    return data[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("name", list(qt.LAWS))
def test_quantile_points_and_pictures(name):
    law = qt.LAWS[name]
    stage = qt.QuantileStage(law, 50)
    pictures = []
    for tick in (0, qt.TICKS // 3, qt.TICKS):
        x, u, z = stage.point(tick)
        assert law.cdf(x) == pytest.approx(u, abs=1e-6) and stats.norm.cdf(z) == pytest.approx(u)
        low, high = law.limits
        assert low <= x <= high
        grid = np.linspace(low, x, 20001)
        assert np.trapezoid(law.pdf(grid), grid) == pytest.approx(u, abs=2e-3)
        pictures.append(stage.draw(tick))
    assert all(map(is_png, pictures)) and len(set(pictures)) == 3


def test_quantile_view_moves():
    view = qt.quantile_viewer()
    menu, picture, bar = view.live.children
    before = picture.value
    bar.children[1].value = qt.TICKS
    assert picture.value != before
    before = picture.value
    menu.value = "균등분포"
    assert picture.value != before and is_png(view.png)
    assert len(view.html) < 300_000


def runs(length=12):
    truth = np.linspace(0, 1, 16).reshape(4, 4)
    steps = {a: [truth + (1 - 1 / a) ** k for k in range(length)] for a in (1.1, 2.0)}
    steps[0.4] = [truth + 1.5**k * (np.nan if k > 9 else 1) for k in range(length)]
    return {f"α = {a}": fp.make_run(a, s, truth) for a, s in steps.items()}, truth


def test_fixed_point_errors_and_pictures():
    made, truth = runs()
    assert np.allclose(made["α = 2.0"].errors, 0.5 ** np.arange(12))
    assert np.isfinite(made["α = 0.4"].errors).all()  # 발산해도 그릴 수 있습니다
    for run in made.values():
        stage = fp.FixedPointStage(run, truth, 50)
        pictures = [stage.draw(k) for k in (0, 5, 11)]
        assert all(map(is_png, pictures)) and len(set(pictures)) == 3
        assert stage.draw(99) == pictures[-1]


def test_fixed_point_view_moves():
    made, truth = runs()
    view = fp.fixed_point_view(made, truth)
    menu, picture, bar = view.live.children
    before = picture.value
    bar.children[1].value = 11
    assert picture.value != before
    before = picture.value
    menu.value = "α = 0.4"
    assert picture.value != before and len(view.html) < 300_000
    with pytest.raises(ValueError, match="걸음의 수"):
        fp.fixed_point_view(made | {"짧은 것": runs(5)[0]["α = 2.0"]}, truth)
