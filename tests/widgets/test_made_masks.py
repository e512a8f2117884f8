"""MADE 마스크 탐색기: 길의 수가 맞고, 모든 순서와 출력에서 그림이 나오는지."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from course_lib.widgets import made_masks as masks

CHOICES = masks.structures()


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("name", CHOICES)
def test_paths_reach_only_earlier_inputs_except_in_the_broken_one(name):
    what = CHOICES[name]
    rank, paths = what.degrees[0], what.paths
    assert sorted(rank) == list(range(1, masks.DIM + 1))
    allowed = rank[None, :] < rank[:, None]
    if name == masks.LEAK:
        assert (paths.diagonal() > 0).any() and not (paths[~allowed & ~np.eye(6, dtype=bool)]).any()
    else:
        assert not paths[~allowed].any()
        missing = int(((paths == 0) & allowed).sum())
        assert (missing > 0) == ("무작위" in name)


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("output", [0, 3, 5])
def test_lit_edges_are_exactly_those_on_a_path_to_the_output(name, output):
    what = CHOICES[name]
    edges, nodes = what.leads_to(output)
    assert np.array_equal(nodes[0], what.paths[output] > 0)
    assert nodes[-1].sum() == 1 and nodes[-1][output]
    for edge, mask, above in zip(edges, what.masks, nodes[1:], strict=True):
        assert not (edge & ~mask).any()
        assert np.array_equal(edge, mask & above[:, None])


def test_the_sentence_says_what_the_picture_shows():
    plain = CHOICES["차례대로"]
    assert masks.sentence(plain, 0) == "x₁의 순번은 1, 보는 입력: 없음(편향뿐)"
    assert masks.sentence(plain, 3) == "x₄의 순번은 4, 보는 입력: x₁, x₂, x₃"
    assert "자기 자신을 봅니다" in masks.sentence(CHOICES[masks.LEAK], 3)
    assert any(
        "놓치는 입력" in masks.sentence(CHOICES["차례대로, 번호는 무작위"], d) for d in range(6)
    )


@pytest.mark.parametrize("name", CHOICES)
def test_every_output_of_every_order_gives_another_picture(name):
    stage = masks.MaskStage(40)
    pictures = [stage.draw(CHOICES[name], d) for d in range(masks.DIM)]
    assert len(set(pictures)) == masks.DIM
    assert all(pixels(p).std() > 1 for p in pictures)


def test_three_views_and_live_controls_agree():
    view = masks.made_masks()
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {
        "text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"
    }  # fmt: skip
    assert bundle["text/plain"] == "<위젯: MADE의 마스크>" and len(bundle["text/html"]) < 700_000
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1
    pick, line, picture, bar = view.live.children
    slider = bar.children[1]
    before = bytes(picture.value)
    slider.value = slider.max
    assert bytes(picture.value) != before and line.value.startswith("x₆의 순번은 6")
    slider.value, before = 3, bytes(picture.value)
    pick.value = masks.LEAK
    assert bytes(picture.value) != before and "자기 자신" in line.value
    slider.value = slider.min
    assert line.value.startswith("x₁의 순번은 1")
