"""What a data set consists of, whatever its format: decoded images as bytes, labels, class names."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from smash_lightning.random_streams import Stream, generator

CHUNK = 1 << 26  # bytes of images whose pixels are counted at a time
MAX_UNREADABLE = 0.01  # share of a set's examples that may be unreadable: they are left out and reported


@dataclass(frozen=True, slots=True)
class Split:
    """Images (count, channels, *size) of bytes, and labels (count,) of 64-bit integers from 0."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """The examples at `index`, in that order."""
        return Split(self.images[index], self.labels[index])

    def content(self) -> str:
        """A digest of shape, images and labels."""
        digest = hashlib.blake2b(repr(tuple(self.images.shape)).encode(), digest_size=8)
        for tensor in (self.images, self.labels):
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Subset:
    """The examples of `whole` at `index`, in that order."""

    whole: Split
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def images(self) -> Tensor:
        """A copy of the images (count, channels, *size)."""
        return self.whole.images[self.index]

    @property
    def labels(self) -> Tensor:
        """The labels (count,)."""
        return self.whole.labels[self.index]

    def take(self, positions: Tensor) -> "Subset":
        """The examples of this subset at `positions`, in that order."""
        return Subset(self.whole, self.index[positions])

    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and std of the bytes of each channel: exact, from counts of the 256 values."""
        channels = self.whole.images.shape[1]
        counts = torch.zeros(channels, 256, dtype=torch.float64)
        for chunk in self.index.split(max(1, CHUNK // self.whole.images[0].nbytes)):
            pixels = self.whole.images[chunk]
            for channel in range(channels):
                counts[channel] += torch.bincount(pixels[:, channel].reshape(-1), minlength=256)
        values = torch.arange(256, dtype=torch.float64)
        total = counts.sum(1)
        mean = counts @ values / total
        variance = (counts * (values - mean[:, None]) ** 2).sum(1) / (total - 1)
        return mean.tolist(), variance.sqrt().tolist()


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
            assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
            if not len(split):
                raise ValueError(f"the data set has no {name} images")
            assert len(split.images) == len(split)
            lowest, highest, count = int(split.labels.min()), int(split.labels.max()), len(self.classes)
            if lowest < 0 or highest >= count:
                raise ValueError(
                    f"the {name} labels run from {lowest} to {highest}, but {count} classes are numbered from 0 to "
                    f"{count - 1}: correct or replace the files"
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
    files: tuple[str, ...] = ()  # of that folder; all if none are named


@dataclass(frozen=True)
class Source(ABC):
    """Reads one data set. Every option is a field: options and files together decide the content.

    `download` is the official archive, whose folder belongs into the field `root`.
    """

    download: ClassVar[Download | None] = None

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that `read` reads, in an order that depends on their names alone; none where it reads no files.

        Raises:
            FileNotFoundError: a file is missing; the message, its only argument, names it and the remedy.
        """

    @abstractmethod
    def read(self) -> RawDataset:
        """The whole set, decoded; a corrupt file is a ValueError that names it and the remedy."""


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def stratified_split(labels: Tensor, classes: Sequence[str], wanted: float, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of a class-balanced subset, and those of the rest, both in random order.

    `wanted` is the number of examples of the subset or, below 1, its share of all. It is a ValueError where there are
    not so many, or nothing would be left of a class.
    """
    total = len(labels)
    count = round(wanted * total) if wanted < 1 else int(wanted)
    if not 0 < count < total:
        raise ValueError(f"dataset.validation={wanted} does not divide {total} training images in two")
    order = torch.randperm(total, generator=generator(Stream.VALIDATION, seed))
    # Each image's relative position within its class: the lowest ones first take all classes evenly.
    position = torch.empty(total)
    for label in range(len(classes)):
        of_class = labels[order] == label
        size = int(of_class.sum())
        position[of_class] = torch.arange(size) / size if size > 1 else 1.0  # a single image is for training
    by_position = torch.argsort(position, stable=True)
    held, kept = order[by_position[:count]], order[torch.sort(by_position[count:]).values]
    for label, name in enumerate(classes):
        if (labels == label).any() and not (labels[kept] == label).any():
            raise ValueError(
                f"class {name} has no images left to train on, as all went to validation: lower dataset.validation, or "
                "leave such small classes out"
            )
    return held, kept
