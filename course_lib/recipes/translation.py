"""08b장의 결과 파일: 태그의 재현율, pix2pix의 손실, 글에서 그림으로의 세 가지 판별자."""

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.recipes.results import code_hash, run_each

# 설정은 시드 100, 101의 짧은 실행에서 골랐습니다.
PIX2PIX = {
    "size": 32,
    "channels": [16, 32, 64, 64, 64],
    "judge": {"width": 16, "layers": 1},
    "batch": 8,
    "steps": 500,
    "lr": 2e-3,
    "test": 100,
    "draws": 6,
}
# 이름: (적대적 손실을 쓰는가, λ, R1)
PIX2PIX_METHODS = {
    "L1만": (False, 10.0, 0.0),
    "L1 + GAN (λ = 100)": (True, 100.0, 0.0),
    "L1 + GAN": (True, 10.0, 0.0),
    "L1 + GAN + R1": (True, 10.0, 0.5),
}
PIX2PIX_RUNS = [
    *(("선에서 그림으로", name) for name in PIX2PIX_METHODS),
    ("색칠하기", "L1만"),
    ("색칠하기", "L1 + GAN"),
]


def make_pairs(task: str, shapes, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """윤곽들을 무작위로 칠한 (주어진 그림, 만들 그림)."""
    from course_lib.datasets.shapes import draw_edges, grey, random_paint

    target = random_paint(shapes, generator)[0]
    return (grey(target) if task == "색칠하기" else draw_edges(shapes)), target


def train_pix2pix(task: str, method: str, seed: int, settings: dict = PIX2PIX):
    """(학습을 마친 Pix2Pix, 단계마다의 지표를 내는 제너레이터). 제너레이터를 다 돌려야 학습이 끝납니다."""
    from course_lib.datasets.shapes import outlines
    from course_lib.gan import losses
    from course_lib.gan.pix2pix import PatchGAN, Pix2Pix, UNet, pix2pix_players
    from course_lib.training import fit_gan

    adversarial, l1, r1 = PIX2PIX_METHODS[method]
    torch.manual_seed(seed)
    model = Pix2Pix(UNet(1, 3, tuple(settings["channels"])), PatchGAN(4, **settings["judge"]))

    def batches(generator: torch.Generator):
        return make_pairs(task, outlines(settings["batch"], settings["size"], generator), generator)

    loss = losses.non_saturating if adversarial else None
    run = fit_gan(
        model, *pix2pix_players(loss, l1, r1), batches,
        steps=settings["steps"], lr=settings["lr"], schedule="cosine", seed=seed,
    )  # fmt: skip
    return model, run


def translation_report(model, task: str, *, n: int = 100, draws: int = 6, size: int = 32) -> dict:
    """시험 윤곽 ``n``개를 ``draws``번씩 옮겨 잰 값. 데이터를 1로 하는 비율이 셋입니다.

    sharpness  선명도(라플라시안의 제곱 평균)의 비
    across     서로 다른 입력에서 나온 색의 흩어짐(안쪽 평균 색의 표준편차)의 비
    within     같은 입력에서 dropout만 바꾸어 나온 화소의 흩어짐의 비
    l1         정답과의 L1 거리, colour: 안쪽 평균 색 [0, 1]³의 평균
    """
    from course_lib import evaluation
    from course_lib.datasets.shapes import outlines

    generator = torch.Generator().manual_seed(10**6)
    shapes = outlines(n, size, generator)
    x, y = make_pairs(task, shapes, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = torch.stack([model.translate(x) for _ in range(draws)])  # (draws, n, 3, H, W)
    others = torch.stack([make_pairs(task, shapes, generator)[1] for _ in range(draws)])
    inside = (shapes.distance() < -1.5)[:, None].float()  # (n, 1, H, W)

    def colour(pictures):
        return ((pictures + 1) / 2 * inside).sum((-1, -2)) / inside.sum((-1, -2))

    def within(pictures):
        return (
            (pictures.var(0) * inside).sum((1, 2, 3)).div(3 * inside.sum((1, 2, 3))).mean().sqrt()
        )

    sharp = [evaluation.sharpness(((v + 1) / 2).flatten(0, 1)) for v in (made[0], y)]
    across = [colour(v).var(0).sum().sqrt() for v in (made[0], y)]
    return {
        "sharpness": sharp[0] / sharp[1],
        "across": float(across[0] / across[1]),
        "within": float(within(made) / within(others)),
        "l1": float((made[0] - y).abs().mean()),
        "colour": colour(made[0]).mean(0).tolist(),
    }


def pix2pix_losses(seeds: Sequence[int]) -> dict:
    """8b장: 선에서 그림으로와 색칠하기에서 손실마다의 선명도와 다양성을 여러 시드로 잽니다."""
    code = code_hash("gan/pix2pix.py", "gan/losses.py", "datasets/shapes.py", "evaluation.py")
    keys = [
        {"task": task, "method": method, "seed": seed, "settings": PIX2PIX,
         "recipe": list(PIX2PIX_METHODS[method]), "code": code}
        for seed in seeds
        for task, method in PIX2PIX_RUNS
    ]  # fmt: skip

    def run(key: dict) -> dict:
        model, training = train_pix2pix(key["task"], key["method"], key["seed"])
        finish(training)
        sizes = {"n": PIX2PIX["test"], "draws": PIX2PIX["draws"], "size": PIX2PIX["size"]}
        return translation_report(model, key["task"], **sizes)

    return _by_seed("pix2pix_losses", keys, run, PIX2PIX, ("task", "method"))


TAGS = {
    "corpus": 20_000,
    "vector_steps": 1200,
    "vector_lr": 1e-2,
    "groups": 4,
    "objects_each": 3,
    "photos": 2000,
    "test": 400,
    "latent_dim": 8,
    "generator": [32, 128],
    "joint": [96],
    "discriminator": [64, 96],
    "maxout": [96, 2],
    "batch": 128,
    "steps": 1500,
    "lr": [8e-3, 2e-3],
    "r1": 0.05,
    "baseline_steps": 1000,
    "near": 3,
    "count": 10,
}
TAG_METHODS = ("회귀", "분류(softmax)", "cGAN", "cGAN, 논문의 구조")


def train_word_vectors(world, lists: Tensor, dim: int, seed: int, settings: dict = TAGS):
    """(SkipGram, 학습 제너레이터). lists는 ``TagWorld.corpus``의 태그 목록입니다."""
    from course_lib.gan.tag_cgan import SkipGram, SkipGramBatches
    from course_lib.training import fit

    torch.manual_seed(seed)
    model = SkipGram(len(world.words), dim)
    run = fit(model, lambda m, batch: m.loss(*batch), SkipGramBatches(lists, len(world.words)),
              steps=settings["vector_steps"], lr=settings["vector_lr"], seed=seed)  # fmt: skip
    return model, run


def photographed(settings: dict = TAGS) -> Tensor:
    """사진에 나오는 사물의 번호: 앞의 네 무리에서 셋씩. 낱말 벡터는 서른 사물 모두의 태그로 배웁니다."""
    return torch.tensor(
        [5 * g + k for g in range(settings["groups"]) for k in range(settings["objects_each"])]
    )


def tag_photos(world, seed: int, settings: dict = TAGS):
    """(학습 사진, 시험 사진). 시험 사진에는 *두 무리 이상*의 사물이 함께 있습니다."""
    generator = torch.Generator().manual_seed(1000 + seed)
    kept = photographed(settings)
    without = torch.tensor([c for c in range(len(world.concepts)) if c not in kept])
    train = world.photos(settings["photos"], generator, without=without)
    test = world.photos(6 * settings["test"], generator, without=without)
    groups = torch.zeros(len(test.objects), int(world.concept_group.max()) + 1)
    groups.index_add_(1, world.concept_group, test.objects.float())
    mixed = ((groups > 0).sum(1) >= 2).nonzero()[: settings["test"], 0]
    return train, type(test)(test.features[mixed], test.objects[mixed], test.tags[mixed])


def train_tag_gan(photos, vectors: Tensor, seed: int, paper: bool = False, settings: dict = TAGS):
    """(GAN, 학습 제너레이터). ``paper``이면 잡음과 그림을 선형으로만 합치는 논문의 구조를 씁니다."""
    from course_lib.gan import losses
    from course_lib.gan.gan import players
    from course_lib.gan.tag_cgan import tag_cgan
    from course_lib.training import fit_gan

    features, words = photos.pairs()
    torch.manual_seed(seed)
    gan = tag_cgan(
        features.shape[1], vectors.shape[1], settings["latent_dim"],
        generator=tuple(settings["generator"]), joint=() if paper else tuple(settings["joint"]),
        discriminator=tuple(settings["discriminator"]), maxout=tuple(settings["maxout"]), dropout=0.0,
    )  # fmt: skip

    def batches(generator: torch.Generator):
        rows = torch.randint(len(words), (settings["batch"],), generator=generator)
        return vectors[words[rows]], features[rows]

    run = fit_gan(
        gan, *players(losses.non_saturating, settings["r1"]), batches, steps=settings["steps"],
        lr=tuple(settings["lr"]), betas=(0.0, 0.99), schedule="cosine", seed=seed,
    )  # fmt: skip
    return gan, run


def train_one_answer(photos, vectors: Tensor | None, words: int, seed: int, settings: dict = TAGS):
    """특징 하나에 답 하나: vectors가 있으면 벡터를 맞히는 회귀, 없으면 낱말을 맞히는 분류. (신경망, 제너레이터)"""
    from torch.nn.functional import cross_entropy

    from course_lib.nn import MLP
    from course_lib.training import fit

    features, tags = photos.pairs()
    torch.manual_seed(seed)
    net = MLP(features.shape[1], (128,), words if vectors is None else vectors.shape[1])

    def batches(generator: torch.Generator):
        rows = torch.randint(len(tags), (2 * settings["batch"],), generator=generator)
        return features[rows], tags[rows]

    def loss(model, batch):
        guess = model(batch[0])
        if vectors is None:
            return cross_entropy(guess, batch[1])
        return (guess - vectors[batch[1]]).square().mean()

    return net, fit(net, loss, batches, steps=settings["baseline_steps"], lr=3e-3, seed=seed)


def object_recall(world, tags: Tensor, objects: Tensor) -> float:
    """사진의 사물 가운데 태그 (B, count)에 그 이름(동의어 가운데 하나)이 든 비율의 평균. objects (B, C)."""
    named = torch.zeros(len(tags), len(world.concepts) + 1)
    named.scatter_(1, world.concept[tags] % (len(world.concepts) + 1), 1.0)  # −1은 마지막 칸으로
    return float(((named[:, :-1] > 0) & objects).sum(1).div(objects.sum(1)).mean())


def pointed_recall(world, vectors: Tensor, outputs: Tensor, objects: Tensor, share=0.05) -> float:
    """모델이 낸 벡터가 *바로 가리킨* 낱말(가장 가까운 하나)만 센 재현율. outputs (B, M, dim), objects (B, C).

    사진 하나에 낸 벡터 M개 가운데 ``share`` 이상이 그 사물의 이름을 가리키면 그 사물을 말한 것으로 칩니다.
    """
    from course_lib.gan.tag_cgan import nearest_words

    words = nearest_words(outputs.flatten(0, 1), vectors, 1).reshape(outputs.shape[:2])
    votes = torch.zeros(len(words), len(world.concepts) + 1)
    votes.scatter_add_(1, world.concept[words] % votes.shape[1], torch.ones(words.shape))
    said = votes[:, :-1] >= share * words.shape[1]
    return float((said & objects).sum(1).div(objects.sum(1)).mean())


def tag_recall(seeds: Sequence[int]) -> dict:
    """8b장: 여러 무리의 사물이 든 사진에 단 태그의 재현율을 방법, 낱말 벡터의 차원, 시드마다 잽니다."""
    from course_lib.datasets.tags import TagWorld
    from course_lib.gan.tag_cgan import nearest_words, predict_tags

    code = code_hash("gan/gan.py", "gan/losses.py", "gan/tag_cgan.py", "datasets/tags.py")
    keys = [
        {"dim": dim, "seed": seed, "settings": TAGS, "methods": list(TAG_METHODS), "code": code}
        for seed in seeds
        for dim in (6, 16)
    ]

    def run(key: dict) -> dict:
        seed, world = key["seed"], TagWorld()
        lists = world.corpus(TAGS["corpus"], torch.Generator().manual_seed(seed))
        model, training = train_word_vectors(world, lists, key["dim"], seed)
        finish(training)
        vectors = model.vectors()
        train, test = tag_photos(world, seed)
        result = {}
        for method in TAG_METHODS:
            if method.startswith("cGAN"):
                gan, training = train_tag_gan(train, vectors, seed, method != "cGAN")
                finish(training)
                torch.manual_seed(seed)
                cloud = gan.sample(
                    100 * len(test.features), test.features.repeat_interleave(100, 0)
                )
                outputs = cloud.unflatten(0, (-1, 100))
                torch.manual_seed(seed)
                tags = predict_tags(gan, test.features, vectors, near=TAGS["near"])
            else:
                target = vectors if method == "회귀" else None
                net, training = train_one_answer(train, target, len(world.words), seed)
                finish(training)
                with torch.no_grad():
                    guess = net(test.features)
                if target is None:
                    tags = guess.topk(TAGS["count"], dim=1).indices
                    outputs = vectors[tags[:, :1]]
                else:
                    tags, outputs = nearest_words(guess, vectors, TAGS["count"]), guess[:, None]
            result[f"{method}: 가리킨 낱말"] = pointed_recall(world, vectors, outputs, test.objects)
            result[f"{method}: 태그 열 개"] = object_recall(world, tags, test.objects)
        return result

    return _by_seed("tag_recall", keys, run, TAGS, ("dim",))


def finish(training) -> None:
    """학습 제너레이터를 끝까지 돌립니다."""
    for _ in training:
        pass


CAPTIONS = {
    "text_dim": 32,
    "letters_width": 48,
    "latent_dim": 16,
    "squeeze": 24,
    "width": [32, 32],
    "images": 2000,
    "test": 480,
    "encoder_steps": 400,
    "encoder_lr": 3e-3,
    "batch": 32,
    "steps": 1200,
    "lr": [2e-3, 1e-3],
}
# 학습에서 한 번도 보지 않는 속성 조합(모양, 색, 크기, 자리)
UNSEEN = [[0, 3, 1, 0], [1, 0, 0, 1], [2, 1, 1, 1], [0, 2, 0, 0], [1, 1, 1, 0], [2, 3, 0, 1]]
CAPTION_METHODS = {"GAN": (False, False), "GAN-CLS": (True, False), "GAN-INT-CLS": (True, True)}


def attribute_classes(attributes: Tensor) -> Tensor:
    """속성 (B, 4) → 조합의 번호 (B,)."""
    return ((attributes[:, 0] * 4 + attributes[:, 1]) * 2 + attributes[:, 2]) * 2 + attributes[:, 3]


def seen_attributes() -> Tensor:
    """학습에 쓰는 속성 조합 (42, 4)."""
    from course_lib.datasets.shapes import all_attributes

    every = all_attributes()
    hidden = torch.isin(attribute_classes(every), attribute_classes(torch.tensor(UNSEEN)))
    return every[~hidden]


def train_text_encoder(data, seed: int, settings: dict = CAPTIONS):
    """(그림과 글의 JointEmbedding, 학습 제너레이터). data는 ``captioned``의 (그림, 글, 속성)입니다."""
    from course_lib.datasets.shapes import LETTERS
    from course_lib.gan.text_to_image import JointEmbedding, TextEncoder
    from course_lib.training import fit

    pictures, text, attributes = data
    classes = attribute_classes(attributes)
    torch.manual_seed(seed)
    encoder = TextEncoder(len(LETTERS), settings["text_dim"], settings["letters_width"], 3)
    joint = JointEmbedding(encoder, settings["text_dim"], width=16)
    with torch.no_grad():
        joint(pictures[:2], text[:2])  # LazyLinear의 크기를 정합니다

    def batches(generator: torch.Generator):
        rows = torch.randint(len(text), (64,), generator=generator)
        return pictures[rows], text[rows], classes[rows]

    run = fit(joint, lambda model, batch: model.loss(*batch), batches,
              steps=settings["encoder_steps"], lr=settings["encoder_lr"], seed=seed)  # fmt: skip
    return joint, run


class CaptionBatches:
    """(그림, 맞는 글 벡터, 틀린 글 벡터). 틀린 글은 속성 조합이 다른 그림의 글입니다."""

    def __init__(self, pictures: Tensor, text: Tensor, attributes: Tensor, batch: int):
        self.pictures, self.text, self.batch = pictures, text, batch
        self.classes = attribute_classes(attributes)

    def __call__(self, generator: torch.Generator):
        rows = torch.randint(len(self.text), (self.batch,), generator=generator)
        others = torch.randint(len(self.text), (self.batch, 8), generator=generator)
        differs = self.classes[others] != self.classes[rows, None]
        wrong = others.gather(1, differs.float().argmax(1, keepdim=True))[:, 0]
        return self.pictures[rows], self.text[rows], self.text[wrong]


def train_captions(data, vectors: Tensor, method: str, seed: int, settings: dict = CAPTIONS):
    """(GAN, 학습 제너레이터). vectors는 data의 글마다의 벡터 (N, text_dim)입니다."""
    from course_lib.gan.text_to_image import matching_players, text_to_image
    from course_lib.training import fit_gan

    torch.manual_seed(seed)
    gan = text_to_image(
        settings["text_dim"], settings["latent_dim"], size=16, squeeze=settings["squeeze"],
        width=tuple(settings["width"]), blocks=2,
    )  # fmt: skip
    batches = CaptionBatches(data[0], vectors, data[2], settings["batch"])
    run = fit_gan(gan, *matching_players(*CAPTION_METHODS[method]), batches,
                  steps=settings["steps"], lr=tuple(settings["lr"]), schedule="cosine", seed=seed)  # fmt: skip
    return gan, run


@torch.no_grad()
def caption_report(gan, encode, seed: int, choices: Tensor | None = None, n: int = 480) -> dict:
    """새 설명 ``n``개로 그린 그림의 속성이 설명과 같은 비율과, D가 틀린 글을 가려낸 비율.

    encode  글자 번호 → 글 벡터       choices  설명할 속성 조합. 생략하면 학습에 쓴 것
    """
    from course_lib.datasets.shapes import ATTRIBUTES, captioned, read_attributes

    generator = torch.Generator().manual_seed(10**6 + seed)
    choices = seen_attributes() if choices is None else choices
    pictures, text, attributes = captioned(n, generator, choices=choices)
    vectors, classes = encode(text), attribute_classes(attributes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = gan.sample(n, vectors)
    read, gap = read_attributes(made)
    order = torch.randperm(n, generator=generator)
    differs = classes != classes[order]
    right, wrong = gan.discriminator(pictures, vectors), gan.discriminator(pictures, vectors[order])
    same = (read == attributes).float()
    return {
        **dict(zip(ATTRIBUTES, same.mean(0).tolist(), strict=True)),
        "all": float(same.prod(1).mean()),
        "refused": float((right > wrong)[differs].float().mean()),
        "gap": float(gap.mean()),
    }


def caption_ablation(seeds: Sequence[int]) -> dict:
    """8b장: 틀린 글(CLS)과 섞은 글(INT)을 빼 보며 속성의 정확도를 여러 시드로 잽니다."""
    from course_lib.datasets.shapes import captioned

    code = code_hash("gan/gan.py", "gan/text_to_image.py", "datasets/shapes.py")
    keys = [
        {"method": method, "seed": seed, "settings": CAPTIONS, "unseen": UNSEEN, "code": code}
        for seed in seeds
        for method in CAPTION_METHODS
    ]

    def run(key: dict) -> dict:
        seed = key["seed"]
        generator = torch.Generator().manual_seed(seed)
        data = captioned(CAPTIONS["images"], generator, choices=seen_attributes())
        joint, training = train_text_encoder(data, seed)
        finish(training)
        encode = text_vectors(joint, data[1])
        gan, training = train_captions(data, encode(data[1]), key["method"], seed)
        finish(training)
        report = caption_report(gan, encode, seed, n=CAPTIONS["test"])
        unseen = caption_report(gan, encode, seed, torch.tensor(UNSEEN), CAPTIONS["test"])
        return report | {f"unseen {k}": v for k, v in unseen.items()}

    return _by_seed("caption_ablation", keys, run, CAPTIONS, ("method",))


def text_vectors(joint, text: Tensor):
    """글자 번호 → 글 벡터. 학습 글의 표준편차로 나누어 크기를 1로 맞춘 함수를 돌려줍니다."""
    encoder = joint.text.eval()
    with torch.no_grad():
        scale = encoder(text).std()

    @torch.no_grad()
    def encode(letters: Tensor) -> Tensor:
        return encoder(letters) / scale

    return encode


def _by_seed(name: str, keys: list[dict], run, settings: dict, groups: tuple[str, ...]) -> dict:
    """실험을 하고 {묶음: {값의 이름: 시드마다의 값}}으로 모읍니다."""
    records = run_each(name, keys, run)
    final: dict = {}
    for record in records:
        rows = final
        for group in groups:
            rows = rows.setdefault(str(record["key"][group]), {})
        for value in [name for name in record if name not in ("key", "seconds")]:
            got = record[value]
            got = [round(v, 4) for v in got] if isinstance(got, list) else round(got, 4)
            rows.setdefault(value, []).append(got)
    seconds = [record["seconds"] for record in records]
    return {
        "settings": settings,
        "final": final,
        "seconds_each": round(statistics.median(seconds), 1),
        "seconds": sum(seconds),
    }


RESULT_FILES = {
    "tag_recall": (tag_recall, range(3)),
    "pix2pix_losses": (pix2pix_losses, range(3)),
    "caption_ablation": (caption_ablation, range(2)),
}
