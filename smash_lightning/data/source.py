"""What a data set is made of, whatever its origin: decoded images as bytes, labels, class names."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

MOST_UNREADABLE = 0.01  # of a set's examples that are left out and stated: more of them are no accident


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
    """A data set as it is distributed: what may be learned from, and what is kept for true errors.

    Args:
        train: what may be learned from.
        test: what is kept for true errors.
        classes: name of each label.
        notes: what a reader of results should know, as whole sentences: a test split that was made from train,
            images that were skipped, fewer images than the official set has.

    Raises:
        ValueError: a split is empty, or has labels without a class, or images of another shape than the other.
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
            if len(split.images) != len(split):
                raise ValueError(f"the data set has {len(split.images)} {name} images but {len(split)} labels")
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
    """What a source would fetch: an address, its size in bytes, and its MD5 where the publisher's is known."""

    url: str
    size: int
    md5: str | None


@dataclass(frozen=True)
class Source(ABC):
    """Reads one data set. Every option is a field: options and files together decide what is read.

    `published` are mean and deviation of the training images' channels as the literature has them, in units of 255.
    """

    published: ClassVar[tuple[tuple[float, ...], tuple[float, ...]] | None] = None

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that `read` reads, in an order that depends on their names alone; none where it reads no files.

        Raises:
            FileNotFoundError: a file is missing; the message, its only argument, says which and what to do.
            ValueError: an option is impossible.
        """

    @abstractmethod
    def read(self) -> RawDataset:
        """The whole set, decoded.

        Raises:
            FileNotFoundError: as `files`.
            ValueError: a file is corrupt; the message names it and the remedy.
        """

    def downloads(self) -> Sequence[Download]:
        """What `fetch` would download."""
        return ()

    def fetch(self) -> None:
        """Downloads the official distribution into the folder where `files` looks for it.

        Raises:
            OSError: the download failed; what has arrived is kept, and the next call continues it.
            ValueError: what arrived is not what was published.
        """
        raise NotImplementedError(f"{type(self).__name__} has no official distribution to download")
