"""05·06장의 위젯: 계산이 맞고, 모든 슬라이더의 처음·끝·기본값에서 그림이 나오는지."""

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.vae.conv_vae import ConvVAE
from course_lib.vae.vae import VAE, GaussianPixels
from course_lib.widgets import elbo_explorer as elbo
from course_lib.widgets import kl_directions as kl
from course_lib.widgets import latent_traversal as traversal
from course_lib.widgets import reparameterisation as rep
from course_lib.widgets.controls import Knob, controls_view


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def three_views(view):
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {
        "text/plain", "text/html", "image/png", "application/vnd.jupyter.widget-view+json"
    }  # fmt: skip
    assert bundle["text/plain"].startswith("<위젯: ") and "0x" not in bundle["text/plain"]
    assert (
        len(bundle["text/html"]) <= 700_000
        and "http" not in bundle["text/html"].split("<script")[0]
    )
    assert pixels(base64.b64decode(bundle["image/png"])).std() > 1
    return bundle


# ── ELBO 탐색기 ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", elbo.TOYS)
@pytest.mark.parametrize("mu", [-3.0, -0.4, 0.0, 3.0])
@pytest.mark.parametrize("log_sigma", [-2.5, -0.4, 1.0])
def test_elbo_and_kl_add_up_to_log_evidence(name, mu, log_sigma):
    # 서로 다른 구적법 둘이 만나는지가 검산입니다.
    toy, sigma = elbo.TOYS[name], math.exp(log_sigma)
    total = elbo.elbo(toy, mu, sigma) + elbo.kl(toy, mu, sigma)
    assert total == pytest.approx(toy.log_evidence(), abs=1e-5)
    assert elbo.kl(toy, mu, sigma) >= -1e-9


def test_linear_toy_matches_the_conjugate_formulas():
    toy = elbo.TOYS["선형"]  # x|z ~ N(1.5 z, 1), z ~ N(0, 1) → x ~ N(0, 1 + 1.5²)
    variance = 1 + 1.5**2
    exact = -0.5 * math.log(2 * math.pi * variance) - toy.x**2 / (2 * variance)
    assert toy.log_evidence() == pytest.approx(exact, abs=1e-8)
    mean, sd = 1.5 * toy.x / variance, 1 / math.sqrt(variance)
    assert elbo.kl(toy, mean, sd) == pytest.approx(0, abs=1e-8)
    assert elbo.best(toy)[-1] == pytest.approx([mean, math.log(sd)], abs=0.02)


def test_curved_toy_keeps_a_gap_and_the_climb_only_rises():
    toy = elbo.TOYS["굽은"]
    path = elbo.best(toy)
    heights = [elbo.elbo(toy, m, math.exp(s)) for m, s in path]
    assert all(b >= a - 1e-6 for a, b in zip(heights, heights[1:], strict=False))
    assert elbo.kl(toy, path[-1][0], math.exp(path[-1][1])) > 0.05


# ── KL의 두 방향 ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("half", [0.0, 2.0, 3.0])
def test_both_kls_are_nonnegative_and_forward_best_is_the_moment_match(half):
    mean, sigma = kl.forward_best(half)
    best, _ = kl.kl_both(half, mean, sigma)
    for d_mu, d_sigma in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
        forward, reverse = kl.kl_both(half, mean + d_mu, sigma + d_sigma)
        assert forward >= best and reverse >= -1e-6
    if half == 0:  # 봉우리가 하나로 겹치면 정규분포 하나로 꼭 맞습니다
        assert kl.kl_both(0.0, 0.0, kl.WIDTH) == pytest.approx((0, 0), abs=1e-6)


