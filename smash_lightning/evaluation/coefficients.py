"""Coefficients of agreement, and what selecting by a predictor gains.

They are written over weights, so that a sample and all its resamples are one calculation. Every function takes columns
of shape (n,), one value per architecture, and `weights` of shape (r, n): how often each architecture occurs in each of
r resamples. It returns shape (r,). With weights of ones it gives the ordinary coefficient. NaN means undefined (as for
a constant column); nothing here raises or warns for that.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDING = 1e-12  # a column that varies by less than this share of its size is constant
EXPLAINED = 1e-9  # share of a variance: residuals below it are rounding
SHARE = 1 / 5  # that a predictor selects of a sample, however large: a part of an architecture may be selected


def ranks(column: Floats, weights: Floats) -> Floats:
    """Ranks from 1 within each resample, ties sharing their mean rank; (r, n). The column may be (r, n) as well."""
    below = (column[..., None] < column[..., None, :]) + 0.5 * (column[..., None] == column[..., None, :])
    return weighted(weights, below) + 0.5


def pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Pearson's r; x and y may also have shape (r, n), values of their own in each resample."""
    x, y = centered(x, weights), centered(y, weights)
    return ratio(_dot(x, y, weights), np.sqrt(_dot(x, x, weights) * _dot(y, y, weights)))


def spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Spearman's rho: Pearson's r of the ranks."""
    return pearson(ranks(x, weights), ranks(y, weights), weights)


def kendall(x: Floats, y: Floats, weights: Floats, pairs: NDArray[np.bool_] | bool = True) -> Floats:
    """Kendall's tau-b: concordant minus discordant pairs over the pairs that are not tied.

    `pairs` (n, n), symmetric, are those that count: for example those of similar size. x and y may be (r, n).
    """
    order_x, order_y = (np.sign(column[..., None, :] - column[..., None]) * pairs for column in (x, y))

    def total(order: Floats) -> Floats:
        return (weighted(weights, order) * weights).sum(-1)

    return ratio(total(order_x * order_y), np.sqrt(total(np.abs(order_x)) * total(np.abs(order_y))))


def partial_spearman(x: Floats, y: Floats, given: Sequence[Floats], weights: Floats) -> Floats:
    """Pearson's r of the residuals of the ranks of x and y after linear regression on the ranks of `given`.

    A constant or repeated column in `given` changes nothing. Undefined where `given` explains x or y completely.
    """
    columns = [centered(ranks(column, weights), weights) for column in (x, y, *given)]
    size = len(columns)
    correlation = np.zeros((len(weights), size, size))
    lengths = [np.sqrt(_dot(column, column, weights)) for column in columns]
    for i in range(size):
        for j in range(i, size):
            entry = ratio(_dot(columns[i], columns[j], weights), lengths[i] * lengths[j])
            correlation[:, i, j] = correlation[:, j, i] = np.nan_to_num(entry)
    own, shared, rest = correlation[:, :2, :2], correlation[:, :2, 2:], correlation[:, 2:, 2:]
    left = own - shared @ np.linalg.pinv(rest, rcond=EXPLAINED, hermitian=True) @ shared.swapaxes(1, 2)
    variances = np.where(left > EXPLAINED, left, 0.0)
    return ratio(left[:, 0, 1], np.sqrt(variances[:, 0, 0] * variances[:, 1, 1]))


def mean_pairwise_spearman(columns: Sequence[Floats], weights: Floats) -> Floats:
    """The mean of Spearman's rho over all pairs of columns; undefined for fewer than two columns."""
    ranked = [ranks(column, weights) for column in columns]
    pairs = [pearson(x, y, weights) for x, y in combinations(ranked, 2)]
    return np.mean(pairs, axis=0) if pairs else np.full(len(weights), np.nan)


def weighted(weights: Floats, table: Floats) -> Floats:
    """Each resample's weights (r, n) times a table (n, n), or its own of (r, n, n); (r, n)."""
    return weights @ table if table.ndim == 2 else np.einsum("ri,rij->rj", weights, table)


def centered(column: Floats, weights: Floats) -> Floats:
    """The column less its mean in each resample, (r, n); exactly zero where it is constant but for rounding."""
    mean = (weights * column).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True)
    difference = column - mean
    negligible = ROUNDING * np.abs(column).max(-1, keepdims=True)
    return np.where(np.abs(difference) > negligible, difference, 0.0)


def variance(column: Floats, weights: Floats) -> Floats:
    """The variance in each resample, with n - 1 in the denominator."""
    difference = centered(column, weights)
    return _dot(difference, difference, weights) / (weights.sum(-1) - 1)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient where the denominator is positive, NaN elsewhere."""
    undefined = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def top_gain(predictor: Floats, target: Floats, weights: Floats) -> Floats:
    """Mean target of the fifth with the lowest predictor minus the mean of all, negative where that helps; (r,)."""
    total = weights.sum(1)
    return top_membership(predictor, weights) @ target / (SHARE * total) - weights @ target / total


def regret(selected: Floats, best: Floats, target: Floats, weights: Floats) -> Floats:
    """Mean target of the fifth that a predictor selects minus that of the true best fifth, never below 0; (r,).

    `selected` and `best` are `top_membership` of the predictor and of the target.
    """
    return (selected - best) @ target / (SHARE * weights.sum(1))


def precision(selected: Floats, best: Floats, weights: Floats) -> Floats:
    """Share of the fifth that a predictor selects that is in the true best fifth; .2 for a random predictor; (r,)."""
    return np.minimum(selected, best).sum(1) / (SHARE * weights.sum(1))


def top_membership(predictor: Floats, weights: Floats) -> Floats:
    """How often each architecture is in the fifth with the lowest predictor, (r, n); NaN for a constant predictor.

    Of architectures that tie at the border each is selected in part, which is what drawing among them gives on average:
    the order of the table, which is that of the score, must not help a coarse predictor.
    """
    if not len(predictor) or (predictor == predictor[0]).all():
        return np.full(weights.shape, np.nan)
    below = weights @ (predictor < predictor[:, None]).T
    level = weights @ (predictor == predictor[:, None]).T
    room = SHARE * weights.sum(1, keepdims=True) - below
    share = np.divide(room, level, out=np.zeros(weights.shape), where=level > 0)
    return weights * np.clip(share, 0, 1)


def _dot(x: Floats, y: Floats, weights: Floats) -> Floats:
    return (weights * x * y).sum(-1)
