import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from smash_lightning.data import DataModule, Digits, Folder, RawDataset, Source, Split, Subset
from smash_lightning.data.source import stratified_split
from smash_lightning.random_streams import Stream, generator


class Tiny(Source):
    """Ten, twenty and thirty images of three classes in two channels; image i is all i."""

    def files(self) -> Sequence[Path]:
        return ()

    def read(self) -> RawDataset:
        labels = torch.tensor([0] * 10 + [1] * 20 + [2] * 30)[torch.randperm(60, generator=generator("tiny"))]
        images = torch.arange(60, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 2, 4, 4)
        images[:, 1] *= 3
        test = Split(images[:8] + 100, labels[:8])
        return RawDataset(Split(images, labels), test, ("a", "b", "c"))


OPTIONS: dict[str, Any] = {"name": "tiny", "validation": 12, "train": None, "batch_size": 8, "eval_batch_size": 5}
OPTIONS |= {"source": Tiny(), "recalibration": 16, "stem_stride": 1, "split_seed": 0}


def data(source: Source | None = None, **changes: Any) -> DataModule:
    module = DataModule(**OPTIONS | ({"source": source} if source else {}) | changes)
    module.setup()
    return module


def numbers(split: Subset) -> list[int]:
    """Which images a part of `Tiny` holds."""
    return split.images[:, 0, 0, 0].tolist()


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=4), share=st.floats(0.05, 0.45), seed=st.integers(0, 9))
def test_validation_is_class_balanced_and_never_takes_the_only_image(
    counts: list[int], share: float, seed: int
) -> None:
    labels = torch.arange(len(counts) + 1).repeat_interleave(torch.tensor([*counts, 1]))
    total, names = len(labels), [f"name {label}" for label in range(len(counts) + 1)]
    number = max(1, round(share * total))
    held, kept = stratified_split(labels, names, number, seed)
    assert len(held) == number
    assert torch.equal(torch.cat((held, kept)).sort().values, torch.arange(total))
    *taken, only = torch.bincount(labels[held], minlength=len(names)).tolist()
    assert only == 0
    last, following = ([(n + i) / count for n, count in zip(taken, counts, strict=True)] for i in (-1, 0))
    assert max(last) <= min(following), "no class gave its last image while another one should have"
    with pytest.raises(ValueError, match=r"class name \d has no images left to train on.*lower dataset\.validation"):
        stratified_split(labels, names, total - 1, seed)


def test_the_split_is_the_same_whatever_the_order_of_training_and_other_random_draws() -> None:
    one = data()
    torch.manual_seed(3)
    other = data().ordered(Stream.SEARCH, 5)
    assert torch.equal(data().recalibration_images(), one.recalibration_images())
    assert numbers(one.validation) == numbers(other.validation)
    assert numbers(one.train) == numbers(other.train)
    assert numbers(data(split_seed=1).validation) != numbers(one.validation)
    assert numbers(data(train=20).validation) == numbers(one.validation)
    assert set(numbers(data(train=20).train)) < set(numbers(one.train))


def test_pixels_are_normalised_by_the_training_images() -> None:
    module = data()
    images = module.normalised(module.train).images
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3)), torch.ones(2), atol=1e-5, rtol=0)
    batches = torch.cat([images for images, _ in module.val_dataloader()])
    torch.testing.assert_close(batches, module.normalised(module.validation).images)
    tests = torch.cat([images for images, _ in module.test_dataloader()])
    torch.testing.assert_close(tests, module.normalised(module.test).images)


def test_recalibration_uses_training_images_only() -> None:
    module = data()
    images = module.recalibration_images()
    assert len(images) == 16
    raw = (images * module.std + module.mean)[:, 0, 0, 0].round().int().tolist()
    assert len(set(raw)) == 16
    assert set(raw) <= set(numbers(module.train))
    assert len(data(recalibration=512).recalibration_images()) == 48, "all of a small set"


OTHER_UNITS = [0.0, 1.0], [-5.0, 5.0], [0.25, 0.25]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": 0}, r"dataset\.validation must be a number of images or a share below 1, got 0"),
        ({"validation": 1.5}, r"dataset\.validation must be a number of images or a share below 1, got 1\.5"),
        ({"validation": float("nan")}, r"dataset\.validation must be a number of images or a share below 1"),
        ({"batch_size": 0}, r"dataset\.batch_size must be at least 1, got 0"),
        ({"eval_batch_size": -1}, r"dataset\.eval_batch_size must be at least 1, got -1"),
        ({"recalibration": 0}, r"dataset\.recalibration must be at least 1, got 0"),
        ({"validation": 60}, r"dataset\.validation=60 does not divide 60 training images in two"),
        ({"train": 49}, r"dataset\.train=49 is not between 1 and the 48 images that are left"),
        ({"train": 0}, r"dataset\.train=0 is not between 1 and the 48 images that are left"),
        ({"train": 7}, r"dataset\.batch_size=8 is more than the 7 training images: choose fewer"),
        ({"mean": [1.0]}, r"dataset\.mean must have a value for each of 2 channels, got \[1\.0\]"),
        *(({"std": std}, r"dataset\.std=\[.*are in units of the stored bytes, from 0 to 255") for std in OTHER_UNITS),
        ({"root": "x"}, r"there is no option dataset\.root, neither of DataModule nor Tiny"),
    ],
)
def test_impossible_options_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data(**changes)