def test_reverse_kl_picks_one_mode_and_forward_covers_both():
    left, right = kl.reverse_best(2.0, -1.0)[-1], kl.reverse_best(2.0, 1.0)[-1]
    assert left[0] == pytest.approx(-2, abs=0.1) and right[0] == pytest.approx(2, abs=0.1)
    assert math.exp(left[1]) == pytest.approx(kl.WIDTH, abs=0.1)
    assert kl.forward_best(2.0)[1] > 1.5
    # 봉우리 하나만 덮을 때의 KL은 그 봉우리 무게의 −log입니다.
    assert kl.kl_both(2.0, -2.0, kl.WIDTH)[1] == pytest.approx(-math.log(kl.SHARE), abs=1e-2)


# ── 재매개변수화 ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mu", [-2.0, -0.5, 2.0])
@pytest.mark.parametrize("log_sigma", [-2.0, 0.5])
def test_both_estimators_have_the_true_gradient_as_mean(mu, log_sigma):
    sigma = math.exp(log_sigma)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    for estimate in rep.two_estimates(mu, sigma, nodes):
        assert float(weights @ estimate) == pytest.approx(1.5 - mu, abs=1e-6)
    assert rep.exact_variances(mu, sigma)[0] == pytest.approx(sigma**2)


# ── 그림과 세 모습 ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("stage", "corners"),
    [
        (lambda: elbo.ElboStage(elbo.TOYS["굽은"]), [(-3, -2.5), (-1, -0.4), (3, 1)]),
        (kl.KlStage, [(0, -4, -2), (2, 0, 0), (3, 4, 1.5)]),
        (rep.ReparameterisationStage, [(-2, -2), (-0.5, -0.5), (2, 0.5)]),
    ],
)
def test_every_corner_draws_and_differs(stage, corners):
    stage = stage()
    pictures = [pixels(stage.draw(*corner)) for corner in corners]
    for a, b in zip(pictures, pictures[1:], strict=False):
        assert (a != b).mean() > 0.001
    again = pixels(stage.draw(*corners[0]))
    assert (again == pictures[0]).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: elbo.elbo_explorer("선형"),
        lambda: elbo.elbo_explorer("굽은"),
        kl.kl_directions,
        rep.reparameterisation,
    ],
)
def test_three_views(build):
    three_views(build())


def test_unknown_toy_is_refused():
    with pytest.raises(KeyError, match="선형"):
        elbo.elbo_explorer("없음")


def test_controls_draw_once_for_a_preset():
    calls = []

    def draw(**values):
        calls.append(values)
        return b"png"

    box, sliders, _ = controls_view(
        draw, {"a": Knob(0, 1, 0.1, 0), "b": Knob(0, 1, 0.1, 0)}, presets={"끝": {"a": 1, "b": 1}}
    )
    assert calls == [{"a": 0, "b": 0}]
    box.children[-1].children[0].click()
    assert calls[1:] == [{"a": 1, "b": 1}]
    sliders["a"].value = 0.5
    assert calls[-1] == {"a": 0.5, "b": 1}


# ── 잠재 공간 탐색 ──────────────────────────────────────────────────────────────────────────────


def vae(latent=2, pixels=None):
    torch.manual_seed(0)
    return VAE(64, latent, (16,), pixels).eval()


def test_two_dimensional_view_follows_every_control():
    model = vae()
    codes, labels = torch.randn(50, 2), torch.arange(50) % 10
    view = traversal.TraversalView(traversal.freeze(model), codes, labels, (8, 8), [0, 1])
    start = view.picture.value
    seen = {start}
    for point in ([-3.0, -3.0], [3.0, 3.0], [0.5, -1.0]):
        view.plane.points = [point]
        assert view.z == point
        seen.add(view.picture.value)
    assert len(seen) == 4
    view.move([7.0, 0.0])  # 범위 밖이면 점만 끝에 두고 그림은 참값을 따릅니다
    assert view.z == [7.0, 0.0] and view.plane.points == [[3.0, 0.0]]


