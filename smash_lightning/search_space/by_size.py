"""Spaces of architectures selected by size, which is the strongest simple baseline of a score."""

import math
import random
import statistics
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits, cost
from smash_lightning.option_types import require_bounds
from smash_lightning.random_streams import Stream
from smash_lightning.random_streams import rng as stream
from smash_lightning.search_space.base import SearchSpace

SIZE_SAMPLES = 200
ATTEMPTS = 10_000


class _SelectedBySize(SearchSpace):
    """The architectures of another space, in another distribution."""

    space: SearchSpace

    @property
    @override
    def image_spec(self) -> ImageSpec:  # type: ignore[override]
        return self.space.image_spec

    @property
    @override
    def limits(self) -> Limits:
        return self.space.limits

    @override
    def perturb(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        return self.space.perturb(architecture, rng, probability)

    @override
    def violation(self, architecture: Architecture) -> str | None:
        return self.space.violation(architecture)

    def params(self, architecture: Architecture) -> int:
        """Parameters of the standalone network."""
        return cost(architecture, self.image_spec).params

    def sizes(self, key: Stream) -> list[int]:
        """Parameters of 200 samples of the space, from a fixed random stream."""
        return [self.params(self.space.sample(stream(key, index))) for index in range(SIZE_SAMPLES)]


@dataclass(frozen=True)
class SizeMatched(_SelectedBySize):
    """The architectures of `space` whose number of parameters is within `tolerance` of `target`.

    Among these, size predicts nothing.

    Args:
        space: the space to select from.
        tolerance: largest relative difference from the target, such as 0.1.
        target: parameters of the standalone network; None for the median of samples.
    """

    space: SearchSpace
    tolerance: Annotated[float, Field(gt=0, lt=1)]
    target: int | None = None

    def __post_init__(self) -> None:
        require_bounds(self, "SizeMatched")
        if self.target is None:
            object.__setattr__(self, "target", int(statistics.median(self.sizes(Stream.MEDIAN_SIZE))))

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
            candidate = super().perturb(architecture, rng, probability)
            if self._size_violation(candidate) is None:
                return candidate
        return architecture

    @override
    def violation(self, architecture: Architecture) -> str | None:
        return super().violation(architecture) or self._size_violation(architecture)

    def _size_violation(self, architecture: Architecture) -> str | None:
        assert self.target is not None
        params = self.params(architecture)
        if abs(params / self.target - 1) <= self.tolerance:
            return None
        return f"it has {params} parameters, not {self.target} within {self.tolerance:.0%}"


@dataclass(frozen=True)
class SizeBalanced(_SelectedBySize):
    """The architectures of `space`, sampled so that the logarithm of their parameters is approximately uniform.

    Of `pool` samples the one is chosen whose size is nearest to a target, uniform on a logarithmic scale between the
    smallest and the largest of 200 other samples. (The extremes of the pool itself would not do: those of few samples
    are rarely the extremes of the space.)

    Attributes:
        extremes: logarithm of the parameters of the smallest and of the largest target.
    """

    space: SearchSpace
    pool: Annotated[int, Field(ge=2)] = 8
    extremes: tuple[float, float] = field(init=False, repr=False, default=(0.0, 0.0))

    def __post_init__(self) -> None:
        require_bounds(self, "SizeBalanced")
        sizes = self.sizes(Stream.SIZE_RANGE)
        object.__setattr__(self, "extremes", (math.log(min(sizes)), math.log(max(sizes))))

    @override
    def sample(self, rng: random.Random, progress: float = 1.0) -> Architecture:
        target = rng.uniform(*self.extremes)
        samples = [self.space.sample(rng, progress) for _ in range(self.pool)]
        return min(samples, key=lambda sample: abs(math.log(self.params(sample)) - target))
