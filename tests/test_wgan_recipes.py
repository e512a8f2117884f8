"""09장의 조리법: 작은 설정으로 끝까지 돌고, 공정하며, 커밋한 결과가 본문의 말과 맞습니다."""

import json

import torch

from course_lib import recipes
from course_lib.gan.wgan_gp import conv_wgan_gp
from course_lib.recipes import __main__ as command
from course_lib.recipes import wgan


def tiny(steps):
    own = {method: wgan.FOLLOWS[method] | {"steps": steps} for method in wgan.METHODS}
    return wgan.FOLLOWS | own | {"first": 2, "points": 20, "batch": 8, "hidden": [8]}


def test_every_training_is_measured_equally_often():
    for method in wgan.METHODS:
        assert (wgan.FOLLOWS[method]["steps"] - wgan.FOLLOWS["first"]) % wgan.MEASURED == 0
    assert not set(range(8)) & set(wgan.RESULT_FILES["critic_follows"][1])  # 설정을 고른 시드


def test_the_curves_recipe_in_miniature(folders, monkeypatch):
    monkeypatch.setattr(wgan, "FOLLOWS", tiny(steps=6))
    monkeypatch.setattr(wgan, "MEASURED", 2)
    assert command.main(["critic_follows", "--seeds", "4", "5"]) == 0
    values = recipes.load_result("critic_follows", folders / "results")["values"]
    assert tuple(values["rank_correlation"]) == wgan.METHODS == tuple(values["curves"])
    for method in wgan.METHODS:
        assert len(values["rank_correlation"][method]) == len(values["last_distance"][method]) == 2
        curve = values["curves"][method]
        assert curve["step"] == [4, 6] and all(w > 0 for w in curve["distance"])


def test_the_gan_value_lies_below_zero_and_the_clipped_estimate_is_small(folders, monkeypatch):
    monkeypatch.setattr(wgan, "FOLLOWS", tiny(steps=4))
    monkeypatch.setattr(wgan, "MEASURED", 1)
    key = {"seed": 0, "settings": {}, "code": ""}
    value = {m: wgan._follow(key | {"method": m})["value"][0] for m in wgan.METHODS}
    assert value["GAN"] < 0 and abs(value["WGAN"]) < 1


def test_the_mnist_recipe_runs_and_its_state_resumes(monkeypatch, tmp_path):
    monkeypatch.setattr(wgan, "MNIST", wgan.MNIST | {"steps": 2, "batch": 4, "width": 4})
    images = torch.randint(0, 256, (12, 28, 28), dtype=torch.uint8)
    training, gan = wgan._mnist_training(images, tmp_path / "state.safetensors")
    records = list(training)
    assert len(records) == 2 and gan.sample(2).shape == (2, 1, 28, 28)
    again, other = wgan._mnist_training(images, tmp_path / "state.safetensors")
    assert list(again) == []
    assert all(torch.equal(a, b) for a, b in zip(gan.parameters(), other.parameters(), strict=True))
    assert sum(p.numel() for p in conv_wgan_gp(width=32).parameters()) < 2_000_000


def test_the_committed_result_says_what_the_notebook_says():
    result = recipes.load_result("critic_follows")
    values, seeds = result["values"], result["card"]["seeds"]
    assert seeds == list(wgan.RESULT_FILES["critic_follows"][1]) and len(seeds) == 6
    assert values["settings"] == json.loads(json.dumps(wgan.FOLLOWS))
    median, last = values["median"], values["last_distance"]
    assert abs(median["GAN"]) < 0.2 and median["WGAN"] > 0.7 and median["WGAN-GP"] > 0.7
    assert median["WGAN-GP, 빠른 생성자"] < 0.5
    ranks = values["rank_correlation"]["GAN"]
    assert min(ranks) < 0 < max(ranks)  # 시드마다 부호가 다릅니다
    assert sum(w < 0.4 for w in last["GAN"]) == 5 and all(w < 0.4 for w in last["WGAN-GP"])


def test_the_committed_cards_say_what_notebooks_09_and_10_say():
    from course_lib.checkpoints import read_checkpoint
    from course_lib.recipes import sngan, wgan

    cards = {n: read_checkpoint(n)[0]["metric"] for n in ("gan", "dcgan", "wgan_gp", "sngan")}
    assert wgan.MNIST["steps"] == 4000 and sngan.MNIST_SNGAN["steps"] == 5000
    assert sngan.MNIST_SNGAN["width"] == 32 and sngan.MNIST_SNGAN["d_steps"] == 2
    for metric in cards.values():
        assert metric["frechet"] > 20 * metric["frechet_real_halves"]
    for name in ("wgan_gp", "sngan"):
        assert cards[name]["rarest_digit"] > 0.01  # 무너지지 않았습니다
