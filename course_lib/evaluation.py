"""모델이 만든 것을 재는 자들. 학습에는 쓰지 않습니다."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def frechet(a: Tensor, b: Tensor) -> float:
    """두 표본의 평균과 공분산 사이의 프레셰 거리. a (N, D), b (M, D), 같으면 0입니다.

    d² = ‖m_a − m_b‖² + tr(C_a + C_b − 2 (C_a C_b)^{1/2})

    두 정규분포 사이의 2-Wasserstein 거리의 제곱이고, 이미지 모델의 FID(Heusel et al., 2017,
    arXiv 1706.08500)가 쓰는 식입니다. 특징은 부르는 쪽에서 정합니다.
    ``ValueError``: 차원이 다르거나 표본이 D개보다 적어 공분산을 믿을 수 없을 때.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"두 표본은 (N, D)와 (M, D)여야 하는데 {tuple(a.shape)}과 {tuple(b.shape)}을 받았습니다."
        )
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(f"표본이 {a.shape[1]}개보다 많아야 공분산을 구할 수 있습니다.")
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(a.shape[1], -1)
    # C_a C_b의 고유값은 모두 실수이고 0 이상입니다(대칭 양의 준정부호 행렬 둘의 곱).
    cross = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return float(shift + cov_a.trace() + cov_b.trace() - 2 * cross)


def pixel_histogram_bits(train: Tensor, test: Tensor, levels: int) -> float:
    """화소마다 따로 센 히스토그램 모델의 시험 bits/dim. 그림의 구조를 전혀 모르는 기준선입니다.

    P(x_d = k) = (1 + 학습 그림 가운데 화소 d가 k인 것의 수)/(N + levels)
    train, test  0부터 levels − 1까지의 정수 그림 (N, …), (M, …). 처음 보는 값에도 확률을 남깁니다.
    """
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(f"그림의 모양이 다릅니다: {train.shape[1:]}과 {test.shape[1:]}.")
    train, test = train.flatten(1).long(), test.flatten(1).long()
    counts = torch.stack([(train == k).sum(0) for k in range(levels)]) + 1.0  # (levels, D)
    return -float((counts / counts.sum(0)).log2().gather(0, test).mean())


def psnr(image: Tensor, truth: Tensor) -> float:
    """최대 신호 대 잡음비의 평균, dB. 화소는 [0, 1], 모양 ``(N, D)``. 클수록 가깝습니다.

    −10 log₁₀ MSE를 그림마다 구하여 평균합니다.
    """
    return float(-10 * (image - truth).square().mean(1).log10().mean())


def few_label_accuracy(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    per_class: int,
    *,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """클래스마다 레이블 ``per_class``개만으로 배운 로지스틱 회귀의 시험 정확도, 여러 번 뽑은 평균.

    특징 ``train`` (N, D)와 ``test`` (M, D)는 학습 특징의 표준편차로 나누어 맞춥니다. 레이블을 뽑는 난수는
    특징과 무관하므로, 다른 특징도 같은 레이블로 견줍니다.
    """
    from sklearn.linear_model import LogisticRegression

    scale, total = train.std(0) + 1e-3, 0.0
    for draw in range(draws):
        generator = torch.Generator().manual_seed(1000 * seed + draw)
        order = torch.randperm(len(train_labels), generator=generator)
        classes = train_labels.unique().tolist()
        rows = torch.cat([order[train_labels[order] == c][:per_class] for c in classes])
        judge = LogisticRegression(max_iter=300).fit(train[rows] / scale, train_labels[rows])
        total += judge.score(test / scale, test_labels) / draws
    return total


def fine_tuned_accuracy(
    build,
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    per_class: int,
    *,
    steps: int = 60,
    lr: float = 5e-3,
    draws: int = 3,
    seed: int = 0,
) -> float:
    """인코더 위에 선형층을 얹어 *전체를* 레이블 ``per_class``개씩으로 고쳐 배운 시험 정확도의 평균.

    build()는 특징 (B, K)를 내는 새 인코더를 돌려줍니다(복사본이어야 합니다. 제자리에서 학습합니다). 레이블을 뽑는 난수와
    선형층의 초깃값은 build와 무관하므로, 다른 인코더도 같은 조건에서 견줍니다.
    """
    from course_lib.training import fit

    def loss(net, pair):
        return torch.nn.functional.cross_entropy(net(pair[0]), pair[1])

    total = 0.0
    for draw in range(draws):
        generator = torch.Generator().manual_seed(1000 * seed + draw)
        order = torch.randperm(len(train_labels), generator=generator)
        classes = train_labels.unique().tolist()
        rows = torch.cat([order[train_labels[order] == c][:per_class] for c in classes])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * seed + draw)
            encoder = build()
            with torch.no_grad():
                width = encoder(train[:2]).shape[1]
            torch.manual_seed(1000 * seed + draw)
            net = torch.nn.Sequential(encoder, torch.nn.Linear(width, len(classes)))
        pair = train[rows], train_labels[rows]
        for _ in fit(net, loss, lambda g, pair=pair: pair, steps=steps, lr=lr, seed=draw):
            pass
        with torch.no_grad():
            total += float((net(test).argmax(1) == test_labels).float().mean()) / draws
    return total


