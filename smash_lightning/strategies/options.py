"""Options of the ranking stage, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from smash_lightning.option_types import require_bounds
from smash_lightning.scoring.batch_norm_policy import BatchNormPolicy
from smash_lightning.scoring.constraints import Constraints, Latency
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

    def constraints(self, latency: Latency | None = None) -> Constraints:
        """Bounds on the cost of a candidate; a bound on the latency needs a measurement."""
        return Constraints(self.max_params, self.max_macs, self.max_latency, latency)

    @property
    def active_strategies(self) -> tuple[Strategy, ...]:
        """Strategies with a count above 0."""
        return tuple(strategy for strategy in self.strategies.values() if strategy.count > 0)
