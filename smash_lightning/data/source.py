"""What a data set consists of, whatever its format: decoded images as bytes, labels, class names."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

MAX_UNREADABLE = 0.01  # share of a set's examples that may be unreadable: they are left out and reported


@dataclass(frozen=True, slots=True)
class Split:
    """Images (count, channels, *size) of bytes, and labels (count,) of 64-bit integers from 0."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Split:
        """The examples at `index`, in that order."""
        return Split(self.images[index], self.labels[index])

    def content(self) -> str:
        """A digest of shape, images and labels."""
        digest = hashlib.blake2b(repr(tuple(self.images.shape)).encode(), digest_size=8)
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class RawDataset:
    """A data set as it is distributed: `train` is for training and validation; notes are sentences for reports.

    Raises:
        ValueError: a split is empty, has labels without a class, or its images differ in shape from the other's.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, split in (("training", self.train), ("test", self.test)):
            assert split.images.dtype == torch.uint8
            assert split.labels.dtype == torch.int64
            if not len(split):
                raise ValueError(f"the data set has no {name} images")
            assert len(split.images) == len(split)
            lowest, highest = int(split.labels.min()), int(split.labels.max())
            if lowest < 0 or highest >= len(self.classes):
                raise ValueError(
                    f"the {name} labels run from {lowest} to {highest}, but {len(self.classes)} classes are numbered "
                    f"from 0 to {len(self.classes) - 1}"
                )
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            shapes = [tuple(split.images.shape[1:]) for split in (self.train, self.test)]
            raise ValueError(f"training images are of shape {shapes[0]}, test images of {shapes[1]}")


@dataclass(frozen=True, slots=True)
class Download:
    """An official .tar.gz or .zip archive, of which one folder is unpacked."""

    url: str
    size: int  # in bytes
    md5: str | None  # None: its publisher gives none
    folder: str
    skip: str | None = None  # ending of files that are not unpacked


@dataclass(frozen=True)
class Source(ABC):
    """Reads one data set. Every option is a field: options and files together decide the content.

    `published` are mean and std of the training images' channels in the literature, in units of 255; `download` is the
    official archive, whose folder belongs into the field `root`.
    """

    published: ClassVar[tuple[tuple[float, ...], tuple[float, ...]] | None] = None
    download: ClassVar[Download | None] = None

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that `read` reads, in an order that depends on their names alone; none where it reads no files.

        Raises:
            FileNotFoundError: a file is missing; the message, its only argument, names it and the remedy.
            ValueError: an option is impossible.
        """

    @abstractmethod
    def read(self) -> RawDataset:
        """The whole set, decoded.

        Raises:
            ValueError: a file is corrupt; the message names it and the remedy.
        """


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
