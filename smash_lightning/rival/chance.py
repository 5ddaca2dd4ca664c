"""A random order: what any other rival, and the score, must beat."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.randomness import Stream, rng
from smash_lightning.rival.base import Rival, Setting


@dataclass(frozen=True)
class Chance(Rival):
    """A number between 0 and 1 that has nothing to do with the architecture but its name."""

    def value(self, architecture: Architecture, setting: Setting) -> float:
        """The same for the same architecture and seed, whatever was asked for before."""
        return rng(Stream.RANDOM_SCORE, setting.seed, architecture.fingerprint).random()
