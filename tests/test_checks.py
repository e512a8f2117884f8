"""검사 함수가 정말 무는지: 알려진 결함을 하나씩 심고 거절하는지 봅니다."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from course_lib.base import Compose, DensityModel, Flow, FlowModel, LatentVariableModel
from course_lib.checks import (
    CheckError,
    ClaimError,
    check_autoregressive,
    check_elbo,
    check_flow,
    check_normalised,
    claim,
)
from course_lib.flows.nice import AdditiveCoupling, Coupling
from course_lib.flows.realnvp import AffineCoupling, RealNVP

DIM = 5


def coupling():
    return AffineCoupling(DIM, (16,), keep_first=True)


class TripledLogDet(AffineCoupling):
    def forward(self, z):
        x, log_det = super().forward(z)
        return x, 3 * log_det

    def inverse(self, x):
        z, log_det = super().inverse(x)
        return z, 3 * log_det


class WrongSign(AffineCoupling):
    def inverse(self, x):
        z, log_det = super().inverse(x)
        return z, -log_det


class WrongOnBothSides(AffineCoupling):
    def forward(self, z):
        x, log_det = super().forward(z)
        return x, -log_det

    def inverse(self, x):
        z, log_det = super().inverse(x)
        return z, -log_det


class EvenOddThenConcatenate(Coupling):
    """2차원에서만 왕복이 맞는 유명한 결함: 짝수·홀수로 나누고 앞뒤로 이어 붙입니다."""

    def __init__(self, dim):
        super().__init__(dim, keep_first=True)
        self.shift = nn.Linear(self.keep_dim, self.change_dim)

    def forward(self, z):
        a, b = z[:, ::2], z[:, 1::2]
        return torch.cat([a, b + self.shift(a)], 1), z.new_zeros(len(z))

    def inverse(self, x):
        a, b = x[:, ::2], x[:, 1::2]
        return torch.cat([a, b - self.shift(a)], 1), x.new_zeros(len(x))


class Folded(Flow):
    """접는 변환: x에서 보면 왕복이 맞지만 z와 −z가 같은 곳으로 갑니다. log-det는 모두 맞습니다."""

    def forward(self, z):
        return z.abs(), z.new_zeros(len(z))

    def inverse(self, x):
        return x, x.new_zeros(len(x))


class ColumnLogDet(AffineCoupling):
    def forward(self, z):
        x, log_det = super().forward(z)
        return x, log_det[:, None]


class MeanLogDet(AffineCoupling):
    def forward(self, z):
        x, log_det = super().forward(z)
        return x, log_det.mean()


class Identity(Flow):
    def forward(self, z):
        return z.clone(), z.new_zeros(len(z))

    inverse = forward


class BatchDependent(Flow):
    def forward(self, z):
        return z + z.mean(0).detach(), z.new_zeros(len(z))

    def inverse(self, x):
        return x - x.mean(0).detach() / 2, x.new_zeros(len(x))


class MovingBuffer(Flow):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z):
        self.calls += 1
        return 2 * z, z.new_full((len(z),), DIM * math.log(2))

    def inverse(self, x):
        return x / 2, x.new_full((len(x),), -DIM * math.log(2))


def test_intact_coupling_passes():
    report = check_flow(coupling(), (DIM,))
    assert report.round_trip < 1e-10 and report.log_det < 1e-10 and report.moved > 0.1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (TripledLogDet(DIM, (16,), True), "자동미분"),
        (WrongSign(DIM, (16,), True), "더하면 0"),
        (WrongOnBothSides(DIM, (16,), True), "자동미분"),
        (EvenOddThenConcatenate(4), "왕복"),
        (Folded(), "왕복"),
        (ColumnLogDet(DIM, (16,), True), "모양"),
        (MeanLogDet(DIM, (16,), True), "모양"),
        (Identity(), "항등"),
        (BatchDependent(), "왕복|자동미분|한 줄씩"),
        (MovingBuffer(), "바뀌었습니다"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else None,
)
def test_check_flow_refuses(broken, message):
    dim = 4 if isinstance(broken, EvenOddThenConcatenate) else DIM
    with pytest.raises(CheckError, match=message):
        check_flow(broken, (dim,))


def test_the_two_dimensional_defect_hides_in_two_dimensions():
    """D = 2에서는 통과해 버립니다. 그래서 2차원만으로는 시험하지 않습니다."""
    check_flow(EvenOddThenConcatenate(2), (2,))


def test_identity_at_initialisation_hides_every_defect():
    """마지막 층이 0이면 log-det를 세 배로 틀려도 0입니다. 흔들지 않으면 거절해야 합니다."""
    broken = TripledLogDet(DIM, (16,), True)
    torch.nn.init.zeros_(broken.net[-1].weight)
    with pytest.raises(CheckError, match="항등"):
        check_flow(broken, (DIM,), randomise=False)
    with pytest.raises(CheckError, match="자동미분"):
        check_flow(broken, (DIM,))


def test_check_flow_leaves_the_original_alone():
    layer = coupling()
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    check_flow(layer, (DIM,))
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())
    assert layer.training and next(layer.parameters()).dtype == torch.float32


# ── 자기회귀성 ──────────────────────────────────────────────────────────────────────────────────


class MaskedStack(nn.Module):
    """7×7 흑백 이미지 위의 마스크 합성곱. leak이면 첫 층이 자기 화소를 봅니다."""

    def __init__(self, layers=8, leak=False):
        super().__init__()
        self.convs = nn.ModuleList()
        for i in range(layers):
            conv = nn.Conv2d(1 if i == 0 else 4, 4, 3, padding=1)
            mask = torch.zeros(3, 3)
            mask[0] = 1
            mask[1, : 2 if (i > 0 or leak) else 1] = 1
            conv.register_buffer("mask", mask)
            self.convs.append(conv)

    def forward(self, x):
        for conv in self.convs:
            x = torch.tanh(nn.functional.conv2d(x, conv.weight * conv.mask, conv.bias, padding=1))
        return x.sum(1, keepdim=True)


def test_one_leaking_pixel_is_refused():
    check_autoregressive(MaskedStack(), lambda m, x: m(x), (1, 5, 5), unseen=None)
    with pytest.raises(CheckError, match="누출"):
        check_autoregressive(MaskedStack(leak=True), lambda m, x: m(x), (1, 5, 5), unseen=None)


def test_the_kept_blind_spot_is_refused():
    report = check_autoregressive(MaskedStack(), lambda m, x: m(x), (1, 7, 7), unseen=None)
    assert report.unseen > 0  # 오른쪽 위의 맹점
    with pytest.raises(CheckError, match="보지 못하는"):
        check_autoregressive(MaskedStack(), lambda m, x: m(x), (1, 7, 7), unseen=0)


class Triangular(nn.Module):
    def __init__(self, dim, order):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim, dim))
        self.register_buffer("mask", (order[None, :] < order[:, None]).float())

    def forward(self, x):
        return x @ (self.weight * self.mask).T


def test_order_is_respected():
    order = torch.tensor([2, 0, 1, 3])
    model = Triangular(4, order)
    assert check_autoregressive(model, lambda m, x: m(x), (4,), order=order).leaks == 0
    with pytest.raises(CheckError, match="누출"):
        check_autoregressive(model, lambda m, x: m(x), (4,))


# ── 정규화 ──────────────────────────────────────────────────────────────────────────────────────


class Coins(DensityModel):
    """독립 동전 D개. too_much > 0이면 확률의 합이 1을 넘습니다."""

    def __init__(self, dim, too_much=0.0):
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.logits = nn.Parameter(torch.linspace(-1, 1, dim))
        self.too_much = too_much

    def log_prob(self, x, y=None):
        return Independent(Bernoulli(logits=self.logits), 1).log_prob(x) + self.too_much


def test_enumeration():
    assert check_normalised(Coins(6)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(CheckError, match="1.05"):
        check_normalised(Coins(6, too_much=0.05))
    with pytest.raises(ValueError, match="모두 셀 수 없"):
        check_normalised(Coins(30))


def test_grid_integral():
    from course_lib.checks import randomise_

    model = randomise_(RealNVP(2, couplings=3, hidden=(16,)), 0.3).eval()
    assert check_normalised(model, box=(-12, 12)) == pytest.approx(1, abs=2e-3)
    broken = FlowModel(Compose(TripledLogDet(2, (16,), True)), (2,))
    with pytest.raises(CheckError):
        check_normalised(randomise_(broken).eval(), box=(-12, 12))


# ── ELBO ────────────────────────────────────────────────────────────────────────────────────────


class LinearGaussian(LatentVariableModel):
    """z ~ N(0, 1), x|z ~ N(z, 1). 사후분포는 N(x/2, 1/2)이고 p(x) = N(0, 2)입니다."""

    def __init__(self, shift=0.0, bias=0.0):
        super().__init__()
        self.shift, self.bias = shift, bias

    def prior(self):
        return Independent(Normal(torch.zeros(1).double(), 1.0), 1)

    def encode(self, x):
        return Independent(Normal(x / 2 + self.shift, math.sqrt(0.5)), 1)

    def decode(self, z):
        return Independent(Normal(z, 1.0), 1)

    def elbo(self, x):
        return super().elbo(x) + self.bias


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_elbo_identity(shift):
    x = torch.linspace(-2, 2, 5).double()[:, None]
    exact = Normal(0.0, math.sqrt(2)).log_prob(x[:, 0])
    kl = torch.full((5,), shift**2).double()  # KL(N(m+s, ½)‖N(m, ½)) = s²
    report = check_elbo(LinearGaussian(shift), x, exact, kl)
    assert report.gap == pytest.approx(shift**2, abs=6 * report.standard_error)
    with pytest.raises(CheckError, match="nats 다릅니다"):
        check_elbo(LinearGaussian(shift, bias=0.2), x, exact, kl)


def test_importance_estimate_tightens_with_k():
    torch.manual_seed(0)
    x = torch.full((4000, 1), 1.5).double()
    exact = float(Normal(0.0, math.sqrt(2)).log_prob(torch.tensor(1.5)))
    model = LinearGaussian(shift=0.7)
    means = [float(model.importance_log_prob(x, k).mean()) for k in (1, 10, 100)]
    assert means[0] < means[1] < means[2] < exact + 0.01
    assert means[2] == pytest.approx(exact, abs=0.03)


# ── 주장 ────────────────────────────────────────────────────────────────────────────────────────


def test_claim_prints_marked_numbers_and_verdict(capsys):
    claim("0.1", ("오차", 1e-9, "<", 1e-6), ("비", 3.0, ">=", 2.0))
    claim("0.2", ("값", 5.0, "<", 1.0), expected=False)
    out = capsys.readouterr().out
    assert "0.1  오차 ≈ 1e-09 < 1e-06\n" in out
    assert "0.1  ✅ 성립합니다" in out
    assert "0.2  ✅ 예상대로 성립하지 않습니다" in out


@pytest.mark.parametrize("expected", [True, False])
def test_claim_refuses_the_other_verdict(expected):
    bad = ("값", 2.0, "<", 1.0) if expected else ("값", 0.0, "<", 1.0)
    good = ("좋은 값", 0.0, "<", 1.0)
    for conditions in [(good, bad), (bad, good)]:  # 조건 하나라도 거짓이면 성립하지 않습니다
        with pytest.raises(ClaimError, match=r"주장 0\.3"):
            claim("0.3", *conditions, expected=expected)


def test_nan_never_satisfies_a_claim():
    with pytest.raises(ClaimError):
        claim("0.4", ("값", float("nan"), "<", 1.0))


def test_additive_coupling_really_moves():
    assert check_flow(AdditiveCoupling(DIM, (16,), True), (DIM,)).moved > 0.1
