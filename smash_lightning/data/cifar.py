"""CIFAR-10 and CIFAR-100: 60,000 colour photographs of 32x32, from the official python version's pickled batches.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html describes a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smash_lightning.data.official import FETCH_AGAIN, find_files, read_batches, read_dictionary, shortfall, text
from smash_lightning.data.source import Download, RawDataset, Source

SITE = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class CIFAR10(Source):
    """Ten classes of 5,000 training and 1,000 test images.

    Args:
        root: contains cifar-10-batches-py, or is that folder itself.
    """

    download = Download(
        f"{SITE}/cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py"
    )

    root: str

    def files(self) -> Sequence[Path]:
        """Five training batches, one of test images, and the names of the classes."""
        batches = [f"data_batch_{number}" for number in range(1, 6)]
        return find_files(self.root, "cifar-10-batches-py", [*batches, "test_batch", "batches.meta"])

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

    download = Download(
        f"{SITE}/cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python"
    )

    root: str
    labels: str = "fine"

    def files(self) -> Sequence[Path]:
        """The training images, the test images, and the names of the classes."""
        if self.labels not in ("fine", "coarse"):
            raise ValueError(f"dataset.source.labels must be one of fine, coarse, got {self.labels!r}")
        return find_files(self.root, "cifar-100-python", ["train", "test", "meta"])

    def read(self) -> RawDataset:
        """Images (count, 3, 32, 32) in the official order."""
        return _read("CIFAR-100", self.files(), f"{self.labels}_labels", f"{self.labels}_label_names")


def _read(name: str, files: Sequence[Path], labels: str, names: str) -> RawDataset:
    *train_files, test_file, meta = files
    classes = read_dictionary(meta).get(names)
    if not isinstance(classes, list) or not classes or not all(isinstance(each, str | bytes) for each in classes):
        raise ValueError(f"{meta} has no names of classes under {names!r}: {FETCH_AGAIN}")
    train, test = read_batches(train_files, labels), read_batches([test_file], labels)
    return RawDataset(
        train, test, tuple(map(text, classes)), shortfall(name, (len(train), len(test)), (50_000, 10_000))
    )
