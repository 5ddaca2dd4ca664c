"""CIFAR-10 and CIFAR-100: 60,000 colour photographs of 32x32, from the official python version's pickled batches.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html says what a batch holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smash_lightning.data.download import fetch_archive
from smash_lightning.data.official import FETCH_AGAIN, find_files, shortfall
from smash_lightning.data.pickles import read_dictionary, text
from smash_lightning.data.source import Download, RawDataset, Source, Split

OFFICIAL = (50_000, 10_000)  # training and test images of either
LABELS = ("fine", "coarse")

CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
CIFAR10_DOWNLOAD = Download(
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"
)

CIFAR100_FOLDER = "cifar-100-python"
CIFAR100_FILES = ("train", "test", "meta")
CIFAR100_DOWNLOAD = Download(
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"
)


@dataclass(frozen=True)
class CIFAR10(Source):
    """Ten classes of 5,000 training and 1,000 test images.

    Args:
        root: holds cifar-10-batches-py, or is that folder itself.
    """

    published = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

    root: str

    def files(self) -> Sequence[Path]:
        """Five training batches, one of test images, and the names of the classes."""
        return find_files(self.root, CIFAR10_FOLDER, CIFAR10_FILES)

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order."""
        return _read("CIFAR-10", self.files(), "labels", "label_names")

    def downloads(self) -> Sequence[Download]:
        """The official python version."""
        return (CIFAR10_DOWNLOAD,)

    def fetch(self) -> None:
        """Puts cifar-10-batches-py into `root`."""
        fetch_archive(CIFAR10_DOWNLOAD, Path(self.root).expanduser(), CIFAR10_FOLDER)
        self.files()


@dataclass(frozen=True)
class CIFAR100(Source):
    """A hundred classes of 500 training and 100 test images, or the twenty superclasses that they make up.

    Args:
        root: holds cifar-100-python, or is that folder itself.
        labels: "fine" for the hundred classes, "coarse" for the twenty.
    """

    published = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))

    root: str
    labels: str = "fine"

    def files(self) -> Sequence[Path]:
        """The training images, the test images, and the names of the classes."""
        if self.labels not in LABELS:
            raise ValueError(f"dataset.source.labels must be one of {', '.join(LABELS)}, got {self.labels!r}")
        return find_files(self.root, CIFAR100_FOLDER, CIFAR100_FILES)

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order."""
        return _read("CIFAR-100", self.files(), f"{self.labels}_labels", f"{self.labels}_label_names")

    def downloads(self) -> Sequence[Download]:
        """The official python version."""
        return (CIFAR100_DOWNLOAD,)

    def fetch(self) -> None:
        """Puts cifar-100-python into `root`."""
        fetch_archive(CIFAR100_DOWNLOAD, Path(self.root).expanduser(), CIFAR100_FOLDER)
        self.files()


def read_batch(path: Path, key: str, numbers: range) -> Split:
    """One pickled batch: images (count, 3, 32, 32), which are not to be written to, and labels counted from 0.

    Args:
        path: the batch, a dictionary with `data`, a row of 3 x 32 x 32 bytes for each image.
        key: what the batch calls its labels.
        numbers: what stands for the classes in the file.

    Raises:
        ValueError: it is not such a batch.
    """
    batch = read_dictionary(path)
    missing = [name for name in ("data", key) if name not in batch]
    if missing:
        raise ValueError(f"{path} has no {missing[0]!r}, but {sorted(batch)}: {FETCH_AGAIN}")
    data = batch["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path} holds {found} instead of rows of 3,072 bytes, 3 x 32 x 32: {FETCH_AGAIN}")
    labels = _read_labels(path, batch[key], numbers)
    if len(labels) != len(data):
        raise ValueError(f"{path} holds {len(data)} images but {len(labels)} labels: {FETCH_AGAIN}")
    return Split(torch.from_numpy(np.ascontiguousarray(data)).view(-1, 3, 32, 32), labels)


def _read(name: str, files: Sequence[Path], labels: str, names: str) -> RawDataset:
    *batches, test, meta = files
    classes = _read_names(meta, names)
    splits = []
    for paths in (batches, [test]):
        parts = [read_batch(path, labels, range(len(classes))) for path in paths]
        splits.append(Split(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])))
    train, held = splits
    return RawDataset(train, held, classes, shortfall(name, (len(train), len(held)), OFFICIAL))


def _read_labels(path: Path, labels: Any, numbers: range) -> Tensor:
    array = np.asarray(labels) if not isinstance(labels, list) or all(type(n) is int for n in labels) else None
    if array is None or array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{path} has labels that are not a list of integers: {FETCH_AGAIN}")
    wrong = array[(array < numbers.start) | (array >= numbers.stop)]
    if len(wrong):
        raise ValueError(
            f"{path} has an image of class {wrong[0]}, but classes are numbered from {numbers.start} to "
            f"{numbers.stop - 1}: {FETCH_AGAIN}"
        )
    return torch.from_numpy(array.astype(np.int64) - numbers.start)


def _read_names(path: Path, key: str) -> tuple[str, ...]:
    names = read_dictionary(path).get(key)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise ValueError(f"{path} has no names of classes under {key!r}: {FETCH_AGAIN}")
    return tuple(text(name) for name in names)
