"""Reliability of the ground truth: intraclass correlation over seeds, and the noise ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, mean_pairwise_spearman, ranks, ratio, variance


@dataclass(frozen=True, slots=True)
class Reliability:
    """Repeatability of the ground truth between retraining seeds."""

    architectures: int  # number of those with every seed
    seeds: int  # trainings of each
    # reliability of the mean over seeds, on ranks within a seed; two-way, consistency: ICC(C,k)
    icc_mean: Estimate | None
    icc_single: Estimate | None  # the same of one training, ICC(C,1)
    icc_mean_raw: Estimate | None  # ICC(C,k) on the values themselves, which depend on outliers
    icc_single_raw: Estimate | None  # ICC(C,1) on the values themselves
    seed_agreement: Estimate | None  # mean Spearman between two seeds
    # square root of `icc_mean` (0 below 0): about the highest Spearman of any predictor with this ground truth
    ceiling: Estimate | None


def reliability(trainings: Floats, resamples: int, seed: int) -> Reliability:
    """Reliability of the mean over the columns of `trainings`, (architectures, seeds); rows with a NaN are dropped."""
    complete = trainings[np.isfinite(trainings).all(axis=1)]
    columns = list(complete.T)
    estimate = Bootstrap(len(complete), resamples, seed).estimate
    return Reliability(
        architectures=len(complete),
        seeds=len(columns),
        icc_mean=estimate(partial(icc_of_ranks, columns)),
        icc_single=estimate(lambda weights: icc_single(icc_of_ranks(columns, weights), len(columns))),
        icc_mean_raw=estimate(partial(icc_mean, columns)),
        icc_single_raw=estimate(lambda weights: icc_single(icc_mean(columns, weights), len(columns))),
        seed_agreement=estimate(partial(mean_pairwise_spearman, columns)),
        ceiling=estimate(partial(ceiling, columns)),
    )


def ceiling(columns: Sequence[Floats], weights: Floats) -> Floats:
    """About the highest Spearman with the mean of the columns: root of its reliability on ranks, 0 below 0; (r,)."""
    return np.sqrt(np.maximum(icc_of_ranks(columns, weights), 0))


def icc_of_ranks(columns: Sequence[Floats], weights: Floats) -> Floats:
    """ICC(C,k) of the ranks within each column, as `icc_mean`."""
    return icc_mean([ranks(column, weights) for column in columns], weights)


def icc_mean(columns: Sequence[Floats], weights: Floats) -> Floats:
    """ICC(C,k) of McGraw and Wong (1996), the two-way consistency of a mean of k raters; equals Cronbach's alpha.

    Args:
        columns: one per rater, (n,) or (r, n).
        weights: (r, n), as in `coefficients`.

    Returns:
        (r,); NaN for fewer than two raters or where their sum does not vary. Negative where raters disagree.
    """
    count = len(columns)
    if count < 2:
        return np.full(len(weights), np.nan)
    of_sum = variance(np.sum(columns, axis=0), weights)
    sum_of = np.sum([variance(column, weights) for column in columns], axis=0)
    return count / (count - 1) * (1 - ratio(sum_of, of_sum))


def icc_single(of_mean: Floats, count: int) -> Floats:
    """ICC(C,1) from ICC(C,k): Spearman and Brown's formula backwards."""
    return of_mean / (count - (count - 1) * of_mean)
