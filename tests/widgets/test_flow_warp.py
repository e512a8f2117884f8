"""2차원 flow 변형: 중간 단계의 밀도가 정확한지, 그림이 그 수들을 그리는지."""

import copy
import math
import threading
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from small_flows import MODELS, Affine, Bend

from course_lib.base import FlowModel
from course_lib.widgets.flow_warp import (
    LINES,
    STEPS_PER_LAYER,
    WarpStage,
    WarpView,
    density_shade,
    flow_warp,
    stage_label,
    warp_html,
    warp_path,
)


def cell_areas(points: np.ndarray) -> np.ndarray:
    """(N, N, 2) 격자의 칸 넓이(신발끈 공식)."""
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    u, v = c - a, d - b
    return np.abs(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]) / 2


def mass(path, t: float) -> float:
    """단계 t의 밀도를 옮긴 격자 위에서 적분합니다."""
    p = np.exp(path.log_density(t).astype(float))
    mean = (p[1:, 1:] + p[1:, :-1] + p[:-1, 1:] + p[:-1, :-1]) / 4
    return float((mean * cell_areas(path.at(path.fine.stages, t).astype(float))).sum())


def test_density_at_the_last_layer_is_the_log_prob_of_the_model(model):
    path = warp_path(model, samples=50, mesh=41)
    x = torch.from_numpy(path.fine.stages[-1].reshape(-1, 2))
    with torch.no_grad():
        expected = model.log_prob(x).reshape(41, 41).numpy()
    inside = expected > -14  # 꼬리에서는 float32의 역변환이 먼저 어긋납니다
    assert np.abs(path.log_density(path.layers) - expected)[inside].max() < 5e-3


@pytest.mark.parametrize("name", ["아핀", "삼각", "RealNVP"])
@pytest.mark.parametrize("share", [0.0, 0.17, 0.5, 0.83, 1.0])
def test_density_integrates_to_one_at_every_stage(name, share):
    path = warp_path(MODELS[name](), samples=50, mesh=181, reach=4.5)
    assert mass(path, share * path.layers) == pytest.approx(1, abs=0.01)


def test_density_between_layers_is_the_density_of_the_half_applied_layer():
    """아핀 층을 τ만큼 적용한 변환 (1−τ)I + τA도 아핀이므로 정답을 압니다."""
    matrix, shift = torch.tensor([[1.5, 0.0], [0.4, 0.5]]), torch.tensor([0.3, -0.2])
    path = warp_path(FlowModel(Affine(matrix.tolist(), shift.tolist()), (2,)), samples=20, mesh=31)
    for tau in (0.25, 0.6):
        mixed = (1 - tau) * torch.eye(2) + tau * matrix
        gaussian = torch.distributions.MultivariateNormal(tau * shift, mixed @ mixed.T)
        expected = gaussian.log_prob(torch.from_numpy(path.at(path.fine.stages, tau)))
        assert np.abs(path.log_density(tau) - expected.numpy()).max() < 1e-4


def test_stages_are_continuous_across_a_layer_and_positive_in_between(bent):
    path = warp_path(bent, samples=50, mesh=41)
    for k in range(1, path.layers):
        before, after = (path.log_density(k + e) for e in (-1e-6, 1e-6))
        assert np.abs(before - after).max() < 1e-3
    # 삼각행렬이고 대각이 양수인 층: 중간 단계의 칸도 뒤집히지 않습니다.
    for t in np.linspace(0, path.layers, 9):
        points = path.at(path.fine.stages, t)
        u, v = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
        assert (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0] > 0).all()


def test_samples_follow_the_base_and_keep_their_quadrant(model):
    path = warp_path(model, samples=4000, mesh=21)
    z = path.samples[0]
    log_p = model.base.log_prob(torch.from_numpy(z).float())
    entropy = model.base.entropy().item()
    assert -log_p.mean().item() == pytest.approx(entropy, abs=0.12)
    assert (path.quadrant == (z[:, 0] < 0) + 2 * (z[:, 1] < 0)).all()
    assert np.bincount(path.quadrant, minlength=4).min() > 850


def test_path_comes_from_the_model_and_does_not_touch_it(model):
    before = copy.deepcopy(model.state_dict())
    model.train()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    path = warp_path(model, samples=30, mesh=21)
    assert torch.equal(state, torch.get_rng_state()) and model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        points = model.path(torch.from_numpy(path.samples[0]).float())
    for k, point in enumerate(points):
        assert np.abs(path.samples[k] - point.numpy()).max() < 1e-4
    assert path.lines.shape[:2] == (path.layers + 1, 2 * LINES)


def test_frozen_copy_ignores_later_training(bent):
    view = flow_warp(bent).live.children[0].value
    bent.flow.flows[1].matrix.mul_(3)
    assert flow_warp(bent).live.children[0].value != view


def test_works_inside_inference_mode_and_with_float64(bent):
    with torch.inference_mode():
        one = warp_path(bent, samples=20, mesh=21)
    two = warp_path(bent.double(), samples=20, mesh=21)
    assert np.allclose(one.log_density(1.5), two.log_density(1.5), atol=1e-5)


@pytest.mark.parametrize("t", [-1.0, 0.0, 0.31, 1.0, 1.5, 2.0, 9.0])
def test_every_stage_draws_a_picture_of_the_same_size(bent, t):
    path = warp_path(bent, torch.randn(30, 2), samples=200, mesh=41)
    image = Image.open(BytesIO(WarpStage(path).draw(t)))
    assert image.format == "PNG" and image.size == (936, 527)
    assert np.asarray(image.convert("L")).std() > 10


