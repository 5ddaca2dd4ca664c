"""What every baseline offers, and what it may use."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning as L
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.data import DataModule
from smash_lightning.training import RetrainOptions


@dataclass(frozen=True, slots=True, eq=False)
class BaselineContext:
    """What baselines may use: the same for every architecture of a comparison.

    Args:
        image_spec: image, stem and classifier around every architecture.
        images: a normalised batch of at least two training images (count, channels, *size), on the device and in the
            precision that baselines compute in; never validation or test images.
        labels: their labels (count,), on the same device.
        data: for baselines that train: they learn from its training images and may look at its validation images, as
            SMASH does; never at its test images.
        retrain: how architectures are trained normally.
        trainer: makes a Lightning Trainer for one device.
        seed: of initialisation, order of the training images and chance. One that no ordinary training has: a baseline
            that trains would otherwise repeat the beginning of a training that it is to predict.
        images_per_candidate: training images that SMASH spent on each candidate, each pass over one counted: the
            budget of a baseline that trains.
        folder: where Lightning may leave files.
    """

    image_spec: ImageSpec
    images: Tensor
    labels: Tensor
    data: DataModule
    retrain: RetrainOptions
    trainer: Callable[..., L.Trainer]
    seed: int
    images_per_candidate: float
    folder: Path


class Baseline(ABC):
    """Predicts how good an architecture is, without SMASH. A baseline of your own implements `value`.

    A baseline is a frozen dataclass whose fields are plain values, so that a configuration can name it by `_target_`.
    """

    @abstractmethod
    def value(self, architecture: Architecture, context: BaselineContext) -> float:
        """The prediction, a function of its arguments alone: the lower, the lower is the true loss said to be.

        It is +inf where it is undefined, see `nan_to_inf`; never NaN, which no order has a place for.
        """


def nan_to_inf(value: float) -> float:
    """`value`, or +inf where it is not a finite number: where nothing is predicted, nothing good is."""
    return value if math.isfinite(value) else math.inf
