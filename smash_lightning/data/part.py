"""Which examples of a data set play which role? A part refers to a split instead of copying it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smash_lightning.data.source import Split
from smash_lightning.random_streams import Stream, generator

CHUNK = 1 << 26  # bytes of images whose pixels are counted at a time


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
        """The examples of this part at `positions`, in that order."""
        return Subset(self.whole, self.index[positions])

    def moments(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of the bytes of each channel: exact, from counts of the 256 values."""
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


def stratified_split(split: Split, classes: int, wanted: float, seed: int) -> tuple[Subset, Subset]:
    """A class-balanced part of a split, and the rest, both in random order.

    Args:
        split: what is divided.
        classes: number of classes.
        wanted: examples of the part; below 1, its share of the split.
        seed: of the choice.

    Raises:
        ValueError: there are not so many.
    """
    total = len(split)
    count = round(wanted * total) if wanted < 1 else int(wanted)
    if not 0 < count < total:
        raise ValueError(f"dataset.validation={wanted} does not divide {total} training images in two")
    order = torch.randperm(total, generator=generator(Stream.VALIDATION, seed))
    labels = split.labels[order]
    # Each image's place among those of its class: taking the lowest places first takes all classes evenly.
    place = torch.empty(total)
    for label in range(classes):
        mine = labels == label
        size = int(mine.sum())
        place[mine] = torch.arange(size) / size if size > 1 else 1.0  # an only one is learned from
    by_place = torch.argsort(place, stable=True)
    held, kept = order[by_place[:count]], order[torch.sort(by_place[count:]).values]
    return Subset(split, held), Subset(split, kept)
