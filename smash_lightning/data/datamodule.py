"""One DataModule for every source: splits, statistics of the training images, batches."""

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
from smash_lightning.data.cache import find_entry, open_entry, split_digest, stored
from smash_lightning.data.loader import SideBySide, TensorLoader, normalise
from smash_lightning.data.official import fetch
from smash_lightning.data.source import RawDataset, Source, Split, Subset, listed, stratified_split
from smash_lightning.files import escaped
from smash_lightning.random_streams import Stream, generator

RESIDENT_SHARE = 0.5  # of a GPU's free memory that a data set may take
LARGEST_PIXEL = 100  # normalised; larger ones were divided by a std in other units
SPLITS = ("train", "validation", "test")


class DataModule(L.LightningDataModule):
    """Train, validation and test of one source, which is read, and downloaded if need be, at first use.

    Validation is a class-balanced subset of the training images, the same for every seed of a run. The search never
    trains on it; the test images are for test errors alone.
    conf/dataset/common/base.yaml explains the options; those of `source` may be repeated with equal values.
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
        self.stem_stride = stem_stride
        for key in ("batch_size", "eval_batch_size", "recalibration", "stem_stride"):
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
        self.augmentation, self.orders = augmentation, ("",)
        self.views = augmentation.views if augmentation is not None and average_views else 1
        self._options = (validation, train, split_seed)
        self._given = {"mean": mean, "std": std}
        self._on_device: dict[tuple[int, torch.device], Split] = {}

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, which maps a cached set into memory again instead of receiving a copy."""
        left_out = {"sets"} if self.__dict__.get("entry") else set()
        return {key: value for key, value in self.__dict__.items() if key not in left_out} | {"_on_device": {}}

    def setup(self, stage: str | None = None) -> None:
        """Reads, and downloads if need be, so that any error is raised before anything else starts."""
        assert self.mean.shape == self.std.shape
        if self.augmentation is not None:  # it may not be one for images of so many dimensions
            self.augmentation.draw(1, tuple(self.sets.train.images.shape[2:]), generator(Stream.PROBE))

    @cached_property
    def entry(self) -> Path | None:
        """Folder of the decoded set, which is written if need be; None for a set that is not cached."""
        try:
            files = self.source.files()
        except FileNotFoundError as error:
            if self.source.download is None:
                raise
            if not self.download:
                raise FileNotFoundError(f"{error} Or download it with dataset.download=true") from None
            fetch(self.source.download, Path(self.source.root).expanduser())  # type: ignore[attr-defined]
            files = self.source.files()
        return find_entry(self.source, files, Path(self.cache).expanduser()) if self.cache and files else None

    @cached_property
    def sets(self) -> RawDataset:
        """The whole data set as it is distributed."""
        return self.source.read() if self.entry is None else open_entry(self.entry)

    @cached_property
    def _indices(self) -> tuple[Tensor, Tensor]:
        validation, train, seed = self._options
        held, kept = stratified_split(self.sets.train.labels, self.classes, validation, seed)
        if train is not None and not 1 <= train <= len(kept):
            raise ValueError(f"dataset.train={train} is not between 1 and the {len(kept)} images that are left")
        kept = kept[:train]
        if self.batch_size > len(kept):
            raise ValueError(
                f"dataset.batch_size={self.batch_size} is more than the {len(kept)} training images: choose fewer"
            )
        return kept, held

    @property
    def train(self) -> Subset:
        """The images to train on."""
        return Subset(self.sets.train, self._indices[0])

    @property
    def validation(self) -> Subset:
        """The images to score architectures on."""
        return Subset(self.sets.train, self._indices[1])

    @property
    def test(self) -> Subset:
        """The images for test errors."""
        return Subset(self.sets.test, torch.arange(len(self.sets.test)))

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
        """What data.json holds: name, counts, shape, classes, stem stride, views, notes, and digests of the content."""
        spec = self.image_spec
        counts = {split: len(getattr(self, split)) for split in SPLITS}
        shape = {"channels": spec.channels, "size": list(spec.size), "classes": list(self.classes)}
        options = {"stem_stride": self.stem_stride, "views": self.views, "notes": list(self.sets.notes)}
        return {"name": str(self.name)} | counts | shape | options | {"content": self._digests}

    def summary(self) -> str:
        """Lines for the console: what was found, the smallest and the largest class, and the notes."""
        lines, classes = [], self.classes
        for split in SPLITS:
            counts = torch.bincount(getattr(self, split).labels, minlength=len(classes))
            least, most = (f"{counts[k]:,} in class {classes[k]}" for k in (counts.argmin(), counts.argmax()))
            spread = f"from {least} to {most}" if counts.min() < counts.max() else f"{counts.min():,} in each class"
            lines.append(f"{split}: {counts.sum():,} images, {spread}")
        shape = " x ".join(map(str, self.sets.train.images.shape[1:]))
        lines.append(f"images of {shape}, {len(classes)} classes: {listed(classes, 10)}")
        return "\n".join(escaped(f"{self.name}: {line}") for line in (*lines, *self.sets.notes))

    @cached_property
    def mean(self) -> Tensor:
        """Subtracted from each channel's bytes (1, channels, 1, ...)."""
        return self._per_channel("mean")

    @cached_property
    def std(self) -> Tensor:
        """The divisor of each channel's bytes (1, channels, 1, ...)."""
        std, given = self._per_channel("std"), self._given["std"]
        brightest = int(self.sets.train.images[:100].max())
        if given is not None and (std.min() <= 0 or brightest / std.min() > LARGEST_PIXEL):
            raise ValueError(
                f"dataset.std={list(given)} would make pixels of {brightest} enormous: mean and std are in units of "
                "the stored bytes, from 0 to 255"
            )
        return std.clamp_min(1e-6)

    def _per_channel(self, name: str) -> Tensor:
        channels, *size = self.sets.train.images.shape[1:]
        values = self._given[name]
        if values is None:  # of the training images: measured once, and stored with the decoded set
            file = self.entry and self.entry / f"moments-{self._digests['train']}.json"
            moments = stored(file, self.train.moments) if file else self.train.moments()
            values = moments[("mean", "std").index(name)]
        if len(values) != channels:
            raise ValueError(f"dataset.{name} must have a value for each of {channels} channels, got {list(values)}")
        return torch.tensor(values, dtype=torch.float32).view(1, channels, *[1] * len(size))

    def ordered(self, purpose: Stream, *seeds: int) -> "DataModule":
        """The same data, with training batches in the order of a seed, or of several, `SideBySide`.

        Two purposes share no order.
        """
        return self._but(orders=tuple(f"{purpose.value} {seed}" for seed in seeds))

    def with_validation(self) -> "DataModule":
        """The same data, equally normalised, with the validation images added to the training images."""
        constants = {"mean": self.mean, "std": self.std, "_digests": self._digests}
        return self._but(**constants, _indices=(torch.cat(self._indices), self._indices[1]))

    def _but(self, **changes: Any) -> "DataModule":
        other = object.__new__(DataModule)
        other.__dict__ |= self.__dict__ | changes
        return other

    def specification(self) -> dict[str, str]:
        """Name, digests of the content of train, validation and test, and normalisation: what results depend on."""
        constants = {name: str(getattr(self, name).flatten().tolist()) for name in ("mean", "std")}
        return {"name": str(self.name)} | self._digests | constants

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Of the images and labels of each split, equal whether cached or not."""
        train, test = (
            getattr(self.sets, name).content() if self.entry is None else split_digest(self.entry, name)
            for name in ("train", "test")
        )
        digests = [
            hashlib.blake2b(train.encode() + index.numpy().tobytes(), digest_size=8).hexdigest()
            for index in self._indices
        ]
        return dict(zip(SPLITS, (*digests, test), strict=True))

    def normalised(self, subset: Subset) -> Split:
        """A subset as floats, all at once."""
        return Split(normalise(subset.images, self.mean, self.std), subset.labels)

    def recalibration_images(self) -> Tensor:
        """Training images from which BatchNorm statistics are taken: the same for every architecture."""
        order = torch.randperm(len(self.train), generator=generator(Stream.RECALIBRATION))[: self.recalibration]
        return self.normalised(self.train.take(order)).images

    def train_dataloader(self) -> TensorLoader | SideBySide:
        """Shuffled and augmented batches of the training images; each process of a distributed run takes its share."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if self.batch_size % world:
            raise ValueError(f"dataset.batch_size={self.batch_size} cannot be divided evenly among {world} processes")
        options = {"augmentation": self.augmentation, "rank": rank, "world": world}
        loaders = [self._loader(self.train, self.batch_size // world, order=order, **options) for order in self.orders]
        return loaders[0] if len(loaders) == 1 else SideBySide(loaders)

    def val_dataloader(self) -> TensorLoader:
        """The validation images, in order."""
        return self._loader(self.validation, self.eval_batch_size)

    def test_dataloader(self) -> TensorLoader:
        """The test images, in order, once in each of the `views`."""
        augmentation = self.augmentation if self.views > 1 else None
        return self._loader(self.test, self.eval_batch_size, augmentation=augmentation, views=self.views)

    def _loader(self, subset: Subset, batch_size: int, **options: Any) -> TensorLoader:
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        whole, key = subset.whole, (subset.whole.images.data_ptr(), device)
        if device.type == "cuda":  # the images go there where they leave room for the training
            fits = whole.images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
            if fits and key not in self._on_device:
                self._on_device[key] = Split(whole.images.to(device), whole.labels.to(device))
            whole = self._on_device.get(key, whole)
        return TensorLoader(
            Subset(whole, subset.index), self.mean.to(device), self.std.to(device), batch_size, **options
        )
