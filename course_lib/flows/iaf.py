"""IAF: 신경망이 x 대신 **z를** 보는 자기회귀 Flow. 표본은 한 번에, 남의 표본의 밀도는 D걸음에 얻습니다.

Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling, "Improving Variational Inference with Inverse
Autoregressive Flow", NIPS 2016, arXiv 1606.04934(부록의 z·σ + m 꼴).

    z → x   x_i = exp(α_i(z_<i)) z_i + μ_i(z_<i)          z를 모두 알므로 한 번에
    x → z   z_i = (x_i − μ_i(z_<i)) exp(−α_i(z_<i))       앞의 z가 있어야 하므로 차례대로
    log|det ∂x/∂z| = Σ_i α_i(z_<i)

MAF의 식과 x, z의 자리만 다릅니다. MAF 층의 ``inverse``를 α' = −α, μ' = −μ exp(−α)로 다시 적으면 IAF 층의
``forward``가 됩니다(시험이 확인합니다). 뒤집을 수 있어야 하는 것은 신경망이 아니라 z_i에 대한 아핀 변환입니다.

자기 표본의 밀도는 z를 기억하고 있으면 공짜입니다: ``rsample_and_log_prob``. 남이 준 x라면 D걸음이 듭니다.
α는 MAF와 같이 [−5, 5]로 자릅니다. VAE의 사후분포로 쓰는 논문의 문 꼴(σ = sigmoid)은 ``vae/iaf_posterior.py``에 있습니다.
"""

from torch import Tensor, nn

from course_lib.autoregressive.made import MaskedMLP
from course_lib.base import Compose, Flow, FlowModel, standard_normal
from course_lib.flows.maf import bounded, masked_stack, solve_in_order


class IAFLayer(Flow):
    """IAF 한 층. 비용: ``forward``(표본)는 신경망 1번, ``inverse``는 D걸음."""

    def __init__(self, dim: int, hidden=(64, 64), order="natural", activation=nn.ReLU):
        super().__init__()
        self.net = MaskedMLP(dim, hidden, 2, order=order, degrees="even", activation=activation)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mu, alpha = self.net(z).mT.unbind(1)  # (B, D, 2)의 두 판
        alpha = bounded(alpha)
        return alpha.exp() * z + mu, alpha.sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = solve_in_order(self.net, x, lambda x, mu, alpha: (x - mu) * (-bounded(alpha)).exp())
        return z, -bounded(self.net(z)[..., 1]).sum(1)


class IAF(FlowModel):
    """IAF 층을 쌓은 밀도 모델. 인자는 ``MAF``와 같고, 순서는 층마다 뒤집습니다.

    비용: ``sample``과 ``rsample_and_log_prob``는 층마다 신경망 1번, ``log_prob``는 층마다 D걸음.
    """

    def __init__(
        self,
        dim: int,
        layers: int = 5,
        hidden=(64, 64),
        base=standard_normal,
        preprocess: Flow | None = None,
        activation: type[nn.Module] = nn.ReLU,
    ):
        flow = masked_stack(dim, layers, lambda order: IAFLayer(dim, hidden, order, activation))
        if preprocess is not None:
            flow = Compose(*flow.flows, preprocess)
        super().__init__(flow, (dim,), base)
