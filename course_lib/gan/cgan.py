"""조건부 GAN(cGAN): 생성자와 판별자에 조건 y를 함께 주어 p(x|y)를 배우는 GAN.

Mirza, Osindero, "Conditional Generative Adversarial Nets", 2014, arXiv 1411.1784.

    min_G max_D  E_{(x,y)~데이터} log D(x|y) + E_{z, y} log(1 − D(G(z|y)|y))           식 (2)

    y가 주어졌을 때 최선의 판별자   D*(x|y) = p(x|y) / (p(x|y) + p_G(x|y))

조건은 레이블 (B,)일 수도, 실수 벡터 (B, C)일 수도 있습니다. 그림의 아는 절반을 y로, 모르는 절반을 x로 두면 같은
신경망이 빈 곳을 채웁니다(``split_image``).

논문의 MNIST 신경망이 ``cgan()``의 기본값입니다(매개변수: 생성자 2 413 984, 판별자 1 224 351).

    G  z (100) → ReLU 200 ┐                         D  x (784) → 맥스아웃 240×5조각 ┐
       y (10)  → ReLU 1000┴→ ReLU 1200 → sigmoid 784    y (10)  → 맥스아웃 50×5조각 ┴→ 맥스아웃 240×4조각 → 점수

z ~ U[0, 1]^100, dropout 0.5, 배치 100, SGD의 학습률 0.1 → 1e-6(갱신마다 1.00004로 나눔), 모멘텀 0.5 → 0.7,
검증 우도(파젠 추정)가 가장 좋은 때에 멈춥니다. 최적화기는 ``gan.DecayingSGD``, 멈추기는 ``BestWeights``입니다.

논문에 적혀 있지 않아 정한 것
- dropout은 은닉층마다(두 갈래와 합친 층) 넣고 입력에는 넣지 않습니다. ``eval()``에서 뽑으면 꺼집니다. 논문의 설정으로
  배운 생성자는 z가 아니라 dropout을 잡음으로 쓰므로, MNIST 체크포인트는 켜 둔 채 뽑습니다(08번 노트북 10절).
- 가중치는 GAN 저자의 설정처럼 U(−0.05, 0.05)와 U(−0.005, 0.005)에서 시작합니다(``irange``).
- 모멘텀은 GAN 저자의 설정처럼 250 에폭에 걸쳐 올립니다.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Uniform
from torch.nn.functional import one_hot

from course_lib.gan.gan import GAN
from course_lib.nn import Maxout


def unit_cube(zeros: Tensor) -> Distribution:
    """``zeros``와 같은 모양의 U[0, 1]. 차원마다 독립입니다."""
    uniform = Uniform(zeros, torch.ones_like(zeros), validate_args=False)
    return Independent(uniform, zeros.ndim, validate_args=False)


def as_condition(y: Tensor | None, dim: int, like: Tensor) -> Tensor:
    """조건을 (B, dim) 실수 텐서로. 정수 레이블 (B,)는 one-hot이 되고 실수 벡터 (B, dim)은 그대로입니다.

    like  짝이 되는 z나 x (B, …). 길이와 자료형을 맞춥니다.
    ``ValueError``: 조건이 없거나, 길이나 모양이 다르거나, 레이블이 0에서 dim − 1까지가 아닐 때.
    """
    if y is None:
        raise ValueError("조건부 GAN에는 조건 y가 필요합니다. sample(n, y)처럼 y를 함께 넣으세요.")
    if len(y) != len(like):
        raise ValueError(
            f"조건은 {len(y)}개, 짝은 {len(like)}개입니다. 그림마다 조건 하나를 넣으세요."
        )
    if not y.is_floating_point() and y.ndim == 1:
        if len(y) and not (0 <= int(y.min()) and int(y.max()) < dim):
            raise ValueError(f"레이블은 0에서 {dim - 1}까지의 정수여야 합니다.")
        return one_hot(y.long(), dim).to(like)
    if y.shape != (len(like), dim):
        raise ValueError(
            f"조건은 정수 레이블 (B,)이거나 실수 (B, {dim})이어야 하는데 {tuple(y.shape)} "
            f"{y.dtype}을 받았습니다. 레이블이라면 y.long()으로 바꾸세요."
        )
    return y.to(like)


class ConditionalGenerator(nn.Module):
    """x = G(z|y). 두 갈래를 이어 붙여 하나의 은닉 표현으로 만든 뒤 그림을 냅니다.

    from_z  (B, K) → (B, a),   from_y  (B, condition_dim) → (B, b),   joint  (B, a + b) → (B, dim)
    """

    def __init__(self, from_z: nn.Module, from_y: nn.Module, joint: nn.Module, condition_dim: int):
        super().__init__()
        self.from_z, self.from_y, self.joint = from_z, from_y, joint
        self.condition_dim = condition_dim

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        y = as_condition(y, self.condition_dim, z)
        return self.joint(torch.cat([self.from_z(z), self.from_y(y)], 1))


class ConditionalDiscriminator(nn.Module):
    """점수 s(x|y) (B,). 구조는 생성자와 같고 joint의 출력이 (B, 1)입니다. sigmoid는 씌우지 않습니다."""

    def __init__(self, from_x: nn.Module, from_y: nn.Module, joint: nn.Module, condition_dim: int):
        super().__init__()
        self.from_x, self.from_y, self.joint = from_x, from_y, joint
        self.condition_dim = condition_dim

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        y = as_condition(y, self.condition_dim, x)
        return self.joint(torch.cat([self.from_x(x), self.from_y(y)], 1)).squeeze(1)


def cgan(
    dim: int = 784,
    condition_dim: int = 10,
    latent_dim: int = 100,
    *,
    g_units: tuple[int, int, int] = (200, 1000, 1200),
    d_units: tuple[tuple[int, int], ...] = ((240, 5), (50, 5), (240, 4)),
    dropout: float = 0.5,
    irange: tuple[float, float] | None = (0.05, 0.005),
) -> GAN:
    """조건부 GAN 한 벌. 기본값은 논문의 MNIST 신경망이고 화소는 [0, 1]입니다.

    g_units  (z의 단위, y의 단위, 합친 층의 단위)
    d_units  (x, y, 합친 층)의 (단위, 조각). 조각이 1이면 맥스아웃 대신 같은 단위의 ReLU입니다
    irange   가중치를 U(−r, r)에서 시작할 (생성자의 r, 판별자의 r). None이면 PyTorch의 기본값
    """
    a, b, c = g_units
    generator = ConditionalGenerator(
        _layer(nn.Linear(latent_dim, a), nn.ReLU(), dropout),
        _layer(nn.Linear(condition_dim, b), nn.ReLU(), dropout),
        nn.Sequential(
            *_layer(nn.Linear(a + b, c), nn.ReLU(), dropout), nn.Linear(c, dim), nn.Sigmoid()
        ),
        condition_dim,
    )
    for_x, for_y, both = d_units
    discriminator = ConditionalDiscriminator(
        _layer(*_pieces(dim, *for_x), dropout),
        _layer(*_pieces(condition_dim, *for_y), dropout),
        nn.Sequential(
            *_layer(*_pieces(for_x[0] + for_y[0], *both), dropout), nn.Linear(both[0], 1)
        ),
        condition_dim,
    )
    if irange is not None:
        for net, r in zip((generator, discriminator), irange, strict=True):
            for layer in net.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.uniform_(layer.weight, -r, r)
                    nn.init.zeros_(layer.bias)
    return GAN(generator, discriminator, latent_dim, unit_cube)


def _layer(*layers) -> nn.Sequential:
    *modules, dropout = layers
    return nn.Sequential(*modules, nn.Dropout(dropout))


def _pieces(in_dim: int, units: int, pieces: int) -> list[nn.Module]:
    return [nn.Linear(in_dim, units), nn.ReLU()] if pieces == 1 else [Maxout(in_dim, units, pieces)]


def split_image(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """그림 (B, D)를 (모르는 화소, 아는 화소)로 나눕니다. 빈 곳 채우기의 (x, y)입니다.

    known  아는 화소가 True인 (D,) bool
    """
    if known.dtype != torch.bool or known.shape != x.shape[1:] or known.all() or not known.any():
        raise ValueError(
            f"known은 True와 False가 섞인 bool ({x.shape[1]},)이어야 하는데 "
            f"{tuple(known.shape)} {known.dtype}을 받았습니다."
        )
    return x[:, ~known], x[:, known]


def join_image(filled: Tensor, seen: Tensor, known: Tensor) -> Tensor:
    """``split_image``의 역: 채운 화소와 아는 화소를 한 그림 (B, D)로 합칩니다."""
    x = filled.new_empty(len(filled), len(known))
    x[:, ~known], x[:, known] = filled, seen.to(filled)
    return x


class BestWeights:
    """검증 점수가 가장 높았던 때의 가중치를 기억합니다(early stopping의 "가장 좋은 때").

    GAN의 손실로는 멈출 때를 알 수 없어서, 논문은 검증 우도의 파젠 추정이 가장 높은 때를 골랐습니다.
    path를 주면 파일에 남으므로 꺼졌다 이어서 해도 그때까지의 가장 좋은 것을 잃지 않습니다.
    """

    def __init__(self, model: nn.Module, path: Path | None = None):
        self.model, self.path = model, path
        self.score, self.step, self._weights = float("-inf"), 0, None
        if path is not None and path.exists():
            from safetensors.torch import load

            self._weights = load(path.read_bytes())
            self.score = float(self._weights.pop("best.score"))
            self.step = int(self._weights.pop("best.step"))

    def update(self, score: float, step: int) -> bool:
        """점수가 지금까지보다 높으면 가중치를 베껴 두고 True. NaN인 점수는 기억하지 않습니다."""
        if not score > self.score:
            return False
        self.score, self.step = score, step
        self._weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        if self.path is not None:
            from safetensors.torch import save_file

            best = {
                "best.score": torch.tensor(score, dtype=torch.float64),
                "best.step": torch.tensor(step),
            }
            temporary = self.path.with_name(self.path.name + ".part")
            temporary.parent.mkdir(parents=True, exist_ok=True)
            save_file(self._weights | best, temporary)
            temporary.replace(self.path)  # 쓰다가 꺼져도 온전한 파일만 남습니다
        return True

    def restore(self) -> nn.Module:
        """모델에 가장 좋았던 가중치를 되돌려 넣습니다."""
        if self._weights is None:
            raise ValueError("기억한 가중치가 없습니다. update(점수, 단계)를 한 번 이상 부르세요.")
        self.model.load_state_dict(self._weights)
        return self.model
