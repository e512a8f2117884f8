"""그린 점으로 학습하는 위젯: 단추를 누른 것과 같은 길을 화면 없이 지나갑니다."""

import pytest
import torch

from course_lib.training import fit
from course_lib.widgets.draw_and_train import (
    EXAMPLES,
    FEWEST,
    LIMITS,
    Trainer,
    draw_and_train,
    example_points,
    train_on_points,
)


def make(fit=fit, steps=40, **kwargs):
    from small_flows import random_realnvp

    return Trainer(random_realnvp(), fit, steps=steps, example="하트", seed=0, **kwargs)


def press(trainer, timeout=60):
    trainer.button.click()
    trainer.thread.join(timeout)
    assert not trainer.thread.is_alive()


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_fit_on_the_pad(name):
    points = example_points(name)
    assert len(points) >= 5 * FEWEST and points.abs().max() < LIMITS[1]
    assert torch.equal(points, example_points(name))


def test_pressing_the_button_learns_and_redraws():
    trainer = make(steps=60)
    before = trainer.warp.picture.value
    press(trainer)
    assert trainer.progress.value == 60 and trainer.progress.bar_style == "success"
    assert trainer.warp.picture.value != before and "배웠습니다" in trainer.message.value
    assert trainer.button.description == "학습"


def test_training_on_points_lowers_the_loss_and_leaves_the_global_generator_alone():
    from small_flows import random_realnvp

    torch.manual_seed(3)
    state = torch.get_rng_state()
    model, points = random_realnvp(), example_points("하트")
    torch.set_rng_state(state)
    losses = [m["loss"] for m in train_on_points(model, points, fit=fit, steps=120)]
    assert sum(losses[-20:]) / 20 < sum(losses[:5]) / 5 - 0.5
    assert torch.equal(torch.get_rng_state(), state)


def test_every_press_starts_from_the_same_place():
    trainer = make(steps=20)
    press(trainer)
    first = trainer.warp.picture.value, trainer.message.value
    press(trainer)
    assert (trainer.warp.picture.value, trainer.message.value) == first


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "0개"),
        ([[0.0, 0.0]] * (FEWEST - 1), "더 그려|이상 그려"),
        ([[1.0, 1.0]] * 30, "같은 자리"),
    ],
)
def test_too_few_points_is_a_sentence_in_the_widget(points, words):
    import re

    trainer = make()
    trainer.pad.points = points
    press(trainer)
    assert re.search(words, trainer.message.value) and trainer.progress.bar_style == "danger"


def test_divergence_is_a_sentence_in_the_widget_and_the_next_press_works():
    calls = []

    def fit_that_breaks_once(model, loss, batches, **settings):
        calls.append(settings)
        if len(calls) == 1:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))
        yield from fit(model, loss, batches, **settings)

    trainer = make(fit_that_breaks_once, steps=20)
    press(trainer)
    assert trainer.progress.bar_style == "danger" and "학습" in trainer.message.value
    press(trainer)
    assert trainer.progress.bar_style == "success"


def test_pressing_again_stops_the_training():
    trainer = make(steps=100_000)
    trainer.button.click()
    trainer.button.click()
    trainer.thread.join(60)
    assert not trainer.thread.is_alive() and trainer.progress.value < 100_000


def test_example_menu_fills_and_empties_the_pad():
    trainer = make()
    trainer.examples.value = "두 고리"
    assert torch.allclose(trainer.pad.tensor(), example_points("두 고리"))
    trainer.examples.value = "빈 화판"
    assert trainer.pad.tensor().shape == (0, 2)
    with pytest.raises(ValueError, match="하트"):
        example_points("네모")


def test_widget_shows_three_faces_and_keeps_the_global_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    view = draw_and_train(steps=10)
    assert torch.equal(state, torch.get_rng_state())
    bundle = view._repr_mimebundle_()
    assert len(bundle) == 4 and bundle["text/plain"] == "<위젯: 그려서 학습하기>"
    assert view.html == draw_and_train(steps=10).html and len(view.html) < 60_000
