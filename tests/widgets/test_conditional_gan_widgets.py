"""클래스 × 스타일 격자와 InfoGAN의 부호: 어느 슬라이더가 무엇을 바꾸는가."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.checks import randomise_
from course_lib.gan.cgan import cgan
from course_lib.gan.infogan import infogan
from course_lib.widgets import class_style_grid as grid
from course_lib.widgets import infogan_codes as codes


def small_cgan():
    torch.manual_seed(0)
    return randomise_(cgan(64, 10, 4, g_units=(8, 8, 16), d_units=((4, 2),) * 3, irange=None), 2.0)


def small_infogan():
    torch.manual_seed(0)
    sizes = dict(noise_dim=4, classes=10, continuous=2, width=4, hidden=16, code_hidden=6)
    return randomise_(infogan(8, **sizes), 2.0).eval()


def opened(png):
    return np.asarray(Image.open(BytesIO(png)).convert("L")).astype(int)


def test_rows_share_z_and_columns_share_the_class():
    gan = small_cgan().eval()
    images = grid.class_style(gan, (8, 8), 10, 3, 2, 0.25, seed=1)
    first, last = grid.styles(gan, 3, 2, 1)
    z = 0.75 * first + 0.25 * last
    for row in range(3):
        want = gan.generator(z[row].expand(10, -1), torch.arange(10)).reshape(10, 8, 8)
        torch.testing.assert_close(images[row], want.detach())
    again = grid.class_style(gan, (8, 8), 10, 3, 2, 0.25, seed=1)
    assert torch.equal(images, again)
    for t, end in ((0.0, first), (1.0, last)):
        images = grid.class_style(gan, (8, 8), 10, 3, 2, t, seed=1)
        want = gan.generator(end, torch.full((3,), 7)).reshape(3, 8, 8)
        torch.testing.assert_close(images[:, 7], want.detach())


def test_the_stage_puts_every_picture_in_its_place():
    stage = grid.GridStage((2, 3, 8, 8), ["가", "나"], ["0", "1", "2"], "제목", dpi=80)
    blank = opened(stage.draw(torch.zeros(2, 3, 8, 8)))
    middles = []
    for r in range(2):
        for c in range(3):
            images = torch.zeros(2, 3, 8, 8)
            images[r, c] = 1
            changed = np.argwhere(opened(stage.draw(images)) < blank - 100)
            middles.append(changed.mean(0))
            assert len(changed) > 2000
    rows, columns = np.array(middles).reshape(2, 3, 2).transpose(2, 0, 1)
    assert (np.diff(rows, axis=0) > 40).all() and (np.diff(columns, axis=1) > 40).all()
    assert np.ptp(rows, axis=1).max() < 2 and np.ptp(columns, axis=0).max() < 2
    for bad in (torch.zeros(3, 2, 8, 8), torch.full((2, 3, 8, 8), torch.nan)):
        with pytest.raises(ValueError, match="유한한"):
            stage.draw(bad)


def sliders(view):
    return {w.description: w for w in view.live.children if hasattr(w, "readout_format")}


@pytest.mark.parametrize("build", ["cgan", "infogan"])
def test_every_slider_draws_at_its_ends_and_changes_the_picture(build):
    if build == "cgan":
        view = grid.class_style_grid(small_cgan(), (8, 8), rows=3)
    else:
        view = codes.infogan_codes(small_infogan(), (8, 8))
    found = sliders(view)
    wanted = {"cgan": ["스타일 묶음", "t"], "infogan": ["범주", "c₁", "c₂", "잡음"]}[build]
    assert list(found) == wanted
    picture = view.live.children[0]
    for name, slider in found.items():
        seen, start = set(), slider.value
        for value in (slider.min, slider.max):
            slider.value = value
            seen.add(picture.value)
        assert len(seen) == 2, name
        slider.value = start
    assert len(view.html) < 300_000 and set(view._repr_mimebundle_()) >= {"text/html", "image/png"}


def test_the_widget_keeps_its_own_copy_and_is_the_same_twice():
    gan = small_cgan()
    one, two = (grid.class_style_grid(gan, (8, 8), rows=2) for _ in range(2))
    assert one.html == two.html
    before = one.live.children[0].value
    with torch.no_grad():
        gan.generator.joint[0].weight.mul_(-3)
    slider = sliders(one)["t"]
    slider.value = 1.0
    slider.value = 0.0
    assert one.live.children[0].value == before


def test_the_code_sheet_sweeps_one_code_at_a_time():
    gan = small_infogan()
    z, levels = codes.noise_bank(gan)[3], torch.tensor([0.5, -0.25])
    sheet = codes.code_sheet(gan, z, 6, levels, (8, 8))
    assert sheet.shape == (4, 10, 8, 8)

    def image(kind, *values):
        codes_ = torch.tensor(values)
        return gan.generator(gan.with_codes(z[None], kind, codes_)).detach().reshape(8, 8)

    torch.testing.assert_close(sheet[0, 0], image(6, 0.5, -0.25))
    assert float(sheet[0, 1:].abs().max()) == 0
    torch.testing.assert_close(sheet[1, 2], image(2, 0.5, -0.25))
    torch.testing.assert_close(sheet[2, 0], image(6, -1.0, -0.25))
    torch.testing.assert_close(sheet[3, 6], image(6, 0.5, 1.0))
    rows = codes.noise_bank(gan)[:2]
    every = codes.all_kinds(gan, rows, levels, (8, 8))
    want = gan.generator(gan.with_codes(rows, 9, levels)).detach().reshape(2, 8, 8)
    torch.testing.assert_close(every[:, 9], want)
    assert torch.equal(codes.noise_bank(gan), codes.noise_bank(gan))
    with pytest.raises(ValueError, match="하나 이상"):
        codes.infogan_codes(infogan(8, continuous=0, width=4, hidden=8), (8, 8))
