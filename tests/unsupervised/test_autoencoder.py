"""오토인코더: 선형이면 PCA의 부분공간, 모양과 오류."""

import pytest
import torch

from course_lib.unsupervised.autoencoder import Autoencoder


def test_linear_autoencoder_reaches_the_pca_error():
    torch.manual_seed(0)
    x = torch.randn(300, 6) @ torch.randn(6, 6)
    x = x - x.mean(0)
    model = Autoencoder(6, 2, hidden=())
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = model.squared_error(x).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    # PCA의 최소 복원 오차 = 버린 고윳값의 합 (Eckart–Young)
    best = torch.linalg.eigvalsh(x.T @ x / len(x))[:-2].sum()
    assert float(closure().detach()) == pytest.approx(float(best), rel=1e-3)


def test_squared_error_is_per_row_and_eval_is_pure():
    torch.manual_seed(1)
    model = Autoencoder(7, 3, hidden=(8,)).double().eval()
    x = torch.randn(5, 7, dtype=torch.float64)
    rows = torch.cat([model.squared_error(row[None]) for row in x])
    torch.testing.assert_close(model.squared_error(x), rows)
    torch.testing.assert_close(rows, ((model.decode(model.encode(x)) - x) ** 2).sum(1))


def test_decoder_mirrors_the_encoder():
    model = Autoencoder(7, 3, hidden=(12, 9))
    down = [tuple(p.shape) for p in model.encoder.parameters() if p.ndim == 2]
    up = [tuple(p.shape) for p in model.decoder.parameters() if p.ndim == 2]
    assert down == [(12, 7), (9, 12), (3, 9)]
    assert up == [shape[::-1] for shape in reversed(down)]


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(2, 6), "모양"),
        (torch.zeros(0, 7), "빈 배치"),
        (torch.zeros(2, 7, dtype=torch.int64), "자료형"),
        (torch.full((2, 7), torch.inf), "무한대"),
    ],
)
def test_bad_input(x, says):
    with pytest.raises(ValueError, match=says):
        Autoencoder(7, 3)(x)
