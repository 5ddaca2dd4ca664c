"""One DataModule for every source: splits, statistics of the training images, batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from smash_lightning.architecture import ImageSpec
from smash_lightning.data.augmentation import Augmentation
from smash_lightning.data.cache import find_entry, kept_beside, open_entry, split_digests
from smash_lightning.data.loader import TensorLoader, normalise
from smash_lightning.data.part import Subset, stratified_split
from smash_lightning.data.source import RawDataset, Source, Split
from smash_lightning.random_streams import Stream, generator

RESIDENT_SHARE = 0.5  # of a GPU's free memory that a data set may take
LARGEST_PIXEL = 100  # normalised; what is larger was divided by a deviation of other units


@dataclass(frozen=True, slots=True)
class Normalised:
    """A split's images as floats (count, channels, *size), and labels (count,)."""

    images: Tensor
    labels: Tensor


class DataModule(L.LightningDataModule):
    """Train, validation and test of one source, which is read, and downloaded if need be, at first use.

    Validation is a class-balanced part of the training images, drawn with a seed of its own, so that it is the same
    whatever a run's seed. The search never trains on it; the test images serve true errors alone.

    Args:
        name: how the data set is called in reports.
        source: what reads it.
        validation: images held out for scores; below 1, their share of the training images.
        train: images to learn from; None takes all that are left.
        batch_size: training images in a batch, over all devices.
        eval_batch_size: images in a batch of an evaluation.
        recalibration: training images from which BatchNorm statistics are taken when an architecture is scored.
        stem_stride: 2 halves the resolution in the stem, 1 keeps it.
        split_seed: seed of the validation split.
        cache: folder of decoded sets; None decodes in every run.
        download: whether a set that is not there is downloaded from its official source.
        augmentation: what is done to training images at random; None leaves them as they are.
        average_views: whether a trained network's predictions are averaged over the poses that the augmentation knows.
        mean: to subtract from the bytes of each channel; None takes the mean of the training images.
        deviation: to divide them by; None takes their standard deviation.
    """

    def __init__(
        self,
        *,
        name: str,
        source: Source,
        validation: float,
        train: int | None,
        batch_size: int,
        eval_batch_size: int,
        recalibration: int,
        stem_stride: int,
        split_seed: int,
        cache: str | None = None,
        download: bool = False,
        augmentation: Augmentation | None = None,
        average_views: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        for key, value in (
            ("batch_size", batch_size),
            ("eval_batch_size", eval_batch_size),
            ("recalibration", recalibration),
        ):
            if value < 1:
                raise ValueError(f"dataset.{key} must be at least 1, got {value}")
        if not math.isfinite(validation) or validation <= 0 or (validation > 1 and validation != int(validation)):
            raise ValueError(f"dataset.validation must be a number of images or a share below 1, got {validation}")
        self.name, self.source, self.cache, self.download = name, source, cache, download
        self.batch_size, self.eval_batch_size, self.recalibration = batch_size, eval_batch_size, recalibration
        self.augmentation, self.stem_stride, self.order = augmentation, stem_stride, ""
        self.views = augmentation.views if augmentation is not None and average_views else 1
        self._options = (validation, train, split_seed)
        self._given = {"mean": mean, "std": std}
        self._on_device: dict[tuple[int, torch.device], Split] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; it maps a cached set into memory again instead of receiving a copy."""
        state = self.__dict__ | {"_on_device": {}}
        if state.get("entry") is not None:
            state |= {"sets": None, "_parts": tuple(part.index for part in self._parts)}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if state.get("entry") is not None:
            self.__dict__["sets"] = sets = open_entry(state["entry"])
            train, validation, test = state["_parts"]
            self.__dict__["_parts"] = (
                Subset(sets.train, train),
                Subset(sets.train, validation),
                Subset(sets.test, test),
            )

    def setup(self, stage: str | None = None) -> None:
        """Reads, and downloads if need be, so that whatever is wrong is said before anything else begins."""
        del stage
        assert len(self.train)
        assert self.mean.shape == self.std.shape
        if self.augmentation is not None:  # it may not be one for images of so many dimensions
            self.augmentation.draw(1, tuple(self.sets.train.images.shape[2:]), generator(Stream.PROBE))

    @cached_property
    def entry(self) -> Path | None:
        """Folder of the decoded set, which is written if need be; None for a set that is not cached."""
        files = self._files()
        if self.cache is None or not files:
            return None
        return find_entry(self.source, files, Path(self.cache).expanduser())

    def _files(self) -> Sequence[Path]:
        """What the source reads, after downloading it if it is not there.

        Raises:
            FileNotFoundError: it is not there, and cannot or must not be downloaded.
        """
        try:
            return self.source.files()
        except FileNotFoundError as error:
            if not self.source.downloads():
                raise
            if not self.download:
                raise FileNotFoundError(f"{error} Or let it be downloaded with dataset.download=true") from None
            self.source.fetch()
            return self.source.files()

    @cached_property
    def sets(self) -> RawDataset:
        """The whole data set as it is distributed."""
        return self.source.read() if self.entry is None else open_entry(self.entry)

    @cached_property
    def _parts(self) -> tuple[Subset, Subset, Subset]:
        validation, train, seed = self._options
        sets = self.sets
        held, kept = stratified_split(sets.train, len(sets.classes), validation, seed)
        there, left = (torch.bincount(part.labels, minlength=len(sets.classes)) for part in (sets.train, kept))
        if scarce := [name for name, n, whole in zip(sets.classes, left, there, strict=True) if whole > n == 0]:
            raise ValueError(
                f"class {scarce[0]} has no images left to learn from, as all went to validation: lower "
                "dataset.validation, or leave such small classes out"
            )
        if train is not None:
            if not 1 <= train <= len(kept):
                raise ValueError(f"dataset.train={train} is not between 1 and the {len(kept)} images that are left")
            kept = kept.take(torch.arange(train))
        for name in ("batch_size", "recalibration"):
            if getattr(self, name) > len(kept):
                raise ValueError(f"dataset.{name}={getattr(self, name)} is more than the {len(kept)} training images")
        return kept, held, Subset(sets.test, torch.arange(len(sets.test)))

    @property
    def train(self) -> Subset:
        """What is learned from."""
        return self._parts[0]

    @property
    def validation(self) -> Subset:
        """What architectures are scored on."""
        return self._parts[1]

    @property
    def test(self) -> Subset:
        """What true errors are taken from."""
        return self._parts[2]

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each label."""
        return self.sets.classes

    @property
    def image_spec(self) -> ImageSpec:
        """What every network for these images has in common."""
        channels, *size = self.sets.train.images.shape[1:]
        return ImageSpec(channels, tuple(size), len(self.classes), self.stem_stride)

    @cached_property
    def mean(self) -> Tensor:
        """What is subtracted from each channel's bytes (1, channels, 1, ...)."""
        return self._per_channel("mean")

    @cached_property
    def std(self) -> Tensor:
        """What they are divided by (1, channels, 1, ...)."""
        return self._per_channel("std").clamp_min(1e-6)

    def _per_channel(self, name: str) -> Tensor:
        channels, *size = self.sets.train.images.shape[1:]
        given = self._given[name]
        if given is not None and len(given) != channels:
            raise ValueError(f"dataset.{name} must have a value for each of {channels} channels, got {list(given)}")
        if given is not None and name == "std":
            _require_bytes(given, self.sets.train)
        values = given if given is not None else self._moments[name]
        return torch.tensor(values, dtype=torch.float32).view(1, channels, *[1] * len(size))

    @cached_property
    def _moments(self) -> dict[str, list[float]]:
        """Mean and deviation of the training images, kept beside the decoded set."""

        def measure() -> dict[str, list[float]]:
            return dict(zip(("mean", "std"), self.train.moments(), strict=True))

        return measure() if self.entry is None else kept_beside(self.entry, f"moments-{self._digests[0]}", measure)

    def ordered(self, purpose: Stream, seed: int) -> DataModule:
        """The same data, with training batches in the order of `seed`; two purposes share no order."""
        return self._but(order=f"{purpose.value} {seed}")

    def with_validation(self) -> DataModule:
        """The same data, normalised alike, with the validation images among the training images as well."""
        more = Subset(self.train.whole, torch.cat([self.train.index, self.validation.index]))
        constants = {"mean": self.mean, "std": self.std, "_digests": self._digests}
        return self._but(**constants, _parts=(more, self.validation, self.test))

    def _but(self, **changes: Any) -> DataModule:
        """The same object with other attributes, sharing all the rest."""
        other = object.__new__(DataModule)
        other.__dict__ |= self.__dict__ | changes
        return other

    def specification(self) -> dict[str, str]:
        """What scores depend on: name, digests of the images to learn from and to score on, normalisation."""
        train, validation = self._digests
        constants = {name: str(getattr(self, name).flatten().tolist()) for name in ("mean", "std")}
        return {"name": str(self.name), "train": train, "validation": validation} | constants

    @cached_property
    def _digests(self) -> tuple[str, str]:
        """Of the images and labels to learn from and to score on, whether cached or not."""
        whole = self.sets.train.content() if self.entry is None else split_digests(self.entry)[0]
        train, validation = (
            hashlib.blake2b(whole.encode() + part.index.numpy().tobytes(), digest_size=8).hexdigest()
            for part in (self.train, self.validation)
        )
        return train, validation

    def normalised(self, part: Subset) -> Normalised:
        """A part as floats, all at once."""
        return Normalised(normalise(part.images, self.mean, self.std), part.labels)

    def recalibration_images(self) -> Tensor:
        """Training images from which BatchNorm statistics are taken: the same for every architecture."""
        order = torch.randperm(len(self.train), generator=generator(Stream.RECALIBRATION))[: self.recalibration]
        return self.normalised(self.train.take(order)).images

    def train_dataloader(self) -> TensorLoader:
        """Shuffled and augmented batches of the training images; each process of a distributed run takes its share."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if self.batch_size % world:
            raise ValueError(
                f"dataset.batch_size={self.batch_size} cannot be shared out evenly among {world} processes"
            )
        options = {"order": self.order, "augmentation": self.augmentation, "rank": rank, "world": world}
        return self._loader(self.train, self.batch_size // world, **options)

    def val_dataloader(self) -> TensorLoader:
        """The validation images, in order."""
        return self._loader(self.validation, self.eval_batch_size)

    def test_dataloader(self) -> TensorLoader:
        """The test images, in order, once in each of the `views`."""
        augmentation = self.augmentation if self.views > 1 else None
        return self._loader(self.test, self.eval_batch_size, augmentation=augmentation, views=self.views)

    def _loader(self, part: Subset, batch_size: int, **options: Any) -> TensorLoader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        part = Subset(self._resident(part.whole, device), part.index)
        return TensorLoader(part, self.mean.to(device), self.std.to(device), batch_size, **options)

    def _resident(self, split: Split, device: torch.device) -> Split:
        """The split on `device`, where it leaves room for the training; otherwise where it is."""
        key = (split.images.data_ptr(), device)
        if device.type == "cuda" and key not in self._on_device:
            fits = split.images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
            self._on_device[key] = Split(split.images.to(device), split.labels.to(device)) if fits else split
        return self._on_device.get(key, split)


def _require_bytes(std: Sequence[float], split: Split) -> None:
    """Refuses deviations of zero and less, and those of values from 0 to 1 for images of bytes."""
    brightest = int(split.images[:100].max())
    if min(std) <= 0 or brightest / min(std) > LARGEST_PIXEL:
        raise ValueError(
            f"dataset.std={list(std)} would make pixels of {brightest} enormous: mean and deviation are "
            "in units of the stored bytes, from 0 to 255"
        )
