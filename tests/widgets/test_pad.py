"""화판의 값과 이름. 그리는 동작은 test_browser_widgets.py에서 실제 브라우저로 봅니다."""

import pytest
import torch
import traitlets

from course_lib.widgets.pad import Pad


def test_points_become_a_tensor():
    pad = Pad()
    assert pad.tensor().shape == (0, 2)
    pad.points = [[0.5, -1.0], [2.0, 3.0]]
    assert torch.equal(pad.tensor(), torch.tensor([[0.5, -1.0], [2.0, 3.0]]))
    pad.clear()
    assert pad.tensor().shape == (0, 2)


def test_pixels_become_an_image_with_rows_first():
    pad = Pad(mode="image", shape=[2, 3])
    assert torch.equal(pad.image(), torch.zeros(2, 3))
    pad.pixels = [0, 51, 0, 0, 0, 255]
    assert torch.allclose(pad.image(), torch.tensor([[0, 0.2, 0], [0, 0, 1.0]]))


def test_name_is_stable_for_output_comparison():
    bundle = Pad(points=[[0.0, 0.0]])._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["text/plain"] == "Pad(mode='points')"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="x 최소"):
        Pad(limits=[1.0, -1.0, 0.0, 1.0])
    with pytest.raises(traitlets.TraitError):
        Pad(mode="그림")
    with pytest.raises(traitlets.TraitError):
        Pad(points=[[1.0, 2.0, 3.0]])
