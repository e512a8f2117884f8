"""MNIST 플로우의 조리법: 작은 설정으로 끝까지 돌고, 단위가 맞습니다."""

import json
import math

import pytest
import torch

from course_lib import checkpoints
from course_lib.base import standard_normal
from course_lib.classifier import mnist_classifier
from course_lib.datasets import mnist
from course_lib.flows.maf import MAF
from course_lib.recipes import __main__ as command
from course_lib.recipes import mnist_flows
from course_lib.recipes.results import DATA
from course_lib.units import LogitPreprocess


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """MNIST 대신 임의의 그림, 저장할 곳은 임시 폴더, 작은 모델."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 28, 28), generator=generator, dtype=torch.uint8)
    monkeypatch.setattr(mnist, "load_mnist", lambda split: (images, torch.zeros(60).long()))
    monkeypatch.setattr(mnist_flows, "UNFINISHED", tmp_path)
    monkeypatch.setattr(mnist_flows, "TRAIN", 40)
    few = {"batch": 20, "epochs": 1, "warmup": 1}
    small = {"layers": 2, "hidden": (8,), "batch_norm": True}
    monkeypatch.setattr(mnist_flows, "MAF", mnist_flows.MAF | few | {"model": small})
    small = {"couplings": 4, "hidden": (8,)}
    monkeypatch.setattr(mnist_flows, "NICE", mnist_flows.NICE | few | {"model": small})
    small = {"scales": 2, "width": 4, "blocks": 1}
    monkeypatch.setattr(mnist_flows, "REALNVP", mnist_flows.REALNVP | few | {"model": small})
    small = {"layers": 2, "anchors": 5, "reflections": 2}
    small = few | {"start_points": 20, "model": small}
    monkeypatch.setattr(mnist_flows, "GAUSSIANIZATION", mnist_flows.GAUSSIANIZATION | small)
    small = few | {"model": {"layers": 2, "latent": 1, "squeeze_after": [1]}}
    monkeypatch.setattr(mnist_flows, "MINTNET", mnist_flows.MINTNET | small)
    saved = {}

    def save(model, name, card, *, measure, half):
        saved[name] = model
        return card | {"metric": measure(model.eval()), "half": half}

    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    return saved


def test_recipes_in_miniature(pretend):
    for name in ("maf", "nice", "realnvp", "gaussianization_flow", "mintnet"):
        card = command.CHECKPOINTS[name](name)
        assert card["half"] and {"bits_per_dim", "validation_bits_per_dim"} <= set(card["metric"])
        assert 5 < card["metric"]["bits_per_dim"] < 20  # 고른 잡음 그림: 정확히 8이 한계
    assert "log_p_in_logit_space" in card["metric"] or name == "nice"
    norm = pretend["maf"].flow.flows[0]
    assert float(norm.running_var.std()) > 0  # 통계를 학습 데이터의 것으로 바꾸었습니다


def test_scores_agree_with_a_density_that_is_known():
    """logit(U(0, 1))은 로지스틱 분포입니다: [0, 1]에서 log p = 0이고 logit 공간에서는 차원마다 −2 nats입니다."""
    images = torch.randint(256, (200, 28, 28), generator=torch.Generator().manual_seed(1))
    images = images.to(torch.uint8)

    class Uniform:
        event_shape = (1, 28, 28)

        def log_prob(self, x):
            return torch.zeros(len(x))

    found = mnist_flows.scores(Uniform(), images, alpha=1e-6)
    assert found["log_p"] == 0 and found["bits_per_dim"] == pytest.approx(8)
    assert found["log_p_in_logit_space"] == pytest.approx(-2 * 784, rel=5e-3)


def test_logit_space_is_what_the_inner_flow_gives():
    torch.manual_seed(0)
    inner = MAF(784, 1, (8,), base=standard_normal)
    whole = MAF(784, 1, (8,), base=standard_normal, preprocess=LogitPreprocess(1e-6))
    whole.load_state_dict(inner.state_dict())
    images = torch.randint(256, (20, 28, 28)).to(torch.uint8)
    x = mnist_flows.pixels(images, torch.Generator().manual_seed(0))
    z = LogitPreprocess(1e-6).inverse(x)[0]
    with torch.no_grad():
        expected = float(inner.log_prob(z).double().mean())
    found = mnist_flows.scores(whole, images, alpha=1e-6)["log_p_in_logit_space"]
    assert math.isclose(found, expected, rel_tol=1e-5)


@pytest.mark.parametrize("name", ["gaussianization_flow", "mintnet"])
def test_the_cards_say_what_notebook_15_says(name):
    metric = json.loads((DATA / "checkpoints" / f"{name}.json").read_text("utf-8"))["metric"]
    text = (DATA.parent / "notebooks" / "15_mintnet_gaussianization.ipynb").read_text("utf-8")
    assert f"{metric['bits_per_dim']:.2f}(체크포인트 `{name}`" in text
    assert abs(metric["bits_per_dim"] - metric["validation_bits_per_dim"]) < 0.05
    maf = json.loads((DATA / "checkpoints" / "maf.json").read_text("utf-8"))["metric"]
    assert metric["bits_per_dim"] < maf["bits_per_dim"] - 0.1  # "둘 다 MAF(1.80)보다 낮은"
    settings = {"gaussianization_flow": mnist_flows.GAUSSIANIZATION, "mintnet": mnist_flows.MINTNET}
    assert settings[name]["epochs"] == mnist_flows.MAF["epochs"] // 15 == 2


def test_the_card_of_nice_says_what_notebook_13_says():
    metric = json.loads((DATA / "checkpoints" / "nice.json").read_text("utf-8"))["metric"]
    text = (DATA.parent / "notebooks" / "13_nice_realnvp.ipynb").read_text("utf-8")
    assert f"{metric['log_p']:.1f} nats(= {metric['bits_per_dim']:.2f} 차원당 비트)" in text
    assert metric["bits_per_dim"] == pytest.approx(8 - metric["log_p"] / 784 / math.log(2))
    assert abs(metric["bits_per_dim"] - metric["validation_bits_per_dim"]) < 0.05
    # "은닉층의 너비가 논문의 5분의 2, 에폭이 25분의 1입니다"(논문 1000, 1500)
    assert set(mnist_flows.NICE["model"]["hidden"]) == {1000 * 2 // 5}
    assert mnist_flows.NICE["epochs"] == 1500 // 25 and metric["log_p"] < 1900


def test_the_card_of_realnvp_says_what_notebook_13_says():
    card = json.loads((DATA / "checkpoints" / "realnvp.json").read_text("utf-8"))
    metric, settings = card["metric"], mnist_flows.REALNVP
    text = (DATA.parent / "notebooks" / "13_nice_realnvp.ipynb").read_text("utf-8")
    assert f"{metric['bits_per_dim']:.2f} 차원당 비트. 체크포인트 `realnvp`" in text
    about = f"스케일 {settings['model']['scales']}개, 특징 지도 {settings['model']['width']}개"
    assert f"{about}, {settings['epochs']} 에폭" in text
    assert abs(metric["bits_per_dim"] - metric["validation_bits_per_dim"]) < 0.05


def test_the_late_latents_of_realnvp_choose_the_digit():
    """노트북 13의 그림: 앞의 588개를 새로 뽑으면 같은 숫자, 뒤의 196개를 새로 뽑으면 다른 숫자입니다."""
    model = mnist_flows.realnvp_model().eval()
    checkpoints.load_checkpoint("realnvp", model)
    judge = mnist_classifier().eval()
    checkpoints.load_checkpoint("mnist_classifier", judge)
    torch.manual_seed(1)
    z, again = torch.randn(200, 784), torch.randn(200, 784)
    early = torch.cat([again[:, :588], z[:, 588:]], 1)
    late = torch.cat([z[:, :588], again[:, 588:]], 1)
    with torch.no_grad():
        seen = [judge(model.flow(v)[0].clamp(0, 1)).argmax(1) for v in (z, early, late)]
    assert (seen[0] == seen[1]).float().mean() > 0.6  # "열에 일곱"
    assert (seen[0] == seen[2]).float().mean() < 0.25  # 우연이면 0.1쯤
