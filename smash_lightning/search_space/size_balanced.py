"""Draws that balance sizes: small, middling and large architectures are equally likely."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from smash_lightning.architecture import Architecture, Limits, Skeleton, cost
from smash_lightning.search_space.base import SearchSpace


@dataclass(frozen=True)
class SizeBalanced(SearchSpace):
    """The architectures of `space`, drawn so that the logarithm of their parameters is spread evenly.

    Of `pool` draws the one is taken whose size is nearest to a size drawn evenly, on a logarithmic scale, between the
    smallest and the largest of them.

    Args:
        space: the space to draw from.
        pool: draws to choose from; the more, the flatter.
    """

    space: SearchSpace
    pool: int = 8
    skeleton: Skeleton = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "skeleton", self.space.skeleton)
        if self.pool < 2:
            raise ValueError(f"a pool of {self.pool} draws cannot be balanced: take at least 2")

    @property
    def limits(self) -> Limits:
        """Those of the whole space."""
        return self.space.limits

    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        """Draws `pool` architectures and takes one of them."""
        draws = [self.space.sample(rng, progress) for _ in range(self.pool)]
        sizes = [math.log(cost(draw, self.skeleton).params) for draw in draws]
        wanted = rng.uniform(min(sizes), max(sizes))
        return min(zip(draws, sizes, strict=True), key=lambda pair: abs(pair[1] - wanted))[0]

    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """As in the whole space."""
        return self.space.perturb(architecture, rng, probability)

    def refusal(self, architecture: Architecture) -> str | None:
        """As in the whole space."""
        return self.space.refusal(architecture)