def parzen_log_prob(samples: Tensor, x: Tensor, sigma: float) -> Tensor:
    """표본에 정규분포 하나씩을 놓은 파젠 추정의 로그밀도, nats, ``(M,)``.

    log (1/N) Σ_i N(x; s_i, σ² I).   samples (N, D), x (M, D)

    GAN처럼 밀도를 모르는 모델을 견주려고 쓰던 방법입니다(Goodfellow et al., 2014, arXiv 1406.2661). 차원이 높으면
    표본이 아무리 많아도 참값과 멀고 순위까지 뒤집힙니다(Theis et al., 2016, arXiv 1511.01844).
    """
    if samples.ndim != 2 or x.ndim != 2 or samples.shape[1] != x.shape[1]:
        raise ValueError(
            f"(N, D)와 (M, D)여야 하는데 {tuple(samples.shape)}과 {tuple(x.shape)}을 받았습니다. "
            "그림이라면 flatten(1)로 펴서 넣으세요."
        )
    if not sigma > 0 or len(samples) == 0:
        raise ValueError(f"σ는 0보다 크고 표본은 하나 이상이어야 합니다: σ = {sigma}.")
    constant = 0.5 * x.shape[1] * math.log(2 * math.pi * sigma**2) + math.log(len(samples))
    parts = [
        (torch.cdist(part, samples).square() / (-2 * sigma**2)).logsumexp(1) - constant
        for part in x.split(1000)
    ]
    return torch.cat(parts)


def parzen_sigma(samples: Tensor, validation: Tensor, sigmas) -> float:
    """검증 데이터의 평균 파젠 로그밀도를 가장 크게 하는 σ. 논문의 후보는 logspace(−1, 0, 10)입니다."""
    candidates = [float(s) for s in sigmas]
    scores = [float(parzen_log_prob(samples, validation, s).mean()) for s in candidates]
    return candidates[max(range(len(scores)), key=scores.__getitem__)]


@dataclass(frozen=True)
class ModeCoverage:
    """covered: 센 봉우리의 수, share: 어느 봉우리에든 들어간 표본의 비율, counts: 봉우리마다의 수 (K,)."""

    covered: int
    share: float
    counts: Tensor


def mode_coverage(samples: Tensor, modes: Tensor, radius: float, least: int = 10) -> ModeCoverage:
    """가장 가까운 봉우리까지의 거리가 radius 안인 표본을 세어, ``least``개 이상이면 덮은 봉우리로 칩니다.

    samples (N, D), modes (K, D). 강의의 기준은 표본 2500개, 25 격자는 4σ, 8 고리는 8σ, 10개 이상입니다.
    """
    if samples.ndim != 2 or samples.shape[1:] != modes.shape[1:] or not radius > 0:
        raise ValueError(
            f"표본 (N, D), 봉우리 (K, D), 반지름 > 0이어야 합니다: {tuple(samples.shape)}, "
            f"{tuple(modes.shape)}, {radius}."
        )
    distance, nearest = torch.cdist(samples, modes.to(samples)).min(1)
    counts = torch.bincount(nearest[distance <= radius], minlength=len(modes))
    return ModeCoverage(int((counts >= least).sum()), float(counts.sum() / len(samples)), counts)


def sharpness(images: Tensor) -> float:
    """이웃 네 화소의 평균과의 차이(라플라시안)의 제곱 평균. 흐릴수록 작습니다. images (N, H, W).

    ¼(위 + 아래 + 왼쪽 + 오른쪽) − 가운데, 테두리는 뺍니다. 잡음도 크게 만드므로 **데이터의 값과** 견줍니다.
    """
    if images.ndim != 3 or min(images.shape[1:]) < 3:
        raise ValueError(f"그림은 3×3보다 큰 (N, H, W)여야 하는데 {tuple(images.shape)}입니다.")
    sides = images[:, 1:-1, :-2] + images[:, 1:-1, 2:] + images[:, :-2, 1:-1] + images[:, 2:, 1:-1]
    return float((sides / 4 - images[:, 1:-1, 1:-1]).square().mean())


def coverage(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """진짜마다 k번째로 가까운 다른 진짜까지의 공을 그릴 때, 그 안에 가짜가 하나라도 든 진짜의 비율.

    real (N, D), fake (M, D). Naeem et al., 2020, arXiv 2002.09797의 coverage. 모드가 빠지면 작아집니다.
    """
    if len(real) <= k:
        raise ValueError(f"진짜가 {k}개보다 많아야 합니다. 받은 수: {len(real)}.")
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values  # 자기 자신(거리 0)을 뺍니다
    return float((torch.cdist(real, fake).amin(1) <= radius).float().mean())
