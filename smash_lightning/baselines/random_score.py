"""A random order: what any other baseline, and the score, must beat."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.random_streams import Stream, rng


@dataclass(frozen=True)
class RandomScore(Baseline):
    """A number between 0 and 1 that has nothing to do with the architecture but its name."""

    def value(self, architecture: Architecture, context: BaselineContext) -> float:
        """The same for the same architecture and seed, whatever was asked for before."""
        return rng(Stream.RANDOM_SCORE, context.seed, architecture.fingerprint).random()
