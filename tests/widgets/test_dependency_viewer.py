"""화소 의존성 보기: 기울기로 잰 것이 맞고, 처음·중간·끝 화소에서 그림이 나오는지."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.autoregressive.pixel_rnn import DiagonalBiLSTM, RowLSTM
from course_lib.widgets import dependency_viewer as viewer


def rnn(kind=RowLSTM, shape=(1, 4, 12), levels=3):
    torch.manual_seed(0)
    return kind(shape, levels, 12, 1, 24)


def test_influence_is_the_jacobian():
    weight = torch.randn(6, 6).double() * (torch.rand(6, 6) < 0.5)

    def linear(x):
        return (x.flatten(1) @ weight.T).reshape(x.shape)

    table = viewer.influence(linear, torch.randn(4, 1, 2, 3))
    torch.testing.assert_close(table, weight.abs())


def test_channels_are_summed_by_pixel():
    table = viewer.influence(
        lambda x: x.sum((1, 2, 3), keepdim=True) + 0 * x, torch.zeros(1, 3, 1, 2)
    )
    torch.testing.assert_close(table, torch.full((2, 2), 9.0).double())


def test_rnn_is_shown_with_its_triangle():
    model = rnn()
    points = torch.randint(3, (4, 1, 4, 12)).double()
    table = viewer.levels(viewer.influence(viewer.outputs(model), points))
    for index in (0, 7, 25, 47):
        names = viewer.kinds(table[index], index)
        want = model.sees(index // 12, index % 12).flatten().tolist()
        assert [name == "seen" for name in names] == want
        assert names[index] == "self" and set(names[index + 1 :]) <= {"future"}
        assert names.count("blind") == index - sum(want)


def test_levels_keep_zero_and_tiny_apart():
    table = torch.tensor([[0.0, 1e-30, 1.0], [0.0, 0.0, 0.0], [2.0, 1.0, 0.0]]).double()
    got = viewer.levels(table)
    assert got.dtype == np.uint8 and got[0].tolist() == [0, 1, 255] and not got[1].any()
    assert got[2, 0] == 255 and 150 < got[2, 1] < 255


def test_leaks_are_called_leaks():
    assert viewer.kinds(np.array([1, 0, 3, 2]), 1) == ["seen", "self", "leak", "leak"]
    assert viewer.kinds(np.array([0, 5, 0, 0]), 1) == ["blind", "leak", "future", "future"]


def test_poster_and_three_views():
    models = {"Row LSTM": rnn(shape=(1, 5, 6)), "함수": lambda x: x.flip(3)}
    pictures = []
    for start in (0, None, 29):
        view = viewer.dependency_viewer(models, (1, 5, 6), points=1, start=start)
        bundle = view._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/html", "image/png"}
        assert "누출" in bundle["text/html"] and len(bundle["text/html"]) < 200_000
        pictures.append(np.asarray(Image.open(io.BytesIO(view.png)).convert("RGB")))
    assert (pictures[0] != pictures[1]).any() and (pictures[1] != pictures[2]).any()


def test_widget_keeps_its_own_copy():
    model = rnn(DiagonalBiLSTM, (1, 3, 3))
    function = viewer.outputs(model)
    x = torch.zeros(1, 1, 3, 3).double()
    before = function(x)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    assert torch.equal(function(x), before) and next(model.parameters()).dtype == torch.float32


def test_bad_input():
    with pytest.raises(ValueError, match="하나 이상"):
        viewer.dependency_viewer({}, (1, 4, 4))
    with pytest.raises(ValueError, match="256화소"):
        viewer.dependency_viewer({"a": rnn()}, (1, 28, 28))
    with pytest.raises(ValueError, match="start"):
        viewer.dependency_viewer({"a": lambda x: x}, (1, 4, 4), start=16)
    with pytest.raises(ValueError, match="shape는"):
        viewer.dependency_viewer({"a": rnn()}, (1, 4, 4))
    with pytest.raises(ValueError, match="같은 모양"):
        viewer.dependency_viewer({"a": lambda x: x.sum(1)}, (1, 4, 4))
    with pytest.raises(ValueError, match="NaN"):
        viewer.dependency_viewer({"a": lambda x: x * float("nan")}, (1, 2, 2))
