"""A linear model of ranks that is the first feature alone without evidence, for all resamples and folds at once.

Features and target are normal scores within one pool of architectures (van der Waerden), so that pools of other
HyperNets and scales can be joined by adding their normal equations. The first feature is not penalized; the penalty of
the others and the weight of the other pools are chosen by leaving out one architecture at a time (Hoerl and Kennard
1970; the closed form of Allen 1974), within the rows that a fit is given. No intercept: a normal score has mean 0, and
an intercept per fold costs held-out predictions of all folds some rank correlation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from smash_lightning.evaluation.coefficients import Floats

PENALTIES = np.logspace(0, 4, 9)  # of squared coefficients, for features of variance 1
WEIGHTS = (0.0, 0.25, 1.0)  # of a row of another pool
FOLDS = 10
CHUNK = 2_000  # fits at a time, which keeps memory small
LEAST_RESIDUAL = 1e-3  # share of a row's weight that does not come from itself, from below
Normal = tuple[Floats, Floats]  # normal equations of other pools: X'X (p, p) and X'z (p,)


def normal_scores(columns: Floats, reference: Floats | None = None) -> Floats:
    """Normal quantiles of the ranks within each column, (n, ...); ties share one.

    With a `reference` (m, ...) the ranks are those within its columns, interpolated, and at most those of its ends.
    """
    if reference is None:
        return np.asarray(norm.ppf((rankdata(columns, axis=0) - 0.5) / len(columns)))
    if columns.ndim == 1:
        values, first = np.unique(reference, return_index=True)
        return np.interp(columns, values, normal_scores(reference)[first])
    return np.stack([normal_scores(*pair) for pair in zip(columns.T, reference.T, strict=True)], axis=1)


def equations(pools: Sequence[tuple[Floats, Floats]]) -> Normal:
    """The normal equations of all rows of some pools, each with features (n, p) and target (n,)."""
    features, target = (np.concatenate(parts) for parts in zip(*pools, strict=True))
    return features.T @ features, features.T @ target


def fit(features: Floats, target: Floats, weights: Floats, others: Normal | None = None) -> Floats:
    """Coefficients of every fit, (m, p).

    Args:
        features: normal scores (n, p), the first of which is not penalized.
        target: normal scores (n,).
        weights: how often each fit has each row, (m, n).
        others: normal equations of other pools.
    """
    chunks = range(0, len(weights), CHUNK)
    return np.concatenate([_fit(features, target, weights[start : start + CHUNK], others) for start in chunks])


def _fit(features: Floats, target: Floats, weights: Floats, others: Normal | None) -> Floats:
    (n, p), count = features.shape, len(weights)
    squares = (weights @ (features[:, :, None] * features[:, None]).reshape(n, -1)).reshape(count, p, p)
    products = weights @ (features * target[:, None])
    every = np.arange(count)
    least: Floats = np.full(count, np.inf)
    best = np.zeros((count, p))
    for weight in WEIGHTS if others else WEIGHTS[:1]:
        square, product = squares, products
        if others:
            square, product = squares + weight * others[0], products + weight * others[1]
        # The first feature is projected out of the others, which then are ridge regression in their eigenvectors.
        first = square[:, 0, 0]
        slopes = square[:, 0, 1:] / first[:, None]
        values, vectors = np.linalg.eigh(square[:, 1:, 1:] - square[:, 1:, :1] * slopes[:, None])
        shrunk = 1 / (np.maximum(values, 0)[..., None] + PENALTIES)
        shrunk = np.concatenate([shrunk, np.zeros((count, p - 1, 1))], axis=-1)  # an infinite penalty: the first alone
        rest = np.einsum("mij,mi->mj", vectors, product[:, 1:] - slopes * product[:, :1])
        turned = (features[:, 1:] - features[:, :1] * slopes[:, None]) @ vectors
        residuals = (target - features[:, 0] * (product[:, 0] / first)[:, None])[..., None]
        residuals = residuals - turned @ (shrunk * rest[..., None])
        leverage = (features[:, 0] ** 2 / first[:, None])[..., None] + turned**2 @ shrunk
        left_out = residuals / np.maximum(1 - weights[..., None] * leverage, LEAST_RESIDUAL)
        errors = (weights[..., None] * left_out**2).sum(1)
        chosen = errors.argmin(1)
        error: Floats = errors[every, chosen]
        others_of_first = np.einsum("mij,mj->mi", vectors, shrunk[every, :, chosen] * rest)
        own = product[:, 0] / first - (slopes * others_of_first).sum(1)
        better = error < least
        best[better] = np.concatenate([own[:, None], others_of_first], axis=1)[better]
        least[better] = error[better]
    return best


def fit_others(others: Normal, penalty: float) -> Floats:
    """Coefficients from other pools alone, (p,); the first feature is not penalized."""
    penalties = np.full(len(others[1]), penalty)
    penalties[0] = 0
    return np.asarray(np.linalg.solve(others[0] + np.diag(penalties), others[1]), dtype=float)


def random_folds(
    architectures: int, repetitions: int, rng: np.random.Generator, folds: int = FOLDS
) -> NDArray[np.int64]:
    """The fold of each architecture in each repetition, (repetitions, n), all of nearly equal size."""
    return rng.permuted(np.tile(np.arange(architectures) % folds, (repetitions, 1)), axis=1)


def cross_fit(
    features: Floats, target: Floats, weights: Floats, folds: NDArray[np.int64], others: Normal | None = None
) -> Floats:
    """Predictions of each row by the fits without its fold, (r, n).

    Args:
        features: as in `fit`.
        target: as in `fit`.
        weights: how often each architecture is in each of r resamples, (r, n); its copies are in one fold.
        folds: of each architecture, (r, n).
        others: as in `fit`.
    """
    held_out = folds[:, None] == np.arange(FOLDS)[:, None]
    coefficients = fit(features, target, (weights[:, None] * ~held_out).reshape(-1, len(target)), others)
    predictions = (coefficients @ features.T).reshape(held_out.shape)
    return np.take_along_axis(predictions, folds[:, None], axis=1)[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class Fitter:
    """Own pool and library over some features; those that an architecture or the library lacks are left out."""

    features: tuple[str, ...]
    matrix: Floats  # normal scores (n, p)
    target: Floats  # normal scores (n,)
    others: Normal | None

    @classmethod
    def of(cls, own: pd.DataFrame, library: Sequence[pd.DataFrame], features: Sequence[str]) -> "Fitter":
        """Of those features that are known for all rows of all tables."""
        tables = (own, *library)
        known = tuple(name for name in features if all(name in one and one[name].notna().all() for one in tables))
        pools = [(scores(one, known), normal_scores(one["true_loss"].to_numpy(float))) for one in tables]
        return cls(known, *pools[0], equations(pools[1:]) if library else None)

    def predict(self, weights: Floats, rng: np.random.Generator, library: bool = True) -> Floats:
        """Cross-fitted predictions in each resample, (r, n); `library` whether to use it."""
        folds = random_folds(len(self.target), len(weights), rng)
        return cross_fit(self.matrix, self.target, weights, folds, self.others if library else None)

    def coefficients(self) -> Floats:
        """Of a fit on everything, (p,)."""
        return fit(self.matrix, self.target, np.ones((1, len(self.target))), self.others)[0]


def scores(table: pd.DataFrame, features: Sequence[str], reference: pd.DataFrame | None = None) -> Floats:
    """Normal scores of the features, (n, p), within the table or a reference."""
    columns = list(features)
    return normal_scores(
        table[columns].to_numpy(float), None if reference is None else reference[columns].to_numpy(float)
    )
