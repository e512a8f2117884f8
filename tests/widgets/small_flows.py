"""위젯 시험이 함께 쓰는 작은 flow들: 답을 아는 것과 아무렇게나 휜 것."""

import torch

from course_lib.base import Compose, Flow, FlowModel, standard_logistic
from course_lib.checks import randomise_
from course_lib.flows.realnvp import RealNVP


class Affine(Flow):
    """x = A z + b, 2×2 행렬."""

    def __init__(self, matrix, shift=(0.0, 0.0)):
        super().__init__()
        self.register_buffer("matrix", torch.tensor(matrix))
        self.register_buffer("shift", torch.tensor(shift))

    def forward(self, z):
        return z @ self.matrix.T + self.shift, self.matrix.det().abs().log().expand(len(z))

    def inverse(self, x):
        z = (x - self.shift) @ self.matrix.inverse().T
        return z, -self.matrix.det().abs().log().expand(len(x))


class Bend(Flow):
    """두 좌표를 다 바꾸는 삼각 변환: x₁ = z₁ + sin(2 z₁)/3, x₂ = z₂ e^{cos z₁} + z₁²/2."""

    def forward(self, z):
        a, b = z.unbind(1)
        x = torch.stack([a + (2 * a).sin() / 3, b * a.cos().exp() + a**2 / 2], 1)
        return x, (1 + 2 / 3 * (2 * a).cos()).log() + a.cos()

    def inverse(self, x):
        low, high = x[:, 0] - 1, x[:, 0] + 1
        for _ in range(60):
            middle = (low + high) / 2
            below = middle + (2 * middle).sin() / 3 < x[:, 0]
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        a = (low + high) / 2
        b = (x[:, 1] - a**2 / 2) * (-a.cos()).exp()
        return torch.stack([a, b], 1), -(1 + 2 / 3 * (2 * a).cos()).log() - a.cos()


class Shuffle(Flow):
    """두 축을 맞바꿉니다: 행렬식이 −1인 층."""

    def forward(self, z):
        return z.flip(1), z.new_zeros(len(z))

    def inverse(self, x):
        return x.flip(1), x.new_zeros(len(x))


def random_realnvp(couplings=4, seed=1):
    torch.manual_seed(seed)
    model = RealNVP(2, couplings=couplings, hidden=(16, 16))
    randomise_(model, scale=0.25)
    return model.eval()


MODELS = {
    "아핀": lambda: FlowModel(Affine([[1.5, 0.0], [0.4, 0.5]], (0.3, -0.2)), (2,)),
    "삼각": lambda: FlowModel(Compose(Bend(), Affine([[0.8, 0.0], [-0.6, 0.7]])), (2,)),
    "순열": lambda: FlowModel(Compose(Bend(), Shuffle(), Affine([[1.0, 0.2], [0.0, 0.7]])), (2,)),
    "로지스틱": lambda: FlowModel(Affine([[0.7, 0.0], [0.3, 0.6]]), (2,), base=standard_logistic),
    "RealNVP": random_realnvp,
}
