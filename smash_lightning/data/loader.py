"""Batches straight from a tensor: a pure function of (seed, epoch, position), so that a run resumes exactly."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from smash_lightning.data.augmentation import Augmentation
from smash_lightning.data.source import Subset
from smash_lightning.random_streams import Stream, generator

Change = Callable[[Tensor], Tensor] | None


class TensorLoader:
    """Iterates over batches (images, labels) of a subset, images as normalised floats (batch, channels, *size).

    Everything happens for a whole batch at once, on the device of `mean`. An epoch's order and augmentation are drawn
    at its start, so that a step never waits for a GPU. `mean` and `std` are (1, channels, 1, ...); `order` names the
    random stream that shuffles and augments, and without one order and images stay, each image in `views` poses. Of
    `world` processes, the one of index `rank` yields every `world`-th batch. Lightning sets the epoch
    through `sampler.set_epoch`, and stores the position in checkpoints.
    """

    def __init__(
        self,
        subset: Subset,
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
        assert order is None or batch_size <= len(subset) // world  # as `DataModule` has checked
        assert views == 1 or augmentation is not None
        self.subset, self.mean, self.std, self.batch_size = subset, mean, std, batch_size
        self.order, self.augmentation, self.views, self.rank, self.world = order, augmentation, views, rank, world
        self.sampler, self.batch_sampler = self, None  # attributes that Lightning reads of a loader
        self._epoch = self._first = self._position = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass."""
        self._epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Batches already yielded in this epoch."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass starts after the batches already yielded."""
        self._first = self._position = state["position"]

    def __len__(self) -> int:
        count = len(self.subset) // self.world
        return count // self.batch_size if self.order is not None else self.views * -(-count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Only the first pass after a restoration starts later; a position at the end belongs to a complete pass.
        first, self._first = self._first % len(self), 0
        batches = self._in_order() if self.order is None else self._shuffled(self.order)
        whole = self.subset.whole
        for position, (index, change) in enumerate(itertools.islice(batches, first, len(self)), start=first + 1):
            self._position = position
            images, labels = (tensor.index_select(0, index) for tensor in (whole.images, whole.labels))
            images = images.to(self.mean.device)
            images = images if change is None else change(images)
            yield normalise(images, self.mean, self.std), labels.to(self.mean.device)

    def _shuffled(self, stream: str) -> Iterator[tuple[Tensor, Change]]:
        order = torch.randperm(len(self.subset), generator=generator(Stream.ORDER, stream, self._epoch))
        batches = self._own(self.subset.index[order], self.subset.whole.images.device)
        if self.augmentation is None:
            return zip(batches, itertools.repeat(None), strict=False)
        random = generator(Stream.AUGMENTATION, stream, self._epoch)
        drawn = self.augmentation.draw(len(self.subset), tuple(self.subset.whole.images.shape[2:]), random)
        apply = self.augmentation.apply
        return zip(batches, (partial(apply, drawn=own) for own in self._own(drawn, self.mean.device)), strict=True)

    def _in_order(self) -> Iterator[tuple[Tensor, Change]]:
        """Index of each batch, once for each pose."""
        for view in range(self.views):
            change = None if self.augmentation is None else partial(self.augmentation.view, index=view)
            for batch in self._own(self.subset.index, self.subset.whole.images.device):
                yield batch, change

    def _own(self, whole: Tensor, device: torch.device) -> tuple[Tensor, ...]:
        """The process's own batches of an epoch, on `device`."""
        return whole.to(device).split(self.batch_size)[self.rank :: self.world]


class SideBySide:
    """Batches of several loaders of equal length as one, for several networks that compute side by side.

    Images are concatenated along their channels (batch, loaders x channels, *size), labels are (batch, loaders).
    """

    def __init__(self, loaders: Sequence[TensorLoader]) -> None:
        self.loaders = loaders
        self.sampler, self.batch_sampler = self, None  # attributes that Lightning reads of a loader

    def set_epoch(self, epoch: int) -> None:
        """Chooses the orders of the next pass."""
        for loader in self.loaders:
            loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Batches already yielded in this epoch."""
        return self.loaders[0].state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next pass starts after the batches already yielded."""
        for loader in self.loaders:
            loader.load_state_dict(state)

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batches in zip(*self.loaders, strict=True):
            images, labels = zip(*batches, strict=True)
            yield torch.cat(images, 1), torch.stack(labels, 1)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bytes (count, channels, *size) as floats of zero mean and unit std per channel (1, channels, 1, ...)."""
    return (images - mean).div_(std)
