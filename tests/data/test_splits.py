"""Whatever is read: nothing that is learned from is scored on, and nothing of either is a true error taken from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smash_lightning.data import (
    CIFAR10,
    CIFAR100,
    STL10,
    CropFlip,
    DataModule,
    Digits,
    Folder,
    ImageNet32,
    ModelNet10,
    Parquet,
    Source,
    Subset,
    VoxelMoves,
)
from smash_lightning.random_streams import Stream
from tests.data import test_cifar, test_folder, test_imagenet32, test_modelnet10, test_parquet, test_stl10

SHARED = Path(__file__).parents[3] / "shared" / "data"


def _cifar10(root: Path) -> Source:
    test_cifar.write10(root, count=6)
    return CIFAR10(str(root))


def _cifar100(root: Path) -> Source:
    folder = test_cifar.write100(root)
    labels = [n % 3 for n in range(12)]
    batch = {"fine_labels": labels, "coarse_labels": labels, "data": test_cifar.rows("more", len(labels))}
    test_cifar.change(folder / "train", lambda _: batch)
    return CIFAR100(str(root))


def _imagenet32(root: Path) -> Source:
    return ImageNet32(str(test_imagenet32.write(root)))


def _modelnet10(root: Path) -> Source:
    return ModelNet10(str(test_modelnet10.official(root, train=5, test=3)))


def _folder(root: Path) -> Source:
    test_folder.fill(root / "train", {"a": list(range(10)), "b": list(range(20, 40))})
    test_folder.fill(root / "test", {"a": [50, 51], "b": [60]})
    return Folder(str(root), None)


def _folder_without_test(root: Path) -> Source:
    return Folder(str(test_folder.fill(root, {"a": list(range(10)), "b": list(range(20, 40))})), None)


def _parquet(root: Path) -> Source:
    test_parquet.plain(root / "train-0.parquet", range(20))
    test_parquet.plain(root / "train-1.parquet", range(20, 30))
    test_parquet.plain(root / "test-0.parquet", range(40, 46))
    return Parquet(str(root), None, None, None)


def _parquet_without_test(root: Path) -> Source:
    test_parquet.plain(root / "train-0.parquet", range(40))
    return Parquet(str(root), None, None, None)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": lambda root: Digits(),
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "imagenet32": _imagenet32,
    "modelnet10": _modelnet10,
    "folder": _folder,
    "folder without test": _folder_without_test,
    "parquet": _parquet,
    "parquet without test": _parquet_without_test,
}


def module(source: Source, root: Path) -> DataModule:
    options = {"validation": 0.25, "train": None, "batch_size": 2, "eval_batch_size": 4, "recalibration": 2}
    data = DataModule(name="x", source=source, stem_stride=1, split_seed=0, cache=str(root / "cache"), **options)
    data.setup()
    return data


def contents(part: Subset) -> list[bytes]:
    return [image.numpy().tobytes() for image in part.images]


def assert_divided(data: DataModule) -> None:
    """By place: train and validation together are all of the source's training split, each once."""
    assert data.train.whole is data.validation.whole is data.sets.train
    assert data.test.whole is data.sets.test
    together = torch.cat([data.train.index, data.validation.index])
    assert torch.equal(together.sort().values, torch.arange(len(data.sets.train)))
    assert torch.equal(data.test.index, torch.arange(len(data.sets.test)))
    assert len(data.validation) == round(0.25 * len(data.sets.train))


@pytest.mark.parametrize("name", SOURCES)
def test_no_image_plays_two_roles(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    data = module(SOURCES[name](tmp_path / "data"), tmp_path)
    assert_divided(data)
    train, validation, test = (set(contents(part)) for part in (data.train, data.validation, data.test))
    assert len(train) > 1
    assert not train & validation
    assert not train & test
    assert not validation & test


@pytest.mark.parametrize("fold", [None, 0, 9])
def test_no_image_of_stl10_plays_two_roles(tmp_path: Path, fold: int | None) -> None:
    folder = test_stl10.write(tmp_path / "data", train=20, test=7)
    # Its pictures repeat after some: unlike ones here, so that content tells them apart.
    for name, count in (("train", 20), ("test", 7)):
        noise = torch.randint(
            256, (count, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(count)
        )
        (folder / f"{name}_X.bin").write_bytes(noise.numpy().tobytes())
    folds = [[*range(n % 7, n % 7 + 4), *range(n % 7 + 10, n % 7 + 14)] for n in range(10)]  # two images of a class
    (folder / "fold_indices.txt").write_text("".join(f"{' '.join(map(str, fold))}\n" for fold in folds))
    data = module(STL10(str(tmp_path / "data"), fold), tmp_path)
    assert_divided(data)
    assert len(data.sets.train) == (20 if fold is None else 8)
    parts = [set(contents(part)) for part in (data.train, data.validation, data.test)]
    assert len(set.union(*parts)) == sum(map(len, parts))


@pytest.mark.skipif(not SHARED.exists(), reason="real images are not here")
@pytest.mark.parametrize(
    ("source", "repeated"),
    [
        (CIFAR10(str(SHARED / "cifar10_original_sample")), 0),
        (STL10(str(SHARED / "imagenette96" / "stl10_layout_subset"), None), 0),
        (STL10(str(SHARED / "imagenette96" / "stl10_layout_subset"), 4), 0),
        (ImageNet32(str(SHARED / "imagenet32" / "official_format_subset")), 0),
        (ModelNet10(str(SHARED / "modelnet10" / "modelnet10_32.npz")), 71),  # so the set is, and so its notes say
    ],
    ids=["cifar10", "stl10", "stl10 fold 4", "imagenet32", "modelnet10"],
)
def test_real_images_play_one_role(tmp_path: Path, source: Source, repeated: int) -> None:
    data = module(source, tmp_path)
    assert_divided(data)
    learned = set(contents(data.train)) | set(contents(data.validation))
    assert sum(content in learned for content in contents(data.test)) == repeated
    assert any(f"{repeated} test objects" in note for note in data.sets.notes) == (repeated > 0)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="real images are not here")
def test_published_constants_are_those_of_the_images() -> None:
    # All of CIFAR-10, after a JPEG compression that takes a little of the contrast.
    train = Parquet(str(SHARED / "cifar10"), None, None, None).read().train
    measured = torch.tensor(Subset(train, torch.arange(len(train))).moments()) / 255
    assert CIFAR10.published is not None
    torch.testing.assert_close(measured, torch.tensor(CIFAR10.published), atol=0.0025, rtol=0)


@pytest.mark.skipif(not SHARED.exists(), reason="real images are not here")
def test_a_pass_over_real_images_of_two_and_three_dimensions(tmp_path: Path) -> None:
    for source, augmentation in (
        (CIFAR10(str(SHARED / "cifar10_original_sample")), CropFlip()),
        (ModelNet10(str(SHARED / "modelnet10" / "modelnet10_32.npz")), VoxelMoves()),
    ):
        options = {"validation": 100, "train": 200, "batch_size": 50, "eval_batch_size": 100, "recalibration": 50}
        options |= {"augmentation": augmentation, "average_views": True, "cache": str(tmp_path)}
        data = DataModule(name="x", source=source, stem_stride=1, split_seed=0, **options)
        data.setup()
        data = data.ordered(Stream.SEARCH, 0)
        for images, labels in data.train_dataloader():
            assert images.shape == (50, *data.sets.train.images.shape[1:])
            assert images.isfinite().all()
            assert abs(float(images.mean())) < 1
            assert len(labels) == 50
        assert len(data.test_dataloader()) == augmentation.views * -(-len(data.test) // 100)
