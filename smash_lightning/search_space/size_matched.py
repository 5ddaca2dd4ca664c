"""Architectures of similar size, among which size, the strongest simple baseline, predicts nothing."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field

from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits, cost
from smash_lightning.random_streams import Stream
from smash_lightning.random_streams import rng as stream
from smash_lightning.search_space.base import SearchSpace

MEDIAN_SAMPLES = 200
ATTEMPTS = 10_000


@dataclass(frozen=True)
class SizeMatched(SearchSpace):
    """The architectures of `space` whose number of parameters is within `tolerance` of `target`.

    Args:
        space: the space to select from.
        tolerance: largest relative difference from the target, such as 0.1.
        target: parameters of the standalone network; None for the median of 200 samples of a fixed random stream.
    """

    space: SearchSpace
    tolerance: float
    target: int | None = None
    image_spec: ImageSpec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_spec", self.space.image_spec)
        if not 0 < self.tolerance < 1:
            raise ValueError(f"ranking.size_tolerance must be between 0 and 1, got {self.tolerance}")
        if self.target is None:
            samples = [self.space.sample(stream(Stream.MEDIAN_SIZE, i)) for i in range(MEDIAN_SAMPLES)]
            median = int(statistics.median(cost(sample, self.image_spec).params for sample in samples))
            object.__setattr__(self, "target", median)

    @property
    @override
    def limits(self) -> Limits:
        return self.space.limits

    @override
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        """Samples the fully grown space, whatever the progress, until the size fits.

        Raises:
            ValueError: none of ten thousand samples has the size.
        """
        del progress  # the target is a size of the fully grown space, which is rare before
        for _ in range(ATTEMPTS):
            architecture = self.space.sample(rng)
            if self._size_violation(architecture) is None:
                return architecture
        raise ValueError(
            f"none of {ATTEMPTS} architectures has {self.target} parameters within {self.tolerance:.0%}: "
            "set ranking.size_target nearer to the median, or a larger ranking.size_tolerance"
        )

    @override
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Perturbs in the whole space until the size fits; returns `architecture` itself if it never does."""
        for _ in range(ATTEMPTS // 10):
            candidate = self.space.perturb(architecture, rng, probability)
            if self._size_violation(candidate) is None:
                return candidate
        return architecture

    @override
    def violation(self, architecture: Architecture) -> str | None:
        return self.space.violation(architecture) or self._size_violation(architecture)

    def _size_violation(self, architecture: Architecture) -> str | None:
        assert self.target is not None
        params = cost(architecture, self.image_spec).params
        if abs(params / self.target - 1) <= self.tolerance:
            return None
        return f"it has {params} parameters, not {self.target} within {self.tolerance:.0%}"
