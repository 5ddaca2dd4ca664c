"""One DataModule for every source: splits, statistics of the training images, batches."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightning as L
import torch
from torch import Tensor

from smash_lightning.architecture import Skeleton
from smash_lightning.dataset.loader import TensorLoader
from smash_lightning.dataset.source import Sets, Source, Split
from smash_lightning.randomness import generator


@dataclass(frozen=True, slots=True)
class Normalised:
    """A split's images as floats (count, channels, *size), and labels (count,)."""

    images: Tensor
    labels: Tensor


class DataModule(L.LightningDataModule):
    """Train, validation and test of one source.

    Validation is a class-balanced part of the training images, drawn with a seed of its own, so that it is the same
    whatever a run's seed. The search never trains on it; the test images serve true errors alone.

    Args:
        name: how the data set is called in reports.
        source: what reads it.
        validation: images held out for scores.
        train: images to learn from; None takes all that are left.
        batch_size: training images in a batch, over all devices.
        eval_batch_size: images in a batch of an evaluation.
        recalibration: training images from which BatchNorm statistics are taken when an architecture is scored.
        stem_stride: 2 halves the resolution in the stem, 1 keeps it.
        split_seed: seed of the validation split.
    """

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        validation: int,
        train: int | None,
        batch_size: int,
        eval_batch_size: int,
        recalibration: int,
        stem_stride: int,
        split_seed: int,
    ) -> None:
        super().__init__()
        for key, value in (
            ("validation", validation),
            ("batch_size", batch_size),
            ("eval_batch_size", eval_batch_size),
            ("recalibration", recalibration),
        ):
            if value < 1:
                raise ValueError(f"dataset.{key} must be at least 1, got {value}")
        self.name, self.batch_size, self.eval_batch_size = name, batch_size, eval_batch_size
        sets = source.load()
        held, kept = _hold_out(sets, validation, split_seed)
        if train is not None:
            if not 1 <= train <= len(kept):
                raise ValueError(f"dataset.train={train} is not between 1 and the {len(kept)} images that are left")
            kept = kept[:train]
        if batch_size > len(kept):
            raise ValueError(f"dataset.batch_size={batch_size} is more than the {len(kept)} training images")
        if recalibration > len(kept):
            raise ValueError(f"dataset.recalibration={recalibration} is more than the {len(kept)} training images")
        self.train, self.validation, self.test = sets.train.take(kept), sets.train.take(held), sets.test
        self.classes = sets.classes
        _, channels, *size = self.train.images.shape
        self.skeleton = Skeleton(channels, tuple(size), len(sets.classes), stem_stride)
        self._recalibration = recalibration
        axes = (0, *range(2, self.train.images.ndim))
        pixels = self.train.images.float()
        self.mean = pixels.mean(axes).view(1, channels, *[1] * len(size))
        self.deviation = pixels.std(axes).clamp_min(1e-6).view(1, channels, *[1] * len(size))
        self.order = ""

    def ordered(self, purpose: str, seed: int) -> DataModule:
        """The same data, with training batches in the order of `seed`; two purposes share no order."""
        other = copy.copy(self)
        other.order = f"{purpose} {seed}"
        return other

    def specification(self) -> dict[str, str]:
        """What scores depend on: the name, and digests of the images and labels that are learned from and scored on."""
        return {"name": str(self.name), "train": self._train_digest, "validation": self._validation_digest}

    @cached_property
    def _train_digest(self) -> str:
        return _digest(self.train)

    @cached_property
    def _validation_digest(self) -> str:
        return _digest(self.validation)

    def normalised(self, split: Split) -> Normalised:
        """A split as floats, all at once."""
        return Normalised((split.images - self.mean) / self.deviation, split.labels)

    def recalibration_images(self) -> Tensor:
        """Training images from which BatchNorm statistics are taken: the same for every architecture."""
        order = torch.randperm(len(self.train), generator=generator("recalibration"))[: self._recalibration]
        return self.normalised(self.train.take(order)).images

    def train_dataloader(self) -> TensorLoader:
        """Shuffled batches of the training images; each process of a distributed run takes its share."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return self._loader(self.train, self.batch_size // world, self.order, rank, world)

    def val_dataloader(self) -> TensorLoader:
        """The validation images, in order."""
        return self._loader(self.validation, self.eval_batch_size)

    def test_dataloader(self) -> TensorLoader:
        """The test images, in order."""
        return self._loader(self.test, self.eval_batch_size)

    def _loader(self, split: Split, batch_size: int, *order: Any) -> TensorLoader:
        return TensorLoader(split, self.mean, self.deviation, batch_size, *order)


def _digest(split: Split) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for tensor in (split.images, split.labels):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _hold_out(sets: Sets, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of a class-balanced part of train with `count` images, and of the rest, both in random order."""
    total = len(sets.train)
    if not 0 < count < total:
        raise ValueError(f"dataset.validation={count} leaves nothing of {total} training images to learn from")
    order = torch.randperm(total, generator=generator("validation", seed))
    labels = sets.train.labels[order]
    # Each image's place among those of its class: taking the lowest places first takes all classes evenly.
    place = torch.empty(total)
    for label in range(len(sets.classes)):
        mine = labels == label
        share = max(int(mine.sum()), 1)
        place[mine] = torch.arange(int(mine.sum())) / share
    by_place = torch.argsort(place, stable=True)
    held, kept = order[by_place[:count]], order[torch.sort(by_place[count:]).values]
    return held, kept
