"""모델이 수학적으로 옳은지 확인하는 함수들. 시험과 노트북이 같은 함수를 씁니다.

형태가 아니라 *성질*을 봅니다: 왕복, 자동미분 야코비안, 자기회귀성, 정규화, 하한. 초기화 직후의 모델은
항등 변환이거나 마스크가 드러나지 않아 대부분의 결함을 숨기므로, 먼저 매개변수를 무작위로 흔듭니다.
통과하면 측정한 값을 돌려주고, 아니면 무엇이 얼마나 어긋났는지 적은 ``CheckError``를 냅니다.
"""

import copy
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.base import DensityModel, Flow, LatentVariableModel


class CheckError(AssertionError):
    """성질이 성립하지 않을 때의 오류."""


class ClaimError(AssertionError):
    """주장의 판정이 예상과 다를 때의 오류."""


def randomise_(module: nn.Module, scale: float = 0.5, seed: int = 0) -> nn.Module:
    """모든 매개변수에 N(0, scale²/√fan_in) 잡음을 더하고 배치 정규화의 통계도 흔듭니다(제자리)."""
    generator = torch.Generator().manual_seed(seed)

    def noise(t: Tensor) -> Tensor:
        return torch.randn(t.shape, generator=generator).to(t)

    with torch.no_grad():
        for p in module.parameters():
            fan_in = p[0].numel() if p.ndim > 1 else 1
            p.add_(scale * noise(p) / math.sqrt(fan_in))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(scale * noise(buffer))
            elif name.endswith("running_var"):
                buffer.mul_((scale * noise(buffer)).exp())
    return module


def _fresh(module: nn.Module, seed: int, scale: float = 0.5) -> nn.Module:
    """원본을 건드리지 않도록 복사하여 float64·eval 상태로 만들고 흔듭니다."""
    return randomise_(copy.deepcopy(module).double().eval(), scale, seed)


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise CheckError(message)


@dataclass(frozen=True)
class FlowReport:
    """check_flow가 잰 최대 오차(절댓값, float64)."""

    round_trip: float
    log_det: float
    log_det_sum: float
    moved: float


