"""그림에 태그를 다는 조건부 GAN: 그림의 특징이 주어졌을 때 *낱말 벡터의 분포*를 배웁니다.

Mirza, Osindero, "Conditional Generative Adversarial Nets", 2014, arXiv 1411.1784, 4.2절.
낱말 벡터: Mikolov et al., 2013, arXiv 1310.4546 (skip-gram, negative sampling).

    낱말 벡터   max Σ log σ(u_w·v_c) + Σ_{k} log σ(−u_w·v_{n_k})            (함께 쓰인 w, c와 우연히 뽑은 n_k)
    cGAN       min_G max_D E log D(x|y) + E log(1 − D(G(z|y)|y))           x 낱말 벡터, y 그림의 특징
    태그        z를 100번 뽑아 벡터 100개 → 저마다 코사인이 큰 낱말 20개 → 가장 자주 나온 10개

크기의 기본값이 논문의 것입니다(특징 4096, 낱말 벡터 200). 노트북은 작은 값을 씁니다. 논문의 특징은 ImageNet으로 배운
신경망에서, skip-gram은 YFCC100M에서 왔고 낱말이 247 465개였습니다. 우리의 자료는 ``datasets.tags``가 만듭니다.

논문과 다른 점
- z ~ N(0, I)입니다(논문은 잡음의 분포를 이 실험에는 따로 적지 않았습니다).
- ``dropout``을 끌 수 있습니다. 작은 신경망에서는 끄고 R1 벌점을 씁니다.
- 낱말 벡터에서 모든 낱말에 공통인 평균을 빼고(Mu, Viswanath, 2018, arXiv 1702.01417) 길이를 √dim으로 맞춥니다. 쓸 때 코사인만
  보는데, 공통 성분이 남으면 어느 낱말끼리도 코사인이 크기 때문입니다.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from course_lib.gan.gan import GAN
from course_lib.nn import MLP, Maxout


class SkipGram(nn.Module):
    """낱말 w 곁에 낱말 c가 나오는지 가려내며 배우는 낱말 벡터.

    words 낱말의 수 V, dim 벡터의 차원. 배운 것은 ``vectors()``로 꺼냅니다.
    """

    def __init__(self, words: int, dim: int = 200):
        super().__init__()
        self.word, self.context = nn.Embedding(words, dim), nn.Embedding(words, dim)
        nn.init.normal_(self.word.weight, std=dim**-0.5)
        nn.init.normal_(self.context.weight, std=dim**-0.5)

    def forward(self, words: Tensor, contexts: Tensor) -> Tensor:
        """점수 u_w·v_c. words (B,), contexts (B, …) → (B, …)."""
        u, v = self.word(words), self.context(contexts)
        return torch.einsum("bd,b...d->b...", u, v)

    def loss(self, words: Tensor, contexts: Tensor, negatives: Tensor) -> Tensor:
        """음의 목적함수의 배치 평균. words, contexts (B,), negatives (B, K)."""
        good = logsigmoid(self(words, contexts))
        bad = logsigmoid(-self(words, negatives)).sum(1)
        return -(good + bad).mean()

    def vectors(self) -> Tensor:
        """낱말 벡터 (V, dim): 모든 낱말에 공통인 평균을 빼고 길이를 √dim으로 맞춥니다."""
        with torch.no_grad():
            centred = self.word.weight - self.word.weight.mean(0)
            return normalize(centred) * centred.shape[1] ** 0.5


class SkipGramBatches:
    """태그 목록 (N, L)(빈자리는 음수)에서 (낱말, 곁의 낱말, 우연히 뽑은 낱말)을 뽑습니다.

    곁의 낱말은 같은 목록의 다른 낱말 모두입니다(태그에는 순서가 없습니다). 우연한 낱말은 빈도의 ¾제곱에
    비례하게 뽑습니다(Mikolov et al., 2013).
    """

    def __init__(self, lists: Tensor, words: int, batch_size: int = 512, negatives: int = 5):
        if lists.ndim != 2 or not (lists >= 0).any():
            raise ValueError(
                f"태그는 (N, L)이고 낱말이 있어야 합니다. 받은 모양: {tuple(lists.shape)}."
            )
        pairs = [
            lists[:, [i, j]] for i in range(lists.shape[1]) for j in range(lists.shape[1]) if i != j
        ]
        pairs = torch.cat(pairs)
        self.pairs = pairs[(pairs >= 0).all(1)]  # (P, 2)
        if len(self.pairs) == 0:
            raise ValueError("태그가 둘 이상인 목록이 없어 곁의 낱말이 없습니다.")
        self.frequency = torch.bincount(lists[lists >= 0], minlength=words).float().pow(0.75)
        self.batch_size, self.negatives = batch_size, negatives

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.randint(len(self.pairs), (self.batch_size,), generator=generator)
        words, contexts = self.pairs[rows].unbind(1)
        drawn = torch.multinomial(
            self.frequency, self.batch_size * self.negatives, replacement=True, generator=generator
        )
        return words, contexts, drawn.reshape(self.batch_size, self.negatives)


class TagGenerator(nn.Module):
    """z (B, K), y (B, F) → 낱말 벡터 (B, dim). 잡음 → ReLU 500, 그림 → ReLU 2000, 이어 붙여 선형."""

    def __init__(self, feature_dim, dim, latent_dim, noise_width, image_width, joint, dropout):
        super().__init__()
        self.from_noise = _hidden(latent_dim, noise_width, dropout)
        self.from_image = _hidden(feature_dim, image_width, dropout)
        self.joint = MLP(noise_width + image_width, joint, dim, dropout=dropout)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.joint(torch.cat([self.from_noise(z), self.from_image(y)], 1))


class TagDiscriminator(nn.Module):
    """낱말 벡터 x (B, dim), y (B, F) → 점수 (B,). 낱말 → ReLU 500, 그림 → ReLU 1200, 맥스아웃 1000×3."""

    def __init__(self, feature_dim, dim, word_width, image_width, units, pieces, dropout):
        super().__init__()
        self.from_word = _hidden(dim, word_width, dropout)
        self.from_image = _hidden(feature_dim, image_width, dropout)
        self.joint = Maxout(word_width + image_width, units, pieces)
        self.dropout, self.score = nn.Dropout(dropout), nn.Linear(units, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.joint(torch.cat([self.from_word(x), self.from_image(y)], 1))
        return self.score(self.dropout(h)).squeeze(1)  # (B, 1) → (B,)


def tag_cgan(
    feature_dim: int = 4096,
    dim: int = 200,
    latent_dim: int = 100,
    *,
    generator: tuple[int, int] = (500, 2000),
    joint: tuple[int, ...] = (),
    discriminator: tuple[int, int] = (500, 1200),
    maxout: tuple[int, int] = (1000, 3),
    dropout: float = 0.5,
) -> GAN:
    """태그 cGAN 한 벌. 기본값이 논문의 크기입니다.

    generator      (잡음의 은닉 폭, 그림의 은닉 폭)      discriminator  (낱말의 폭, 그림의 폭)
    maxout         (단위, 조각)
    학습은 ``fit_gan(gan, *gan.players(losses.…), 배치)``이고 배치는 (낱말 벡터 (B, dim), 특징 (B, F))입니다.
    """
    return GAN(
        TagGenerator(feature_dim, dim, latent_dim, *generator, joint, dropout),
        TagDiscriminator(feature_dim, dim, *discriminator, *maxout, dropout),
        latent_dim,
    )


def nearest_words(x: Tensor, vectors: Tensor, count: int) -> Tensor:
    """코사인이 큰 낱말 ``count``개의 번호 (B, count), 가까운 것부터. x (B, dim), vectors (V, dim)."""
    if not 1 <= count <= len(vectors):
        raise ValueError(f"낱말은 1개부터 {len(vectors)}개까지 고를 수 있습니다. 받은 값: {count}.")
    return (normalize(x) @ normalize(vectors).T).topk(count, dim=1).indices


@torch.no_grad()
def predict_tags(
    gan: GAN,
    features: Tensor,
    vectors: Tensor,
    *,
    samples: int = 100,
    near: int = 20,
    count: int = 10,
) -> Tensor:
    """논문의 절차로 단 태그의 낱말 번호 (B, count), 자주 나온 것부터.

    특징마다 z를 ``samples``번 뽑고, 벡터마다 가까운 낱말 ``near``개를 모아, 가장 자주 나온 ``count``개를 고릅니다.
    횟수가 같으면 코사인의 합이 큰 낱말이 앞섭니다. ``near = 20``은 낱말 247 465개일 때의 값입니다.
    """
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"특징은 (B, F)여야 하는데 {tuple(features.shape)}을 받았습니다.")
    if not 1 <= count <= len(vectors) or not 1 <= near <= len(vectors):
        raise ValueError(f"near와 count는 1부터 낱말 수 {len(vectors)}까지입니다: {near}, {count}.")
    repeated = features.repeat_interleave(samples, 0)  # (B·samples, F)
    drawn = gan.sample(len(repeated), repeated)
    cosine = normalize(drawn) @ normalize(vectors).T  # (B·samples, V)
    votes = torch.zeros_like(cosine).scatter_(1, cosine.topk(near, dim=1).indices, 1.0)
    votes, total = (v.reshape(len(features), samples, -1).sum(1) for v in (votes, cosine))
    # 코사인의 합은 ±samples 안이므로 표 하나를 넘지 못하게 줄여 더합니다
    return (votes + total / (4 * samples)).topk(count, dim=1).indices


def _hidden(inputs: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout))
