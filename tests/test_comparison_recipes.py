"""모델 비교의 조리법: 작은 설정으로 끝까지 돌고, 세는 수와 만드는 그림이 약속대로입니다."""

import math
import time

import pytest
import torch

from course_lib import recipes
from course_lib.recipes import __main__ as command
from course_lib.recipes import comparison as recipe
from course_lib.recipes import results

TINY = {
    "PixelCNN": {"lr": 1e-3, "shape": {"width": 3, "layers": 2, "first": 3, "kernel": 3}},
    "VAE": {"lr": 1e-3, "shape": {"latent_dim": 2, "hidden": [8]}},
    "SNGAN": {"lr": 1e-3, "shape": {"width": 2, "latent_dim": 2}},
    "MAF": {"lr": 1e-3, "shape": {"layers": 2, "hidden": [64]}},
    "GMM": {"components": 2, "floor": 1e-2},
}
TINY_GRID = {
    "GAN": {"lr": 1e-3, "shape": {"latent_dim": 2, "hidden": [8]}, "r1": 0.05},
    "IAF": {"lr": 1e-3, "shape": {"layers": 2, "hidden": [8]}},
}


@pytest.fixture
def tiny(folders, monkeypatch):
    monkeypatch.setattr(recipe, "BUDGET", {"digits": 0.02, "grid25": 0.02})
    monkeypatch.setattr(recipe, "SETTINGS", {"digits": TINY, "grid25": TINY_GRID})
    small = {"samples": 100, "mode_samples": 200, "importance": 2, "test_points": 100}
    monkeypatch.setattr(recipe, "MEASURE", recipe.MEASURE | small | {"dequantisations": 1})
    real = recipe.milliseconds
    monkeypatch.setattr(recipe, "milliseconds", lambda a, n, least=0: real(a, n, 0.0))
    return folders


def test_comparison_in_miniature(tiny):
    assert command.main(["model_comparison", "--seeds", "0"]) == 0
    values = recipes.load_result("model_comparison", tiny / "results")["values"]
    assert values["fingerprint"] == recipe.fingerprint()
    digits, grid = values["final"]["digits"], values["final"]["grid25"]
    assert set(digits) == {*TINY, "데이터"} and set(grid) == set(TINY_GRID)
    assert digits["SNGAN"]["bits"] == [None] and "density_passes" not in digits["SNGAN"]
    assert [digits[n]["sample_passes"][0] for n in TINY] == [64, 1, 1, 2 * 65, 1]
    assert [digits[n]["density_passes"][0] for n in ("PixelCNN", "VAE", "MAF")] == [1, 2, 2]
    assert grid["IAF"]["density_passes"] == [2 * 3] and grid["IAF"]["sample_passes"] == [2]
    assert all(0 <= row["modes"][0] <= 25 and row["ms_1"][0] > 0 for row in grid.values())
    for images in values["kept"]["digits"].values():
        assert len(images) == 8 and all(0 <= v <= 16 for image in images for v in image)


def test_every_family_is_built_with_about_the_same_number_of_parameters():
    for data, low, high in (("digits", 60_000, 92_000), ("grid25", 34_000, 36_000)):
        for name in recipe.SETTINGS[data]:
            if name == "GMM":
                continue
            size = sum(p.numel() for p in recipe.build(data, name).parameters())
            assert low < size < high, (data, name, size)


def test_the_budget_is_kept_roughly():
    def make():
        while True:
            start = time.process_time()
            while time.process_time() - start < 0.002:
                pass
            yield {}

    assert 20 <= recipe.steps_within(make, 0.1) <= 55


def test_pixels_are_integers_over_sixteen_for_every_family(monkeypatch):
    monkeypatch.setattr(recipe, "SETTINGS", {"digits": TINY, "grid25": TINY_GRID})
    for name in TINY:
        if name == "GMM":
            continue
        x = recipe.pixels(name, recipe.build("digits", name).eval(), 5)
        assert x.shape == (5, 64) and torch.equal(x * 16, (x * 16).round())
        assert 0 <= float(x.min()) and float(x.max()) <= 1


