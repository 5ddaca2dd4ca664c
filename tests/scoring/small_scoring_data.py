"""Random images to score architectures of any case, and scorers with untrained HyperNets."""

from dataclasses import replace

import torch
from torch import Tensor

from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.random_streams import generator
from smash_lightning.scoring import BatchNormPolicy, RecalibratedStatistics, Scorer, ScoringData
from tests.cases import BARE_CASES, Case
from tests.hypernet.kinds import KINDS

CASE = BARE_CASES["v1-2d"]
RECALIBRATED = RecalibratedStatistics()
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


def make_scorer(
    case: Case = CASE,
    hypernets: int = 1,
    batch_size: int = 8,
    policy: BatchNormPolicy = RECALIBRATED,
    kind: str = "conditional",
    noises: int = 1,
) -> Scorer:
    sources = [KINDS[kind](case, seed) for seed in range(hypernets)]
    trained = [TrainedHyperNet(source, source.running_statistics().eval(), frozenset()) for source in sources]
    return Scorer(trained, scoring_data(case, batch_size), policy=policy, seed=0, noises=noises)


def in_doubles(scorer: Scorer) -> Scorer:
    """The same with 64-bit floats."""
    for hypernet in scorer.hypernets:
        hypernet.weights.double()
        hypernet.statistics.double()
    data = scorer.data
    batches = tuple((images.double(), labels) for images, labels in data.batches)
    scorer.data = replace(data, images=data.images.double(), recalibration=data.recalibration.double(), batches=batches)
    return scorer
