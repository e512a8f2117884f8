"""심사하는 분류기와 점수표."""

import math

import pytest
import torch

from course_lib.checks import randomise_
from course_lib.classifier import (
    accuracy,
    classification_loss,
    digits_classifier,
    judge_samples,
    mnist_classifier,
)
from course_lib.datasets.digits import load_digits_images
from course_lib.training import fit, minibatches


@pytest.fixture(scope="module")
def judge():
    images, labels = load_digits_images("train")
    torch.manual_seed(0)
    model = digits_classifier()
    batches = minibatches((images.flatten(1) / 16, labels), 100)
    for _ in fit(model, classification_loss, batches, steps=400, lr=3e-3):
        pass
    return model


def test_it_reads_digits_and_judges_pictures(judge):
    images, labels = load_digits_images("validation")
    x = images.flatten(1) / 16
    assert accuracy(judge, x, labels) > 0.93
    good, noise = judge_samples(judge, x[:140], x[140:]), torch.rand(200, 64)
    bad = judge_samples(judge, noise, x)
    ones = judge_samples(judge, x[labels == 1].repeat(5, 1), x)
    assert good["frechet"] < bad["frechet"] and good["confidence"] > 0.9 >= bad["sure"]
    assert good["class_entropy"] > 2.2 and ones["class_entropy"] < 0.5
    assert ones["frechet"] > good["frechet"]


def test_logits_are_the_head_of_the_features_and_rows_stand_alone():
    for model, shape in ((mnist_classifier(), (1, 28, 28)), (digits_classifier(), (64,))):
        model = randomise_(model.double().eval())
        x = torch.rand(3, *shape).double()
        with torch.no_grad():
            torch.testing.assert_close(model(x), model.head(model.features(x)))
            torch.testing.assert_close(model(x), torch.cat([model(v[None]) for v in x]))
        with pytest.raises(ValueError, match="모양"):
            model(x[0])


def test_accuracy_and_refusals(judge):
    x = torch.zeros(10, 64)
    guess = int(judge(x[:1]).argmax())
    labels = torch.full((10,), guess)
    labels[:3] = (guess + 1) % 10
    assert accuracy(judge, x, labels) == pytest.approx(0.7)
    model = digits_classifier().train()
    with pytest.raises(ValueError, match="eval"):
        judge_samples(model, x, x)
    uniform = classification_loss(zeroed(), (x, labels))
    assert float(uniform.detach()) == pytest.approx(math.log(10))


def zeroed():
    model = digits_classifier().eval()
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    return model
