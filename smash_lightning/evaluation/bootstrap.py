"""Percentile bootstrap intervals over architectures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smash_lightning.evaluation.coefficients import Floats

CONFIDENCE = 0.95
MINIMUM = 5  # architectures; with fewer nothing is estimated
LEAST_RESAMPLES = 100  # fewer give no 95 % interval
CHUNK = 1_000  # resamples at a time, which keeps memory small


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with the ends of its 95 % interval; f"{estimate:.2f}" gives "0.57 [0.35, 0.74]".

    Undefined values, such as a coefficient of a constant predictor, are None instead. `resamples` counts those in which
    the number is defined, from which the interval is taken.
    """

    value: float
    low: float
    high: float
    resamples: int

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is above or below zero, else 0: not significantly different from zero."""
        return int(self.low > 0) - int(self.high < 0)

    def __format__(self, spec: str) -> str:
        value, low, high = (format(number, spec) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


class Bootstrap:
    """A fixed set of resamples of `size` architectures.

    All estimates from one object share the resamples, so a difference of two coefficients is paired when the
    statistic computes both from the weights that it is given.

    Raises:
        ValueError: fewer than 100 resamples, which give no interval.
    """

    def __init__(self, size: int, resamples: int, seed: int) -> None:
        if resamples < LEAST_RESAMPLES:
            raise ValueError(
                f"{resamples} bootstrap resamples give no 95 % interval: use at least {LEAST_RESAMPLES}, better 10,000"
            )
        self.size = size
        self.weights = np.zeros((resamples, size))
        if size:
            self.weights += np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples)

    def draws(self, statistic: Callable[[Floats], Floats]) -> Floats:
        """The statistic of every resample; the statistic maps weights (r, n) to (r, ...)."""
        chunks = range(0, len(self.weights), CHUNK)
        return np.concatenate([statistic(self.weights[start : start + CHUNK]) for start in chunks])

    def estimate(self, statistic: Callable[[Floats], Floats]) -> Estimate | None:
        """The statistic of the sample with its interval; None where it is undefined or there are fewer than five.

        The statistic maps weights (r, n) to (r,), NaN where it is undefined.
        """
        return self.estimates(lambda weights: statistic(weights)[:, None], 1)[0]

    def estimates(self, statistic: Callable[[Floats], Floats], count: int) -> list[Estimate | None]:
        """The same for `count` numbers at once, which saves what they share; the statistic returns (r, count)."""
        if self.size < MINIMUM:
            return [None] * count
        values = statistic(np.ones((1, self.size)))[0]
        return [percentiles(float(value), draws) for value, draws in zip(values, self.draws(statistic).T, strict=True)]


def percentiles(value: float, draws: Floats) -> Estimate | None:
    """A number with the percentiles of those `draws` (r,) in which it is defined; None where it is undefined."""
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(draws):
        return None
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), len(draws))
