"""95 % intervals of what was measured on images or over seeds, as `value`, `low` and `high`."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from smash_lightning.evaluation.bootstrap import CONFIDENCE


def share_interval(percent: float, count: int) -> dict[str, float]:
    """A share of `count` images, in %: the interval of Wilson (1927)."""
    ends = stats.binomtest(round(percent * count / 100), count).proportion_ci(CONFIDENCE, method="wilson")
    return {"value": percent, "low": 100 * float(ends.low), "high": 100 * float(ends.high)}


def mean_interval(values: ArrayLike) -> dict[str, float]:
    """A mean of independent numbers, (n,): the interval of Student (1908); its ends are NaN for one number."""
    given = np.asarray(values, float)
    mean, count = float(given.mean()), len(given)
    half = math.nan
    if count > 1:
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * given.std(ddof=1) / count**0.5)
    return {"value": mean, "low": mean - half, "high": mean + half}
