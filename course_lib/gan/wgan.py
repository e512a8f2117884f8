"""WGAN: 판별자 대신 바서슈타인 거리를 재는 비평자(critic)를 두고, 가중치를 잘라 기울기를 묶습니다.

Arjovsky, Chintala, Bottou, "Wasserstein GAN", ICML 2017, arXiv 1701.07875.

    W(p, g) = max_{‖f‖_L ≤ 1} E_{x~p} f(x) − E_{x~g} f(x)                                식 (2)

    알고리즘 1   α = 5e-5, c = 0.01, m = 64, n_critic = 5, 최적화기 RMSProp
      n_critic번   g_w ← ∇_w [ 1/m Σ f_w(x) − 1/m Σ f_w(G(z)) ]
                   w ← clip(w + α·RMSProp(w, g_w), −c, c)
      한 번        θ ← θ + α·RMSProp(θ, ∇_θ 1/m Σ f_w(G(z)))

비평자의 점수에는 sigmoid도 log도 씌우지 않습니다. 점수에 상수를 더해도 값이 그대로이므로 점수의 영점에는 뜻이 없고
차이에만 뜻이 있습니다. 가중치를 [−c, c]로 자르면 f_w의 립시츠 상수가 어떤 K 이하로 묶이고, 비평자의 차이는 기껏해야
K·W입니다. K는 c와 신경망의 모양이 정하며 우리가 고른 값이 아닙니다.

논문과 다른 점: 가중치를 자르는 자리는 논문을 따라 갱신 *뒤*입니다(저자의 코드는 갱신 앞에서 자릅니다). 저자의 코드는 처음 25번과
500번째마다 n_critic을 100으로 늘리지만 여기서는 논문처럼 늘 같습니다.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from course_lib.gan.gan import GAN, players
from course_lib.gan.losses import clip_weights_, wasserstein
from course_lib.training import Batches, fit_gan


def fit_wgan(
    gan: GAN,
    batches: Batches,
    *,
    steps: int,
    lr: float = 5e-5,
    c: float = 0.01,
    n_critic: int = 5,
    **options,
) -> Iterator[dict]:
    """알고리즘 1. 한 단계는 비평자 ``n_critic``번(매번 자르기)과 생성자 한 번입니다.

    gan      비평자는 ``gan.discriminator``. 점수 (B,), sigmoid 없음
    batches  generator → x ``(B, …)`` 또는 (x, y)         c  가중치를 자르는 크기, 0보다 큼
    options  ``training.fit_gan``의 나머지 인자(seed, schedule, state …)

    ``fit_gan``의 지표를 내놓습니다. ``−d_loss``가 비평자의 차이 E f(x) − E f(G(z))입니다.
    오류: ValueError(c ≤ 0, 잘못된 단계 수).
    """
    if not c > 0:
        raise ValueError(f"자르는 크기 c는 0보다 커야 하는데 {c}를 받았습니다.")
    optimizers = tuple(
        torch.optim.RMSprop(player.parameters(), lr=lr)
        for player in (gan.discriminator, gan.generator)
    )
    return fit_gan(
        gan,
        *players(wasserstein),
        batches,
        steps=steps,
        optimizers=optimizers,
        d_steps=n_critic,
        after_d=lambda critic: clip_weights_(critic, c),
        **options,
    )


@torch.no_grad()
def critic_estimate(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> float:
    """E f(x) − E f(x̃). 비평자가 1-립시츠이면 두 표본의 W₁보다 클 수 없습니다.

    real ``(N, …)``, fake ``(M, …)``. N과 M은 달라도 됩니다.
    """
    return -float(wasserstein.discriminator(critic(real), critic(fake)))


def slopes(critic: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """‖∇ₓ f(x)‖₂, (B,). 비평자가 그 점에서 얼마나 가파른지 봅니다. 기울기는 흐르지 않습니다."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(critic(x).sum(), x)
    return gradient.flatten(1).norm(dim=1)


def at_the_ends(critic: nn.Module, c: float, within: float = 0.02) -> float:
    """|w|가 c의 (1 − within)배 이상인 가중치의 비율. 편향은 세지 않습니다."""
    weights = [p.detach().abs().flatten() for p in critic.parameters() if p.ndim > 1]
    if not weights:
        raise ValueError("가중치(2차원 이상의 매개변수)가 없는 모듈입니다. 비평자를 넣으세요.")
    return float((torch.cat(weights) >= (1 - within) * c).double().mean())