def test_picture_moves_with_the_samples(bent):
    stage = WarpStage(warp_path(bent, samples=300, mesh=41))
    frames = [
        np.asarray(Image.open(BytesIO(stage.draw(t))).convert("L"), float) for t in (0, 0.1, 2)
    ]
    assert 0.1 < np.abs(frames[0] - frames[1]).mean() < np.abs(frames[0] - frames[2]).mean()
    assert stage.draw(0) == stage.draw(0)


def test_shade_is_the_square_root_of_the_density_over_its_gaussian_peak():
    path = warp_path(MODELS["아핀"](), samples=20, mesh=121, reach=5.0)
    for t in (0.0, 0.5, 1.0):
        shade = density_shade(path, t)
        assert shade.max() == pytest.approx(1, abs=0.01)  # 정규분포에서는 p* = 최댓값


def test_labels_say_where_we_are(bent):
    path = warp_path(bent, samples=20, mesh=21)
    assert stage_label(path, 0) == "t = 0.00 / 2  ·  기저분포 z"
    assert stage_label(path, 1.25, "가") == "가  ·  t = 1.25 / 2  ·  2번째 층"
    assert stage_label(path, 2).endswith("데이터 공간 x")


def test_view_keeps_the_share_of_the_way_when_the_model_changes():
    view = WarpView({n: warp_path(MODELS[n](), samples=50, mesh=21) for n in ("삼각", "RealNVP")})
    assert view.slider.max == 2 * STEPS_PER_LAYER and view.slider.value == view.slider.max
    view.slider.value = STEPS_PER_LAYER
    before = view.picture.value
    view.menu.value = "RealNVP"
    assert view.slider.max == 4 * STEPS_PER_LAYER
    assert view.slider.value == 2 * STEPS_PER_LAYER and view.picture.value != before
    view.show("RealNVP", warp_path(MODELS["RealNVP"](), torch.zeros(9, 2), samples=50, mesh=21))
    for value in (view.slider.min, view.slider.max, 7):
        view.slider.value = value
        assert Image.open(BytesIO(view.picture.value)).size == (936, 527)


def test_many_threads_draw_the_same_pictures_while_a_model_trains(bent):
    model = MODELS["RealNVP"]()
    view = WarpView({"": warp_path(model, samples=200, mesh=31)})
    ticks = [0, 13, 37, 80]
    expected = {tick: view._draw(tick) for tick in ticks}
    wrong, stop = [], threading.Event()

    def train():
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        while not stop.is_set():
            (-model.log_prob(torch.randn(32, 2)).mean()).backward()
            optimizer.step()

    def watch(order):
        for tick in order * 4:
            with torch.inference_mode():
                if view._draw(tick) != expected[tick]:
                    wrong.append(tick)

    trainer = threading.Thread(target=train)
    watchers = [
        threading.Thread(target=watch, args=(np.roll(ticks, k).tolist(),)) for k in range(4)
    ]
    for thread in (trainer, *watchers):
        thread.start()
    for thread in watchers:
        thread.join()
    stop.set()
    trainer.join()
    assert wrong == []


def test_html_is_deterministic_small_and_complete(bent):
    paths = {"가": warp_path(bent, torch.randn(40, 2)), "나": warp_path(MODELS["RealNVP"]())}
    html = warp_html(paths, b"PNG")
    assert html == warp_html(paths, b"PNG")
    assert len(html) < 300_000 and "http" not in html


def test_browser_gets_only_the_coordinates_that_move():
    from course_lib.widgets.flow_warp import _browser_data

    data = _browser_data(warp_path(MODELS["RealNVP"]()))
    assert data["moved"][0] == [True, True]
    assert all(sum(pair) == 1 for pair in data["moved"][1:]) and not any(data["general"])
    data = _browser_data(warp_path(MODELS["순열"]()))
    assert data["flips"] == [False, True, False]
    # 대각 성분이 둘 다 1이 아닌 삼각 변환은 tr J ≠ 1 + det J이므로 대각합도 보냅니다.
    assert _browser_data(warp_path(MODELS["삼각"]()))["general"][0]


def test_flow_warp_shows_three_faces_and_takes_one_model_or_many(bent):
    view = flow_warp({"가": bent, "나": MODELS["아핀"]()}, {"가": torch.randn(30, 2)})
    bundle = view._repr_mimebundle_()
    assert len(bundle) == 4 and repr(view) == "<위젯: 2차원 flow 변형>"
    assert len(view.png) < 80_000
    assert flow_warp(bent)._repr_mimebundle_()["text/plain"] == repr(view)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: flow_warp({}), "하나 이상"),
        (lambda: flow_warp({"가": MODELS["아핀"]()}, {"나": torch.zeros(3, 2)}), "나"),
        (lambda: warp_path(FlowModel(Bend(), (3,))), "2차원"),
        (lambda: warp_path(FlowModel(Affine([[math.nan, 0.0], [0.0, 1.0]]), (2,))), "NaN"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_korean(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_limits_show_base_and_data_whatever_happens_in_between(bent):
    path = warp_path(bent, samples=300, mesh=21)
    low, high = path.limits
    assert low == -high and high >= np.abs(path.samples[[0, -1]]).max() * 0.9
    wild = path.samples.copy()
    wild[1] *= 100
    assert replace(path, samples=wild).limits[1] < 1.2 * high


def test_trace_and_determinant_are_those_of_the_layer():
    model = FlowModel(Affine([[2.0, 0.3], [-0.1, 0.5]]), (2,))
    with torch.no_grad():
        path = warp_path(model, samples=20, mesh=21)
    assert np.allclose(path.fine.det, 1.03) and np.allclose(path.fine.trace, 2.5)
