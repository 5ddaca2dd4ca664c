"""The gain of the selection by score: the shortlist against architectures that represent the pool."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from smash_lightning.evaluation.bootstrap import CONFIDENCE
from smash_lightning.evaluation.coefficients import Floats


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Mean ground truth of the shortlist against that of the representative sample.

    An architecture counts once in each. Architectures in both groups make the standard error larger, never smaller.

    Args:
        top: architectures in the shortlist.
        representative: architectures in the representative sample.
        mean_top: mean ground truth of the shortlist; nats for losses, % for errors, also below.
        mean_representative: mean ground truth of the representative sample.
        difference: `mean_top - mean_representative`: negative where the selection helps.
        standard_error: of the difference, by Welch.
        z: difference in standard errors.
        low: lower end of the difference's 95 % interval, from Student's t with Welch's degrees of freedom.
        high: its upper end.
        beat_median: number of the shortlist that is better than the median of the representative sample.
        share: the same as a share of the shortlist, 0 to 1.
    """

    top: int
    representative: int
    mean_top: float
    mean_representative: float
    difference: float
    standard_error: float
    z: float
    low: float
    high: float
    beat_median: int
    share: float


def shortlist(top: Floats, representative: Floats) -> Shortlist | None:
    """Compares the ground truths of two groups of architectures, (n,) each.

    None where a group has fewer than two architectures, or where neither varies.
    """
    groups = (top, representative)
    if min(map(len, groups)) < 2 or not any(map(np.ptp, groups)):
        return None
    squares = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    difference = float(np.mean(top) - np.mean(representative))
    error = math.sqrt(sum(squares))
    freedom = error**4 / sum(square**2 / (len(group) - 1) for square, group in zip(squares, groups, strict=True))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    beat = int((top < np.median(representative)).sum())
    return Shortlist(
        top=len(top),
        representative=len(representative),
        mean_top=float(np.mean(top)),
        mean_representative=float(np.mean(representative)),
        difference=difference,
        standard_error=error,
        z=difference / error,
        low=difference - reach,
        high=difference + reach,
        beat_median=beat,
        share=beat / len(top),
    )
