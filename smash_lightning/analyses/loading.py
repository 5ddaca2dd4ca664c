"""What do batches cost? Ours, and those of a torch DataLoader that treats one image at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from smash_lightning.architecture import ImageSpec
from smash_lightning.data import Augmentation, Split, Subset, TensorLoader
from smash_lightning.engine import cores
from smash_lightning.random_streams import Stream, generator

MOST_WORKERS = 8  # processes of a DataLoader
BATCHES = 64  # of one epoch; the first one of it draws its order
MEAN, DEVIATION = 128.0, 64.0


@dataclass(frozen=True, slots=True)
class Loading:
    """Seconds of a batch: ours, of a DataLoader in this process, and of one with a process for each core."""

    ours: float
    dataloader: float
    dataloader_workers: float


class OneByOne(Dataset[tuple[Tensor, Tensor]]):
    """Decoded images that are augmented and normalised singly, as a DataLoader does.

    Args:
        part: images of bytes.
        augmentation: what is done to each at random.
    """

    def __init__(self, part: Subset, augmentation: Augmentation | None) -> None:
        self.part, self.augmentation = part, augmentation

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        images = self.part.whole.images[position : position + 1]
        if self.augmentation is not None:
            drawn = self.augmentation.draw(1, tuple(images.shape[2:]), generator(Stream.SINGLE_IMAGES, position))
            images = self.augmentation.apply(images, drawn)
        return (images[0] - MEAN) / DEVIATION, self.part.whole.labels[position]


def measure_loading(
    image_spec: ImageSpec, batch: int, augmentation: Augmentation | None, device: torch.device
) -> Loading:
    """What a batch of made-up images costs; arguments as of `seconds_per_batch`."""
    workers = (None, 0, min(MOST_WORKERS, cores()))
    return Loading(*(seconds_per_batch(image_spec, batch, augmentation, device, count) for count in workers))


def seconds_per_batch(
    image_spec: ImageSpec, batch: int, augmentation: Augmentation | None, device: torch.device, workers: int | None
) -> float:
    """Seconds from one batch of made-up images to the next, over an epoch that has begun.

    Args:
        image_spec: their shape and classes.
        batch: images in a batch.
        augmentation: what is done to them at random.
        device: where they are wanted.
        workers: processes of a DataLoader; None takes our loader.
    """
    count = BATCHES * batch
    chance = generator(Stream.LOADING)
    images = torch.randint(256, (count, image_spec.channels, *image_spec.size), dtype=torch.uint8, generator=chance)
    labels = torch.randint(image_spec.classes, (count,), generator=chance)
    batches: Iterable[tuple[Tensor, Tensor]]
    if workers is None:
        part = Subset(Split(images.to(device), labels.to(device)), torch.arange(count))
        moments = (torch.full((1, image_spec.channels, *[1] * image_spec.dimensions), v) for v in (MEAN, DEVIATION))
        mean, deviation = (each.to(device) for each in moments)
        batches = TensorLoader(part, mean, deviation, batch, order="loading", augmentation=augmentation)
    else:
        part = Subset(Split(images, labels), torch.arange(count))
        pin = device.type == "cuda"
        batches = DataLoader(OneByOne(part, augmentation), batch, shuffle=True, num_workers=workers, pin_memory=pin)
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    iterator = iter(batches)
    next(iterator)[0].to(device)  # begins the epoch, and the processes
    wait()
    started = time.perf_counter()
    for images, _ in iterator:
        images.to(device, non_blocking=True)
    wait()
    return (time.perf_counter() - started) / (BATCHES - 1)
