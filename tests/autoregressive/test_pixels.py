"""화소 모델의 공통 부분: 정규화, 표본의 빈도, 빈 곳 채우기, 잘못된 입력."""

import itertools

import pytest
import torch
from torch import nn

from course_lib import checks
from course_lib.autoregressive.pixels import PixelModel


class Triangular(PixelModel):
    """로짓이 앞선 화소의 일차식인 작은 모델. 정답을 손으로 셀 수 있습니다."""

    def __init__(self, shape=(2, 2, 2), levels=3, classes=0):
        super().__init__(shape, levels, classes)
        size = self.event_shape.numel()
        self.weight = nn.Parameter(torch.randn(levels, size, size))
        self.bias = nn.Parameter(torch.randn(levels, size))
        # 순서는 화소가 먼저, 그 안에서 채널입니다: (C, H, W) 자리마다의 순번
        c, h, w = shape
        rank = torch.arange(size).reshape(h, w, c).permute(2, 0, 1).flatten()
        self.register_buffer("earlier", (rank[None, :] < rank[:, None]).float())
        self.calls = 0

    def logits(self, x, y=None):
        self.calls += 1
        flat = self.scaled(x).flatten(1)
        shift = 0 if y is None else y[:, None, None].to(x)
        out = torch.einsum("lij,bj->bli", self.weight * self.earlier, flat) + self.bias * (
            1 + shift
        )
        return out.unflatten(2, self.event_shape)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Triangular().double()


def test_probabilities_sum_to_one(model):
    one_channel = Triangular((1, 2, 3), 2).double()
    assert checks.check_normalised(one_channel, levels=2) == pytest.approx(1)
    small = Triangular((2, 1, 3), 3).double()
    assert checks.check_normalised(small, levels=3) == pytest.approx(1)


def test_log_prob_is_the_sum_of_the_terms(model):
    x = torch.randint(3, (5, 2, 2, 2)).double()
    log_p = model.logits(x).log_softmax(1)
    by_hand = [
        sum(log_p[b, int(x[b, c, i, j]), c, i, j] for c in (0, 1) for i in (0, 1) for j in (0, 1))
        for b in range(5)
    ]
    torch.testing.assert_close(model.log_prob(x), torch.stack(by_hand))


def test_samples_follow_the_density():
    torch.manual_seed(1)
    model = Triangular((2, 1, 2), 2).double()
    n = 20_000
    x = model.sample(n).flatten(1)
    for state in itertools.product((0.0, 1.0), repeat=4):
        state = torch.tensor(state).double()
        p = float(model.log_prob(state.reshape(1, 2, 1, 2)).exp().detach())
        seen = float((x == state).all(1).double().mean())
        assert abs(seen - p) < 5 * (p * (1 - p) / n) ** 0.5 + 1e-9


def test_sampling_takes_one_pass_per_pixel_and_channel(model):
    model.sample(3)
    assert model.calls == 8


def test_same_noise_same_picture(model):
    noise = torch.rand(4, 2, 2, 2).double()
    assert torch.equal(model.sample(4, noise=noise), model.sample(4, noise=noise, cached=False))
    assert not torch.equal(model.sample(4, noise=noise), model.sample(4, noise=1 - noise))


def test_extreme_noise_stays_in_range(model):
    top = torch.full((2, 2, 2, 2), 1 - 1e-17).double()
    assert model.sample(2, noise=top).max() == 2
    assert model.sample(2, noise=torch.zeros(2, 2, 2, 2).double()).max() == 0


def test_completion_keeps_what_is_known_and_follows_the_conditional():
    """마지막 화소만 모를 때 채운 값의 빈도는 p(x)를 모르는 값에 대해 정규화한 것입니다."""
    torch.manual_seed(2)
    model = Triangular((1, 2, 2), 3).double()
    n = 20_000
    x = torch.tensor([[1.0, 2.0], [0.0, 0.0]]).double().expand(n, 1, 2, 2)
    known = torch.tensor([[True, True], [True, False]])
    filled = model.complete(x, known)
    assert torch.equal(filled[..., known], x[..., known])
    states = x[:3].clone()
    states[:, 0, 1, 1] = torch.arange(3).double()
    want = model.log_prob(states).softmax(0).detach()
    seen = torch.stack([(filled[:, 0, 1, 1] == k).double().mean() for k in range(3)])
    assert float((seen - want).abs().max()) < 5 * 0.5 / n**0.5
    # 모르는 자리의 값은 결과에 섞이지 않고, 받은 텐서도 바뀌지 않습니다.
    noise = torch.rand(1, 1, 2, 2).double()
    garbage = torch.tensor([[1.0, 2.0], [0.0, float("nan")]]).double()[None, None]
    a, b = (model.complete(v, known, noise=noise) for v in (x[:1], garbage))
    assert torch.equal(a, b) and garbage.isnan().any()


def test_known_pixels_may_differ_between_pictures(model):
    x = torch.randint(3, (6, 2, 2, 2)).double()
    known = torch.rand(6, 2, 2, 2) < 0.5
    filled = model.complete(x, known)
    assert torch.equal(filled[known], x[known])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 1, 2, 2), "모양"),
        (torch.full((1, 2, 2, 2), 0.5), "정수"),
        (torch.full((1, 2, 2, 2), 3.0), "0부터 2까지"),
        (-torch.ones(1, 2, 2, 2), "0부터 2까지"),
        (torch.zeros(1, 2, 2, 2, dtype=torch.long), "실수로"),
    ],
)
def test_bad_pixels(x, message):
    with pytest.raises(ValueError, match=message):
        Triangular().log_prob(x)


def test_conditions():
    model, x = Triangular(classes=4), torch.zeros(2, 2, 2, 2)
    assert model.log_prob(x, torch.tensor([0, 3])).shape == (2,)
    assert model.sample(2, torch.tensor([0, 3])).shape == (2, 2, 2, 2)
    with pytest.raises(ValueError, match="있어야"):
        model.log_prob(x)
    with pytest.raises(ValueError, match="0부터 3까지"):
        model.log_prob(x, torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="받지 않습니다"):
        Triangular().sample(2, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="noise"):
        Triangular().sample(2, noise=torch.rand(1, 2, 2, 2))
    with pytest.raises(ValueError, match="levels"):
        Triangular(levels=1)
