"""WGAN-GP: 가중치를 자르는 대신 비평자의 기울기가 1에서 벗어난 만큼 벌점을 줍니다.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, "Improved Training of Wasserstein GANs", NIPS 2017,
arXiv 1704.00028.

    L_D = E f(x̃) − E f(x) + λ E (‖∇_x̂ f(x̂)‖₂ − 1)²,    x̂ = εx + (1 − ε)x̃,  ε ~ U[0, 1]     식 (3)
    알고리즘 1   λ = 10, n_critic = 5, Adam α = 1e-4, β₁ = 0, β₂ = 0.9

가장 좋은 비평자는 수송 계획이 잇는 두 점 사이의 선분 위에서 기울기가 거의 어디서나 1입니다(명제 1). 그 계획은 모르므로 진짜와
가짜를 아무렇게나 짝지은 선분 위에서 잽니다. 벌점은 무른 조건입니다: 선분 밖에서는 아무것도 묶지 않고, 선분 위에서도 1을 조금 넘는
기울기는 λ와 저울질됩니다.

벌점은 이미지마다의 기울기에 대한 것이라, 한 이미지의 점수가 배치의 다른 이미지에 기대면 뜻을 잃습니다. 그래서 비평자에 배치
정규화를 쓰지 않습니다(논문 4절). ``fit_wgan_gp``는 배치 정규화가 있는 비평자를 거절합니다.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from course_lib.gan.dcgan import DCGANDiscriminator, DCGANGenerator
from course_lib.gan.gan import GAN, players
from course_lib.gan.losses import gradient_penalty, wasserstein
from course_lib.training import Batches, fit_gan

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def wgan_gp_players(penalty: float = 10.0) -> tuple[Callable, Callable]:
    """``fit_gan``에 넘길 (d_loss, g_loss): 식 (3)과 −E f(G(z)). 배치는 x ``(B, …)``이거나 (x, y)입니다.

    penalty  λ ≥ 0. 벌점의 선분은 손실에 쓴 바로 그 가짜와 진짜를 잇습니다.
    """
    if not penalty >= 0:
        raise ValueError(f"벌점의 무게 penalty는 0 이상이어야 하는데 {penalty}를 받았습니다.")

    def d_loss(gan: GAN, batch) -> Tensor:
        x, y = batch if isinstance(batch, tuple | list) else (batch, None)
        fake = gan.generator(gan.latent(len(x)), y).detach()
        value = wasserstein.discriminator(gan.discriminator(x, y), gan.discriminator(fake, y))
        return value + penalty * gradient_penalty(lambda v: gan.discriminator(v, y), x, fake)

    return d_loss, players(wasserstein)[1]


def fit_wgan_gp(
    gan: GAN,
    batches: Batches,
    *,
    steps: int,
    lr: float | tuple[float, float] = 1e-4,
    betas: tuple[float, float] = (0.0, 0.9),
    n_critic: int = 5,
    penalty: float = 10.0,
    **options,
) -> Iterator[dict]:
    """WGAN-GP의 알고리즘 1. 한 단계는 비평자 ``n_critic``번과 생성자 한 번입니다.

    options  ``training.fit_gan``의 나머지 인자(seed, schedule, state …)
    ``fit_gan``의 지표를 내놓습니다. ``d_loss``에는 벌점도 들어 있습니다.
    오류: ValueError(비평자에 배치 정규화가 있음, penalty < 0, 잘못된 단계 수).
    """
    if any(isinstance(layer, BATCH_NORMS) for layer in gan.discriminator.modules()):
        raise ValueError(
            "비평자에 배치 정규화가 있으면 이미지마다의 기울기를 잴 수 없습니다. 빼거나 LayerNorm을 쓰세요."
        )
    return fit_gan(
        gan,
        *wgan_gp_players(penalty),
        batches,
        steps=steps,
        lr=lr,
        betas=betas,
        d_steps=n_critic,
        **options,
    )


def conv_wgan_gp(
    size: int = 28, channels: int = 1, width: int = 64, blocks: int = 2, latent_dim: int = 100
) -> GAN:
    """DCGAN의 생성자와, 같은 모양에서 배치 정규화를 뺀 비평자. x는 ``(B, channels, size, size)``, [−1, 1].

    z ~ N(0, I). 8×8 숫자는 ``size=8, width=32``입니다. 배치 정규화가 없는 합성곱에는 편향을 둡니다.
    """
    critic = DCGANDiscriminator(size, channels, width, blocks)
    layers: list[nn.Module] = []
    for layer in critic.net:
        if isinstance(layer, nn.Conv2d):
            # DCGAN의 N(0, 0.02²)은 정규화 층을 믿은 값이라, 정규화가 없는 비평자는 torch의 초기화를 씁니다
            layer = nn.Conv2d(layer.in_channels, layer.out_channels, 5, 2, 2)
        elif isinstance(layer, nn.Linear):
            layer = nn.Linear(layer.in_features, 1)
        if not isinstance(layer, BATCH_NORMS):
            layers.append(layer)
    critic.net = nn.Sequential(*layers)
    return GAN(DCGANGenerator(latent_dim, size, channels, width, blocks), critic, latent_dim)
