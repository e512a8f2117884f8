"""재는 자들: 답을 아는 경우와 견줍니다."""

import copy
import math

import pytest
import torch

from course_lib.evaluation import (
    coverage,
    few_label_accuracy,
    fine_tuned_accuracy,
    frechet,
    mode_coverage,
    parzen_log_prob,
    parzen_sigma,
    pixel_histogram_bits,
    psnr,
    sharpness,
)


def test_frechet_of_shifted_and_scaled_normals():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)).double()
    assert frechet(x, x) == pytest.approx(0, abs=1e-8)
    shift = torch.tensor([1.0, -2.0, 0.5]).double()
    assert frechet(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-6)
    # N(0, C)와 N(0, s²C): tr C (1 − s)²
    assert frechet(x, 3 * x) == pytest.approx(
        float(x.mean(0).square().sum() * 4 + torch.cov(x.T).trace() * 4), rel=1e-6
    )


def test_frechet_matches_the_matrix_square_root():
    g = torch.Generator().manual_seed(1)
    a = torch.randn(500, 4, generator=g).double() @ torch.randn(4, 4, generator=g).double()
    b = torch.randn(500, 4, generator=g).double() @ torch.randn(4, 4, generator=g).double() + 1
    ca, cb = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(ca)
    root = vectors @ values.sqrt().diag() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cb @ root).sqrt().sum()
    want = (a.mean(0) - b.mean(0)).square().sum() + ca.trace() + cb.trace() - 2 * cross
    assert frechet(a, b) == pytest.approx(float(want), rel=1e-6)
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-6)


def test_psnr_of_a_known_error():
    truth = torch.zeros(5, 10)
    assert psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-4)
    assert psnr(truth + 1, truth) == pytest.approx(0, abs=1e-6)
    mixed = torch.cat([truth[:1] + 0.1, truth[:1] + 0.01])
    assert psnr(mixed, truth[:2]) == pytest.approx(30, abs=1e-4)  # 그림마다 로그를 먼저 취합니다


def test_few_labels_separate_what_is_separable():
    labels = torch.arange(300) % 3
    clear = torch.nn.functional.one_hot(labels, 3).float() + 0.01 * torch.randn(300, 3)
    noise = torch.randn(300, 3)
    assert few_label_accuracy(clear, labels, clear, labels, 1) == 1.0
    assert few_label_accuracy(noise, labels, torch.randn(300, 3), labels, 1) < 0.5
    first = few_label_accuracy(noise, labels, noise, labels, 2, seed=3)
    assert first == few_label_accuracy(noise, labels, noise, labels, 2, seed=3)
    assert math.isfinite(first)


def test_fine_tuning_learns_the_labels_and_starts_from_the_given_encoder():
    labels = torch.arange(90) % 3
    x = torch.nn.functional.one_hot(labels, 3).float() + 0.05 * torch.randn(90, 3)
    dead = torch.nn.Linear(3, 4)
    torch.nn.init.zeros_(dead.weight)  # 한 걸음도 배우지 못하게 하면 출발점의 차이만 남습니다
    random_state = torch.get_rng_state()

    def score(build, **settings):
        return fine_tuned_accuracy(build, x, labels, x, labels, 2, draws=2, **settings)

    assert score(lambda: torch.nn.Linear(3, 4), steps=80, lr=0.05) > 0.95
    assert score(lambda: copy.deepcopy(dead), steps=1, lr=0.0) == pytest.approx(1 / 3)
    assert torch.equal(random_state, torch.get_rng_state())  # 밖의 난수를 쓰지 않습니다
    again = [score(lambda: torch.nn.Linear(3, 4), steps=5) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("shape", [(50, 4), (3, 3)])
def test_frechet_refuses(shape):
    with pytest.raises(ValueError, match="표본"):
        frechet(torch.randn(50, 3), torch.randn(*shape))


def test_pixel_histogram_bits():
    never, twice = torch.zeros(3, 2, 1, dtype=torch.uint8), torch.full((1, 2, 1), 3)
    # 세 번 모두 0인 화소: P(0) = (1 + 3)/(3 + 4) = 4/7, 보지 못한 3은 1/7
    assert pixel_histogram_bits(never, never, 4) == pytest.approx(math.log2(7 / 4))
    assert pixel_histogram_bits(never, twice, 4) == pytest.approx(math.log2(7))
    # 균등하게 본 값은 정확히 log₂ levels입니다.
    even = torch.arange(16).reshape(16, 1)
    assert pixel_histogram_bits(even, even, 16) == pytest.approx(4)
    with pytest.raises(ValueError, match="모양"):
        pixel_histogram_bits(never, even, 16)


def test_parzen_is_a_mixture_of_normals():
    g = torch.Generator().manual_seed(0)
    samples, x = torch.randn(30, 4, generator=g).double(), torch.randn(7, 4, generator=g).double()
    kernel = torch.distributions.Normal(samples, torch.tensor(0.3).double())
    want = kernel.log_prob(x[:, None]).sum(-1).logsumexp(1) - math.log(30)
    torch.testing.assert_close(parzen_log_prob(samples, x, 0.3), want)
    grid = torch.cartesian_prod(*[torch.linspace(-8, 8, 321).double()] * 2)
    total = parzen_log_prob(samples[:, :2], grid, 0.4).exp().sum() * 0.05**2
    assert float(total) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="flatten"):
        parzen_log_prob(torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8), 0.1)
    with pytest.raises(ValueError, match="σ"):
        parzen_log_prob(samples, x, 0.0)


