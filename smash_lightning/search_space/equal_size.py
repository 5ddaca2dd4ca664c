"""Architectures of one size, which takes the strongest simple baseline of any score, size, out of the question."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field

from smash_lightning.architecture import Architecture, ImageSpec, Limits, cost
from smash_lightning.random_streams import rng as stream
from smash_lightning.search_space.base import SearchSpace

MEDIAN_OF = 200
ATTEMPTS = 10_000


@dataclass(frozen=True)
class EqualSize(SearchSpace):
    """The architectures of `space` whose parameters lie within `tolerance` of `target`.

    Args:
        space: the space to select from.
        tolerance: largest relative deviation from the target, such as 0.1.
        target: parameters of the ordinary network; None takes the median of 200 draws of a fixed stream.
    """

    space: SearchSpace
    tolerance: float
    target: int | None = None
    image_spec: ImageSpec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_spec", self.space.image_spec)
        if not 0 < self.tolerance < 1:
            raise ValueError(f"search_space.size_tolerance must lie between 0 and 1, got {self.tolerance}")
        if self.target is None:
            draws = [self.space.sample(stream("median size", i)) for i in range(MEDIAN_OF)]
            median = int(statistics.median(cost(draw, self.image_spec).params for draw in draws))
            object.__setattr__(self, "target", median)

    @property
    def limits(self) -> Limits:
        """Those of the whole space."""
        return self.space.limits

    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        """Draws from the whole space, fully open whatever the progress, until the size is right.

        Raises:
            ValueError: no draw in ten thousand had the size.
        """
        del progress  # the target is a size of the open space, which one that still opens would hardly draw
        for _ in range(ATTEMPTS):
            architecture = self.space.sample(rng)
            if self._size_refusal(architecture) is None:
                return architecture
        raise ValueError(
            f"none of {ATTEMPTS} architectures has {self.target} parameters within {self.tolerance:.0%}: "
            "set search_space.size_target nearer to the median, or a larger search_space.size_tolerance"
        )

    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Perturbs in the whole space until the size is right; returns `architecture` itself if it never is."""
        for _ in range(ATTEMPTS // 10):
            candidate = self.space.perturb(architecture, rng, probability)
            if self._size_refusal(candidate) is None:
                return candidate
        return architecture

    def refusal(self, architecture: Architecture) -> str | None:
        """Why it is outside the whole space, or of another size."""
        return self.space.refusal(architecture) or self._size_refusal(architecture)

    def _size_refusal(self, architecture: Architecture) -> str | None:
        assert self.target is not None
        params = cost(architecture, self.image_spec).params
        if abs(params / self.target - 1) <= self.tolerance:
            return None
        return f"it has {params} parameters, not {self.target} within {self.tolerance:.0%}"
