"""06장 연습문제의 채점."""

import torch
from torch.distributions import Normal, kl_divergence

from course_lib.exercises import exercise


@exercise("06-1", hint="E_q[(z − m)²] = σ² + (μ − m)²를 쓰세요.")
def _(answer):
    mean, log_var, prior_mean, prior_log_var = torch.randn(4, 5, 3).double()
    value = answer(mean, log_var, prior_mean, prior_log_var)
    if value.shape != (5,):
        return f"차원에 대해 더해 (5,)가 되어야 하는데 {tuple(value.shape)}입니다."
    q = Normal(mean, (log_var / 2).exp())
    want = kl_divergence(q, Normal(prior_mean, (prior_log_var / 2).exp())).sum(-1)
    return torch.allclose(value, want)


@exercise("06-2", hint="logsumexp를 쓰고 log k를 빼세요.")
def _(answer):
    log_w = torch.randn(7, 4).double() - 2000
    value = answer(log_w)
    if value.shape != (4,):
        return f"모양이 (4,)여야 하는데 {tuple(value.shape)}입니다."
    if not value.isfinite().all():
        return "유한하지 않은 값이 나왔습니다. exp를 먼저 취하면 0이 됩니다."
    want = (log_w + 2000).exp().mean(0).log() - 2000
    return torch.allclose(value, want)


@exercise("06-3", hint="층마다 (입력 + 1) × 출력을 더하세요. 인코더의 출력은 40입니다.")
def _(answer):
    from course_lib.vae.vae import VAE

    return int(answer) == sum(p.numel() for p in VAE(784, 20).parameters())
