"""PixelRNN: 인과성, 수용 영역, 정규화, 상태를 이어 쓰는 표본 추출, 빗겨 쓰기."""

import pytest
import torch

from course_lib import checks
from course_lib.autoregressive.pixel_rnn import (
    DiagonalBiLSTM,
    DiagonalBiLSTMLayer,
    RowLSTM,
    lstm_cell,
    skew,
    unskew,
)

BOTH = pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])


def build(kind, shape=(1, 4, 5), levels=3, hidden=3, depth=2, head=6, shake=True, **kwargs):
    torch.manual_seed(0)
    model = kind(shape, levels, hidden, depth, head, **kwargs).double().eval()
    return checks.randomise_(model, 1.0) if shake else model


def mixed_logits(model, x):
    """화소마다 로짓을 무작위 계수로 더한 값 (B, C, H, W): 어떤 값이 바뀌어도 드러납니다."""
    weight = torch.linspace(0.3, 1.7, model.levels, dtype=x.dtype)
    return torch.einsum("blchw,l->bchw", model.logits(x), weight)


# ── 인과성과 수용 영역 ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", [1, 2])
def test_diagonal_sees_every_earlier_pixel_and_nothing_else(depth):
    checks.check_autoregressive(
        build(DiagonalBiLSTM, (1, 5, 6), 2, 12, depth, 32, shake=False), mixed_logits, (1, 5, 6)
    )


@pytest.mark.parametrize(
    ("depth", "kernel", "shape"), [(1, 3, (9, 8)), (2, 3, (6, 12)), (2, 5, (5, 15))]
)
def test_row_lstm_sees_exactly_its_triangle(depth, kernel, shape):
    model = build(RowLSTM, (1, *shape), 2, 12, depth, 32, shake=False, kernel=kernel)
    report = checks.check_autoregressive(model, mixed_logits, (1, *shape), unseen=None, draws=3)
    places = [(i, j) for i in range(shape[0]) for j in range(shape[1])]
    want = torch.stack([model.sees(i, j).flatten() for i, j in places])
    assert torch.equal(report.support, want)
    assert report.unseen == sum(range(len(places))) - int(want.sum()) > 0


def test_triangle_counted_by_hand():
    """한 층, 커널 3, 첫 층 7×7: 윗줄에서는 왼쪽 5칸과 오른쪽 3칸까지 봅니다."""
    seen = build(RowLSTM, (1, 3, 20), depth=1).sees(2, 10)
    columns = [seen[row].nonzero().flatten().tolist() for row in range(3)]
    assert columns == [list(range(4, 15)), list(range(5, 14)), list(range(6, 10))]


def test_without_its_own_pixel_the_mirrored_pass_misses_the_end_of_the_row_above():
    """논문의 글대로: 화소 (i, j)는 (i − 1, W − 1)이 첫 층의 커널보다 멀면 보지 못합니다. 층을 쌓아도 같습니다."""
    for depth in (1, 2):
        model = build(DiagonalBiLSTM, (1, 3, 7), 2, 12, depth, 32, shake=False)
        for layer in model.layers:
            layer.pixel = torch.nn.Conv2d(1, 48, 1, bias=False).requires_grad_(False)
            layer.pixel.register_forward_hook(lambda _, __, out: 0 * out)
        report = checks.check_autoregressive(model, mixed_logits, (1, 3, 7), unseen=None)
        earlier = torch.ones(21, 21).tril(-1).bool()
        missing = [tuple(pair) for pair in (earlier & ~report.support).nonzero().tolist()]
        assert missing == [(i * 7 + j, i * 7 - 1) for i in (1, 2) for j in range(7 - 1 - 3)]


def test_mirrored_pass_without_the_shift_leaks(monkeypatch):
    """거울 쪽을 한 줄 내리지 않으면 같은 줄의 오른쪽이 보이고, check_autoregressive가 잡아냅니다."""

    def forward(self, v, image):
        mirror = (self.right.to_state(v) + self.pixel(image)).flip(3)
        return v + self.up(self.left(self.left.to_state(v)) + self.right(mirror).flip(3))

    monkeypatch.setattr(DiagonalBiLSTMLayer, "forward", forward)
    with pytest.raises(checks.CheckError, match="누출"):
        checks.check_autoregressive(build(DiagonalBiLSTM, (1, 3, 4)), mixed_logits, (1, 3, 4))


