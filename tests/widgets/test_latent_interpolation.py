"""두 길: 끝점, 껍질 위의 길이, 그림."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_lib.widgets.latent_interpolation import (
    STEPS,
    InterpolationView,
    PathStage,
    interpolate,
    latent_interpolation,
    spherical,
)


def test_spherical_path_keeps_the_length_and_turns_evenly():
    torch.manual_seed(0)
    a, b = torch.randn(2, 50, dtype=torch.float64)
    a, b = 7 * a / a.norm(), 7 * b / b.norm()
    path = spherical(a, b, torch.linspace(0, 1, 11))
    assert torch.allclose(path.norm(dim=1), torch.full((11,), 7.0, dtype=torch.float64))
    steps = torch.nn.functional.cosine_similarity(path[1:], path[:-1]).arccos()
    assert torch.allclose(steps, steps[0].expand(10), atol=1e-6)
    assert torch.allclose(path[0], a) and torch.allclose(path[-1], b)


@pytest.mark.parametrize("factor", [1.0, -1.0, 2.5, 0.0])
def test_spherical_path_of_parallel_vectors_stays_finite(factor):
    a = torch.tensor([1.0, 2.0])
    path = spherical(a, factor * a, torch.linspace(0, 1, 5))
    assert path.isfinite().all() and torch.allclose(path[-1], factor * a)


def test_both_ways_start_and_end_at_the_two_images(digit_codec):
    a, b = torch.rand(2, 8, 8)
    by_z, by_x = interpolate(*digit_codec, a, b)
    assert by_z.shape == by_x.shape == (STEPS + 1, 8, 8)
    for path in (by_z, by_x):
        assert torch.allclose(path[0], a, atol=1e-3) and torch.allclose(path[-1], b, atol=1e-3)
    assert torch.allclose(by_x[STEPS // 2], (a + b) / 2)
    assert (by_z[STEPS // 2] - by_x[STEPS // 2]).abs().max() > 0.01


def test_latent_with_a_shape_is_decoded_in_that_shape():
    seen = []

    def decode(z):
        seen.append(z.shape)
        return z.reshape(-1, 4, 4)

    interpolate(lambda x: x.reshape(-1, 4, 2, 2), decode, *torch.rand(2, 4, 4), steps=6)
    assert seen == [(7, 4, 2, 2)]


@pytest.mark.parametrize("t", [-1, 0, 0.5, 1, 2])
def test_stage_draws_every_place_of_the_way(digit_codec, t):
    stage = PathStage((8, 8), (0, 1))
    stage.load(*interpolate(*digit_codec, *torch.rand(2, 8, 8)))
    image = Image.open(BytesIO(stage.draw(t)))
    assert image.size == (704, 506) and np.asarray(image.convert("L")).min() < 60


def test_view_redraws_for_the_slider_and_for_both_menus(digit_codec):
    images = {str(k): torch.rand(8, 8) for k in range(3)}
    view = InterpolationView(*digit_codec, images, (0, 1))
    seen = {view.picture.value}
    for value in (view.slider.min, view.slider.max, STEPS // 2):
        view.slider.value = value
        seen.add(view.picture.value)
    view.first.value = "2"
    seen.add(view.picture.value)
    view.last.value = "0"
    seen.add(view.picture.value)
    assert len(seen) == 5


def test_three_faces_are_small_and_the_same_twice(digit_codec):
    images = {str(k): torch.rand(8, 8) for k in range(2)}
    one, two = (latent_interpolation(*digit_codec, images) for _ in range(2))
    assert one.html == two.html and len(one.html) < 250_000
    assert set(one._repr_mimebundle_()) >= {"text/html", "image/png"}


def test_modules_are_frozen_copies():
    encode, decode = nn.Flatten(), nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, (2, 2)))
    view = latent_interpolation(encode, decode, {"a": torch.zeros(2, 2), "b": torch.ones(2, 2)})
    before = view.live.children[1].value
    with torch.no_grad():
        decode[0].weight.mul_(-9)
    menu = view.live.children[0].children[0]
    menu.value, menu.value = "b", "a"
    assert view.live.children[1].value == before


@pytest.mark.parametrize(
    ("decode", "words"),
    [(lambda z: z[:, None], "decode"), (lambda z: z.reshape(-1, 2, 2) / 0, "NaN")],
)
def test_wrong_decoders_are_refused(decode, words):
    with pytest.raises(ValueError, match=words):
        interpolate(lambda x: x.flatten(1), decode, torch.zeros(2, 2), torch.ones(2, 2))


def test_one_image_is_not_enough(digit_codec):
    with pytest.raises(ValueError, match="둘 이상"):
        latent_interpolation(*digit_codec, {"하나": torch.rand(8, 8)})
