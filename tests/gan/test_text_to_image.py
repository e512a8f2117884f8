"""GAN-INT-CLS: 논문의 크기, 세 짝의 손실, 섞은 글, 글 인코더."""

import pytest
import torch
from torch import nn

from course_lib.checks import randomise_
from course_lib.gan.gan import GAN
from course_lib.gan.text_to_image import (
    JointEmbedding,
    TextEncoder,
    matching_players,
    text_to_image,
)


def small():
    torch.manual_seed(0)
    gan = text_to_image(6, 4, size=16, squeeze=5, width=(4, 3), blocks=2)
    return randomise_(gan.double().eval())


def test_paper_sizes():
    gan = text_to_image()
    layers = {
        name: [tuple(m.weight.shape) for m in player.modules() if hasattr(m, "weight")]
        for name, player in gan.named_children()
    }
    assert layers["generator"][0] == (128, 1024) and (1024 * 16, 228) in layers["generator"]
    assert (128, 3, 4, 4) in layers["generator"] and (64, 3, 4, 4) in layers["discriminator"]
    assert (512, 512 + 128, 1, 1) in layers["discriminator"]
    assert (1, 512, 4, 4) in layers["discriminator"]
    with pytest.raises(ValueError, match="반으로"):
        text_to_image(size=20)


def test_rows_one_by_one_and_both_look_at_the_text():
    gan = small()
    z, t = gan.latent(3), torch.randn(3, 6).double()
    with torch.no_grad():
        x = gan.generator(z, t)
        scores = gan.discriminator(x, t)
        rows = torch.cat([gan.generator(a[None], b[None]) for a, b in zip(z, t, strict=True)])
        alone = torch.cat([gan.discriminator(a[None], b[None]) for a, b in zip(x, t, strict=True)])
        assert not torch.allclose(gan.generator(z, -t), x)
        assert not torch.allclose(gan.discriminator(x, -t), scores)
    assert x.shape == (3, 3, 16, 16) and x.abs().max() <= 1 and scores.shape == (3,)
    torch.testing.assert_close(x, rows)
    torch.testing.assert_close(scores, alone)


class Echo(nn.Module):
    """G(z, t) = t를 그대로 그림으로."""

    def forward(self, z, y):
        return y[:, :, None, None]


class Match(nn.Module):
    """점수 = 그림의 합 × 글의 합 − 1."""

    def forward(self, x, y):
        return x.sum((1, 2, 3)) * y.sum(1) - 1


def test_the_three_pairs_by_hand():
    gan = GAN(Echo(), Match(), 2)
    x = torch.tensor([2.0, -1.0]).double().reshape(2, 1, 1, 1)
    t, wrong = torch.tensor([[[1.0], [3.0]], [[-1.0], [0.5]]]).double()
    right, bad = torch.tensor([[2.0, -3.0], [-2.0, -0.5]]).double() - 1
    fake = torch.tensor([1.0, 9.0]).double() - 1
    log_no = lambda s: -(1 - s.sigmoid()).log().mean()  # noqa: E731
    real = -right.sigmoid().log().mean()
    d_loss, g_loss = matching_players()
    torch.testing.assert_close(
        d_loss(gan, (x, t, wrong)), real + 0.5 * (log_no(bad) + log_no(fake))
    )
    plain, alone = matching_players(wrong=False, interpolate=False)
    torch.testing.assert_close(plain(gan, (x, t, wrong)), real + log_no(fake))
    made = -fake.sigmoid().log().mean()
    torch.testing.assert_close(alone(gan, (x, t, wrong)), made)
    between = (
        -(torch.tensor([4.0, 4.0]).double() - 1).sigmoid().log().mean()
    )  # (1 + 3)/2 = 2, 점수 2·2 − 1
    torch.testing.assert_close(g_loss(gan, (x, t, wrong)), made + between)
    only = matching_players(beta=1.0)[1]  # β = 1이면 섞지 않은 글을 두 번 쓰는 셈입니다
    torch.testing.assert_close(only(gan, (x, t, wrong)), 2 * made)
    with pytest.raises(ValueError, match="beta"):
        matching_players(beta=1.5)


def test_the_wrong_text_moves_only_the_discriminator():
    gan = small()
    x, t, wrong = torch.randn(2, 3, 16, 16).double(), *torch.randn(2, 2, 6).double()
    d_loss, g_loss = matching_players()
    d_loss(gan, (x, t, wrong)).backward()
    assert all(p.grad is None for p in gan.generator.parameters())
    torch.manual_seed(0)
    one = g_loss(gan, (x, t, wrong)).detach()
    torch.manual_seed(0)
    assert torch.equal(one, g_loss(gan, (x, t, -wrong)).detach())


def test_text_encoder_ignores_padding_length_and_refuses_floats():
    torch.manual_seed(0)
    encoder = TextEncoder(9, 4, 6, 3).double()
    text = torch.tensor([[3, 5, 2, 0, 0, 0]])
    longer = torch.tensor([[3, 5, 2, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(encoder(text), encoder(longer))
    assert not torch.allclose(encoder(text), encoder(torch.tensor([[5, 3, 2, 0, 0, 0]])))
    with pytest.raises(ValueError, match="글자 번호"):
        encoder(text.float())


def test_joint_loss_counts_only_other_classes():
    class Fixed(JointEmbedding):
        def forward(self, pictures, text):
            return pictures

    model = Fixed(TextEncoder(3, 2, 2), 2)
    score = torch.tensor([[2.0, 1.5, 0.0], [0.0, 1.0, 0.5], [5.0, 0.0, 3.0]])
    classes = torch.tensor([0, 1, 0])
    want = 0.0
    for i in range(3):
        for j in range(3):
            if classes[i] != classes[j]:
                want += max(0, 1 + score[i, j] - score[i, i])  # 그림 i에 틀린 글 j
                want += max(0, 1 + score[i, j] - score[j, j])  # 글 j에 틀린 그림 i
    assert float(model.loss(score, None, classes)) == pytest.approx(float(want) / 4)
    assert float(model.loss(score, None, torch.zeros(3))) == 0
