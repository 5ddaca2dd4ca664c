"""Examples of a split by index, and the class-balanced division of a split in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from smash_lightning.data.source import Split
from smash_lightning.random_streams import Stream, generator

CHUNK = 1 << 26  # bytes of images whose pixels are counted at a time
LARGEST_PIXEL = 100  # normalised; larger ones were divided by a std in other units


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

    def take(self, positions: Tensor) -> Subset:
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


def stratified_split(split: Split, classes: Sequence[str], wanted: float, seed: int) -> tuple[Subset, Subset]:
    """A class-balanced subset of a split, and the rest, both in random order.

    Args:
        split: what is divided.
        classes: name of each label.
        wanted: examples of the subset; below 1, its share of the split.
        seed: of the choice.

    Raises:
        ValueError: there are not so many, or nothing would be left of a class.
    """
    total = len(split)
    count = round(wanted * total) if wanted < 1 else int(wanted)
    if not 0 < count < total:
        raise ValueError(f"dataset.validation={wanted} does not divide {total} training images in two")
    order = torch.randperm(total, generator=generator(Stream.VALIDATION, seed))
    labels = split.labels[order]
    # Each image's relative position within its class: the lowest ones first take all classes evenly.
    position = torch.empty(total)
    for label in range(len(classes)):
        of_class = labels == label
        size = int(of_class.sum())
        position[of_class] = torch.arange(size) / size if size > 1 else 1.0  # a single image is for training
    by_position = torch.argsort(position, stable=True)
    held, kept = order[by_position[:count]], order[torch.sort(by_position[count:]).values]
    whole, left = (torch.bincount(some, minlength=len(classes)) for some in (split.labels, split.labels[kept]))
    if scarce := [name for name, before, after in zip(classes, whole, left, strict=True) if before > after == 0]:
        raise ValueError(
            f"class {scarce[0]} has no images left to train on, as all went to validation: lower dataset.validation, "
            "or leave such small classes out"
        )
    return Subset(split, held), Subset(split, kept)


def require_std_of_bytes(std: Sequence[float], split: Split) -> None:
    """Refuses a std of zero or less, and one of values from 0 to 1, for images of bytes."""
    brightest = int(split.images[:100].max())
    if min(std) <= 0 or brightest / min(std) > LARGEST_PIXEL:
        raise ValueError(
            f"dataset.std={list(std)} would make pixels of {brightest} enormous: mean and std are in units of the "
            "stored bytes, from 0 to 255"
        )
