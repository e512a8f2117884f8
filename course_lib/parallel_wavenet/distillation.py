"""확률밀도 증류: 표본이 빠른 학생 s(IAF)를 밀도가 빠른 교사 t(자기회귀 모델)에 맞춥니다. 데이터는 쓰지 않습니다.

van den Oord 외, "Parallel WaveNet: Fast High-Fidelity Speech Synthesis", ICML 2018, arXiv 1711.10433.
정규분포의 닫힌 식은 Ping, Peng, Chen, "ClariNet", ICLR 2019, arXiv 1807.07281.

    KL(s‖t) = E_s[log s(x) − log t(x)] = H(s, t) − H(s)                                        (1)
    학생     x_t = s_t(z_<t) z_t + μ_t(z_<t),  z ~ 로지스틱(0, 1) 또는 N(0, 1)                  (2)
    H(s)     = E_z[Σ_t log s_t(z_<t)] + T·H(z₁)        로지스틱 H(z₁) = 2, 정규 ½ log 2πe       (3)
    H(s, t)  = Σ_t E_{x_<t ~ s} H(s(x_t|x_<t), t(x_t|x_<t))                                     (4)
             = E_{x_<t ~ s} Σ_t E_{v ~ s(x_t|x_<t)}[−log t(v|x_<t)]

(4)의 안쪽 평균에서는 학생이 만든 과거 x_<t를 **그대로 두고** x_t 자리의 값 v만 K번 다시 뽑습니다. 교사의 조건부
분포는 x 하나에 신경망을 한 번 돌려 모두 얻으므로, K를 늘려도 교사의 신경망은 한 번입니다.
IAF를 N겹 쌓으면 s = ∏_i s_i, μ = Σ_i μ_i ∏_{j>i} s_j이지만(``affine_totals``), 모든 층의 **순서가 같을 때만** 그렇습니다.

논문과 다른 점
- 여기의 함수는 T차원 벡터와 소리에 모두 씁니다. 2D에서는 층마다 순서를 뒤집은 IAF도 학생이 되며, 그때는 (4) 대신 표본
  하나로 H(s, t)를 추정합니다.
- 논문의 교사는 조건부 분포가 로지스틱 혼합인 WaveNet입니다. MAF로 적을 수 있는 교사는 정규 조건부를 쌓은 것뿐입니다.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.autoregressive.made import MaskedMLP
from course_lib.base import Compose, FlowModel
from course_lib.flows.iaf import IAFLayer
from course_lib.flows.maf import LOG_2PI, MADEMoG, bounded

UNIT_ENTROPY = {"logistic": 2.0, "gaussian": 0.5 * (1 + LOG_2PI)}  # scale 1일 때의 H, nats


def logistic_entropy(log_scale: Tensor) -> Tensor:
    """로지스틱 분포의 엔트로피 log s + 2, nats, 원소마다."""
    return log_scale + UNIT_ENTROPY["logistic"]


def gaussian_entropy(log_sd: Tensor) -> Tensor:
    """정규분포의 엔트로피 log σ + ½ log 2πe, nats, 원소마다."""
    return log_sd + UNIT_ENTROPY["gaussian"]


def student_entropy(log_scales: Tensor, base: str = "logistic") -> Tensor:
    """식 (3)의 안쪽 Σ_t (log s_t + H(z₁)), nats. log_scales ``(B, T)`` → ``(B,)``.

    z에 대해 평균하면 H(s)입니다. 소리의 조건(멜 등)이 여럿이면 조건마다의 H입니다.
    """
    _check_base(base)
    if log_scales.ndim != 2:
        raise ValueError(f"log_scales는 (B, T)여야 하는데 {tuple(log_scales.shape)}입니다.")
    return (log_scales + UNIT_ENTROPY[base]).sum(1)


def base_noise(shape, like: Tensor, base: str = "logistic", generator=None) -> Tensor:
    """기저 잡음 z ``shape``. like의 자료형과 장치를 따릅니다. 로지스틱이면 logit(u), u ~ U(0, 1)."""
    _check_base(base)
    where = {"dtype": like.dtype, "device": like.device, "generator": generator}
    if base == "gaussian":
        return torch.randn(shape, **where)
    info = torch.finfo(like.dtype)
    return torch.rand(shape, **where).clamp(info.tiny, 1 - info.eps).logit()


def cross_entropy_per_step(
    teacher_log_prob: Callable[[Tensor], Tensor],
    mu: Tensor,
    log_s: Tensor,
    samples: int,
    base: str = "logistic",
    generator: torch.Generator | None = None,
) -> Tensor:
    """식 (4)의 안쪽: −(1/K) Σ_k log t(v_k|x_<t), v_k ~ base(μ_t, s_t), nats, ``(B, T)``.

    teacher_log_prob  v ``(K, B, T)`` → log t(v_t|x_<t) ``(K, B, T)``. 학생의 표본 x에 교사를 **한 번** 돌려 얻은
                      매개변수를 그대로 써야 합니다. v를 교사의 입력으로 넣으면 과거가 바뀌어 다른 식이 됩니다.
    mu, log_s         학생의 전체 위치와 로그 크기 ``(B, T)``
    samples           K
    기울기는 v와 교사의 매개변수(곧 x)를 거쳐 학생에게 흐릅니다. 오류: 모양이 다르거나 K < 1이면 ValueError.
    """
    if mu.ndim != 2 or mu.shape != log_s.shape:
        raise ValueError(
            "mu와 log_s는 같은 (B, T) 모양이어야 합니다. "
            f"받은 모양: {tuple(mu.shape)}, {tuple(log_s.shape)}."
        )
    if samples < 1:
        raise ValueError(f"samples는 1 이상이어야 하는데 {samples}를 받았습니다.")
    noise = base_noise((samples, *mu.shape), mu, base, generator)
    log_t = teacher_log_prob(mu + log_s.exp() * noise)
    if log_t.shape != noise.shape:
        raise ValueError(
            f"teacher_log_prob는 (K, B, T) = {tuple(noise.shape)}를 돌려주어야 하는데 "
            f"{tuple(log_t.shape)}입니다. 시각마다의 로그확률을 더하지 마세요."
        )
    return -log_t.mean(0)


def gaussian_kl(
    mu_q: Tensor,
    log_sd_q: Tensor,
    mu_p: Tensor,
    log_sd_p: Tensor,
    *,
    regularise: float = 4.0,
    floor: float = -7.0,
) -> Tensor:
    """KL(q‖p) + λ(log σ_p − log σ_q)², nats, 원소마다. q는 학생, p는 교사의 조건부 정규분포입니다.

    KL(q‖p) = log σ_p − log σ_q + (σ_q² − σ_p² + (μ_p − μ_q)²)/(2σ_p²)        (5)

    (5)의 log σ는 floor 아래를 잘라 나눗셈이 터지지 않게 하고, λ항은 **자르지 않은** 값으로 계산합니다. 그래서 둘 다
    뾰족해져 (5)의 기울기가 사라지는 곳에서도 λ항이 학생을 교사의 크기로 끌어당깁니다(ClariNet, λ = 4).
    regularise=0, floor=-inf이면 (5) 그대로입니다.
    """
    if regularise < 0:
        raise ValueError(f"regularise는 0 이상이어야 하는데 {regularise}를 받았습니다.")
    pull = regularise * (log_sd_p - log_sd_q).square()
    a, b = log_sd_q.clamp(min=floor), log_sd_p.clamp(min=floor)
    kl = b - a + 0.5 * ((2 * (a - b)).exp() - 1 + ((mu_p - mu_q) * (-b).exp()).square())
    return kl + pull


def freeze(teacher: nn.Module) -> nn.Module:
    """교사를 얼립니다(제자리): ``eval()``로 두고 매개변수의 기울기를 끕니다. 교사를 그대로 돌려줍니다.

    ``no_grad``와 다릅니다. 교사의 *입력*으로 가는 기울기는 살아 있어야 학생이 배웁니다. 정말 바뀌지 않았는지는
    앞뒤의 ``fingerprint``를 비교하세요.
    """
    return teacher.eval().requires_grad_(False)


def fingerprint(module: nn.Module) -> str:
    """매개변수와 buffer 전체의 SHA-256. 한 비트라도 바뀌면 다른 글이 됩니다."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def affine_totals(student: FlowModel, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """순서가 같은 IAF 층들의 (x, 전체 위치 μ, 전체 로그 크기 log s), 저마다 ``(B, D)``. x = e^{log s} z + μ.

    한 층을 지날 때마다 μ ← μ·s_i + μ_i, log s ← log s + log s_i입니다. 순서를 뒤집는 층이 있으면 x_i가 뒤의 z에도
    의존하여 이런 식으로 적을 수 없으므로 ValueError를 냅니다.
    """
    layers, _ = _one_order(student)
    mu, log_s = torch.zeros_like(z), torch.zeros_like(z)
    x = z
    for layer in layers:
        shift, alpha = layer.net(x).unbind(-1)
        alpha = bounded(alpha)
        x, mu, log_s = alpha.exp() * x + shift, alpha.exp() * mu + shift, log_s + alpha
    return x, mu, log_s


def conditional_log_prob(teacher: MADEMoG, x: Tensor) -> Callable[[Tensor], Tensor]:
    """교사의 신경망을 x ``(B, D)``에 한 번 돌려, v ``(K, B, D)`` → log t(v_i|x_<i) ``(K, B, D)``인 함수를 만듭니다.

    교사는 조건부 분포가 정규 혼합인 자기회귀 모델입니다(WaveNet 교사의 2D 짝).
    """
    if not isinstance(teacher, MADEMoG) or teacher.preprocess is not None:
        raise ValueError("교사는 전처리가 없는 MADEMoG여야 조건부 분포를 한 번에 얻습니다.")
    log_weight, mu, alpha = teacher.conditionals(x)  # (B, D, 성분)

    def log_prob(v: Tensor) -> Tensor:
        u = (v[..., None] - mu) * (-alpha).exp()
        return (log_weight - 0.5 * u.square() - alpha - 0.5 * LOG_2PI).logsumexp(-1)

    return log_prob


def distillation_kl(
    student: FlowModel, teacher, n: int, *, samples: int = 0, closed_entropy: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """(KL, H(s, t), H(s))의 표본 추정 ``(n,)`` 셋, nats. 평균이 식 (1)의 값이고 학생에게 기울기가 흐릅니다.

    student         한 번에 표본을 뽑는 FlowModel(IAF)
    teacher         ``log_prob(x)``가 있는 것. 얼려 두세요(``freeze``).
    samples         0이면 표본 하나로 −log t(x). K > 0이면 식 (4)로 차원마다 K번 다시 뽑습니다(순서가 같은 IAF 층의
                    학생과 MADEMoG 교사만).
    closed_entropy  True이면 H(z)를 닫힌 식으로, False이면 −log s(x)를 그대로 씁니다. 둘의 차이는 z의 함수라서
                    학생의 **기울기는 같고** 값의 흔들림만 다릅니다.
    비용: 학생 신경망 1번, 교사의 밀도 1번.
    """
    if n < 1:
        raise ValueError(f"표본 수 n은 1 이상이어야 하는데 {n}을 받았습니다.")
    base = student.base
    z = base.rsample((n,))
    if samples:
        x, mu, log_s = affine_totals(student, z)
        _same_order(student, teacher)
        name = "gaussian" if _is_normal(base) else "logistic"
        cross = cross_entropy_per_step(
            conditional_log_prob(teacher, x), mu, log_s, samples, name
        ).sum(1)
        log_det = log_s.sum(1)
    else:
        x, log_det = student.flow(z)
        cross = -teacher.log_prob(x)
    entropy = log_det + (base.entropy() if closed_entropy else -base.log_prob(z))
    return cross - entropy, cross, entropy


@torch.no_grad()
def start_near_identity(student: FlowModel, scale: float = 0.1) -> FlowModel:
    """IAF의 층마다 마지막 가중치와 편향에 scale을 곱해 x ≈ z에서 시작하게 합니다(제자리).

    처음의 표본이 기저분포처럼 놓이므로 출발점이 초깃값의 난수에 덜 기댑니다. 데이터에서 먼 곳에서는 교사의 log t가
    제멋대로이니, 학생은 데이터 근처에서 시작하는 편이 낫습니다.
    """
    for layer in student.modules():
        if isinstance(layer, IAFLayer):
            for parameter in layer.net.layers[-1].parameters():
                parameter.mul_(scale)
    return student


def grid_kl(log_p, log_q, box, points: int = 200, dtype=torch.float32) -> float:
    """KL(p‖q) = ∫ p (log p − log q)를 2D 격자의 중점 규칙으로 적분한 값, nats.

    log_p, log_q  (B, 2) → (B,) 함수. p의 확률이 box 밖에 1 % 넘게 있으면 ValueError입니다(상자를 넓히세요).
    box           (x₁ 최소, 최대, x₂ 최소, 최대)
    points, dtype 한 변의 격자점 수와 격자점의 자료형(모델의 것과 같게)
    """
    p, q, cell = _on_grid(log_p, log_q, box, points, dtype)
    if abs(float(p.exp().sum() * cell) - 1) > 0.01:
        raise ValueError(
            f"p를 격자에서 더하면 {float(p.exp().sum() * cell):.3f}입니다. "
            "box를 넓히거나 points를 늘리세요."
        )
    return float((p.exp() * (p - q)).sum() * cell)


def total_variation(log_p, log_q, box, points: int = 200, dtype=torch.float32) -> float:
    """전변동 거리 ½∫|p − q|, 0과 1 사이. 인자는 ``grid_kl``과 같습니다. 핀스커 부등식: ≤ √(KL/2)"""
    p, q, cell = _on_grid(log_p, log_q, box, points, dtype)
    return float(0.5 * (p.exp() - q.exp()).abs().sum() * cell)


@torch.no_grad()
def _on_grid(log_p, log_q, box, n: int, dtype) -> tuple[Tensor, Tensor, float]:
    """격자 칸의 중심에서 잰 log p, log q (n²,)와 칸의 넓이."""
    a, b, c, d = box
    ticks = (torch.arange(n) + 0.5) / n
    grid = torch.cartesian_prod(a + (b - a) * ticks, c + (d - c) * ticks).to(dtype)
    p, q = (torch.cat([f(part).double() for part in grid.split(20_000)]) for f in (log_p, log_q))
    return p, q, (b - a) * (d - c) / n**2


def _one_order(student: FlowModel) -> tuple[list[IAFLayer], Tensor]:
    layers = list(student.flow.flows) if isinstance(student.flow, Compose) else [student.flow]
    ok = all(isinstance(layer, IAFLayer) and isinstance(layer.net, MaskedMLP) for layer in layers)
    if not ok or any(not torch.equal(layer.net.order, layers[0].net.order) for layer in layers):
        raise ValueError(
            "모든 층이 순서가 같은 IAFLayer인 학생만 x = s·z + μ 하나로 적을 수 있습니다. "
            "순서를 뒤집은 학생이라면 samples=0으로 표본 하나짜리 추정을 쓰세요."
        )
    return layers, layers[0].net.order


def _same_order(student: FlowModel, teacher: MADEMoG) -> None:
    if isinstance(teacher, MADEMoG) and not torch.equal(_one_order(student)[1], teacher.net.order):
        raise ValueError("학생과 교사의 변수 순서가 달라 조건부 분포를 짝지을 수 없습니다.")


def _is_normal(base) -> bool:
    return isinstance(getattr(base, "base_dist", base), torch.distributions.Normal)


def _check_base(base: str) -> None:
    if base not in UNIT_ENTROPY:
        raise ValueError(f'base는 "logistic"이나 "gaussian"이어야 합니다. 받은 값: {base!r}')
