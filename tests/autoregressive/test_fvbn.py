"""FVBN과 앙상블, 이진 자기회귀 모델들이 함께 쓰는 함수."""

import pytest
import torch

from course_lib.autoregressive.fvbn import FVBN, Ensemble, as_order, bernoulli_log_prob
from course_lib.autoregressive.made import MADE
from course_lib.autoregressive.nade import NADE, OrderAgnosticNADE
from course_lib.checks import check_autoregressive, check_normalised, randomise_

MODELS = {
    "FVBN": lambda d=6, **o: FVBN(d, **o),
    "NADE": lambda d=6, **o: NADE(d, 8, **o),
    "MADE": lambda d=6, **o: MADE(d, (17, 19), **o),
    "MADE 세 벌": lambda d=6, **o: MADE(d, (17,), masks=3, direct=True, **o),
    "DeepNADE": lambda d=6, **o: OrderAgnosticNADE(d, (16,), orders=2),
}


def shaken(name, d=6, **options):
    torch.manual_seed(0)
    return randomise_(MODELS[name](d, **options).double(), 2.0).eval()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("order", ["natural", "random"])
def test_probabilities_of_all_states_sum_to_one(name, order):
    model = shaken(name, order=order)
    assert check_normalised(model, tolerance=1e-10) == pytest.approx(1, abs=1e-10)
    x = torch.randint(2, (50, 6)).double()
    with torch.no_grad():
        assert model.log_prob(x).std() > 0.1  # 균등 분포가 아닙니다


@pytest.mark.parametrize("name", MODELS)
def test_samples_follow_the_density(name):
    model, n = shaken(name, 4, order="random"), 4000
    states = torch.cartesian_prod(*[torch.arange(2.0).double()] * 4)
    torch.manual_seed(1)
    x = model.sample(n)
    counts = (x @ torch.tensor([8.0, 4, 2, 1]).double()).long().bincount(minlength=16)
    with torch.no_grad():
        p = model.log_prob(states).exp()
    z = (counts - n * p) / (n * p * (1 - p)).sqrt()
    assert float(z.abs().max()) < 4.5


@pytest.mark.parametrize("name", ["FVBN", "NADE", "MADE"])
@pytest.mark.parametrize("order", ["natural", "random", torch.tensor([2, 0, 3, 1, 4])])
def test_each_conditional_sees_exactly_the_earlier_variables(name, order):
    model = MODELS[name](5, order=order)
    rank = model.net.order[0] if name == "MADE" else model.order
    if isinstance(order, torch.Tensor):
        assert torch.equal(rank, order)
    unseen = None if name == "MADE" else 0
    check_autoregressive(model, lambda m, x: m.logits(x), (5,), order=rank, unseen=unseen)


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_independent_and_nothing_moves_in_eval(name):
    model = shaken(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = torch.randint(2, (5, 6)).double()
    with torch.no_grad():
        whole = model.log_prob(x)
        rows = torch.cat([model.log_prob(row[None]) for row in x])
        model.sample(3)
    torch.testing.assert_close(whole, rows)
    assert whole.shape == (5,)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_fvbn_is_one_logistic_regression_a_variable():
    model = shaken("FVBN", 3)
    x = torch.tensor([[1.0, 0.0, 1.0]]).double()
    A, b = model.linear.weight, model.linear.bias
    by_hand = [b[0], b[1] + A[1, 0], b[2] + A[2, 0]]
    torch.testing.assert_close(model.logits(x)[0], torch.stack(by_hand))


def test_ensemble_averages_probabilities_not_log_probabilities():
    a, b = shaken("NADE"), shaken("MADE", order="random")
    both = Ensemble(a, b)
    x = torch.randint(2, (7, 6)).double()
    with torch.no_grad():
        mean = (a.log_prob(x).exp() + b.log_prob(x).exp()) / 2
        torch.testing.assert_close(both.log_prob(x).exp(), mean)
        assert (both.log_prob(x) > (a.log_prob(x) + b.log_prob(x)) / 2 - 1e-12).all()
    check_normalised(both, tolerance=1e-10)
    assert both.sample(9).shape == (9, 6)


def test_bernoulli_log_prob_survives_extreme_logits():
    logits, x = torch.tensor([[-200.0, 200.0, 200.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert bernoulli_log_prob(logits, x).item() == pytest.approx(-200)


def test_orders():
    assert as_order("natural", 4).tolist() == [0, 1, 2, 3]
    assert torch.equal(as_order("random", 30, 1), as_order("random", 30, 1))
    assert not torch.equal(as_order("random", 30, 1), as_order("random", 30, 2))


def test_seeded_orders_leave_the_global_stream_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    as_order("random", 9, 3)
    OrderAgnosticNADE(4, ()).set_orders(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), want)


@pytest.mark.parametrize(
    "bad", ["raster", torch.tensor([0, 1, 1]), torch.tensor([1, 2, 3]), torch.arange(4), None]
)
def test_bad_orders_are_refused(bad):
    with pytest.raises(ValueError, match="순열"):
        FVBN(3, order=bad)


@pytest.mark.parametrize("name", MODELS)
def test_bad_input_gets_one_clear_error(name):
    model = MODELS[name]()
    for x, words in (
        (torch.full((2, 6), 0.5), "이진화"),
        (torch.zeros(2, 5), "모양"),
        (torch.zeros(0, 6), "빈 배치"),
        (torch.full((2, 6), torch.nan), "NaN"),
        (torch.zeros(2, 6, dtype=torch.long), "자료형"),
    ):
        with pytest.raises(ValueError, match=words):
            model.log_prob(x)
    with pytest.raises(ValueError, match="조건"):
        model.log_prob(torch.zeros(2, 6), y=torch.zeros(2))
    with pytest.raises(ValueError, match="event_shape"):
        Ensemble(FVBN(3), FVBN(4))
