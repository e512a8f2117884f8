"""01장의 위젯: K-means와 EM의 걸음이 맞고, KDE가 scikit-learn과 같고, 모든 자리에서 그림이 나오는지."""

import base64
import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.neighbors import KernelDensity

from course_lib.widgets import kde_bandwidth as kde
from course_lib.widgets import kmeans_em as ke


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def three_views(view):
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {
        "text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"
    }  # fmt: skip
    assert bundle["text/plain"].startswith("<위젯: ")
    assert len(bundle["text/html"]) < 300_000
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_ends_where_scikit_learn_ends_and_its_cost_only_falls(seed):
    x = ke.demo_points()
    starts = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:3]]
    path = ke.kmeans_path(x, starts, 60)
    theirs = KMeans(3, init=starts.numpy(), n_init=1, tol=0, algorithm="lloyd").fit(x.numpy())
    assert np.allclose(path[-1].centres, theirs.cluster_centers_)
    assert path[-1].value == pytest.approx(theirs.inertia_)
    assert all(b.value <= a.value + 1e-9 for a, b in itertools.pairwise(path))
    assert path[0].centres.tolist() == starts.tolist()


def test_a_centre_without_points_stays_where_it_is():
    path = ke.kmeans_path(ke.demo_points(), [[0.0, 0.0], [500.0, 0.0]], 5)
    assert all(state.centres[1].tolist() == [500.0, 0.0] for state in path)


def test_em_path_rises_and_covers_every_start():
    x = ke.demo_points()
    path = ke.em_path(x, ke.STARTS, ke.STEPS, floor=0.0)
    values = [state.value for state in path]
    assert len(path) == ke.STEPS + 1 and all(b >= a - 1e-9 for a, b in itertools.pairwise(values))
    assert path[0].centres.tolist() == ke.STARTS
    lonely = ke.em_path(x, [[0.0, 0.0], [0.1, 0.0], [90.0, 90.0]], ke.STEPS)
    assert len(lonely) == ke.STEPS + 1 and np.isfinite(lonely[-1].value)


def test_the_demo_separates_the_two_methods():
    # 위젯이 보이려는 것: K-means는 길쭉한 무리를 자르고, EM은 통째로 찾습니다.
    x = ke.demo_points()
    truth = np.repeat([0, 1, 2], [120, 60, 80])
    run = {"K-means": ke.kmeans_path, "EM": ke.em_path}
    found = {m: run[m](x, ke.STARTS, ke.STEPS)[-1].shares.argmax(1) for m in ke.METHODS}
    long_one = {m: np.bincount(found[m][truth == 0]).max() / 120 for m in found}
    assert long_one["K-means"] < 0.8 < 0.95 < long_one["EM"]
    # 본문이 적은 수: 처음 출발점의 J, 가장 나은 답의 J, 참 무리의 J
    good = ke.kmeans_path(x, [[-1.6, -0.6], [2.0, 1.6], [3.2, -1.5]], ke.STEPS)[-1].value
    groups = [x[torch.from_numpy(truth == g)] for g in range(3)]
    true_cost = sum(float((g - g.mean(0)).square().sum()) for g in groups)
    first = ke.kmeans_path(x, ke.STARTS, ke.STEPS)[-1].value
    assert (round(first), round(good), round(true_cost)) == (623, 415, 523)


def test_ellipse_is_a_level_set():
    covariance = np.array([[2.0, 0.7], [0.7, 0.5]])
    points = ke.ellipse(np.array([1.0, -1.0]), covariance, 2.0) - np.array([[1.0], [-1.0]])
    level = (points * np.linalg.solve(covariance, points)).sum(0)
    assert np.allclose(level, 4)


def test_every_corner_of_the_stepper_draws_and_differs():
    stage = ke.KmeansEmStage(ke.demo_points(), 3)
    elsewhere = [[ke.LIMITS[0], ke.LIMITS[2]], [ke.LIMITS[1], ke.LIMITS[3]], [0.0, 0.0]]
    shots = [
        pixels(stage.draw(m, starts, t)).tobytes()
        for m in ke.METHODS
        for starts in (ke.STARTS, elsewhere)
        for t in (0, 1, ke.STEPS)
    ]
    assert len(set(shots)) == len(shots)
    again = stage.draw("K-means", ke.STARTS, 1)
    assert pixels(again).tobytes() == shots[1]  # 그린 순서와 무관합니다


def test_live_stepper_follows_its_three_controls():
    live = ke._live(ke.KmeansEmStage(ke.demo_points(), 3), ke.STARTS, ke.LIMITS)
    method, pad, bar = live.children
    seen = [pad.background]
    bar.children[1].value = 7
    seen.append(pad.background)
    method.value = "EM"
    seen.append(pad.background)
    pad.points = [[0.0, 0.0], *ke.STARTS[1:]]
    seen.append(pad.background)
    assert len(set(seen)) == 4


@pytest.mark.parametrize("width", [0.05, 0.4, 3.0])
def test_kde_equals_scikit_learn(width):
    train, x = np.random.default_rng(0).normal(size=40), np.linspace(-6, 6, 31)
    theirs = KernelDensity(bandwidth=width).fit(train[:, None]).score_samples(x[:, None])
    assert np.allclose(kde.log_kde(train, x, width), theirs)


def test_kde_stage_marks_the_best_width_and_every_tick_draws():
    torch.manual_seed(0)
    stage = kde.KdeStage(torch.randn(80), torch.randn(60))
    assert stage.best == stage.curves[1].argmax() and 0 < stage.best < len(kde.WIDTHS) - 1
    assert "가장 높음" in stage.describe(stage.best)
    assert (np.diff(stage.curves[0]) < 0).all()  # 학습 로그우도는 h가 작을수록 큽니다
    ticks = (0, stage.best, len(kde.WIDTHS) - 1)
    assert len({pixels(stage.draw(t)).tobytes() for t in ticks}) == 3


def test_three_views():
    torch.manual_seed(0)
    three_views(ke.kmeans_em())
    density = lambda v: np.exp(-(v**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    three_views(kde.kde_bandwidth(torch.randn(80), torch.randn(60), density))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ke.kmeans_em(torch.zeros(5, 3)), r"\(N, 2\)"),
        (lambda: ke.kmeans_em(starts=[[0.0, 0.0]] * 7), "6개"),
        (lambda: kde.kde_bandwidth(torch.zeros(5, 1), torch.zeros(5)), "1차원"),
        (lambda: kde.kde_bandwidth(torch.zeros(0), torch.zeros(5)), "1차원"),
    ],
)
def test_bad_input_says_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call()
