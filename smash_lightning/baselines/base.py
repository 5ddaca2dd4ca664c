"""The interface of baselines, the data that they use, and the options of the baselines stage."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning as L
from pydantic import Field
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.data import DataModule
from smash_lightning.option_types import require_bounds
from smash_lightning.training import RetrainOptions

OneShot = Literal["weight_sharing", "unconditional", "untrained"]


@dataclass(frozen=True, slots=True, eq=False)
class BaselineContext:
    """Data and options for baselines, the same for every architecture of a comparison.

    Args:
        image_spec: image, stem and classifier around every architecture.
        images: a normalized batch of at least two training images (count, channels, *size), on the device and in the
            precision of the computation; never validation or test images.
        labels: their labels (count,), on the same device.
        data: for baselines that train: on its training images. They may use its validation images, as SMASH does, but
            not its test images.
        retrain: options of standalone training.
        trainer: makes a Lightning Trainer for one device.
        seed: of initialization, order of the training images and all random numbers. No standalone training has it: a
            baseline that trains would otherwise repeat the first steps of a training that it is to predict.
        images_per_candidate: training images that SMASH used for each candidate, each pass over one counted: the budget
            of a baseline that trains.
        folder: for Lightning's files.
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
    """Predicts the test loss of architectures, without SMASH. Subclasses implement `predict`.

    They are frozen dataclasses of plain values, so that a configuration can name them by `_target_`.
    """

    @abstractmethod
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        """Lower values predict a lower test loss; +inf where the prediction is undefined, never NaN.

        The prediction is a function of the arguments alone.
        """


@dataclass(frozen=True)
class BaselineOptions:
    """Baselines of the score, in addition to parameters, MACs and number of ops.

    conf/baselines/all.yaml explains each option.
    """

    baselines: Mapping[str, Baseline | None]
    one_shot: tuple[OneShot, ...]
    images: Annotated[int, Field(ge=2)]
    hypernet: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "one_shot", tuple(self.one_shot))
        require_bounds(self, "baselines")

    @property
    def chosen(self) -> dict[str, Baseline]:
        """Baselines that are not left out."""
        return {name: baseline for name, baseline in self.baselines.items() if baseline is not None}


def nan_to_inf(value: float) -> float:
    """`value`, or +inf, the worst prediction, where it is not a finite number."""
    return value if math.isfinite(value) else math.inf
