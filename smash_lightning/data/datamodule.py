"""One DataModule for every source: splits, statistics of the training images, batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from smash_lightning.architecture import ImageSpec
from smash_lightning.data.augmentation import Augmentation
from smash_lightning.data.cache import find_entry, open_entry, split_digest, stored_with
from smash_lightning.data.loader import Normalised, TensorLoader, normalise
from smash_lightning.data.official import fetch
from smash_lightning.data.source import RawDataset, Source, Split, listed
from smash_lightning.data.subset import Subset, require_std_of_bytes, stratified_split
from smash_lightning.random_streams import Stream, generator

RESIDENT_SHARE = 0.5  # of a GPU's free memory that a data set may take


class DataModule(L.LightningDataModule):
    """Train, validation and test of one source, which is read, and downloaded if need be, at first use.

    Validation is a class-balanced subset of the training images, the same for every seed of a run. The search never
    trains on it; the test images are for test errors alone.

    Args:
        name: of the data set in reports.
        source: reads it.
        validation: images held out for scores; below 1, their share of the training images.
        train: images to train on; None takes all that remain.
        batch_size: training images in a batch, over all devices.
        eval_batch_size: images in a batch of an evaluation.
        recalibration: training images from which BatchNorm statistics are taken when an architecture is scored; all
            where there are fewer.
        stem_stride: 2 halves the resolution in the stem, 1 keeps it.
        split_seed: seed of the validation split.
        cache: folder of decoded sets; None decodes in every run.
        download: whether a missing set is downloaded from its official source.
        augmentation: random changes of training images; None makes none.
        average_views: whether a trained network's predictions are averaged over the augmentation's poses.
        mean: to subtract from the bytes of each channel; None takes the mean of the training images.
        std: to divide them by; None takes their standard deviation.
        source_options: options of `source`, with equal values, so that a configuration may pass them on from here, as
            dataset.root to dataset.source.root; others are refused.
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
        **source_options: Any,
    ) -> None:
        super().__init__()
        self.batch_size, self.eval_batch_size, self.recalibration = batch_size, eval_batch_size, recalibration
        for key in ("batch_size", "eval_batch_size", "recalibration"):
            if getattr(self, key) < 1:
                raise ValueError(f"dataset.{key} must be at least 1, got {getattr(self, key)}")
        if not math.isfinite(validation) or validation <= 0 or (validation > 1 and validation != int(validation)):
            raise ValueError(f"dataset.validation must be a number of images or a share below 1, got {validation}")
        for key, value in source_options.items():
            if not hasattr(source, key):
                raise ValueError(f"there is no option dataset.{key}, neither of DataModule nor {type(source).__name__}")
            if getattr(source, key) != value:
                raise ValueError(f"dataset.{key}={value} must be passed on: {key}: ${{..{key}}} in dataset.source")
        self.name, self.source, self.cache, self.download = name, source, cache, download
        self.augmentation, self.stem_stride, self.order = augmentation, stem_stride, ""
        self.views = augmentation.views if augmentation is not None and average_views else 1
        self._options = (validation, train, split_seed)
        self._given = {"mean": mean, "std": std}
        self._on_device: dict[tuple[int, torch.device], Split] = {}

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, which maps a cached set into memory again instead of receiving a copy."""
        state = self.__dict__ | {"_on_device": {}}
        if state.get("entry") is not None:
            state |= {"sets": None, "_subsets": tuple(subset.index for subset in self._subsets)}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if state.get("entry") is not None:
            self.__dict__["sets"] = sets = open_entry(state["entry"])
            wholes = (sets.train, sets.train, sets.test)
            self.__dict__["_subsets"] = tuple(map(Subset, wholes, state["_subsets"]))

    def setup(self, stage: str | None = None) -> None:
        """Reads, and downloads if need be, so that any error is raised before anything else starts."""
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
        """The files of the source, downloaded if they are missing and may be."""
        try:
            return self.source.files()
        except FileNotFoundError as error:
            if self.source.download is None:
                raise
            if not self.download:
                raise FileNotFoundError(f"{error} Or download it with dataset.download=true") from None
            fetch(self.source.download, Path(self.source.root).expanduser())  # type: ignore[attr-defined]
            return self.source.files()

    @cached_property
    def sets(self) -> RawDataset:
        """The whole data set as it is distributed."""
        return self.source.read() if self.entry is None else open_entry(self.entry)

    @cached_property
    def _subsets(self) -> tuple[Subset, Subset, Subset]:
        validation, train, seed = self._options
        sets = self.sets
        held, kept = stratified_split(sets.train, sets.classes, validation, seed)
        if train is not None:
            if not 1 <= train <= len(kept):
                raise ValueError(f"dataset.train={train} is not between 1 and the {len(kept)} images that are left")
            kept = kept.take(torch.arange(train))
        if self.batch_size > len(kept):
            raise ValueError(f"dataset.batch_size={self.batch_size} is more than the {len(kept)} training images")
        return kept, held, Subset(sets.test, torch.arange(len(sets.test)))

    @property
    def train(self) -> Subset:
        """The images to train on."""
        return self._subsets[0]

    @property
    def validation(self) -> Subset:
        """The images to score architectures on."""
        return self._subsets[1]

    @property
    def test(self) -> Subset:
        """The images for test errors."""
        return self._subsets[2]

    @property
    def classes(self) -> tuple[str, ...]:
        """Name of each label."""
        return self.sets.classes

    @property
    def image_spec(self) -> ImageSpec:
        """Shape of the images, classes and stem of every network for them."""
        channels, *size = self.sets.train.images.shape[1:]
        return ImageSpec(channels, tuple(size), len(self.classes), self.stem_stride)

    def describe(self) -> dict[str, Any]:
        """The content of a run's data.json: name, counts, shape, classes, stem stride, views and notes."""
        spec = self.image_spec
        counts = {split: len(getattr(self, split)) for split in ("train", "validation", "test")}
        shape = {"channels": spec.channels, "size": list(spec.size), "classes": list(self.classes)}
        options = {"stem_stride": self.stem_stride, "views": self.views, "notes": list(self.sets.notes)}
        return {"name": str(self.name)} | counts | shape | options

    def summary(self) -> str:
        """Lines for the console: what was found, the smallest and the largest class, and the notes."""
        lines = []
        for split in ("train", "validation", "test"):
            subset: Subset = getattr(self, split)
            counts = torch.bincount(subset.labels, minlength=len(self.classes))
            least, most = (f"{counts[k]:,} in class {self.classes[k]}" for k in (counts.argmin(), counts.argmax()))
            spread = f"from {least} to {most}" if counts.min() < counts.max() else f"{counts.min():,} in each class"
            lines.append(f"{split}: {len(subset):,} images, {spread}")
        shape = " x ".join(map(str, self.sets.train.images.shape[1:]))
        lines.append(f"images of {shape}, {len(self.classes)} classes: {listed(self.classes, 10)}")
        return "\n".join(f"{self.name}: {line}" for line in (*lines, *self.sets.notes))

    @cached_property
    def mean(self) -> Tensor:
        """Subtracted from each channel's bytes (1, channels, 1, ...)."""
        return self._per_channel("mean")

    @cached_property
    def std(self) -> Tensor:
        """The divisor of each channel's bytes (1, channels, 1, ...)."""
        return self._per_channel("std").clamp_min(1e-6)

    def _per_channel(self, name: str) -> Tensor:
        channels, *size = self.sets.train.images.shape[1:]
        given = self._given[name]
        if given is not None and len(given) != channels:
            raise ValueError(f"dataset.{name} must have a value for each of {channels} channels, got {list(given)}")
        if given is not None and name == "std":
            require_std_of_bytes(given, self.sets.train)
        values = given if given is not None else self._moments[name]
        return torch.tensor(values, dtype=torch.float32).view(1, channels, *[1] * len(size))

    @cached_property
    def _moments(self) -> dict[str, list[float]]:
        """Mean and std of the training images, stored with the decoded set."""

        def measure() -> dict[str, list[float]]:
            return dict(zip(("mean", "std"), self.train.moments(), strict=True))

        return measure() if self.entry is None else stored_with(self.entry, f"moments-{self._digests[0]}", measure)

    def ordered(self, purpose: Stream, seed: int) -> DataModule:
        """The same data, with training batches in the order of `seed`; two purposes share no order."""
        return self._but(order=f"{purpose.value} {seed}")

    def with_validation(self) -> DataModule:
        """The same data, equally normalised, with the validation images added to the training images."""
        more = Subset(self.train.whole, torch.cat([self.train.index, self.validation.index]))
        constants = {"mean": self.mean, "std": self.std, "_digests": self._digests}
        return self._but(**constants, _subsets=(more, self.validation, self.test))

    def _but(self, **changes: Any) -> DataModule:
        """The same object with other attributes, sharing all the rest."""
        other = object.__new__(DataModule)
        other.__dict__ |= self.__dict__ | changes
        return other

    def specification(self) -> dict[str, str]:
        """Everything that scores depend on: name, digests of training and validation images, normalisation."""
        train, validation = self._digests
        constants = {name: str(getattr(self, name).flatten().tolist()) for name in ("mean", "std")}
        return {"name": str(self.name), "train": train, "validation": validation} | constants

    @cached_property
    def _digests(self) -> tuple[str, str]:
        """Of the images and labels to train and to score on, equal whether cached or not."""
        whole = self.sets.train.content() if self.entry is None else split_digest(self.entry, "train")
        train, validation = (
            hashlib.blake2b(whole.encode() + subset.index.numpy().tobytes(), digest_size=8).hexdigest()
            for subset in (self.train, self.validation)
        )
        return train, validation

    def normalised(self, subset: Subset) -> Normalised:
        """A subset as floats, all at once."""
        return Normalised(normalise(subset.images, self.mean, self.std), subset.labels)

    def recalibration_images(self) -> Tensor:
        """Training images from which BatchNorm statistics are taken: the same for every architecture."""
        order = torch.randperm(len(self.train), generator=generator(Stream.RECALIBRATION))[: self.recalibration]
        return self.normalised(self.train.take(order)).images

    def train_dataloader(self) -> TensorLoader:
        """Shuffled and augmented batches of the training images; each process of a distributed run takes its share."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if self.batch_size % world:
            raise ValueError(f"dataset.batch_size={self.batch_size} cannot be divided evenly among {world} processes")
        options = {"order": self.order, "augmentation": self.augmentation, "rank": rank, "world": world}
        return self._loader(self.train, self.batch_size // world, **options)

    def val_dataloader(self) -> TensorLoader:
        """The validation images, in order."""
        return self._loader(self.validation, self.eval_batch_size)

    def test_dataloader(self) -> TensorLoader:
        """The test images, in order, once in each of the `views`."""
        augmentation = self.augmentation if self.views > 1 else None
        return self._loader(self.test, self.eval_batch_size, augmentation=augmentation, views=self.views)

    def _loader(self, subset: Subset, batch_size: int, **options: Any) -> TensorLoader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        subset = Subset(self._resident(subset.whole, device), subset.index)
        return TensorLoader(subset, self.mean.to(device), self.std.to(device), batch_size, **options)

    def _resident(self, split: Split, device: torch.device) -> Split:
        """The split on `device`, where it leaves room for the training; otherwise where it is."""
        key = (split.images.data_ptr(), device)
        if device.type == "cuda" and key not in self._on_device:
            fits = split.images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
            self._on_device[key] = Split(split.images.to(device), split.labels.to(device)) if fits else split
        return self._on_device.get(key, split)
