"""Random images that architectures of any case are scored with."""

from __future__ import annotations

import torch
from torch import Tensor

from smash_lightning.randomness import generator
from smash_lightning.ranking import Material
from tests.cases import Case

IMAGES = 20  # validation images
BATCHES = 3


def images(case: Case, name: str, count: int) -> Tensor:
    skeleton = case.space.skeleton
    return torch.randn(count, skeleton.channels, *skeleton.size, generator=generator(name))


def labels(case: Case) -> Tensor:
    """Of the validation images."""
    return torch.arange(IMAGES) % case.space.skeleton.classes


def material(case: Case, batch_size: int = 8) -> Material:
    """20 validation images, 12 to recalibrate with, and three batches of six to learn from."""
    batches = [(images(case, f"batch {i}", 6), (torch.arange(6) + i) % 5) for i in range(BATCHES)]
    return Material(
        images(case, "validation", IMAGES), labels(case), images(case, "training", 12), tuple(batches), batch_size
    )
