"""A random order, which every other predictor must beat."""

from dataclasses import dataclass

from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.random_streams import Stream, rng


@dataclass(frozen=True)
class RandomScore(Baseline):
    """A random number between 0 and 1, a function of seed and fingerprint alone."""

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return rng(Stream.RANDOM_SCORE, context.seed, architecture.fingerprint).random()