def test_validation_images_may_join_the_training_images() -> None:
    one = data()
    both = one.ordered(Stream.RETRAIN, 3).with_validation()
    assert sorted(numbers(both.train)) == list(range(60))
    assert numbers(both.validation) == numbers(one.validation)
    assert torch.equal(both.mean, one.mean), "a network meets images as it would without them"
    assert both.orders == ("retrain 3",)
    assert len(one.train) == 48


def test_given_constants_replace_measured_ones() -> None:
    module = data(mean=[1.0, 2.0], std=[4.0, 8.0])
    first = module.train.images[0, :, 0, 0]
    expected = [(float(first[0]) - 1) / 4, (float(first[1]) - 2) / 8]
    assert module.normalised(module.train).images[0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], "the training labels run from 0 to 3, but 3 classes are numbered from 0 to 2"),
        ([-1, 1, 2], "the training labels run from -1 to 2"),
        ([], "the data set has no training images"),
    ],
)
def test_labels_without_a_class_or_an_image_are_refused(labels: list[int], message: str) -> None:
    images = torch.zeros(3 if labels else 0, 1, 2, 2, dtype=torch.uint8)
    test = Split(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.zeros(1).long())
    with pytest.raises(ValueError, match=message):
        RawDataset(Split(images, torch.tensor(labels, dtype=torch.int64)), test, ("a", "b", "c"))


def test_digits_are_those_of_earlier_versions() -> None:
    def digest(*tensors: Tensor) -> str:
        content = b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)
        return hashlib.blake2b(content, digest_size=8).hexdigest()

    module = data(Digits(697), validation=500, batch_size=64, eval_batch_size=500, recalibration=512)
    loader = module.ordered(Stream.SEARCH, 3).train_dataloader()
    loader.set_epoch(5)
    assert [digest(part.images, part.labels) for part in (module.train, module.validation, module.test)] == [
        "e46e2638580c08f8",
        "eb4b73354aab1412",
        "dc64eb0a92063f5f",
    ]
    assert module.specification()["train"] == "462bbbcbef4e3270"
    assert module.specification()["validation"] == "935ffd4d951a65ee"
    assert digest(module.recalibration_images()) == "07d1470670bd6ec3"
    assert digest(*(tensor for batch in loader for tensor in batch)) == "5e32e93b894b5013"
    train = {image.numpy().tobytes() for image in module.sets.train.images}
    assert not any(image.numpy().tobytes() in train for image in module.sets.test.images)
    with pytest.raises(ValueError, match=r"source.test must be from 1 to 1796, got 0"):
        Digits(0).read()


def test_a_data_set_describes_what_was_found() -> None:
    module = data(stem_stride=2)
    content = {split: module.specification()[split] for split in ("train", "validation", "test")}
    assert module.describe() == {
        "content": content,
        "name": "tiny",
        "train": 48,
        "validation": 12,
        "test": 8,
        "channels": 2,
        "size": [4, 4],
        "classes": ["a", "b", "c"],
        "stem_stride": 2,
        "views": 1,
        "notes": [],
    }
    lines = module.summary().splitlines()
    assert lines[0] == "tiny: train: 48 images, from 8 in class a to 24 in class c"
    assert lines[1] == "tiny: validation: 12 images, from 2 in class a to 6 in class c"
    assert lines[3] == "tiny: images of 2 x 4 x 4, 3 classes: a, b, c"
    module.name = "a\n\x1b[2J"
    assert module.summary().splitlines()[0] == r"a\n\x1b[2J: train: 48 images, from 8 in class a to 24 in class c"


def test_options_of_the_source_may_be_given_twice_but_not_differ(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path), size=8)
    assert DataModule(**OPTIONS | {"source": folder}, root=str(tmp_path), size=8).source == folder
    with pytest.raises(ValueError, match=r"dataset\.size=9 must be passed on: size: \$\{\.\.size\} in dataset\.source"):
        DataModule(**OPTIONS | {"source": folder}, size=9)
