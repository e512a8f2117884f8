"""GAN 경기장: 화살표의 방향과 크기, 기록, 그림, 세 모습, 다시 학습하기."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.gan import losses
from course_lib.widgets import gan_arena as arena


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


class Slope(torch.nn.Module):
    """s(x) = w·x + b인 판별자."""

    def __init__(self, w, b):
        super().__init__()
        self.w, self.b = torch.tensor(w), b

    def forward(self, x, y=None):
        return x @ self.w + self.b


def test_arrows_climb_the_score_and_fade_where_the_loss_saturates():
    gan = arena.new_gan()
    points = torch.randn(5, 2)
    for score in (-8.0, 0.0):
        gan.discriminator = Slope([0.0, 2.0], score)
        flat = points * torch.tensor([1.0, 0.0])
        sigma = torch.sigmoid(torch.tensor(score))
        for loss, want in (
            (losses.non_saturating, 2 * (1 - sigma)),
            (losses.minimax, 2 * sigma),
            (losses.hinge, 2.0),
        ):
            got = arena.arrows(gan, loss, flat)
            torch.testing.assert_close(got[:, 1], torch.full((5,), float(want)))
            assert (got[:, 0] == 0).all()


def test_the_field_is_the_discriminator_seen_from_above():
    gan = arena.new_gan()
    gan.discriminator = Slope([0.0, 3.0], 0.0)  # 위로 갈수록 진짜
    shot = arena.snapshot(gan, arena.Setting(), torch.randn(50, 2), torch.zeros(9, 2), 7)
    assert (np.diff(shot.field, axis=0) >= 0).all() and np.ptp(shot.field, axis=1).max() < 1e-6
    assert shot.real == 0.5 and shot.step == 7 and shot.points.shape == (50, 2)
    assert arena.grid().abs().max() < arena.HALF


def test_training_is_repeatable_and_leaves_the_global_stream_alone():
    torch.manual_seed(4)
    want = torch.rand(1)
    torch.manual_seed(4)
    untrained = arena.new_gan(3)
    setting = arena.Setting("hinge", 3e-3, 0.1, "25 격자")
    runs = [list(arena.train(setting, arena._copy(untrained), 6, 3)) for _ in range(2)]
    assert torch.rand(1) == want
    assert [s.step for s in runs[0]] == [0, 2, 4, 6]
    for a, b in zip(*runs, strict=True):
        assert (a.points == b.points).all() and (a.field == b.field).all()
    assert not (runs[0][0].points == runs[0][-1].points).all()


@pytest.mark.parametrize("data", arena.DATA)
def test_every_moment_draws(data):
    stage = arena.ArenaStage(64)
    setting = arena.Setting(data=data)
    stage.load(setting, list(arena.train(setting, arena.new_gan(), 6, 3)))
    pictures = [pixels(stage.draw(k)) for k in (0, 1, 3)]
    assert all((a != b).mean() > 0.001 for a, b in zip(pictures, pictures[1:], strict=False))
    assert (pixels(stage.draw(99)) == pictures[-1]).all() and (
        pixels(stage.draw(0)) == pictures[0]
    ).all()


def test_three_views_and_retraining(monkeypatch):
    monkeypatch.setattr(arena, "FRAMES", 4)
    view = arena.gan_arena(steps=8)
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {
        "text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"
    }  # fmt: skip
    assert bundle["text/plain"] == "<위젯: GAN 경기장>" and len(bundle["text/html"]) <= 300_000
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1
    with torch.random.fork_rng():
        shots = list(arena.train(arena.Setting(), arena.new_gan(), 8, 4))
    live = arena.ArenaView(arena.new_gan(), 8, shots)
    before = live.picture.value
    live.slider.value = 0
    moved = live.picture.value
    live.loss.value = "minimax"
    live.thread.join(30)
    assert len({before, moved, live.picture.value}) == 3 and "다 배웠습니다" in live.message.value
    live.rate.value = 1e-2
    live.thread.join(30)
    assert live._stage.setting == arena.Setting("minimax", 1e-2)
