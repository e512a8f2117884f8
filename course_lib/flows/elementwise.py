"""성분마다 따로 움직이는 전단사들: 변수 변환의 가장 작은 벽돌.

좌표마다 x_d = f(z_d)이면 야코비안이 대각행렬이라

    log|det ∂x/∂z| = Σ_d log|f′(z_d)|

입니다. 잘 알려진 분포 가운데 여럿이 이런 벽돌 하나로 만들어집니다.

    정규 → Exp → LogNormal,      Exponential(1) → NegLog → Gumbel(0, 1),
    굼벨의 차이 → SoftmaxCentered → Gumbel-softmax(Concrete)

출처: Jang, "Normalizing Flows Tutorial, Part 1", 2018; Maddison, Mnih, Teh, 2017, arXiv 1611.00712와
Jang, Gu, Poole, 2017, arXiv 1611.01144(Gumbel-softmax); He et al., 2015, arXiv 1502.01852(PReLU).
"""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Gumbel, constraints
from torch.nn.functional import logsigmoid, softplus

from course_lib.base import Flow


def _inside(ok: Tensor, name: str, interval: str) -> None:
    if not ok.all():
        raise ValueError(f"{name}의 값은 {interval} 안에 있어야 합니다. 벗어난 값이 있습니다.")


class ElementwiseAffine(Flow):
    """x = a·z + b. log|det| = D log|a|. 밀도는 |a|배만큼 낮아집니다.

    a, b  실수 또는 (D,). ``ValueError``: a에 0이 있으면 되돌릴 수 없습니다.
    """

    def __init__(self, a, b=0.0):
        super().__init__()
        a, b = (torch.as_tensor(v, dtype=torch.get_default_dtype()) for v in (a, b))
        if (a == 0).any():
            raise ValueError("a가 0이면 모든 점이 한 점으로 모여 되돌릴 수 없습니다.")
        self.register_buffer("a", a)
        self.register_buffer("b", b)

    def _log_scale(self, z: Tensor) -> Tensor:
        return self.a.abs().log().expand(z.shape).sum(1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.a * z + self.b, self._log_scale(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - self.b) / self.a, -self._log_scale(x)


class Exp(Flow):
    """x = e^z > 0. log|det| = Σ z. 정규분포를 LogNormal로 옮깁니다."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z.exp(), z.sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _inside(x > 0, "x", "(0, ∞)")
        return x.log(), -x.log().sum(1)


class NegLog(Flow):
    """x = −log z, z > 0. log|det| = −Σ log z. Exponential(1)을 Gumbel(0, 1)로 옮깁니다."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        _inside(z > 0, "z", "(0, ∞)")
        return -z.log(), -z.log().sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (-x).exp(), -x.sum(1)


class Sigmoid(Flow):
    """x = σ(z) ∈ (0, 1). log|det| = Σ [log σ(z) + log σ(−z)]. 역함수는 logit입니다."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z.sigmoid(), (logsigmoid(z) + logsigmoid(-z)).sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _inside((x > 0) & (x < 1), "x", "(0, 1)")
        return x.logit(), -(x.log() + (-x).log1p()).sum(1)


class Tanh(Flow):
    """x = tanh z ∈ (−1, 1). log|det| = Σ 2(log 2 − z − softplus(−2z)).

    끝으로 갈수록 납작해져서, 여러 겹 쌓은 뒤 되돌리면 반올림 오차가 걷잡을 수 없이 커집니다(12장의 실패 사례).
    """

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z.tanh(), 2 * (math.log(2) - z - softplus(-2 * z)).sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _inside(x.abs() < 1, "x", "(−1, 1)")
        return x.atanh(), -((-x).log1p() + x.log1p()).sum(1)


class PReLU(Flow):
    """x = z (z ≥ 0), x = α z (z < 0), α > 0. log|det| = (음수인 좌표의 수)·log α.

    α = |a| + 0.01이며 a는 층마다 하나인 매개변수입니다(자료의 코드와 같습니다). α < 1이면 부피가 줄어듭니다.
    0에서 꺾이지만 그 점들의 확률은 0이라 밀도에는 지장이 없습니다.
    """

    def __init__(self, alpha: float = 0.5):
        super().__init__()
        if alpha <= 0.01:
            raise ValueError(f"alpha는 0.01보다 커야 하는데 {alpha}를 받았습니다.")
        self.raw = nn.Parameter(torch.tensor(alpha - 0.01))

    @property
    def alpha(self) -> Tensor:
        """음수 쪽의 기울기 α > 0.01"""
        return self.raw.abs() + 0.01

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(z >= 0, z, self.alpha * z), (z < 0).sum(1) * self.alpha.log()

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(x >= 0, x, x / self.alpha), -(x < 0).sum(1) * self.alpha.log()


class SoftmaxCentered(Flow):
    """ℝᴷ를 K + 1개 확률의 심플렉스 안으로: x = softmax([z, 0])의 앞 K개 좌표.

    log|det| = Σ_{k=1}^{K+1} log x_k. 그냥 softmax는 [z + c]가 모두 같은 곳으로 가서 되돌릴 수 없으므로 마지막
    로짓을 0에 묶습니다. 빠진 좌표는 x_{K+1} = 1 − Σ x_k입니다(``complete``).
    """

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_x = torch.cat([z, z.new_zeros(len(z), 1)], 1).log_softmax(1)  # (B, K + 1)
        return log_x[:, :-1].exp(), log_x.sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        last = 1 - x.sum(1, keepdim=True)
        _inside((x > 0) & (last > 0), "x", "심플렉스(모두 양수이고 합이 1보다 작음)")
        return x.log() - last.log(), -(x.log().sum(1) + last[:, 0].log())

    @staticmethod
    def complete(x: Tensor) -> Tensor:
        """(B, K) → 합이 1인 (B, K + 1)."""
        return torch.cat([x, 1 - x.sum(1, keepdim=True)], 1)


class GumbelDifferences(Distribution):
    """u_k = (g_k + a_k − g_{K+1} − a_{K+1})/τ, g는 독립인 Gumbel(0, 1). K차원 실수.

    굼벨 K + 1개에서 마지막 것을 빼면 서로 *독립이 아닌* K개가 됩니다. v_k = τu_k − (a_k − a_{K+1})로 두면

        log p(u) = log K! − Σ v_k − (K + 1) log(1 + Σ e^{−v_k}) + K log τ

    SoftmaxCentered로 옮기면 온도 τ의 Gumbel-softmax가 됩니다.
    logits  a, (K + 1,)        temperature  τ > 0
    """

    arg_constraints = {"logits": constraints.real_vector, "temperature": constraints.positive}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature: float, logits: Tensor, validate_args=None):
        self.logits = logits
        self.temperature = torch.as_tensor(temperature, dtype=logits.dtype)
        super().__init__(event_shape=(len(logits) - 1,), validate_args=validate_args)

    def rsample(self, sample_shape=()) -> Tensor:
        gumbel = Gumbel(torch.zeros_like(self.logits), torch.ones_like(self.logits))
        score = gumbel.rsample(sample_shape) + self.logits
        return (score[..., :-1] - score[..., -1:]) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        count = value.shape[-1]
        v = self.temperature * value - (self.logits[:-1] - self.logits[-1])
        padded = torch.cat([-v, torch.zeros_like(v[..., :1])], -1)
        log_sum = padded.logsumexp(-1)  # log(1 + Σ e^{−v_k})
        return (
            math.lgamma(count + 1)
            - v.sum(-1)
            - (count + 1) * log_sum
            + count * self.temperature.log()
        )
