"""GAN의 손실: 판별자의 점수 s ∈ ℝ(sigmoid를 씌우기 전)에 대한 순수 함수들.

| 이름 | 판별자가 줄이는 값 | 생성자가 줄이는 값 |
|---|---|---|
| minimax | −E log σ(s_진짜) − E log(1 − σ(s_가짜)) | E log(1 − σ(s_가짜)) |
| non_saturating | 위와 같음 | −E log σ(s_가짜) |
| wasserstein | E s_가짜 − E s_진짜 | −E s_가짜 |
| hinge | E max(0, 1 − s_진짜) + E max(0, 1 + s_가짜) | −E s_가짜 |

출처: Goodfellow et al., 2014, arXiv 1406.2661(minimax, non_saturating); Arjovsky et al., 2017,
arXiv 1701.07875(wasserstein); Lim, Ye, 2017, arXiv 1705.02894와 Miyato et al., 2018, arXiv
1802.05957(hinge); Gulrajani et al., 2017, arXiv 1704.00028(gradient_penalty); Mescheder et al., 2018,
arXiv 1801.04406(r1_penalty).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus


@dataclass(frozen=True)
class AdversarialLoss:
    """점수 (B,)를 받아 스칼라를 돌려주는 두 함수.

    discriminator(진짜 점수, 가짜 점수), generator(가짜 점수). 둘 다 *줄일* 값입니다.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _check_scores(*scores: Tensor) -> None:
    for s in scores:
        if s.ndim != 1 or len(s) == 0:
            raise ValueError(
                f"판별자의 점수는 (B,)여야 하는데 {tuple(s.shape)}을 받았습니다. 출력을 .flatten()하거나 "
                "지도 모양의 점수라면 펴서 넣으세요."
            )


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    # −log σ(s) = softplus(−s), −log(1 − σ(s)) = softplus(s): 점수가 커도 넘치지 않습니다
    _check_scores(real, fake)
    return softplus(-real).mean() + softplus(fake).mean()


def _saturating(fake: Tensor) -> Tensor:
    _check_scores(fake)
    return -softplus(fake).mean()


def _non_saturating(fake: Tensor) -> Tensor:
    _check_scores(fake)
    return softplus(-fake).mean()


def _difference(real: Tensor, fake: Tensor) -> Tensor:
    _check_scores(real, fake)
    return fake.mean() - real.mean()


def _margins(real: Tensor, fake: Tensor) -> Tensor:
    _check_scores(real, fake)
    return relu(1 - real).mean() + relu(1 + fake).mean()


def _raise_score(fake: Tensor) -> Tensor:
    _check_scores(fake)
    return -fake.mean()


minimax = AdversarialLoss(_cross_entropy, _saturating)
non_saturating = AdversarialLoss(_cross_entropy, _non_saturating)
wasserstein = AdversarialLoss(_difference, _raise_score)
hinge = AdversarialLoss(_margins, _raise_score)


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, target: float = 1.0
) -> Tensor:
    """E_x̂ (‖∇_x̂ D(x̂)‖₂ − target)², x̂ = εx + (1 − ε)x̃, ε ~ U[0, 1]. 스칼라(WGAN-GP 식 (3)의 둘째 항).

    real, fake  같은 모양 (B, …). 기울기는 진짜와 가짜를 잇는 선분 *위*에서 잽니다.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"진짜와 가짜의 모양이 같아야 합니다: {tuple(real.shape)}와 {tuple(fake.shape)}."
        )
    eps = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
    between = (eps * real.detach() + (1 - eps) * fake.detach()).requires_grad_()
    return (_slopes(discriminator, between) - target).square().mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """½ E_{x~데이터} ‖∇_x D(x)‖². 스칼라. 진짜 데이터 위에서 판별자를 평평하게 합니다."""
    slopes = _slopes(discriminator, real.detach().requires_grad_())
    return 0.5 * slopes.square().mean()


def _slopes(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """‖∇_x D(x)‖₂, (B,). 판별자의 가중치까지 기울기가 흐르도록 그래프를 남깁니다."""
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    # 0에서 ‖·‖의 기울기는 NaN이 되므로 아주 작은 값을 더합니다
    return (gradient.flatten(1).square().sum(1) + 1e-24).sqrt()


@torch.no_grad()
def clip_weights_(module: nn.Module, c: float) -> None:
    """모든 가중치를 [−c, c]로 자릅니다(제자리). WGAN의 알고리즘 1, 논문의 c는 0.01입니다."""
    if c <= 0:
        raise ValueError(f"자르는 크기 c는 0보다 커야 하는데 {c}를 받았습니다.")
    for p in module.parameters():
        p.clamp_(-c, c)
