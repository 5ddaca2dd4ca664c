"""Draws that balance sizes: small, middling and large architectures are equally likely."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from smash_lightning.architecture import Architecture, ImageSpec, Limits, cost
from smash_lightning.random_streams import rng as stream
from smash_lightning.search_space.base import SearchSpace

RANGE_OF = 200


@dataclass(frozen=True)
class SizeBalanced(SearchSpace):
    """The architectures of `space`, drawn so that the logarithm of their parameters is spread evenly.

    Of `pool` draws the one is taken whose size is nearest to a size drawn evenly, on a logarithmic scale, between the
    smallest and the largest of 200 draws of a fixed stream. (Between those of the pool itself nothing would change:
    the extremes of few draws are seldom the extremes of the space.)

    Args:
        space: the space to draw from.
        pool: draws to choose from; the more, the flatter.

    Attributes:
        extremes: logarithm of the parameters of the smallest and of the largest architecture that is wanted.
    """

    space: SearchSpace
    pool: int = 8
    image_spec: ImageSpec = field(init=False, repr=False)
    extremes: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_spec", self.space.image_spec)
        if self.pool < 2:
            raise ValueError(f"a pool of {self.pool} draws cannot be balanced: take at least 2")
        sizes = [self._log_size(self.space.sample(stream("range of sizes", index))) for index in range(RANGE_OF)]
        object.__setattr__(self, "extremes", (min(sizes), max(sizes)))

    @property
    def limits(self) -> Limits:
        """Those of the whole space."""
        return self.space.limits

    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        """Draws `pool` architectures and takes one of them."""
        wanted = rng.uniform(*self.extremes)
        draws = [self.space.sample(rng, progress) for _ in range(self.pool)]
        return min(draws, key=lambda draw: abs(self._log_size(draw) - wanted))

    def _log_size(self, architecture: Architecture) -> float:
        return math.log(cost(architecture, self.image_spec).params)

    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """As in the whole space."""
        return self.space.perturb(architecture, rng, probability)

    def refusal(self, architecture: Architecture) -> str | None:
        """As in the whole space."""
        return self.space.refusal(architecture)
