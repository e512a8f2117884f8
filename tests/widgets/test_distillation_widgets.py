import numpy as np
import pytest
import torch

from course_lib.base import standard_normal
from course_lib.datasets.toy2d import GaussianModes
from course_lib.flows.iaf import IAF
from course_lib.parallel_wavenet.distillation import distillation_kl
from course_lib.training import fit
from course_lib.widgets import distillation_scrubber as ds

LIMITS = (-4.0, 4.0, -3.0, 3.0)
TWO = GaussianModes("두 봉우리", torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), 0.5)


def recorded(frames=5, steps=6, samples=None, seed=0):
    torch.manual_seed(seed)
    student = IAF(2, 1, (8,), base=standard_normal)
    recorder = ds.Recorder(student, TWO.log_prob, LIMITS, steps, samples=samples, frames=frames,
                           draws=500, shown=40, seed=seed)  # fmt: skip
    loss = lambda m, n: distillation_kl(m, TWO, n)[0].mean()  # noqa: E731
    weights = []
    for metrics in fit(student, loss, lambda g: 16, steps=steps, lr=1e-2):
        recorder.see(metrics["step"])
        weights.append(student.flow.flows[0].net.layers[0].weight.detach().clone())
    return recorder.recording(), weights


def is_png(data: bytes) -> bool:
    return data[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_curves_add_up_and_the_training_is_not_disturbed():
    recording, weights = recorded()
    kl, cross, minus = recording.curves.values()
    assert np.allclose(kl, cross + minus, atol=1e-5)
    assert recording.points.shape == (len(recording.steps), 40, 2)
    assert recording.steps[0] == 0 and recording.steps[-1] == 6
    again = recorded(frames=2)[1]
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))


def test_the_forward_direction_is_measured_on_the_teachers_samples():
    samples = TWO.sample(3000, torch.Generator().manual_seed(0))
    recording, _ = recorded(samples=samples)
    kl, cross, minus = recording.curves.values()
    assert np.allclose(kl, cross + minus, atol=1e-5) and np.ptp(minus) == 0
    assert -minus[0] == pytest.approx(TWO.entropy, abs=0.1) and (kl > 0).all()


def test_pictures_at_the_ends_and_beyond():
    recording, _ = recorded()
    stage = ds.ScrubberStage(recording, 60)
    last = len(recording.steps) - 1
    pictures = [stage.draw(k) for k in (0, last // 2, last)]
    assert all(map(is_png, pictures)) and len(set(pictures)) == 3
    assert stage.draw(-1) == pictures[0] and stage.draw(99) == pictures[-1]
    assert "KL" in ds.caption(recording, last)


def test_view_moves_and_bad_inputs():
    first, _ = recorded()
    second, _ = recorded(samples=TWO.sample(200, torch.Generator().manual_seed(0)))
    view = ds.distillation_scrubber({"뒤 방향": first, "앞 방향": second})
    menu, picture, bar = view.live.children
    before = picture.value
    bar.children[1].value = 0
    assert picture.value != before
    before = picture.value
    menu.value = "앞 방향"
    assert picture.value != before and is_png(view.png) and len(view.html) < 300_000
    assert bar.children[1].min == 0 and "위젯" in repr(view)
    with pytest.raises(ValueError, match="같아야"):
        ds.distillation_scrubber({"하나": first, "둘": recorded(frames=3)[0]})
    with pytest.raises(ValueError, match="같아야"):
        ds.distillation_scrubber({})
    with pytest.raises(ValueError, match="frames"):
        ds.Recorder(IAF(2, 1, (4,)), TWO.log_prob, LIMITS, 5, frames=1)
