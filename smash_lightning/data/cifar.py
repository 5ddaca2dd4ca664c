"""CIFAR-10 and CIFAR-100: 60,000 colour photographs of 32x32, from the official python version's pickled batches.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html describes a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from smash_lightning.data.official import FETCH_AGAIN, find_files, shortfall
from smash_lightning.data.pickles import read_batch, read_dictionary, text
from smash_lightning.data.source import Download, RawDataset, Source, Split

OFFICIAL = (50_000, 10_000)  # training and test images of either
LABELS = ("fine", "coarse")
SITE = "https://www.cs.toronto.edu/~kriz"

CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
CIFAR10_DOWNLOAD = Download(
    f"{SITE}/cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py"
)
CIFAR100_FILES = ("train", "test", "meta")
CIFAR100_DOWNLOAD = Download(
    f"{SITE}/cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python"
)


@dataclass(frozen=True)
class CIFAR10(Source):
    """Ten classes of 5,000 training and 1,000 test images.

    Args:
        root: contains cifar-10-batches-py, or is that folder itself.
    """

    published = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    download = CIFAR10_DOWNLOAD

    root: str

    def files(self) -> Sequence[Path]:
        """Five training batches, one of test images, and the names of the classes."""
        return find_files(self.root, CIFAR10_DOWNLOAD.folder, CIFAR10_FILES)

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order."""
        return _read("CIFAR-10", self.files(), "labels", "label_names")


@dataclass(frozen=True)
class CIFAR100(Source):
    """A hundred classes of 500 training and 100 test images, or their twenty superclasses.

    Args:
        root: contains cifar-100-python, or is that folder itself.
        labels: "fine" for the hundred classes, "coarse" for the twenty.
    """

    published = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
    download = CIFAR100_DOWNLOAD

    root: str
    labels: str = "fine"

    def files(self) -> Sequence[Path]:
        """The training images, the test images, and the names of the classes."""
        if self.labels not in LABELS:
            raise ValueError(f"dataset.source.labels must be one of {', '.join(LABELS)}, got {self.labels!r}")
        return find_files(self.root, CIFAR100_DOWNLOAD.folder, CIFAR100_FILES)

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order."""
        return _read("CIFAR-100", self.files(), f"{self.labels}_labels", f"{self.labels}_label_names")


def _read(name: str, files: Sequence[Path], labels: str, names: str) -> RawDataset:
    *train_files, test_file, meta = files
    classes = read_dictionary(meta).get(names)
    if not isinstance(classes, list) or not classes or not all(isinstance(each, str | bytes) for each in classes):
        raise ValueError(f"{meta} has no names of classes under {names!r}: {FETCH_AGAIN}")
    batches = [read_batch(path, labels, range(len(classes))) for path in (*train_files, test_file)]
    # Concatenated also where there is one batch, as its own memory must not be written to.
    train, test = (
        Split(torch.cat([batch.images for batch in part]), torch.cat([batch.labels for batch in part]))
        for part in (batches[:-1], batches[-1:])
    )
    return RawDataset(train, test, tuple(map(text, classes)), shortfall(name, (len(train), len(test)), OFFICIAL))
