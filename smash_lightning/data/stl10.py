"""STL-10: 13,000 labelled colour photographs of 96x96, from the official binary version.

Source: A. Coates, H. Lee, A. Y. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, 2011;
https://cs.stanford.edu/~acoates/stl10 describes the files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from smash_lightning.data.official import FETCH_AGAIN, find_files, shortfall
from smash_lightning.data.source import Download, RawDataset, Source, Split

FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
FOLD_FILE = "fold_indices.txt"


@dataclass(frozen=True)
class STL10(Source):
    """Ten classes of 500 training and 800 test images; the set's 100,000 unlabelled images are left out.

    Args:
        root: contains stl10_binary, or is that folder itself.
        fold: 0 to 9 takes the 1,000 training images of one of the ten official folds, None takes all 5,000.
    """

    download = Download(
        "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
        2_640_397_119,  # mostly unlabelled images
        "91f7769df0f17e558f3565bffb0c7dfb",
        "stl10_binary",
        (*FILES, FOLD_FILE),
    )

    root: str
    fold: int | None = None

    def files(self) -> Sequence[Path]:
        """Images and labels of both splits, the names of the classes, and the folds where `fold` needs them."""
        if self.fold is not None and self.fold not in range(10):
            raise ValueError(f"dataset.fold must be from 0 to 9, or null for all, got {self.fold}")
        return find_files(self.root, "stl10_binary", FILES if self.fold is None else (*FILES, FOLD_FILE))

    def read(self) -> RawDataset:
        """Images (count, 3, 96, 96) in the official order, or that of the fold."""
        *splits, names = self.files()[: len(FILES)]
        train, test = _read_split(*splits[:2]), _read_split(*splits[2:])
        notes = shortfall("STL-10", (len(train), len(test)), (5_000, 8_000))
        if self.fold is not None:
            train = self._take_fold(train, self.fold)
        return RawDataset(train, test, tuple(names.read_text(encoding="utf-8", errors="replace").split()), notes)

    def _take_fold(self, train: Split, fold: int) -> Split:
        path = self.files()[-1]
        try:
            index = np.array(path.read_text(encoding="utf-8").splitlines()[fold].split(), np.int64)
            if not len(index) or len(np.unique(index)) < len(index) or index.min() < 0:
                raise ValueError
            return train.take(torch.from_numpy(index))
        except (ValueError, LookupError):
            raise ValueError(
                f"{path} must name distinct images from 0 to {len(train) - 1} in line {fold + 1}, and does not: "
                f"{FETCH_AGAIN}"
            ) from None


def _read_split(images: Path, labels: Path) -> Split:
    pixels, numbers = np.fromfile(images, np.uint8), np.fromfile(labels, np.uint8)
    if len(pixels) != len(numbers) * 3 * 96 * 96:
        raise ValueError(f"{images} and {labels} hold other numbers of images and labels: {FETCH_AGAIN}")
    columns = torch.from_numpy(pixels).view(-1, 3, 96, 96)  # the file's order is that of columns
    return Split(columns.transpose(2, 3).contiguous(), torch.from_numpy(numbers).long() - 1)
