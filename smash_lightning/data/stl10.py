"""STL-10: 13,000 labelled colour photographs of 96x96, from the official binary version.

Source: A. Coates, H. Lee, A. Y. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, 2011;
https://cs.stanford.edu/~acoates/stl10 says how the files are laid out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smash_lightning.data.download import fetch_archive
from smash_lightning.data.official import FETCH_AGAIN, find_files, shortfall
from smash_lightning.data.source import Download, RawDataset, Source, Split

OFFICIAL = (5_000, 8_000)  # training and test images
FOLDS = 10
SHAPE = (3, 96, 96)  # channels, columns, rows: the file's order
FOLDER = "stl10_binary"
FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
FOLD_FILE = "fold_indices.txt"
DOWNLOAD = Download(
    "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz", 2_640_397_119, "91f7769df0f17e558f3565bffb0c7dfb"
)


@dataclass(frozen=True)
class STL10(Source):
    """Ten classes of 500 training and 800 test images; the set's 100,000 unlabelled images are left out.

    Args:
        root: holds stl10_binary, or is that folder itself.
        fold: 0 to 9 takes the 1,000 training images of one of the ten official folds, None takes all 5,000.
    """

    published = ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713))

    root: str
    fold: int | None = None

    def files(self) -> Sequence[Path]:
        """Images and labels of both splits, the names of the classes, and the folds where one is asked for."""
        if self.fold is not None and self.fold not in range(FOLDS):
            raise ValueError(f"dataset.fold must lie between 0 and {FOLDS - 1}, or be null for all, got {self.fold}")
        return find_files(self.root, FOLDER, FILES if self.fold is None else (*FILES, FOLD_FILE))

    def read(self) -> RawDataset:
        """Images (count, 3, 96, 96) in the official order, that of the fold where one is asked for."""
        train_images, train_labels, test_images, test_labels, names, *folds = self.files()
        classes = _read_names(names)
        train = _read_split(train_images, train_labels, len(classes))
        test = _read_split(test_images, test_labels, len(classes))
        notes = shortfall("STL-10", (len(train), len(test)), OFFICIAL)
        if self.fold is not None:
            train = train.take(_read_fold(folds[0], self.fold, len(train)))
        return RawDataset(train, test, classes, notes)

    def downloads(self) -> Sequence[Download]:
        """The official binary version, most of which is unlabelled images."""
        return (DOWNLOAD,)

    def fetch(self) -> None:
        """Puts the labelled part of stl10_binary into `root`."""
        fetch_archive(DOWNLOAD, Path(self.root).expanduser(), FOLDER, lambda name: not name.endswith("unlabeled_X.bin"))
        self.files()


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(path.read_text(encoding="utf-8").split())
    except UnicodeDecodeError:
        names = ()
    if not names:
        raise ValueError(f"{path} holds no names of classes: {FETCH_AGAIN}")
    return names


def _read_split(images: Path, labels: Path, classes: int) -> Split:
    size = int(np.prod(SHAPE))
    if images.stat().st_size % size:
        raise ValueError(f"{images} is not a whole number of images of {size:,} bytes: {FETCH_AGAIN}")
    numbers = torch.from_numpy(np.fromfile(labels, np.uint8)).long()
    count = images.stat().st_size // size
    if len(numbers) != count:
        raise ValueError(f"{images} holds {count} images, but {labels} holds {len(numbers)} labels: {FETCH_AGAIN}")
    wrong = numbers[(numbers < 1) | (numbers > classes)]
    if len(wrong):
        raise ValueError(
            f"{labels} has an image of class {int(wrong[0])}, but classes are numbered from 1 to {classes}: "
            f"{FETCH_AGAIN}"
        )
    columns = torch.from_numpy(np.fromfile(images, np.uint8)).view(-1, *SHAPE)
    return Split(columns.transpose(2, 3).contiguous(), numbers - 1)


def _read_fold(path: Path, fold: int, count: int) -> Tensor:
    """Positions of the training images of a fold."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if fold >= len(lines):
        raise ValueError(f"{path} holds {len(lines)} folds, so that there is no dataset.fold={fold}: {FETCH_AGAIN}")
    try:
        index = [int(number) for number in lines[fold].split()]
    except ValueError:
        raise ValueError(f"{path} has something else than numbers in line {fold + 1}: {FETCH_AGAIN}") from None
    wrong = [number for number in index if not 0 <= number < count]
    if wrong:
        raise ValueError(
            f"{path} has image {wrong[0]} in line {fold + 1}, but {count} images are numbered from 0: {FETCH_AGAIN}"
        )
    if not index or len(set(index)) < len(index):
        raise ValueError(f"{path} has no image, or one twice, in line {fold + 1}: {FETCH_AGAIN}")
    return torch.tensor(index)
