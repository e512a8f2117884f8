"""오토인코더: 데이터를 몇 개의 수로 줄였다가 되살리는 신경망.

Hinton, Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006.

    z = f(x),   x̂ = g(z),   손실 ‖x − x̂‖²

확률 모델이 아니므로 우도도, 표본도 없습니다. 층별 사전학습 없이 Adam으로 한 번에 학습하는 점이 논문과 다릅니다.
"""

import torch
from torch import Tensor, nn

from course_lib.base import check_batch
from course_lib.nn import MLP


class Autoencoder(nn.Module):
    """대칭인 완전연결 오토인코더: D → hidden → K → 거꾸로 놓은 hidden → D.

    dim         데이터 차원 D
    latent_dim  코드의 차원 K. 데이터가 아니라 쓰는 사람이 정합니다.
    hidden      은닉층 크기들. 빈 튜플이면 선형이고, 그 해는 PCA와 같은 부분공간을 폅니다.
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        hidden=(256,),
        activation: type[nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.event_shape = torch.Size((dim,))
        self.encoder = MLP(dim, hidden, latent_dim, activation)
        self.decoder = MLP(latent_dim, tuple(reversed(hidden)), dim, activation)

    def encode(self, x: Tensor) -> Tensor:
        """코드 z = f(x), (B, D) → (B, K)."""
        check_batch(x, self.event_shape)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """복원 x̂ = g(z), (B, K) → (B, D)."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        """복원 g(f(x))."""
        return self.decode(self.encode(x))

    def squared_error(self, x: Tensor) -> Tensor:
        """이미지마다의 복원 오차 ‖x − x̂‖², ``(B,)``. 학습에는 이 값의 평균을 씁니다."""
        return (self(x) - x).square().sum(-1)
