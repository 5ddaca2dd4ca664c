"""Whatever is read: no image is trained on and scored on, and none of either is a test image."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smash_lightning.data import (
    CIFAR10,
    CIFAR100,
    STL10,
    DataModule,
    Digits,
    Folder,
    ImageNet32,
    ModelNet10,
    Parquet,
    Source,
    Subset,
)
from tests.data import official_files
from tests.data.official_files import SHARED, with_shared
from tests.data.pictures import make, module


def folder(root: Path) -> Source:
    splits = {"train": {"a": range(10), "b": range(20, 40)}, "test": {"a": [50, 51], "b": [60]}}
    return Folder(str(make(root, splits)))


def parquet(root: Path) -> Source:
    shards = {"train-0.parquet": range(20), "train-1.parquet": range(20, 30), "test-0.parquet": range(40, 46)}
    return Parquet(str(make(root, shards)))


SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": lambda root: Digits(),
    "cifar10": lambda root: CIFAR10(str(official_files.cifar10(root, count=6))),
    "cifar100": lambda root: CIFAR100(str(official_files.cifar100(root, [n % 3 for n in range(12)], [0, 1]))),
    "imagenet32": lambda root: ImageNet32(str(official_files.imagenet32(root))),
    "folder": folder,
    "folder without test": lambda root: Folder(str(make(root, {"a": range(10), "b": range(20, 40)}))),
    "parquet": parquet,
    "parquet without test": lambda root: Parquet(str(make(root, {"train-0.parquet": range(40)}))),
}


def cached(source: Source, root: Path) -> DataModule:
    data = module(source, cache=str(root / "cache"))
    data.setup()
    return data


def contents(subset: Subset) -> set[bytes]:
    return {image.numpy().tobytes() for image in subset.images}


def assert_divided(data: DataModule) -> None:
    """By index: train and validation together are all of the source's training split, each once."""
    assert data.train.whole is data.validation.whole is data.sets.train
    assert data.test.whole is data.sets.test
    together = torch.cat([data.train.index, data.validation.index])
    assert torch.equal(together.sort().values, torch.arange(len(data.sets.train)))
    assert torch.equal(data.test.index, torch.arange(len(data.sets.test)))
    assert len(data.validation) == round(0.25 * len(data.sets.train))


@pytest.mark.parametrize("name", SOURCES)
def test_no_image_is_in_two_subsets(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    data = cached(SOURCES[name](tmp_path / "data"), tmp_path)
    assert_divided(data)
    train, validation, test = (contents(subset) for subset in (data.train, data.validation, data.test))
    assert len(train) > 1
    assert not train & validation
    assert not (train | validation) & test


@with_shared
@pytest.mark.parametrize(
    ("source", "repeated"),
    [
        (CIFAR10(str(SHARED / "cifar10_original_sample")), 0),
        (STL10(str(SHARED / "imagenette96" / "stl10_layout_subset"), 4), 0),
        (ImageNet32(str(SHARED / "imagenet32" / "official_format_subset")), 0),
        (ModelNet10(str(SHARED / "modelnet10" / "modelnet10_32.npz")), 71),  # the set is incomplete, as its notes state
    ],
    ids=["cifar10", "stl10", "imagenet32", "modelnet10"],
)
def test_no_real_image_is_in_two_subsets(tmp_path: Path, source: Source, repeated: int) -> None:
    data = cached(source, tmp_path)
    assert_divided(data)
    trained = contents(data.train) | contents(data.validation)
    assert sum(image.numpy().tobytes() in trained for image in data.test.images) == repeated
    assert any(f"{repeated} test objects" in note for note in data.sets.notes) == (repeated > 0)
