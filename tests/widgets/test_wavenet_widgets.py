"""팽창 합성곱의 나무와 소리 실험대: 그림의 자료, 작은 값과 큰 값, HTML의 크기."""

import base64
import json
import math
import re

import numpy as np
import pytest
import torch

from course_lib.autoregressive.wavenet import WaveNet
from course_lib.datasets.vowels import make_vowels
from course_lib.widgets import dilation_tree as dt
from course_lib.widgets.sound_lab import mu_law_lab, snr_db, sound_grid


def is_png(data: bytes) -> bool:
    return data[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("layers", [1, 3, 5])
@pytest.mark.parametrize("kernel", [2, 3])
def test_tree_is_what_the_model_sees(layers, kernel):
    field = dt.receptive_field(layers, kernel, True)
    model = WaveNet(8, stacks=1, layers=layers, kernel=kernel, channels=2, output="gaussian")
    assert field == model.receptive_field
    nodes, edges = dt.tree(layers, kernel, True, now=200)
    assert {200 - s + 1 for s in nodes[0]} == set(range(1, field + 1))  # 자리 s의 입력은 x_{s−1}
    assert len(edges) == kernel * sum(len(level) for level in nodes[1:])
    plain = dt.tree(layers, kernel, False, now=200)[0]
    assert len(plain[0]) == 1 + (kernel - 1) * layers


def test_tree_pictures_and_live_view():
    stage = dt.TreeStage(50)
    corners = [(1, 2, 0), (1, 2, 1), (4, 2, 1), (dt.DEEPEST, 3, 1), (dt.DEEPEST, 3, 0)]
    pictures = [stage.draw(*corner) for corner in corners]
    assert all(map(is_png, pictures))
    assert pictures[0] == pictures[1]  # 한 층이면 팽창이 1이라 같습니다
    assert len(set(pictures)) == len(corners) - 1
    view = dt.dilation_tree(60)
    picture, *sliders = view.live.children
    before = picture.value
    for slider in sliders:
        slider.value = slider.max if slider.value != slider.max else slider.min
        assert picture.value != before
        before = picture.value
    assert is_png(view.png) and len(view.html) < 300_000 and "http" not in view.html


def payload(html):
    return json.loads(re.search(r"const data = (\{.*?\});\n", html, re.DOTALL)[1])


def test_snr_of_even_cells_follows_the_rule_and_mu_law_stays_level():
    x = make_vowels(1, 4000, generator=torch.Generator().manual_seed(0)).x[0] / 0.9
    power = 10 * math.log10(float(x.square().mean()))
    for level in (0, -12, -24):  # 고른 칸의 잡음은 칸 너비의 제곱/12
        want = power + level + 10 * math.log10(12 / (2 / 255) ** 2)
        assert snr_db(x, level, "고른 칸") == pytest.approx(want, abs=1.0)
    mu = [snr_db(x, level, "μ-law") for level in (0, -20, -36)]
    assert max(mu) - min(mu) < 12 and mu[2] > snr_db(x, -36, "고른 칸") + 10
    assert snr_db(x, 0, "고른 칸") > mu[0]
    with pytest.raises(ValueError, match="고른 칸"):
        snr_db(x, 0, "A-law")


def test_labs_hold_their_sounds_and_refuse_what_they_cannot_show():
    x = 0.5 * torch.sin(torch.arange(2000) * 0.3)
    view = mu_law_lab(x)
    data = payload(view.html)
    stored = np.frombuffer(base64.b64decode(data["sound"]), "<i2") / 32767
    assert np.abs(stored).max() == 1 and len(stored) == 2000 and view.live is None
    assert is_png(view.png) and len(view.html) < 100_000 and "http" not in view.html
    with pytest.raises(ValueError, match="1000"):
        mu_law_lab(torch.zeros(10))

    rows = {"아": [x, 3 * x], "이": [-x, 0 * x]}
    grid = sound_grid(rows, ["0", "1"], alt="시험", start=1)
    data = payload(grid.html)
    assert data["names"] == ["아", "이"] and data["labels"] == ["0", "1"]
    loud = np.frombuffer(base64.b64decode(data["sounds"][0][1]), "<i2")
    assert np.abs(loud).max() == 32767  # 넘치는 소리는 자르지 않고 줄입니다
    assert sound_grid(rows, ["0", "1"], alt="시험", start=1).html == grid.html
    for wrong in (lambda: sound_grid({"아": [x]}, ["0", "1"], alt=""),
                  lambda: sound_grid(rows, ["0", "1"], alt="", budget=9000)):  # fmt: skip
        with pytest.raises(ValueError, match="눈금|한도"):
            wrong()
