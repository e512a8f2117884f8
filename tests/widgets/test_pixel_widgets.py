"""04장의 위젯: 수용 영역 보기와 그림 완성. 셈이 맞고, 처음·끝·기본값에서 그림이 나오는지."""

import base64
import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.autoregressive.gated_pixel_cnn import GatedPixelCNN
from course_lib.autoregressive.pixel_cnn import PixelCNN
from course_lib.widgets import image_completion as completion
from course_lib.widgets import receptive_field as field


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def three_views(view):
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {
        "text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"
    }  # fmt: skip
    assert bundle["text/plain"].startswith("<위젯: ") and "0x" not in bundle["text/plain"]
    assert len(bundle["text/html"]) <= 300_000
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1


# ── 수용 영역 보기 ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layers", [1, 4, field.DEEPEST])
@pytest.mark.parametrize("place", [(0, 0), (7, 6), (8, 12)])
def test_every_past_pixel_is_seen_waiting_or_blind(layers, place):
    for name in field.MODELS:
        state = field.view(name, layers, *place)
        number = np.arange(state.size).reshape(state.shape)
        past = number < place[0] * field.WIDTH + place[1]
        assert state[place] == "지금" and (state == "지금").sum() == 1
        assert set(state[past]) <= {"봄", "아직", "맹점"}
        assert (state[number > number[place]] == "미래").all()
        assert name == "PixelCNN" or not (state == "맹점").any()


def test_depth_turns_waiting_into_seen_and_leaves_the_blind_spot():
    counts = {
        name: [
            tuple((field.view(name, n, 7, 6) == kind).sum() for kind in ("봄", "아직", "맹점"))
            for n in range(1, field.DEEPEST + 1)
        ]
        for name in field.MODELS
    }
    for rows in counts.values():
        seen, waiting, blind = zip(*rows, strict=True)
        assert list(seen) == sorted(seen) and waiting[-1] == 0 and len(set(blind)) == 1
    assert counts["PixelCNN"][0][2] == 15 and counts["Gated PixelCNN"][0][2] == 0


def test_field_pictures_at_the_ends_and_the_default():
    stage = field.FieldStage(60)
    drawn = [
        stage.draw(*v) for v in ((1, 0, 0), (4, 7, 6), (field.DEEPEST, 8, 12), (4.0, 7.0, 6.0))
    ]
    assert len({bytes(d) for d in drawn[:3]}) == 3 and drawn[1] == drawn[3]
    assert all(pixels(d).std() > 5 for d in drawn)


def test_receptive_field_is_three_views():
    three_views(field.receptive_field(dpi=60))


# ── 그림 완성 ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GatedPixelCNN((1, 6, 6), 5, classes=3, width=8, layers=3).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randint(5, (3, 1, 6, 6), generator=torch.Generator().manual_seed(1)).float()


def test_known_pixels_stay_and_the_seed_decides_the_rest(model, images):
    known = torch.rand(1, 1, 6, 6) < 0.5
    a, b, c = (completion.fill(model, images[:1], known, None, 3, seed) for seed in (0, 0, 1))
    assert a.shape == (3, 1, 6, 6)
    keep = known.expand_as(a)
    assert torch.equal(a[keep], images[:1].expand_as(a)[keep])
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_all_known_and_nothing_known(model, images):
    full = torch.ones(1, 1, 6, 6, dtype=torch.bool)
    assert torch.equal(
        completion.fill(model, images[:1], full, 1, 2), images[:1].expand(2, 1, 6, 6)
    )
    assert completion.fill(model, images[:1], ~full, 1, 2).shape == (2, 1, 6, 6)


def test_class_posterior_is_bayes_on_the_prefix(model, images):
    """모두 알면 p(y|x)이고, 아무것도 모르면 균등하며, 첫 빈칸 뒤의 화소는 상관없습니다."""
    x = images[:1]
    full = torch.ones(1, 1, 6, 6, dtype=torch.bool)
    joint = torch.cat([model.log_prob(x, torch.tensor([k])) for k in range(3)]).detach()
    torch.testing.assert_close(completion.class_posterior(model, x, full), joint.softmax(0))
    nothing = completion.class_posterior(model, x, ~full)
    torch.testing.assert_close(nothing, torch.full((3,), 1 / 3))
    known = full.clone()
    known[..., 3, 2] = False
    changed = x.clone()
    changed[..., 3, 3:], changed[..., 4:, :] = 0, 0
    a, b = (completion.class_posterior(model, v, known) for v in (x, changed))
    torch.testing.assert_close(a, b)
    # 앞부분의 주변 확률: 뒤의 화소 하나를 모두 더해도 앞부분의 비는 그대로입니다.
    last = full.clone()
    last[..., 5, 5] = False
    states = x.repeat(5, 1, 1, 1)
    states[:, 0, 5, 5] = torch.arange(5.0)
    summed = torch.stack(
        [model.log_prob(states, torch.full((5,), k)).logsumexp(0) for k in range(3)]
    )
    torch.testing.assert_close(
        completion.class_posterior(model, x, last), summed.detach().softmax(0)
    )


def test_the_label_reaches_the_model(model, images):
    known, model = torch.zeros(1, 1, 6, 6, dtype=torch.bool), copy.deepcopy(model)
    with torch.no_grad():
        for layer in model.layers:
            layer.label.weight[2] += 3
    a, b = (completion.fill(model, images[:1], known, k, 4) for k in (0, 2))
    assert not torch.equal(a, b)


def test_controls_change_the_picture(model, images):
    live = completion.Completer(model, images, 2)
    seen = [bytes(live.picture.value)]

    def changed():
        seen.append(bytes(live.picture.value))
        return seen[-1] != seen[-2]

    for rows in (0, 6):  # 처음은 가운데
        live.rows.value = rows
        assert changed()
    live.which.value = 2
    assert changed()
    live.pad.pixels = [255] * 12 + [0] * 24  # 위 두 줄을 지웁니다
    assert changed()
    _, known = live.state()
    assert not known[..., :2, :].any() and known[..., 2:, :].all()
    live.again.click()
    assert changed()
    live.mode.value = completion.DRAW
    assert changed() and live.pad.pixels == [] and live.pad.background == b""
    live.rows.value = 3
    live.pad.pixels = [0] * 6 + [255] * 6 + [0] * 24
    x, known = live.state()
    assert x[0, 0, 1].eq(4).all() and x.sum() == 24 and known[..., :3, :].all()
    assert not known[..., 3:, :].any()
    live.label.value = 1
    assert pixels(live.picture.value).std() > 5


def test_image_completion_is_three_views(model, images):
    three_views(completion.image_completion(model, images, count=2, examples=2))
    plain = PixelCNN((1, 6, 6), 5, width=4, layers=2)
    three_views(completion.image_completion(plain, images, count=1, examples=1))
    with pytest.raises(ValueError, match="images"):
        completion.image_completion(model, images[:, 0])
