"""Options of standalone training, and how many networks are trained side by side."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch.optim import Optimizer

from smash_lightning.architecture import ImageSpec
from smash_lightning.option_types import Trainings, require_bounds

ELEMENTWISE = [getattr(torch.optim, name) for name in ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad")]
CPU_PIXELS, GPU_PIXELS = 256, 1024  # of images up to which networks are trained side by side
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class RetrainOptions:
    """How architectures are trained standalone, and which ones; conf/retrain/digits.yaml explains each option."""

    epochs: PositiveInt
    learning_rate: NonNegativeFloat
    momentum: ShareBelowOne
    weight_decay: float
    seeds: Trainings
    shortlist: NonNegativeInt
    stratified: NonNegativeInt
    random: NonNegativeInt
    rank: NonNegativeInt | None
    start: Literal["random", "generated"]
    use_validation: bool
    checkpoint_minutes: float
    presets: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    rounds: PositiveInt = 1
    optimizer: Callable[..., Optimizer] | None = None
    warm_up: ShareBelowOne = 0.0
    clip: PositiveFloat | None = None
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    label_smoothing: ShareBelowOne = 0.0
    dropout: ShareBelowOne = 0.0
    drop_path: ShareBelowOne = 0.0
    shake: bool = False
    cutout: NonNegativeInt = 0
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0
    graphs: bool = False

    def __post_init__(self) -> None:
        for name in ("presets", "architectures"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        require_bounds(self, "retrain")
        if self.rounds > 1 and self.rank is not None:
            raise ValueError(
                f"retrain.rounds={self.rounds} trains many architectures: leave out retrain.rank={self.rank}"
            )


def networks_side_by_side(image_spec: ImageSpec, device: str, optimizer: object = None) -> int | None:
    """Most networks of one architecture that are trained side by side; None for any number.

    It is 1 with an optimizer other than torch's that treat each value on its own.

    On a CPU this takes .6 of the time of one after another for images of 8 x 8 pixels, .9 for 16 x 16, and more than
    that time for 32 x 32 (docs/results/costs.md). A GPU waits for the host with images of up to 32 x 32 pixels, by
    counts of operations; times were not measured there.
    """
    most = CPU_PIXELS if device == "cpu" else GPU_PIXELS
    elementwise = optimizer is None or getattr(optimizer, "func", optimizer) in ELEMENTWISE
    return None if elementwise and math.prod(image_spec.size) <= most else 1
