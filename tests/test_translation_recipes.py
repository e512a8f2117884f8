"""08b장의 조리법: 작은 설정으로 끝까지 돌고, 재는 함수가 답을 아는 것을 바로 잽니다."""

import pytest
import torch

from course_lib import recipes
from course_lib.datasets import shapes as S
from course_lib.datasets.tags import TagWorld
from course_lib.recipes import __main__ as command
from course_lib.recipes import translation


def made(folders, name):
    return recipes.load_result(name, folders / "results")["values"]


def test_pix2pix_recipe_in_miniature(folders, monkeypatch):
    tiny = {"channels": [4, 4], "judge": {"width": 4, "layers": 0}, "steps": 1, "test": 4}
    monkeypatch.setattr(translation, "PIX2PIX", translation.PIX2PIX | tiny)
    monkeypatch.setattr(translation.train_pix2pix, "__defaults__", (translation.PIX2PIX | tiny,))
    assert command.main(["pix2pix_losses", "--seeds", "0", "4"]) == 0
    final = made(folders, "pix2pix_losses")["final"]
    assert list(final["선에서 그림으로"]) == list(translation.PIX2PIX_METHODS)
    assert set(final["색칠하기"]) == {"L1만", "L1 + GAN"}
    row = final["색칠하기"]["L1만"]
    assert set(row) == {"sharpness", "across", "within", "l1", "colour"}
    assert all(len(values) == 2 for values in row.values()) and len(row["colour"][0]) == 3


@pytest.mark.parametrize("task", ["선에서 그림으로", "색칠하기"])
def test_the_report_knows_the_data_and_the_median(task):
    """데이터 자신은 세 비율이 1이고, 늘 같은 답을 하는 모델은 흩어짐이 0입니다."""

    class Data:
        def translate(self, x):
            generator = torch.Generator().manual_seed(10**6)
            shapes = S.outlines(60, 32, generator)
            return translation.make_pairs(task, shapes, torch.default_generator)[1]

    class Constant:
        def translate(self, x):
            return torch.zeros(len(x), 3, 32, 32)

    report = translation.translation_report(Data(), task, n=60)
    assert report["sharpness"] == pytest.approx(1, abs=0.2)
    assert report["across"] == pytest.approx(1, abs=0.15)
    assert report["within"] == pytest.approx(1, abs=0.1)
    flat = translation.translation_report(Constant(), task, n=60)
    assert flat["sharpness"] == 0 and flat["within"] == 0 and flat["across"] < 1e-5
    assert flat["colour"] == pytest.approx([0.5] * 3)
    if task == "색칠하기":  # 흑백을 보면 줄무늬는 정해지므로 남는 것은 색뿐입니다
        x, y = translation.make_pairs(task, S.outlines(3, 32, torch.Generator()), torch.Generator())
        torch.testing.assert_close(x, S.grey(y))


def test_caption_recipe_in_miniature(folders, monkeypatch):
    tiny = translation.CAPTIONS | {"images": 60, "test": 40, "encoder_steps": 1, "steps": 1}
    monkeypatch.setattr(translation, "CAPTIONS", tiny)
    for function in (translation.train_captions, translation.train_text_encoder):
        monkeypatch.setattr(function, "__defaults__", (tiny,))
    assert command.main(["caption_ablation", "--seeds", "2"]) == 0
    final = made(folders, "caption_ablation")["final"]
    assert list(final) == list(translation.CAPTION_METHODS)
    for row in final.values():
        assert {"모양", "색", "크기", "자리", "all", "refused", "unseen all"} <= set(row)
        assert all(0 <= values[0] <= 1 for name, values in row.items() if "gap" not in name)


def test_unseen_attributes_are_never_trained_on():
    seen = translation.seen_attributes()
    assert len(seen) == 48 - len(translation.UNSEEN) == 42
    assert not {tuple(r) for r in seen.tolist()} & {tuple(r) for r in translation.UNSEEN}
    for column, count in enumerate(S.ATTRIBUTES.values()):  # 속성 하나하나는 모두 봅니다
        assert set(seen[:, column].tolist()) == set(range(count))
    classes = translation.attribute_classes(S.all_attributes())
    assert sorted(classes.tolist()) == list(range(48))


def test_wrong_captions_are_of_another_class():
    data = S.captioned(300, torch.Generator().manual_seed(0))
    numbers = torch.arange(300.0)[:, None]
    batches = translation.CaptionBatches(data[0], numbers, data[2], 200)
    classes = translation.attribute_classes(data[2])
    pictures, right, wrong = batches(torch.Generator().manual_seed(1))
    right, wrong = right[:, 0].long(), wrong[:, 0].long()
    assert torch.equal(pictures, data[0][right]) and (classes[right] != classes[wrong]).all()


def test_tag_recipe_in_miniature(folders, monkeypatch):
    tiny = translation.TAGS | {"corpus": 300, "vector_steps": 2, "photos": 60, "test": 20}
    tiny |= {"steps": 1, "baseline_steps": 2}
    monkeypatch.setattr(translation, "TAGS", tiny)
    for name in ("train_word_vectors", "photographed", "tag_photos", "train_one_answer"):
        monkeypatch.setattr(getattr(translation, name), "__defaults__", (tiny,))
    monkeypatch.setattr(translation.train_tag_gan, "__defaults__", (False, tiny))
    assert command.main(["tag_recall", "--seeds", "1"]) == 0
    final = made(folders, "tag_recall")["final"]
    assert list(final) == ["6", "16"]
    for row in final.values():
        kinds = ("가리킨 낱말", "태그 열 개")
        assert set(row) == {f"{m}: {kind}" for m in translation.TAG_METHODS for kind in kinds}
        assert all(0 <= values[0] <= 1 for values in row.values())


