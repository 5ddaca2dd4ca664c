"""Batches straight from a tensor: a pure function of (seed, epoch, position), so that a run resumes exactly."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from smash_lightning.dataset.source import Split
from smash_lightning.randomness import generator


class TensorLoader:
    """Iterates over normalised batches (images, labels) of a split.

    Lightning tells it the epoch through `sampler.set_epoch`, and stores its position within an epoch in checkpoints.

    Args:
        split: what to iterate over.
        mean: per-channel mean to subtract.
        deviation: per-channel standard deviation to divide by.
        batch_size: images in a batch; an incomplete last batch is left out where the order is shuffled.
        order: names the stream that shuffles; None keeps the order of the split.
        rank: this process among `world` ones that divide each batch's work: it takes every `world`-th image.
        world: number of processes.
    """

    def __init__(
        self,
        split: Split,
        mean: Tensor,
        deviation: Tensor,
        batch_size: int,
        order: str | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if order is not None and len(split) // world < batch_size:
            raise ValueError(f"dataset.batch_size={batch_size} is more than the {len(split) // world} training images")
        self.split, self.batch_size, self.order = split, batch_size, order
        self.mean, self.deviation = mean, deviation
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
        count = len(self.split) // self.world
        return count // self.batch_size if self.order is not None else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.split))
        if self.order is not None:
            order = torch.randperm(len(self.split), generator=generator("order", self.order, self._epoch))
        batches = order[self.rank :: self.world].to(self.split.labels.device).split(self.batch_size)
        # Only the pass after a restoration begins further on, as a pass may be given up early; and a position at the
        # end is that of a complete pass, which may end without a last look at this generator.
        first, self._first = self._first % len(self), 0
        for position, batch in enumerate(batches[first : len(self)], start=first + 1):
            self._position = position
            yield self.normalise(self.split.images[batch]), self.split.labels[batch]

    def normalise(self, images: Tensor) -> Tensor:
        """Bytes (batch, channels, *size) as floats of zero mean and unit deviation per channel."""
        return (images - self.mean) / self.deviation