def test_drawn_digit_goes_to_its_code():
    model = vae()
    view = traversal.TraversalView(traversal.freeze(model), None, None, (8, 8), [0, 1])
    view.buttons["그린 숫자의 자리로"].click()
    assert "비어" in view.message.value
    drawing = torch.zeros(8, 8)
    drawing[1:5, 3:5] = 1
    smudge = drawing.clone()
    smudge[6, 1] = 0.4  # 옅은 얼룩은 0.5에서 잘려 사라집니다
    view.drawing.pixels = (smudge.flatten() * 255).int().tolist()
    view.buttons["그린 숫자의 자리로"].click()
    with torch.no_grad():
        want = model.encode(drawing.reshape(1, 64)).mean[0].tolist()
    assert view.z == pytest.approx(want)


def test_interpolation_runs_from_a_to_b():
    view = traversal.TraversalView(traversal.freeze(vae(5)), None, None, (8, 8), [0, 3])
    a, b = [1.0, 0, 0, 0, 0], [0, 1.0, 0, 0.5, 0]
    view.move(a)
    view.buttons["여기를 A로"].click()
    view.move(b)
    view.buttons["여기를 B로"].click()
    view.mix.value = 1.0
    assert view.z == pytest.approx(b, abs=1e-6)
    view.mix.value = 0.5
    assert [s.value for s in view.sliders] == pytest.approx([view.z[0], view.z[3]], abs=0.03)
    view.mix.value = 0.0
    assert view.z == pytest.approx(a, abs=1e-6)


@pytest.mark.parametrize("dims", [2, 3, 5, 16])
def test_interpolation_moves_before_anything_is_remembered(dims):
    view = traversal.TraversalView(traversal.freeze(vae(dims)), None, None, (8, 8), [0, 1])
    before = view.picture.value
    view.mix.value = 1.0
    assert view.z == pytest.approx(view.memory["B"], abs=1e-5) and view.picture.value != before
    a, b = torch.tensor(view.memory["A"]), torch.tensor(view.memory["B"])
    assert torch.cosine_similarity(a, b, dim=0) > -0.9  # 정반대면 구면 경로가 없습니다


def test_sliders_move_only_their_own_dimension():
    view = traversal.TraversalView(traversal.freeze(vae(5)), None, None, (8, 8), [1, 4])
    for value in (-3.0, 3.0):
        before = view.picture.value
        view.sliders[1].value = value
        assert view.z == [0, 0, 0, 0, value] and view.picture.value != before


@pytest.mark.parametrize("pixels_", [None, GaussianPixels(), GaussianPixels(squash=True)])
def test_browser_decoder_gives_the_mean(pixels_):
    model = vae(2, pixels_)
    z = torch.randn(4, 2)
    with torch.no_grad():
        torch.testing.assert_close(
            traversal.browser_decoder(model)(z), model.decode(z).mean, rtol=1e-5, atol=1e-6
        )


def test_three_views_of_traversal():
    codes, labels = torch.randn(30, 2), torch.arange(30) % 10
    three_views(traversal.latent_traversal(vae(), codes, labels, shape=(8, 8)))
    three_views(traversal.latent_traversal(vae(4), shape=(8, 8)))
    torch.manual_seed(1)
    bundle = three_views(traversal.latent_traversal(ConvVAE(3, 4, 8), shape=(28, 28), dims=[0, 2]))
    assert "z3" in bundle["text/html"]
    assert traversal.browser_decoder(ConvVAE(3, 4, 8)) is None


def test_widget_keeps_its_own_copy_and_refuses_bad_dims():
    model = vae()
    view = traversal.TraversalView(traversal.freeze(model), None, None, (8, 8), [0, 1])
    before = view.picture.value
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    view.move([0.0, 0.0])
    assert view.picture.value == before
    with pytest.raises(ValueError, match="dims"):
        traversal.latent_traversal(model, shape=(8, 8), dims=[5])


def test_nan_decoder_says_so():
    model = vae()
    with torch.no_grad():
        model.decoder[0].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        traversal.decoded(model, [0.0, 0.0], (8, 8))