def _jacobians(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """점마다 자동미분으로 구한 야코비안 (B, D, D)."""

    def flat(v: Tensor) -> Tensor:
        return function(v[None])[0].flatten()

    rows = [torch.autograd.functional.jacobian(flat, p) for p in points]
    return torch.stack([r.reshape(r.shape[0], -1) for r in rows])


def check_flow(
    flow: Flow,
    shape,
    *,
    out_shape=None,
    randomise: bool = True,
    scale: float = 0.5,
    batch: int = 4,
    seed: int = 0,
    tolerance: float = 1e-8,
    identity_ok: bool = False,
) -> FlowReport:
    """Flow 하나가 정말 가역이고 log-det가 맞는지 확인합니다.

    float64와 흔든 매개변수에서 (1) 양쪽 왕복, (2) 두 방향의 log-det와 자동미분 야코비안의 log|det|,
    (3) log-det의 모양 ``(B,)``, (4) 항등 변환이 아님, (5) 배치 = 한 줄씩, (6) eval에서 상태 불변을 봅니다.

    shape      z 하나의 모양, out_shape x 하나의 모양(다를 때만)
    scale      흔드는 크기. 포화하는 층(logit 전처리)이 있으면 작게 하여 반올림 오차를 피합니다.
    randomise  False이면 학습이 끝난 매개변수 그대로 확인합니다(노트북에서).
    """
    shape = torch.Size(shape)
    out_shape = torch.Size(shape if out_shape is None else out_shape)
    if randomise:
        flow = _fresh(flow, seed, scale)
    else:
        flow = copy.deepcopy(flow).double().eval()
    before = {k: v.clone() for k, v in flow.state_dict().items()}
    generator = torch.Generator().manual_seed(seed + 1)
    z = torch.randn(batch, *shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        x, log_det = flow(z)
        back, log_det_inverse = flow.inverse(x)
        again, _ = flow(back)
    for name, value in (("forward", log_det), ("inverse", log_det_inverse)):
        _require(
            value.shape == (batch,),
            f"{name}의 log-det 모양이 (B,) = ({batch},)이 아니라 {tuple(value.shape)}입니다.",
        )
    _require(x.shape[1:] == out_shape, f"x의 모양이 {tuple(x.shape[1:])}입니다.")

    trip = max(float((back - z).abs().max()), float((again - x).abs().max()))
    _require(
        trip <= tolerance * (1 + float(x.abs().max())),
        f"왕복 오차가 {trip:.1e}입니다. forward와 inverse가 서로의 역이 아닙니다.",
    )
    total = float((log_det + log_det_inverse).abs().max())
    _require(total <= tolerance * 10, f"두 방향의 log-det를 더하면 0이 아니라 {total:.1e}입니다.")

    auto = torch.linalg.slogdet(_jacobians(lambda v: flow(v)[0], z)).logabsdet
    auto_inverse = torch.linalg.slogdet(_jacobians(lambda v: flow.inverse(v)[0], x)).logabsdet
    wrong = float((log_det - auto).abs().max())
    wrong = max(wrong, float((log_det_inverse - auto_inverse).abs().max()))
    _require(
        wrong <= tolerance * 100,
        f"log-det가 자동미분 야코비안의 log|det|와 {wrong:.1e}만큼 다릅니다.",
    )

    if shape == out_shape:
        moved = float((x - z).abs().max())
    else:
        moved = float((x.flatten(1) - z.flatten(1)).abs().max())
    _require(
        identity_ok or moved > 1e-3,
        "변환이 항등과 구별되지 않습니다. 이 상태의 시험은 아무것도 보이지 못합니다.",
    )
    with torch.no_grad():
        rows = [flow(z[i : i + 1]) for i in range(batch)]
    apart = max(float((r[0][0] - x[i]).abs().max()) for i, r in enumerate(rows))
    apart = max(apart, max(float((r[1][0] - log_det[i]).abs()) for i, r in enumerate(rows)))
    _require(apart <= tolerance, f"배치로 계산한 값과 한 줄씩 계산한 값이 {apart:.1e} 다릅니다.")
    _require_unchanged(flow, before)
    return FlowReport(trip, wrong, total, moved)


def _require_unchanged(module: nn.Module, before: dict[str, Tensor]) -> None:
    for name, value in module.state_dict().items():
        _require(torch.equal(value, before[name]), f"eval() 상태인데 {name}이(가) 바뀌었습니다.")


def dependency(function: Callable[[Tensor], Tensor], shape, *, draws: int = 4, seed: int = 0):
    """출력 i가 입력 j에 의존하면 [i, j]가 True인 행렬 (출력 수, 입력 수).

    자동미분 기울기가 0이 아닌 자리를 여러 무작위 입력에서 모읍니다(ReLU가 우연히 끄는 경우를 막습니다).
    function: (1, *shape) → (1, …) float64
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(draws, *shape, generator=generator, dtype=torch.float64)
    return (_jacobians(function, points) != 0).any(0)


@dataclass(frozen=True)
class AutoregressiveReport:
    """leaks: 보면 안 되는데 보는 쌍의 수. unseen: 볼 수 있는데 보지 못하는 쌍의 수."""

    leaks: int
    unseen: int
    support: Tensor


def check_autoregressive(
    model: nn.Module,
    parameters: Callable[[nn.Module, Tensor], Tensor],
    shape,
    *,
    order: Tensor | None = None,
    unseen: int | None = 0,
    draws: int = 4,
    seed: int = 0,
) -> AutoregressiveReport:
    """조건부 분포의 매개변수가 앞선 변수만 보는지(누출), 또 모두 보는지(맹점) 확인합니다.

    parameters(model, x)는 변수마다 하나씩의 출력 ``(B, *shape)``을 돌려줍니다. 매개변수가 여럿이면
    (로짓 256개 등) 변수마다 더해서 넘기세요.
    order      order[i] = 변수 i의 순번. 기본값은 평평하게 폈을 때의 순서(래스터)입니다.
    unseen     보지 못하는 쌍의 예상 개수. None이면 세기만 합니다.
    """
    model = _fresh(model, seed)
    size = torch.Size(shape).numel()
    rank = torch.arange(size) if order is None else order
    support = dependency(lambda v: parameters(model, v), shape, draws=draws, seed=seed)
    _require(support.shape == (size, size), f"출력이 변수마다 하나가 아닙니다: {support.shape}.")
    allowed = rank[None, :] < rank[:, None]  # allowed[i, j]: j가 i보다 앞섭니다
    leaks = int((support & ~allowed).sum())
    missing = int((~support & allowed).sum())
    _require(leaks == 0, f"자기 자신이나 뒤의 변수를 보는 쌍이 {leaks}개 있습니다(누출).")
    _require(
        unseen is None or missing == unseen,
        f"앞선 변수 중 보지 못하는 쌍이 {missing}개입니다(예상 {unseen}개).",
    )
    return AutoregressiveReport(leaks, missing, support)


def check_normalised(
    model: DensityModel,
    *,
    box: tuple[float, float] | None = None,
    points: int = 400,
    levels: int = 2,
    tolerance: float = 2e-3,
) -> float:
    """확률의 합(적분)이 1인지 확인하고 그 합을 돌려줍니다.

    box가 있으면 2차원 밀도를 [box[0], box[1]]² 격자에서 중점 규칙으로 적분합니다.
    없으면 이산 모델의 모든 상태 levels^D개(최대 100만)를 세어 더합니다.
    """
    dtype = next(model.parameters()).dtype
    if box is not None:
        low, high = box
        step = (high - low) / points
        axis = low + step * (torch.arange(points, dtype=dtype) + 0.5)
        states = torch.cartesian_prod(axis, axis)
        log_cell = 2 * math.log(step)
    else:
        dims = model.event_shape.numel()
        if levels**dims > 1_000_000:
            raise ValueError(f"상태가 {levels}^{dims}개라 모두 셀 수 없습니다. 더 작게 만드세요.")
        axis = torch.arange(levels, dtype=dtype)
        states = torch.cartesian_prod(*[axis] * dims).reshape(-1, *model.event_shape)
        log_cell = 0.0
    with torch.no_grad():
        parts = [model.log_prob(s).double() for s in states.split(20_000)]
    total = math.exp(float(torch.cat(parts).logsumexp(0)) + log_cell)
    _require(abs(total - 1) <= tolerance, f"확률을 모두 더하면 1이 아니라 {total:.4f}입니다.")
    return total


@dataclass(frozen=True)
class ElboReport:
    """gap = 평균 log p(x) − ELBO, standard_error = 그 추정의 표준오차(모두 nats)."""

    gap: float
    standard_error: float


def check_elbo(
    model: LatentVariableModel,
    x: Tensor,
    log_prob: Tensor,
    kl_to_posterior: Tensor,
    *,
    draws: int = 2000,
) -> ElboReport:
    """log p(x)와 사후분포를 정확히 아는 모델에서 log p(x) = ELBO + KL(q‖사후분포)를 확인합니다.

    log_prob         정확한 log p(x), (B,)
    kl_to_posterior  정확한 KL(q(z|x)‖p(z|x)), (B,). q가 사후분포이면 0입니다.
    ELBO는 표본으로 추정하므로 표준오차 5배까지의 차이만 허용합니다.
    """
    with torch.no_grad():
        elbo = torch.stack([model.elbo(x) for _ in range(draws)])  # (draws, B)
    _require(elbo.shape[1:] == (len(x),), f"elbo의 모양이 (B,)이 아닙니다: {elbo.shape[1:]}.")
    error = elbo.std(0) / math.sqrt(draws) + 1e-6 * log_prob.abs() + 1e-9
    defect = log_prob - kl_to_posterior - elbo.mean(0)
    worst = int((defect.abs() / error).argmax())
    _require(
        bool((defect.abs() <= 5 * error).all()),
        f"ELBO + KL이 log p(x)와 {float(defect[worst]):.3g} nats 다릅니다"
        f"(표준오차 {float(error[worst]):.1g}).",
    )
    gap = log_prob - elbo.mean(0)
    _require(bool((gap >= -5 * error).all()), "ELBO가 log p(x)보다 큽니다. 하한이 아닙니다.")
    return ElboReport(float(gap.mean()), float(error.mean()))


_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def claim(id: str, *conditions: tuple[str, float, str, float], expected: bool = True) -> None:
    """주장 하나를 측정값으로 판정해 출력합니다. 판정이 예상과 다르면 ``ClaimError``를 냅니다.

    condition = (무엇을, 측정값, 비교 기호, 기준값). 모든 조건이 참이면 주장이 성립합니다.
    기준값은 이론이나 논문에서 오며, 한 번의 실행에 맞춘 값이 아니어야 합니다.
    널리 믿지만 틀린 말은 ``expected=False``로 두어, 성립하지 않아야 통과합니다.
    기계마다 다른 숫자는 ``≈`` 뒤에만 적습니다(nbval이 그 자리를 가립니다).
    """
    holds = True
    for what, measured, sign, bound in conditions:
        ok = _COMPARE[sign](float(measured), float(bound))
        holds &= ok
        mark = "" if ok else "  (아님)"
        print(f"{id}  {what} ≈ {float(measured):.4g} {sign} {float(bound):.4g}{mark}")
    if holds != expected:
        raise ClaimError(
            f"주장 {id}의 판정이 예상과 다릅니다: 예상 {expected}, 측정 {holds}. "
            "위에 적힌 측정값과 기준값을 비교해 보세요."
        )
    print(f"{id}  ✅ " + ("성립합니다" if expected else "예상대로 성립하지 않습니다"))
