"""Batches straight from a tensor: a pure function of (seed, epoch, position), so that a run resumes exactly."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from smash_lightning.data.augmentation import Augmentation
from smash_lightning.data.part import Subset
from smash_lightning.random_streams import Stream, generator

Change = Callable[[Tensor], Tensor]


class TensorLoader:
    """Iterates over batches (images, labels) of a part, images as floats (batch, channels, *size).

    All that is done to images happens for a whole batch at once, on the device that asks for it. An epoch's order and
    chance are drawn at its beginning, so that a step does not make a GPU wait where the part's tensors lie on it, and
    only for the bytes of the batch where they lie elsewhere. Lightning tells the epoch through `sampler.set_epoch`, and
    stores the position in checkpoints.

    Args:
        part: what to iterate over.
        mean: per-channel mean to subtract (1, channels, 1, ...), on the device where batches are wanted.
        deviation: per-channel standard deviation to divide by, likewise.
        batch_size: images in a batch; an incomplete last batch is left out where the order is shuffled.
        order: names the stream that shuffles and augments; None keeps order and images as they are.
        augmentation: what is done to images at random, before they are normalised.
        views: poses in which the whole part is given out, one after the other.
        rank: this process among `world` ones that take turns: of the batches that one process gives out, it gives every
            `world`-th one.
        world: number of processes.
    """

    def __init__(
        self,
        part: Subset,
        mean: Tensor,
        std: Tensor,
        batch_size: int,
        *,
        order: str | None = None,
        augmentation: Augmentation | None = None,
        views: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if order is not None and len(part) // world < batch_size:
            raise ValueError(f"dataset.batch_size={batch_size} is more than the {len(part) // world} training images")
        assert views == 1 or augmentation is not None
        self.part, self.batch_size, self.order = part, batch_size, order
        self.mean, self.std = mean, std
        self.augmentation, self.views = augmentation, views
        self.rank, self.world = rank, world
        self.sampler, self.batch_sampler = self, None  # what Lightning looks for in a loader
        self._epoch = self._first = self._position = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Batches that were already given out in this epoch."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Lets the next pass begin after the batches that were already given out."""
        self._first = self._position = state["position"]

    def __len__(self) -> int:
        count = len(self.part) // self.world
        return count // self.batch_size if self.order is not None else self.views * -(-count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Only the pass after a restoration begins further on, as a pass may be given up early; and a position at the
        # end is that of a complete pass, which may end without a last look at this generator.
        first, self._first = self._first % len(self), 0
        batches = self._in_order() if self.order is None else self._shuffled(self.order)
        for position, (index, change) in enumerate(itertools.islice(batches, first, len(self)), start=first + 1):
            self._position = position
            images, labels = (
                tensor.index_select(0, index) for tensor in (self.part.whole.images, self.part.whole.labels)
            )
            images = change(images.to(self.mean.device))
            yield normalise(images, self.mean, self.std), labels.to(self.mean.device)

    def _shuffled(self, stream: str) -> Iterator[tuple[Tensor, Change]]:
        """Index and augmentation of each batch of this epoch."""
        order = torch.randperm(len(self.part), generator=generator(Stream.ORDER, stream, self._epoch))
        batches = self._mine(self.part.index[order])
        if self.augmentation is None:
            for batch in batches:
                yield batch, _unchanged
            return
        chance = generator(Stream.AUGMENTATION, stream, self._epoch)
        drawn = self.augmentation.draw(len(self.part), tuple(self.part.whole.images.shape[2:]), chance)
        for batch, mine in zip(batches, self._mine(drawn, self.mean.device), strict=True):
            yield batch, partial(self.augmentation.apply, drawn=mine)

    def _in_order(self) -> Iterator[tuple[Tensor, Change]]:
        """Index of each batch, once for each pose."""
        for view in range(self.views):
            change = _unchanged if self.augmentation is None else partial(self.augmentation.view, index=view)
            for batch in self._mine(self.part.index):
                yield batch, change

    def _mine(self, whole: Tensor, device: torch.device | None = None) -> tuple[Tensor, ...]:
        """What this process takes of an epoch, in batches, on `device` or where the images lie."""
        whole = whole.to(device or self.part.whole.images.device)
        return whole.split(self.batch_size)[self.rank :: self.world]


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bytes (count, channels, *size) as floats of zero mean and unit deviation per channel (1, channels, 1, ...)."""
    return (images - mean).div_(std)


def _unchanged(images: Tensor) -> Tensor:
    return images