@BOTH
def test_channels_follow_red_green_blue(kind):
    """(화소, 채널) 순서: R은 앞선 화소만, G는 R까지, B는 R과 G까지 봅니다. 앞선 채널은 빠짐없이 봅니다."""
    shape = (3, 3, 3)
    rank = torch.arange(27).reshape(3, 3, 3).permute(2, 0, 1).flatten()  # 화소 안에서 채널이 마지막
    checks.check_autoregressive(
        build(kind, shape, 2, 24, 1, 48, shake=False), mixed_logits, shape, order=rank, unseen=0
    )


# ── 확률 ────────────────────────────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 2)])
def test_all_64_images_sum_to_one(kind, shape):
    model = build(kind, shape, 2)
    assert checks.check_normalised(model, levels=2, tolerance=1e-9) == pytest.approx(1, abs=1e-9)


@BOTH
def test_log_prob_is_the_sum_of_one_pixel_at_a_time(kind):
    model, x = build(kind), torch.randint(3, (4, 1, 4, 5)).double()
    total = torch.zeros(4).double()
    for i in range(4):
        for j in range(5):
            hidden_future = x.clone()
            hidden_future.flatten(1)[:, i * 5 + j :] = 0
            log_p = model.logits(hidden_future)[:, :, 0, i, j].log_softmax(1)
            total += log_p.gather(1, x[:, 0, i, j].long()[:, None])[:, 0]
    torch.testing.assert_close(model.log_prob(x), total)


@BOTH
def test_batch_equals_rows_and_nothing_moves(kind):
    model, x = build(kind), torch.randint(3, (5, 1, 4, 5)).double()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    together = model.log_prob(x)
    torch.testing.assert_close(together, torch.cat([model.log_prob(row[None]) for row in x]))
    model.sample(2)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# ── 상태를 이어 쓰는 표본 추출 ──────────────────────────────────────────────────────────────────


@BOTH
@pytest.mark.parametrize("shape", [(1, 5, 4), (1, 1, 6), (1, 6, 1), (3, 3, 4)])
def test_cached_and_naive_samples_are_the_same_integers(kind, shape):
    model = build(kind, shape, 4, hidden=6)
    noise = torch.rand(6, *shape).double()
    fast, slow = (model.sample(6, noise=noise, cached=c) for c in (True, False))
    assert torch.equal(fast, slow) and len(fast.unique()) >= 3


@BOTH
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 4)])
def test_cached_completion_catches_up_over_known_pixels(kind, shape):
    model = build(kind, shape, 4, hidden=6)
    x, noise = torch.randint(4, (6, *shape)).double(), torch.rand(6, *shape).double()
    known = torch.rand(1, *shape) < 0.6  # 배치 모두가 아는 화소는 건너뜁니다
    fast, slow = (model.complete(x, known, noise=noise, cached=c) for c in (True, False))
    assert torch.equal(fast, slow)


@BOTH
def test_cached_logits_equal_the_full_pass(kind):
    model, x = build(kind), torch.randint(3, (3, 1, 4, 5)).double()
    with torch.no_grad():
        want, at = model.logits(x), model.incremental(x, None)
        got = torch.stack([torch.stack([at(i, j) for j in range(5)], -1) for i in range(4)], -2)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@BOTH
def test_cached_logits_see_channels_drawn_after_the_last_call(kind):
    """G와 B를 이미 알아 R에서만 불린 화소도, 다음 화소로 갈 때는 새로 그린 R로 다시 계산합니다."""
    model, x = build(kind, (3, 2, 3), 3, hidden=6), torch.randint(3, (3, 3, 2, 3)).double()
    at = model.incremental(x, None)
    with torch.no_grad():
        for i in range(2):
            for j in range(3):
                got = at(i, j)
                torch.testing.assert_close(got, model.logits(x)[..., i, j], rtol=0, atol=1e-12)
                x[:, 0, i, j] = (x[:, 0, i, j] + 1) % 3