def test_test_photos_mix_groups_and_hold_only_photographed_objects():
    world = TagWorld()
    train, test = translation.tag_photos(world, 0)
    kept = translation.photographed()
    assert len(kept) == 12 and len(test.features) == translation.TAGS["test"]
    for photos in (train, test):
        assert not photos.objects[:, [c for c in range(30) if c not in kept]].any()
    for row in test.objects[:50]:
        assert len(set(world.concept_group[row].tolist())) >= 2


def test_object_recall_counts_objects_not_words():
    world = TagWorld()
    objects = torch.zeros(2, 30, dtype=torch.bool)
    objects[0, [0, 7]] = objects[1, 3] = True
    chair, stool = (world.words.index(w) for w in ("의자", "걸상"))
    noise = world.words.index("좋아요")
    tags = torch.tensor([[chair, stool, noise], [chair, stool, noise]])
    assert translation.object_recall(world, tags, objects) == pytest.approx((0.5 + 0) / 2)


def test_pointed_recall_counts_where_the_outputs_land():
    world = TagWorld()
    vectors = torch.eye(len(world.words))
    chair, stool, cat, noise = (world.words.index(w) for w in ("의자", "걸상", "고양이", "좋아요"))
    objects = torch.zeros(1, 30, dtype=torch.bool)
    objects[0, [0, 5]] = True  # 의자와 고양이
    cloud = vectors[torch.tensor([[chair] * 2 + [stool] * 3 + [cat] * 4 + [noise] * 91])]
    assert (
        translation.pointed_recall(world, vectors, cloud, objects) == 0.5
    )  # 고양이는 5 %가 안 됩니다
    assert translation.pointed_recall(world, vectors, cloud, objects, 0.04) == 1
    assert (
        translation.pointed_recall(world, vectors, vectors[torch.tensor([[cat]])], objects) == 0.5
    )


def test_the_stored_results_say_what_the_notebook_says():
    """노트북의 글이 결과 파일에서 읽은 것: 자리마다의 순서와 크기."""

    def mean(values):
        return sum(values) / len(values)

    tags = recipes.load_result("tag_recall")["values"]["final"]
    six, sixteen = ({k: mean(v) for k, v in tags[d].items()} for d in ("6", "16"))
    assert six["cGAN: 가리킨 낱말"] > six["회귀: 가리킨 낱말"] + 0.2
    assert sixteen["회귀: 태그 열 개"] > sixteen["cGAN: 태그 열 개"]
    assert max(six, key=six.get) == "분류(softmax): 태그 열 개"
    assert six["cGAN: 가리킨 낱말"] > six["cGAN, 논문의 구조: 가리킨 낱말"] + 0.1
    assert six["cGAN: 태그 열 개"] < 0.65

    lines, greys = recipes.load_result("pix2pix_losses")["values"]["final"].values()
    for low, high in (("L1만", "L1 + GAN (λ = 100)"), ("L1 + GAN (λ = 100)", "L1 + GAN")):
        assert max(lines[low]["sharpness"]) < min(lines[high]["sharpness"])
    assert min(lines["L1 + GAN"]["sharpness"]) > 1  # 없는 잔무늬
    assert min(lines["L1 + GAN"]["across"]) < 0.2 < max(lines["L1 + GAN"]["across"])
    assert min(lines["L1 + GAN + R1"]["across"]) < min(lines["L1 + GAN"]["across"])
    for a, b in zip(lines["L1만"]["within"], lines["L1 + GAN"]["within"], strict=True):
        assert 2 * a < b < 0.5
    assert all(max(row["across"]) < 0.1 for row in greys.values())
    assert max(lines["L1만"]["sharpness"]) < min(greys["L1만"]["sharpness"])
    for rows in (lines, greys):
        assert max(rows["L1만"]["l1"]) < min(min(r["l1"]) for n, r in rows.items() if n != "L1만")

    captions = recipes.load_result("caption_ablation")["values"]["final"]
    worst = {name: min(row["refused"]) for name, row in captions.items()}
    assert 0.9 < worst["GAN"] < max(captions["GAN"]["refused"]) < worst["GAN-CLS"]
    for plain, matched in zip(captions["GAN"]["모양"], captions["GAN-CLS"]["모양"], strict=True):
        assert plain < matched
    unseen = {name: row["unseen all"] for name, row in captions.items()}
    assert mean(unseen["GAN-INT-CLS"]) > mean(unseen["GAN-CLS"])
    assert max(unseen["GAN-INT-CLS"]) - min(unseen["GAN-INT-CLS"]) > 0.2
    for row in captions.values():
        assert min(row["자리"] + row["unseen 자리"]) > 0.95
        assert abs(mean(row["크기"]) - mean(row["unseen 크기"])) < 0.1
        assert mean(row["unseen 모양"]) < mean(row["모양"])
