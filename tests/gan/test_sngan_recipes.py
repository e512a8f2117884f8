"""10장의 조리법: 작은 설정으로 끝까지 돌고, 네 모델의 모양이 약속대로입니다."""

import torch
from torch import nn

from course_lib import recipes
from course_lib.gan.sngan import SpectralNorm
from course_lib.recipes import __main__ as command
from course_lib.recipes import sngan


def test_rates_recipe_in_miniature(folders, monkeypatch):
    tiny = {"rates": [1e-3, 1e9], "clips": [0.01], "steps": 2, "batch": 8, "hidden": [8]}
    monkeypatch.setattr(sngan, "STABILITY", sngan.STABILITY | tiny)
    assert command.main(["sngan_rates", "--seeds", "0", "1"]) == 0
    final = recipes.load_result("sngan_rates", folders / "results")["values"]["final"]
    assert list(final) == ["SN", "c = 0.01"]
    for rows in final.values():
        assert list(rows) == ["0.001", "1000000000.0"]
        for row in rows.values():
            assert len(row["covered"]) == 2 and all(0 <= c <= 8 for c in row["covered"])


def test_comparison_recipe_in_miniature(folders, monkeypatch):
    monkeypatch.setattr(sngan, "DIGITS", sngan.DIGITS | {"steps": 1, "width": 4, "samples": 100})
    monkeypatch.setattr(sngan, "GRID", sngan.GRID | {"steps": 1, "hidden": [8], "seeds": 1})
    assert command.main(["gan_comparison", "--seeds", "0", "1"]) == 0
    values = recipes.load_result("gan_comparison", folders / "results")["values"]
    for data, count in (("digits", 2), ("grid25", 1)):
        assert tuple(values[data]) == sngan.FOUR
        for row in values[data].values():
            assert all(len(v) == count for v in row.values())
    assert all(min(row["frechet"]) > values["real"] > 0 for row in values["digits"].values())


def test_the_four_have_one_generator_and_discriminators_of_one_shape():
    shapes, generators = set(), set()
    for model in sngan.FOUR:
        gan = sngan._same_shape(model)
        kinds = (nn.Conv2d, nn.Linear)
        judge = [m for m in gan.discriminator.modules() if isinstance(m, kinds)]
        shapes.add(tuple(tuple(m.weight.shape) for m in judge))
        generators.add(tuple(tuple(p.shape) for p in gan.generator.parameters()))
        assert all(isinstance(m, SpectralNorm) for m in judge) == (model == "SNGAN")
        norms = [m for m in gan.discriminator.modules() if isinstance(m, nn.BatchNorm2d)]
        assert bool(norms) == (model in ("DCGAN", "WGAN"))
        assert gan.sample(3).shape == (3, 1, 8, 8)
    assert len(shapes) == len(generators) == 1


def test_each_method_ties_its_discriminator_its_own_way():
    for model in ("WGAN", "DCGAN"):
        torch.manual_seed(0)
        gan = sngan._toy(model)
        settings = sngan.GRID | {"steps": 2, "clip": 0.01}
        for _ in sngan._training(model, gan, lambda g: torch.randn(8, 2, generator=g), settings, 0):
            pass
        most = max(float(p.detach().abs().max()) for p in gan.discriminator.parameters())
        assert (most <= 0.01) == (model == "WGAN")


def test_the_committed_results_say_what_the_notebook_says():
    rates = recipes.load_result("sngan_rates")["values"]["final"]
    for name, rows in rates.items():
        assert max(rows["0.0003"]["covered"]) < 8, name  # 가장 작은 학습률은 누구에게나 느립니다
    values = recipes.load_result("gan_comparison")["values"]
    mean = {m: sum(r["frechet"]) / 5 for m, r in values["digits"].items()}
    spread = {m: max(r["frechet"]) - min(r["frechet"]) for m, r in values["digits"].items()}
    assert min(mean, key=mean.get) == "DCGAN"
    for other in ("WGAN", "WGAN-GP"):
        assert mean["SNGAN"] < mean[other] and spread["SNGAN"] < spread[other]
    covered = {m: sum(r["covered"]) for m, r in values["grid25"].items()}
    assert max(covered, key=covered.get) == "WGAN-GP"
