import numpy as np
import pytest

from course_lib.widgets.mixture import MixtureStage, mixture_density, mixture_slider


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_density_integrates_to_one(share):
    x = np.linspace(-10, 10, 4001)
    assert np.trapezoid(mixture_density(x, share), x) == pytest.approx(1, abs=1e-6)


def test_every_position_draws_another_picture():
    stage = MixtureStage()
    frames = [stage.draw(share) for share in (0.0, 0.3, 1.0)]
    assert all(frame.startswith(b"\x89PNG") for frame in frames) and len(set(frames)) == 3


def test_view():
    bundle = mixture_slider()._repr_mimebundle_()
    assert {"text/html", "image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle)
