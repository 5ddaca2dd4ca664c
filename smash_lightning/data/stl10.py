"""STL-10: 13,000 labelled colour photographs of 96x96, from the official binary version.

Source: A. Coates, H. Lee, A. Y. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, 2011;
https://cs.stanford.edu/~acoates/stl10 describes the files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smash_lightning.data.official import FETCH_AGAIN, find_files, shortfall
from smash_lightning.data.source import Download, RawDataset, Source, Split

OFFICIAL = (5_000, 8_000)  # training and test images
FOLDS = 10
SHAPE = (3, 96, 96)  # channels, columns, rows: the file's order
FOLDER = "stl10_binary"
FILES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "class_names.txt")
FOLD_FILE = "fold_indices.txt"
DOWNLOAD = Download(
    url="http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
    size=2_640_397_119,
    md5="91f7769df0f17e558f3565bffb0c7dfb",
    folder=FOLDER,
    skip="unlabeled_X.bin",  # most of it
)


@dataclass(frozen=True)
class STL10(Source):
    """Ten classes of 500 training and 800 test images; the set's 100,000 unlabelled images are left out.

    Args:
        root: contains stl10_binary, or is that folder itself.
        fold: 0 to 9 takes the 1,000 training images of one of the ten official folds, None takes all 5,000.
    """

    published = ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713))
    download = DOWNLOAD

    root: str
    fold: int | None = None

    def files(self) -> Sequence[Path]:
        """Images and labels of both splits, the names of the classes, and the folds where `fold` needs them."""
        if self.fold is not None and self.fold not in range(FOLDS):
            raise ValueError(f"dataset.fold must be from 0 to {FOLDS - 1}, or null for all, got {self.fold}")
        return find_files(self.root, FOLDER, FILES if self.fold is None else (*FILES, FOLD_FILE))

    def read(self) -> RawDataset:
        """Images (count, 3, 96, 96) in the official order, or that of the fold."""
        train_images, train_labels, test_images, test_labels, names, *folds = self.files()
        classes = tuple(names.read_text(encoding="utf-8", errors="replace").split())
        if not classes:
            raise ValueError(f"{names} holds no names of classes: {FETCH_AGAIN}")
        train = _read_split(train_images, train_labels, len(classes))
        test = _read_split(test_images, test_labels, len(classes))
        notes = shortfall("STL-10", (len(train), len(test)), OFFICIAL)
        if self.fold is not None:
            train = train.take(_read_fold(folds[0], self.fold, len(train)))
        return RawDataset(train, test, classes, notes)


def _read_split(images: Path, labels: Path, classes: int) -> Split:
    pixels, numbers = np.fromfile(images, np.uint8), np.fromfile(labels, np.uint8)
    if len(pixels) != len(numbers) * math.prod(SHAPE):
        raise ValueError(
            f"{images} holds {len(pixels):,} bytes, and {labels} {len(numbers)} labels, but an image has "
            f"{math.prod(SHAPE):,} bytes: {FETCH_AGAIN}"
        )
    if len(wrong := numbers[(numbers < 1) | (numbers > classes)]):
        among = f"from 1 to {classes}"
        raise ValueError(f"{labels} has an image of class {wrong[0]}, but classes are numbered {among}: {FETCH_AGAIN}")
    columns = torch.from_numpy(pixels).view(-1, *SHAPE)
    return Split(columns.transpose(2, 3).contiguous(), torch.from_numpy(numbers).long() - 1)


def _read_fold(path: Path, fold: int, count: int) -> Tensor:
    """Positions of the training images of a fold, which is a line of the file."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    words = lines[fold].split() if fold < len(lines) else []
    index = [int(word) for word in words if word.isdecimal()]
    if not words or len(set(index)) < len(words) or not all(number < count for number in index):
        raise ValueError(
            f"{path} must name distinct images from 0 to {count - 1} in line {fold + 1}, and does not: {FETCH_AGAIN}"
        )
    return torch.tensor(index)
