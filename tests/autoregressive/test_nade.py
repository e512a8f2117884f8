"""NADE의 손으로 적은 기울기와 DeepNADE의 불편추정량."""

import itertools
import math
import time

import pytest
import torch

from course_lib.autoregressive.fvbn import bernoulli_log_prob
from course_lib.autoregressive.nade import NADE, NADELogits, OrderAgnosticNADE
from course_lib.checks import check_normalised, randomise_


def by_cumsum(x, W, c, V):
    """자동미분이 지나갈, 누적합으로 적은 같은 식."""
    steps = x[:, :-1, None] * W[:-1]
    a = torch.cat([c.expand(len(x), 1, -1), steps], 1).cumsum(1)
    return (a.sigmoid() * V).sum(-1)


def numbers(batch, dim, hidden, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    x = torch.randint(2, (batch, dim), generator=g).to(dtype)
    shapes = [(dim, hidden), (hidden,), (dim, hidden)]
    return x, [torch.randn(s, generator=g, dtype=dtype).requires_grad_() for s in shapes]


def test_hand_written_gradients_equal_autograd():
    x, parameters = numbers(5, 60, 9)
    upstream = torch.randn(5, 60, dtype=torch.float64)
    x.requires_grad_()
    ours, auto = NADELogits.apply(x, *parameters), by_cumsum(x, *parameters)
    torch.testing.assert_close(ours, auto, rtol=0, atol=1e-12)
    mine = torch.autograd.grad(ours, [x, *parameters], upstream)
    theirs = torch.autograd.grad(auto, [x, *parameters], upstream)
    for got, want in zip(mine, theirs):
        assert float((got - want).abs().max()) < 1e-10
        assert float(want.abs().max()) > 0.1


def test_gradients_by_finite_differences():
    x, parameters = numbers(3, 5, 4)
    x = torch.rand_like(x).requires_grad_()  # 이진 값이 아니어도 미분은 같습니다
    assert torch.autograd.gradcheck(NADELogits.apply, (x, *parameters))


def test_float32_stays_close_after_hundreds_of_steps():
    x, parameters = numbers(4, 784, 50, torch.float32)
    small = [(0.1 * p).detach().requires_grad_() for p in parameters]
    exact = [p.detach().double().requires_grad_() for p in small]
    mine = torch.autograd.grad(NADELogits.apply(x, *small).square().sum(), small)
    want = torch.autograd.grad(by_cumsum(x.double(), *exact).square().sum(), exact)
    for a, b in zip(mine, want):
        assert float((a - b).abs().max() / b.abs().max()) < 1e-4


def test_backward_is_faster_than_autograd_through_the_cumulative_sum():
    x, parameters = numbers(100, 784, 250, torch.float32)  # 시험에서는 절반 크기

    def seconds(function):
        start = time.process_time()
        torch.autograd.grad(function(x, *parameters).sum(), parameters)
        return time.process_time() - start

    ours = min(seconds(NADELogits.apply) for _ in range(3))
    assert seconds(by_cumsum) > 4 * ours


def test_committed_benchmark_is_ten_times_faster_with_the_same_gradients():
    from course_lib.recipes import load_result

    values = load_result("benchmark_nade")["values"]
    assert values["work"] == {"hidden": 500, "dim": 784, "batch": 100}
    assert values["speed_up"]["median"] >= 10
    assert values["largest_gradient_difference_float64"] < 1e-10


@pytest.mark.parametrize("order", ["natural", "random"])
def test_equals_the_obvious_recursion(order):
    torch.manual_seed(0)
    model = randomise_(NADE(7, 5, order=order).double(), 1.0)
    x = torch.randint(2, (4, 7)).double()
    sequence = model.order.argsort().tolist()
    want = torch.zeros(4, dtype=torch.float64)
    for t, i in enumerate(sequence):
        a = model.c.expand(4, -1)
        for s, j in enumerate(sequence[:t]):
            a = a + x[:, j, None] * model.W[s]
        logit = (a.sigmoid() * model.V[t]).sum(-1) + model.b[t]
        want = want + bernoulli_log_prob(logit[:, None], x[:, i : i + 1])
    torch.testing.assert_close(model.log_prob(x), want)


def test_order_agnostic_loss_is_unbiased():
    """순서 4!가지와 d를 모두 세어 평균한 −log p(x)가 loss의 기댓값입니다."""
    torch.manual_seed(0)
    model = randomise_(OrderAgnosticNADE(4, (8,)).double(), 2.0)
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0]]).double()
    with torch.no_grad():
        orders = [torch.tensor(p) for p in itertools.permutations(range(4))]
        want = -torch.stack([model.log_prob_in(x, order) for order in orders]).mean()
        draws = model.loss(x.expand(20_000, 4))
    assert draws.shape == (20_000,)
    error = draws.std() / math.sqrt(len(draws))
    assert float((draws.mean() - want).abs()) < 4.5 * float(error)
    assert float(error) < 0.02 * float(want)


def test_every_order_of_the_shared_network_is_normalised():
    model = randomise_(OrderAgnosticNADE(5, (8,), orders=1).double(), 2.0)
    totals = []
    for seed in range(3):
        model.set_orders(1, seed)
        totals.append(check_normalised(model, tolerance=1e-10))
    model.set_orders(4)
    assert model.orders.shape == (4, 5)
    check_normalised(model, tolerance=1e-10)


def test_unseen_values_do_not_leak_into_the_shared_network():
    model = randomise_(OrderAgnosticNADE(6, (8,)).double(), 2.0)
    seen = torch.tensor([[1.0, 1, 0, 0, 1, 0]]).double()
    x = torch.tensor([[1.0, 0, 1, 1, 1, 1]]).double()
    assert torch.equal(model.logits(x, seen), model.logits(x * seen, seen))


def test_same_seed_same_three_steps():
    from course_lib.training import fit

    def run():
        torch.manual_seed(0)
        model = NADE(10, 6)
        data = torch.randint(2, (20, 10), generator=torch.Generator().manual_seed(1)).float()
        training = fit(model, lambda m, x: -m.log_prob(x).mean(), lambda g: data, steps=3)
        return [m["loss"] for m in training], model

    (first, a), (second, b) = run(), run()
    assert first == second
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


def test_training_learns_a_copied_bit():
    from course_lib.training import fit

    torch.manual_seed(0)
    model = NADE(4, 16, order="random", seed=2)

    def batches(g):
        first = torch.randint(2, (100, 2), generator=g).float()
        return torch.cat([first, first], 1)  # x3 = x1, x4 = x2: 엔트로피는 2 log 2

    losses = [
        m["loss"]
        for m in fit(model, lambda m, x: -m.log_prob(x).mean(), batches, steps=400, lr=0.05)
    ]
    assert losses[-1] < 2 * math.log(2) + 0.1
