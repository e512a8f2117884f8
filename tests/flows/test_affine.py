"""삼각 + 낮은 계수의 아핀: 두 등식과 6층 플로우."""

import pytest
import torch

from course_lib import checks
from course_lib.flows.affine import AffinePReLU, TriangularPlusLowRank


@pytest.mark.parametrize(("dim", "rank"), [(1, 1), (5, 0), (5, 2), (7, 3)])
def test_round_trip_and_jacobian(dim, rank):
    checks.check_flow(TriangularPlusLowRank(dim, rank), (dim,), tolerance=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_determinant_lemma_and_woodbury(seed):
    layer = checks.randomise_(TriangularPlusLowRank(6, 2).double(), seed=seed)
    M = layer.matrix.detach()
    torch.testing.assert_close(layer.log_det().detach(), torch.linalg.slogdet(M)[1])
    z, x = torch.randn(2, 4, 6).double()
    torch.testing.assert_close(layer(z)[0].detach(), z @ M.T + layer.shift.detach())
    want = torch.linalg.solve(M, (x - layer.shift.detach()).T).T
    torch.testing.assert_close(layer.inverse(x)[0].detach(), want)


def test_orientation_may_flip():
    """L의 대각이 양수여도 det M은 음수가 될 수 있고, log-det는 그 절댓값입니다."""
    layer = TriangularPlusLowRank(2, 1).double()
    with torch.no_grad():
        layer.below[0], layer.V[:] = -9.0, torch.tensor([[1.0], [1.0]])
    want = torch.linalg.det(layer.matrix.detach())
    torch.testing.assert_close(layer.log_det().detach(), want.abs().log())
    flipped = TriangularPlusLowRank(2, 1).double()
    with torch.no_grad():
        flipped.below[0], flipped.V[:] = 9.0, torch.tensor([[1.0], [1.0]])
    assert torch.linalg.det(flipped.matrix.detach()) < 0
    checks.check_flow(flipped, (2,), randomise=False)


def test_the_six_layer_flow():
    torch.manual_seed(0)
    model = AffinePReLU(2).double()
    assert len(model.flow.flows) == 11  # 아핀 여섯과 그 사이의 PReLU 다섯
    checks.check_flow(model.flow, (2,), tolerance=1e-7)
    with torch.no_grad():  # 격자로 적분할 수 있게 덜 찌그러진 것으로
        for flow in model.flow.flows:
            if isinstance(flow, TriangularPlusLowRank):
                flow.V.mul_(0.3)
                flow.log_diagonal.mul_(0.1)
    # 꺾인 자리에서 밀도가 뛰므로 격자의 오차가 간격에 비례합니다
    checks.check_normalised(model, box=(-10, 10), points=1600, tolerance=6e-3)
    odd = AffinePReLU(5, layers=3)
    checks.check_flow(odd.flow, (5,), tolerance=1e-7)


def test_start_from_matches_the_data():
    torch.manual_seed(0)
    x = torch.randn(500, 3) * torch.tensor([1.0, 10.0, 0.1]) + torch.tensor([5.0, 0.0, -2.0])
    model = AffinePReLU(3).start_from(x)
    last = model.flow.flows[-1]
    torch.testing.assert_close(last.shift.detach(), x.mean(0))
    torch.testing.assert_close(last.L.detach(), x.std(0).diag())
    before = -AffinePReLU(3).log_prob(x).mean().detach()
    assert -model.log_prob(x).mean().detach() < before
    with pytest.raises(ValueError, match="모양"):
        model.start_from(x[:, :2])


def test_bad_sizes():
    with pytest.raises(ValueError, match="rank"):
        TriangularPlusLowRank(2, -1)
    with pytest.raises(ValueError, match="layers"):
        AffinePReLU(2, 0)
