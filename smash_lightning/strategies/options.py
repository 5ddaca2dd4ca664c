"""Options of the ranking stage, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from smash_lightning.architecture import ImageSpec, cost
from smash_lightning.option_types import require_bounds
from smash_lightning.scoring.batch_norm_policy import BatchNormPolicy
from smash_lightning.scoring.constraints import Bounds, Measure, measured_latency
from smash_lightning.scoring.smash_score import SmashScore, ValidationLoss
from smash_lightning.strategies.base import Strategy
from smash_lightning.strategies.racing import Racing


@dataclass(frozen=True)
class RankingOptions:
    """How architectures are proposed and scored; conf/ranking/small.yaml explains each option."""

    strategies: Mapping[str, Strategy]
    batch_norm: BatchNormPolicy
    fixed: NonNegativeInt
    fixed_every: PositiveInt
    size_tolerance: Annotated[float, Field(gt=0, lt=1)] | None = None
    size_target: PositiveInt | None = None
    max_params: PositiveInt | None = None
    max_macs: PositiveInt | None = None
    max_latency: PositiveFloat | None = None
    latency_batch: PositiveInt = 1
    smash_score: SmashScore = field(default_factory=ValidationLoss)
    noises: PositiveInt = 1
    racing: Racing | None = None

    def __post_init__(self) -> None:
        require_bounds(self, "ranking")
        if not self.active_strategies or self.active_strategies[0].name != "random":
            raise ValueError("ranking: the first strategy must be random, with a count of at least 1")

    def bounds(self, image_spec: ImageSpec, device: torch.device | str) -> Bounds:
        """Bounds on the cost of a candidate, that of the latency last, as it is measured on the device."""
        measures: dict[str, Measure] = {
            "max_params": lambda architecture: cost(architecture, image_spec).params,
            "max_macs": lambda architecture: cost(architecture, image_spec).macs,
        }
        if self.max_latency is not None:
            measures["max_latency"] = measured_latency(image_spec, device, self.latency_batch)
        found = {name: (getattr(self, name), measure) for name, measure in measures.items()}
        return {name: pair for name, pair in found.items() if pair[0] is not None}

    @property
    def active_strategies(self) -> tuple[Strategy, ...]:
        """Strategies with a count above 0."""
        return tuple(strategy for strategy in self.strategies.values() if strategy.count > 0)