def test_every_family_maps_its_own_range_to_the_grey_levels():
    class Constant(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def sample(self, n):
            return torch.full((n, 64), self.value)

    for name, value, level in (
        ("DCGAN", 0.5, 12), ("DCGAN", -1.0, 0), ("DCGAN", 1.0, 16), ("PixelCNN", 9.0, 9),
        ("RealNVP", 12.3 / 17, 12), ("GMM", -0.4, 0), ("GMM", 1.2, 16),
    ):  # fmt: skip
        made = recipe.pixels(name, Constant(value), 2)
        assert (16 * made).unique().tolist() == [level], (name, value)


def test_bits_of_a_uniform_pixel_model_are_log2_17(monkeypatch):
    """로짓이 모두 같으면 정확히 log₂ 17비트, 연속 모델의 단위도 같습니다."""
    monkeypatch.setattr(recipe, "SETTINGS", {"digits": TINY, "grid25": TINY_GRID})
    model = recipe.build("digits", "PixelCNN")
    torch.nn.init.zeros_(model.out.weight)
    torch.nn.init.zeros_(model.out.bias)
    images = torch.randint(0, 17, (4, 8, 8), dtype=torch.uint8)
    assert recipe.digits_bits("PixelCNN", model, images) == pytest.approx(math.log2(17), abs=1e-5)

    class Flat(torch.nn.Module):
        def log_prob(self, x):
            assert float(x.min()) >= 0 and float(x.max()) < 1
            return torch.zeros(len(x))

    assert recipe.digits_bits("MAF", Flat(), images) == pytest.approx(math.log2(17), abs=1e-5)


def test_generated_data_in_miniature(folders, monkeypatch):
    small = {
        "real": [50],
        "made": 40,
        "budget": 0.05,
        "classifier": {"steps": 2, "lr": 1e-3, "batch": 20},
    }
    monkeypatch.setattr(recipe, "GENERATED", recipe.GENERATED | small)
    assert command.main(["generated_data", "--seeds", "0"]) == 0
    values = recipes.load_result("generated_data", folders / "results")["values"]
    rows = values["accuracy"]["50"]
    assert list(rows) == ["진짜만", "밀어서 늘린 진짜", *recipe.MAKERS]
    assert all(0 <= row["with_real"][0] <= 1 for row in rows.values())
    assert all(len(values["kept"]["50"][maker]) == 10 for maker in recipe.MAKERS)


def test_shifted_pictures_are_the_real_ones_moved_by_at_most_one_pixel():
    x, y = torch.zeros(3, 8, 8, dtype=torch.uint8), torch.arange(3)
    x[:, 3, 4] = 9
    made, labels = recipe.shifted(x, y, 60, seed=0)
    where = made.flatten(1).float().argmax(1)
    assert made.flatten(1).sum(1).unique().tolist() == [9] and labels[:4].tolist() == [0, 1, 2, 0]
    assert set((where // 8).tolist()) == {2, 3, 4} and set((where % 8).tolist()) == {3, 4, 5}


def test_mixing_makes_half_of_the_data_real():
    real, fake = (torch.zeros(7, 2), torch.zeros(7)), (torch.ones(20, 2), torch.ones(20))
    x, y = recipe.mixed(real, fake, 0)
    assert len(x) == len(y) == 40 and float(y.mean()) == 0.5


def test_gaussians_have_the_class_means_and_labels_are_balanced():
    x = (torch.arange(10)[:, None, None] + torch.zeros(10, 8, 8)).repeat(20, 1, 1).to(torch.uint8)
    y = torch.arange(10).repeat(20)
    made, labels = recipe.made_by("클래스마다 정규분포", x, y, 500, seed=0)
    assert torch.bincount(labels).tolist() == [50] * 10 and made.dtype == torch.uint8
    for c in (3, 8):
        assert float(made[labels == c].float().mean()) == pytest.approx(c, abs=0.1)
    with pytest.raises(ValueError, match="클래스마다 RealNVP"):
        recipe.made_by("없음", x, y, 10, seed=0)


def test_the_committed_files_come_from_these_settings():
    for name in ("model_comparison", "generated_data"):
        values = recipes.load_result(name)["values"]
        assert values["fingerprint"] == recipe.fingerprint(), name
    values = recipes.load_result("model_comparison")["values"]
    assert values["settings"] == recipe.SETTINGS and values["budget"] == recipe.BUDGET
    for data, rows in values["final"].items():
        names = set(recipe.SETTINGS[data]) | ({"데이터"} if data == "digits" else set())
        assert set(rows) == names
        for name, row in rows.items():
            if name == "데이터":
                continue
            assert len(row["ms_1"]) == 3 and all(v > 0 for v in row["ms_1"]), name
            assert max(row["cpu_seconds"]) < 1.5 * recipe.BUDGET[data] + 1, name
    made = recipes.load_result("generated_data")["values"]["accuracy"]
    assert set(made) == {"50", "100", "500"}
    for rows in made.values():
        assert list(rows) == ["진짜만", "밀어서 늘린 진짜", *recipe.MAKERS]
        assert all(len(row["with_real"]) >= 3 for row in rows.values())


def test_the_cards_of_the_committed_files_say_how_they_were_made():
    for name in ("model_comparison", "generated_data"):
        card = recipes.load_result(name)["card"]
        assert f"course_lib.recipes {name}" in card["command"] and card["hardware"]["threads"] == 1
        assert results.load_result(name)["card"] == card
