import pytest
import torch

from course_lib.datasets import load_digits_images


def test_splits_partition_the_data():
    parts = {s: load_digits_images(s) for s in ("train", "validation", "test", "train+validation")}
    assert {s: len(images) for s, (images, _) in parts.items()} == {
        "train": 1150,
        "validation": 287,
        "test": 360,
        "train+validation": 1437,
    }
    joined = torch.cat([parts["train"][0], parts["validation"][0]])
    assert torch.equal(joined, parts["train+validation"][0])
    from sklearn.datasets import load_digits

    everything = torch.cat([joined, parts["test"][0]]).flatten(1)
    original = torch.from_numpy(load_digits().data).to(torch.uint8)
    torch.manual_seed(0)
    assert torch.equal(everything, original[torch.randperm(1797)])


def test_images_and_labels_belong_together():
    images, labels = load_digits_images("train")
    assert images.dtype == torch.uint8 and images.shape == (1150, 8, 8)
    assert labels.dtype == torch.int64 and labels.shape == (1150,)
    assert int(images.min()) == 0 and int(images.max()) == 16
    # 시험 그림의 가장 가까운 학습 그림은 거의 언제나 같은 숫자입니다.
    test_images, test_labels = load_digits_images("test")
    distance = torch.cdist(test_images.flatten(1).float(), images.flatten(1).float())
    agreement = (labels[distance.argmin(1)] == test_labels).float().mean()
    assert float(agreement) > 0.95


def test_unknown_split():
    with pytest.raises(ValueError, match="split은 train, validation"):
        load_digits_images("dev")
