"""재는 자들: 답을 아는 경우와 견줍니다."""

import copy
import math

import pytest
import torch

from course_lib.evaluation import (
    few_label_accuracy,
    fine_tuned_accuracy,
    frechet,
    pixel_histogram_bits,
    psnr,
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
