"""pix2pix: U-Net의 모양과 잡음, PatchGAN의 수용 영역(식과 기울기), 손실의 규칙."""

import pytest
import torch

from course_lib.checks import randomise_
from course_lib.gan import losses
from course_lib.gan.pix2pix import PatchGAN, Pix2Pix, UNet, pix2pix_players, receptive_field
from course_lib.training import fit_gan


def small(**kwargs):
    torch.manual_seed(0)
    return randomise_(UNet(1, 3, (4, 6, 8), **kwargs).double())


def test_receptive_fields_of_the_paper():
    """논문과 저자의 코드: 0, 1, 2, 3, 4, 5층이 1, 16, 34, 70, 142, 286."""
    sizes = [PatchGAN(2, 2, layers).receptive_field for layers in range(6)]
    assert sizes == [1, 16, 34, 70, 142, 286]
    assert receptive_field([(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]) == 70


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_score_depends_on_exactly_its_patch(layers):
    judge = PatchGAN(2, 3, layers).double()
    # 정규화는 그림 전체의 통계를 쓰므로, 합성곱만의 수용 영역을 보려고 뺍니다
    for block in judge.net:
        if isinstance(block, torch.nn.Sequential):
            block[1] = torch.nn.Identity()
    randomise_(judge)
    x = torch.randn(1, 2, 64, 64, dtype=torch.float64, requires_grad=True)
    scores = judge(x[:, :1], x[:, 1:])[0]
    middle = len(scores) // 2
    (slope,) = torch.autograd.grad(scores[middle, middle], x)
    rows = (slope[0].abs().sum(0) > 0).any(1).nonzero()[:, 0]
    columns = (slope[0].abs().sum(0) > 0).any(0).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == judge.receptive_field
    assert int(columns.max() - columns.min()) + 1 == judge.receptive_field
    assert (slope[0].abs().sum((1, 2)) > 0).all()  # 주어진 그림도 만든 그림도 봅니다


def test_paper_sizes():
    """손으로 센 매개변수: 논문의 U-Net(256×256)과 70×70 PatchGAN."""
    down = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    want = sum(a * b * 16 + b for a, b in zip(down, down[1:], strict=False))
    want += sum(2 * c for c in down[2:-1])  # 정규화: 첫 층과 1×1인 가운데 층에는 없습니다
    inputs, outputs = [512, 1024, 1024, 1024, 1024, 512, 256], [512, 512, 512, 512, 256, 128, 64]
    want += sum(a * b * 16 + b + 2 * b for a, b in zip(inputs, outputs, strict=True))
    want += 128 * 3 * 16 + 3
    assert sum(p.numel() for p in UNet().parameters()) == want
    judge = [6, 64, 128, 256, 512, 1]
    want = sum(a * b * 16 + b for a, b in zip(judge, judge[1:], strict=False))
    want += 2 * (128 + 256 + 512)
    assert sum(p.numel() for p in PatchGAN().parameters()) == want


def test_shapes_rows_and_modes():
    net = small()
    x = torch.randn(3, 1, 16, 24, dtype=torch.float64)
    for mode in (True, False):  # 배치의 통계를 쓰지 않으므로 train()과 eval()이 같습니다
        net.train(mode)
        y = net(x, noise=False)
        assert y.shape == (3, 3, 16, 24) and (y.abs() <= 1).all()
        rows = torch.cat([net(v[None], noise=False) for v in x])
        torch.testing.assert_close(y, rows)
    with pytest.raises(ValueError, match="8의 배수"):
        net(torch.zeros(1, 1, 12, 16).double())
    with pytest.raises(ValueError, match="둘 이상"):
        UNet(1, 3, (4,))


def test_the_noise_is_dropout_and_stays_on_in_eval():
    net = small().eval()
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    torch.manual_seed(1)
    a, b = net(x), net(x)
    torch.manual_seed(1)
    assert torch.equal(net(x), a) and not torch.allclose(a, b)
    quiet = small(drop=0.0).eval()
    assert torch.equal(quiet(x), quiet(x))


def test_skips_carry_detail_past_the_bottleneck():
    """가운데(2×2)를 0으로 막아도 건너뛰기 연결이 있으면 입력이 출력에 닿습니다."""
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    for skips in (True, False):
        net = small(skips=skips)
        net.down[-1].register_forward_hook(lambda *args: args[-1] * 0)
        with torch.no_grad():
            y = net(x, noise=False)
        assert (torch.allclose(y[0], y[1])) is (not skips)


def test_losses_by_hand():
    torch.manual_seed(0)
    model = Pix2Pix(UNet(1, 3, (4, 4), drop=0.0), PatchGAN(4, 4, 0)).double()
    x, y = torch.randn(2, 1, 8, 8).double(), torch.randn(2, 3, 8, 8).double()
    with torch.no_grad():
        made = model.generator(x)
        real, fake = model.discriminator(x, y), model.discriminator(x, made)
        d_loss, g_loss = pix2pix_players(losses.non_saturating, 7.0)
        want = -0.5 * (real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean())
        torch.testing.assert_close(d_loss(model, (x, y)), want)
        want = -fake.sigmoid().log().mean() + 7 * (made - y).abs().mean()
        torch.testing.assert_close(g_loss(model, (x, y)), want)
        _, only = pix2pix_players(None, 7.0)
        torch.testing.assert_close(only(model, (x, y)), 7 * (made - y).abs().mean())
    for bad in ((None, 0.0), (losses.hinge, -1.0)):
        with pytest.raises(ValueError, match="l1"):
            pix2pix_players(*bad)


def test_each_player_moves_only_itself():
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 8, 8), torch.randn(2, 3, 8, 8)
    for loss in (losses.non_saturating, None):
        model = Pix2Pix(UNet(1, 3, (4, 4)), PatchGAN(4, 4, 0))
        before = {k: v.clone() for k, v in model.state_dict().items()}
        for _ in fit_gan(model, *pix2pix_players(loss, 1.0, 0.1), lambda g: (x, y), steps=1):
            pass
        moved = {k.split(".")[0] for k, v in model.state_dict().items() if not v.equal(before[k])}
        assert moved == ({"generator", "discriminator"} if loss else {"generator"})


def test_l1_learns_the_median_and_l2_the_mean():
    """같은 입력에 답이 0, 0, 1일 때 상수 하나로 줄이면 L1은 0, L2는 ⅓에 섭니다."""
    answers = torch.tensor([0.0, 0.0, 1.0])
    grid = torch.linspace(0, 1, 301)
    l1 = (grid[:, None] - answers).abs().mean(1)
    l2 = (grid[:, None] - answers).square().mean(1)
    assert float(grid[l1.argmin()]) == 0 and abs(float(grid[l2.argmin()]) - 1 / 3) < 0.01