@BOTH
def test_cached_work_grows_as_the_number_of_pixels(kind):
    """곱셈을 셉니다: 상태를 이어 쓰면 화소 수에 비례하고, 한 번에 다 계산하는 쪽은 한 화소마다 그림 하나치입니다."""
    from torch.utils.flop_counter import FlopCounterMode

    def work(side, function):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(kind((1, side, side), 2, 2, 1, 2), torch.zeros(1, 1, side, side))
        return counter.get_total_flops()

    cached = {side: work(side, lambda model, x: model.sample(1)) for side in (3, 6)}
    assert cached[6] == pytest.approx(4 * cached[3], rel=0.15)
    one_pass = {side: work(side, lambda model, x: model.logits(x)) for side in (3, 6)}
    assert one_pass[6] > 3.5 * one_pass[3]


# ── 조각 ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 3), (1, 5), (5, 1), (1, 1)])
def test_skew_puts_diagonals_in_columns_and_unskew_undoes_it(height, width):
    x = torch.randn(2, 3, height, width)
    slanted = skew(x)
    assert slanted.shape == (2, 3, height, width + height - 1)
    want = torch.zeros_like(slanted)
    for i in range(height):
        for j in range(width):
            want[:, :, i, i + j] = x[:, :, i, j]
    assert torch.equal(slanted, want) and torch.equal(unskew(slanted), x)


def test_cell_is_an_lstm():
    """그림 한 칸, 상태의 합성곱이 없으면 torch의 LSTMCell과 같습니다(게이트 순서 o, f, i, g)."""
    cell = torch.nn.LSTMCell(5, 4).double()
    x, h, c = (torch.randn(3, n).double() for n in (5, 4, 4))
    i, f, g, o = (x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh).chunk(
        4, 1
    )
    ours = lstm_cell(torch.cat([o, f, i, g], 1)[..., None], c[..., None], 1)
    for mine, want in zip(ours, cell(x, (h, c)), strict=True):
        torch.testing.assert_close(mine[..., 0], want)


def test_diagonal_layer_is_the_recursion_over_pixels():
    """한 화소씩, 위와 왼쪽 이웃의 상태로 다시 계산합니다. 거울 쪽은 윗줄의 것을 더합니다."""
    layer = build(DiagonalBiLSTM, (1, 3, 4), depth=1).layers[0]
    x, image = torch.randn(2, 6, 3, 4).double(), torch.randn(2, 1, 3, 4).double()
    with torch.no_grad():
        slow = {}
        for name, part, order in (
            ("left", layer.left, range(4)),
            ("right", layer.right, range(3, -1, -1)),
        ):
            for i in range(3):
                for j in order:
                    zero = (torch.zeros(2, 3).double(),) * 2
                    side = slow.get((name, i, j - 1 if name == "left" else j + 1), zero)
                    above = slow.get((name, i - 1, j), zero)
                    weight = part.state.weight  # [..., 0]은 위, [..., 1]은 옆
                    gates = x[:, :, i, j] @ part.to_state.weight[:, :, 0, 0].T + part.to_state.bias
                    if name == "right":
                        gates = gates + image[:, :, i, j] @ layer.pixel.weight[:, :, 0, 0].T
                    gates = gates + above[0] @ weight[..., 0].T + side[0] @ weight[..., 1].T
                    o, f, k, g = gates.chunk(4, 1)
                    c = f.sigmoid() * side[1] + k.sigmoid() * g.tanh()
                    slow[name, i, j] = (o.sigmoid() * c.tanh(), c)
        for i in range(3):
            for j in range(4):
                h = slow["left", i, j][0] + (slow["right", i - 1, j][0] if i else 0)
                want = x[:, :, i, j] + h @ layer.up.weight[:, :, 0, 0].T + layer.up.bias
                torch.testing.assert_close(layer(x, image)[:, :, i, j], want)


@BOTH
def test_gradients_reach_every_parameter(kind):
    model = build(kind)
    (-model.log_prob(torch.randint(3, (4, 1, 4, 5)).double()).mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@BOTH
def test_bad_sizes(kind):
    with pytest.raises(ValueError, match="배수"):
        kind((3, 4, 4), 2, hidden=8)
    with pytest.raises(ValueError, match="depth"):
        kind((1, 4, 4), 2, depth=0)
    with pytest.raises(ValueError, match="홀수"):
        RowLSTM((1, 4, 4), 2, kernel=2)
    with pytest.raises(ValueError, match="받지 않습니다"):
        kind((1, 4, 4), 2).sample(2, torch.tensor([0, 1]))
