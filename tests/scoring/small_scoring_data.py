"""Random images to score architectures of any case."""

import torch
from torch import Tensor

from smash_lightning.random_streams import generator
from smash_lightning.scoring import ScoringData
from tests.cases import Case

IMAGES = 20  # validation images
BATCHES = 3


def images(case: Case, name: str, count: int) -> Tensor:
    image_spec = case.space.image_spec
    return torch.randn(count, image_spec.channels, *image_spec.size, generator=generator(name))


def labels(case: Case) -> Tensor:
    """Of the validation images."""
    return torch.arange(IMAGES) % case.space.image_spec.classes


def scoring_data(case: Case, batch_size: int = 8) -> ScoringData:
    """20 validation images, 12 to recalibrate with, and three training batches of six."""
    batches = [(images(case, f"batch {i}", 6), (torch.arange(6) + i) % 5) for i in range(BATCHES)]
    return ScoringData(
        images(case, "validation", IMAGES), labels(case), images(case, "training", 12), tuple(batches), batch_size
    )
