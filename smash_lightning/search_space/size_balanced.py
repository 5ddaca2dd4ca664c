"""Samples of balanced size: small, medium and large architectures are equally likely."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits, cost
from smash_lightning.random_streams import Stream
from smash_lightning.random_streams import rng as stream
from smash_lightning.search_space.base import SearchSpace

RANGE_SAMPLES = 200


@dataclass(frozen=True)
class SizeBalanced(SearchSpace):
    """The architectures of `space`, sampled so that the logarithm of their parameters is approximately uniform.

    Of `pool` samples the one is chosen whose size is nearest to a target, uniform on a logarithmic scale between the
    smallest and the largest of 200 samples of a fixed random stream. (The extremes of the pool itself would not do:
    those of few samples are rarely the extremes of the space.)

    Args:
        space: the space to sample.
        pool: samples to choose from; more of them are nearer to uniform.

    Attributes:
        extremes: logarithm of the parameters of the smallest and of the largest target.
    """

    space: SearchSpace
    pool: int = 8
    image_spec: ImageSpec = field(init=False, repr=False)
    extremes: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_spec", self.space.image_spec)
        if self.pool < 2:
            raise ValueError(f"a pool of {self.pool} samples cannot be balanced: take at least 2")
        sizes = [self._log_size(self.space.sample(stream(Stream.SIZE_RANGE, index))) for index in range(RANGE_SAMPLES)]
        object.__setattr__(self, "extremes", (min(sizes), max(sizes)))

    @property
    @override
    def limits(self) -> Limits:
        return self.space.limits

    @override
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        target = rng.uniform(*self.extremes)
        samples = [self.space.sample(rng, progress) for _ in range(self.pool)]
        return min(samples, key=lambda sample: abs(self._log_size(sample) - target))

    def _log_size(self, architecture: Architecture) -> float:
        return math.log(cost(architecture, self.image_spec).params)

    @override
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        return self.space.perturb(architecture, rng, probability)

    @override
    def violation(self, architecture: Architecture) -> str | None:
        return self.space.violation(architecture)
