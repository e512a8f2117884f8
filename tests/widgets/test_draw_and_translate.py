"""그려서 옮기기 위젯: 예시, 같은 시드의 같은 그림, 처음·끝·기본값, 세 모습."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.checks import randomise_
from course_lib.gan.pix2pix import PatchGAN, Pix2Pix, UNet
from course_lib.widgets import draw_and_translate as widget


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return {
        name: randomise_(Pix2Pix(UNet(1, 3, (4, 6, 8)), PatchGAN(4, 4, 0)), 0.3, k)
        for k, name in enumerate(("L1", "L1 + GAN"))
    }


def test_examples_grow_and_stay_inside():
    for name in widget.EXAMPLES:
        sizes = (widget.SMALL, 30, widget.LARGE)
        inks = torch.stack([widget.example_ink(name, percent, 32) for percent in sizes])
        assert inks.shape == (3, 32, 32) and inks.max() > 0.7 and inks.min() >= 0
        assert inks[:, [0, -1]].max() < 0.5 and inks[:, :, [0, -1]].max() < 0.5
        assert not torch.allclose(inks[0], inks[1], atol=0.1)
    with pytest.raises(ValueError, match="모르는 예시"):
        widget.example_ink("별", 30, 32)


def test_same_seed_same_pictures_and_the_global_stream_is_left_alone(models):
    ink = widget.example_ink("네모", 30, 32)
    state = torch.get_rng_state()
    a, b, c = (widget.translate(models, ink, 2, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for name in models:
        assert a[name].shape == (2, 3, 32, 32) and torch.equal(a[name], b[name])
        assert not torch.equal(a[name], c[name]) and not torch.equal(a[name][0], a[name][1])


def test_controls_change_the_picture(models):
    live = widget.Translator(models, 32, 2)
    seen = [bytes(live.picture.value)]

    def changed():
        seen.append(bytes(live.picture.value))
        return seen[-1] != seen[-2]

    live.example.value = "세모"
    assert changed() and len(live.pad.pixels) == 32 * 32
    for percent in (live.scale.min, live.scale.max):
        live.scale.value = percent
        assert changed()
    live.again.click()
    assert changed()
    live.pad.pixels = [255] * 64 + [0] * (32 * 32 - 64)
    assert changed()
    live.example.value = widget.EMPTY
    assert changed() and live.pad.pixels == []
    assert pixels(live.picture.value).std() > 5


def test_three_views(models):
    view = widget.draw_and_translate(models, count=2, frames=2)
    bundle = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "그려서 옮기기" in bundle["text/plain"] and "0x" not in bundle["text/plain"]
    assert len(bundle["text/html"]) <= 300_000
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1
    with pytest.raises(ValueError, match="models"):
        widget.draw_and_translate({})
