"""01장 연습문제의 채점."""

import math

import torch
from torch.distributions import Normal

from course_lib.exercises import exercise


@exercise("01-1", hint="성분마다의 log π_k + log N을 더한 뒤 torch.logsumexp를 쓰세요.")
def _(answer):
    weights, means = torch.rand(3).double().softmax(0), 5 * torch.randn(3).double()
    sds = torch.rand(3).double() + 0.5
    x = torch.tensor([0.0, 1.0, -300.0]).double()
    value = answer(x, weights, means, sds)
    if value.shape != (3,):
        return f"모양이 (3,)이어야 하는데 {tuple(value.shape)}입니다."
    if not value.isfinite().all():
        return "먼 점에서 유한하지 않은 값이 나왔습니다. 밀도를 먼저 구하면 0이 됩니다."
    want = (weights.log() + Normal(means, sds).log_prob(x[:, None])).logsumexp(1)
    return torch.allclose(value, want)


@exercise("01-2", hint="N_k = r.sum(0)으로 나누는 것을 잊지 마세요. 분산에는 새 평균을 씁니다.")
def _(answer):
    x, r = torch.randn(50).double(), torch.randn(50, 3).double().softmax(1)
    weights, means, variances = answer(x, r)
    count = r.sum(0)
    if not torch.allclose(weights, count / 50):
        return "무게 π가 다릅니다."
    if not torch.allclose(means, (r * x[:, None]).sum(0) / count):
        return "평균 μ가 다릅니다."
    want = (r * (x[:, None] - means).square()).sum(0) / count
    return torch.allclose(variances, want) or "분산 σ²가 다릅니다."


@exercise(
    "01-3", hint="자기 자신의 커널 값을 −∞로 지우고(fill_diagonal_) N이 아니라 N − 1로 나누세요."
)
def _(answer):
    x = torch.randn(30).double()
    for width in (0.05, 0.7):
        value = torch.as_tensor(answer(x, width)).double()
        if value.ndim != 0:
            return "수 하나(평균)를 돌려주세요."
        rest = [torch.cat([x[:i], x[i + 1 :]]) for i in range(30)]
        terms = [Normal(r, width).log_prob(p).logsumexp(0) - math.log(29) for p, r in zip(x, rest)]
        if not torch.allclose(value, torch.stack(terms).mean()):
            return "한 점씩 빼고 잰 값과 다릅니다."
    return True