def test_parzen_sigma_is_chosen_on_the_validation_data():
    g = torch.Generator().manual_seed(0)
    samples = torch.randn(500, 1, generator=g)
    candidates = [0.01, 0.2, 3.0]
    assert parzen_sigma(samples, torch.randn(300, 1, generator=g), candidates) == 0.2
    assert parzen_sigma(samples, samples, candidates) == 0.01  # 자기 자신에게는 좁을수록 좋습니다


def test_mode_coverage_counts_by_hand():
    modes = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    near = torch.tensor([[0.1, 0.0]]).repeat(12, 1)
    few = torch.tensor([[5.0, 0.2]]).repeat(9, 1)
    lost = torch.tensor([[0.0, 4.0]]).repeat(19, 1)  # 가깝지만 반지름 밖
    found = mode_coverage(torch.cat([near, few, lost]), modes, 0.5)
    assert found.covered == 1 and found.counts.tolist() == [12, 9, 0]
    assert found.share == pytest.approx(21 / 40)
    assert mode_coverage(torch.cat([near, few]), modes, 0.5, least=9).covered == 2
    # 두 봉우리의 원이 겹쳐도 표본은 가까운 쪽에 한 번만 셉니다
    assert mode_coverage(near, modes, 100.0).counts.tolist() == [12, 0, 0]
    with pytest.raises(ValueError, match="반지름"):
        mode_coverage(near, modes, 0.0)


def test_sharpness_of_flat_sloped_and_checkered_pictures():
    row = torch.arange(6.0).expand(1, 6, 6)
    assert sharpness(torch.ones(2, 6, 6)) == 0 and sharpness(row) == pytest.approx(0, abs=1e-12)
    checkers = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    assert sharpness(checkers[None].float()) == pytest.approx(1)
    noisy = torch.rand(50, 8, 8, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(noisy[:, None], 3, 1, 1)[:, 0]
    assert sharpness(blurred) < 0.2 * sharpness(noisy)
    with pytest.raises(ValueError, match="3×3"):
        sharpness(torch.zeros(4, 2, 2))


def test_coverage_falls_with_a_missing_mode():
    g = torch.Generator().manual_seed(0)
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    real = torch.randn(400, 2, generator=g) + modes.repeat_interleave(200, 0)
    both = torch.randn(400, 2, generator=g) + modes.repeat_interleave(200, 0)
    one = torch.randn(400, 2, generator=g)
    assert coverage(real, both) > 0.9 and coverage(real, one) == pytest.approx(0.5, abs=0.06)
    assert coverage(real, real + 100) == 0 and coverage(real, real) == 1
    with pytest.raises(ValueError, match="보다 많아야"):
        coverage(real[:5], both)
