"""What does picking the best fifth by a predictor gain? Written over weights, as `coefficients` is.

Of architectures that tie at the border each is picked in part, as a coin would on average: coarse predictors (a number
of ops) tie there often, and the order of the table, which is that of the score, must not help them.
"""

from __future__ import annotations

import numpy as np

from smash_lightning.evaluation.coefficients import Floats

SHARE = 1 / 5  # of a sample, however many that is: a part of an architecture may be picked


def best_fifth(predictor: Floats, target: Floats, weights: Floats) -> Floats:
    """Mean target of the fifth with the lowest predictor, minus the mean of all: negative where picking helps."""
    total = weights.sum(1)
    return picked(predictor, weights) @ target / (SHARE * total) - weights @ target / total


def regret(picks: Floats, best: Floats, target: Floats, weights: Floats) -> Floats:
    """Mean target of what a predictor picks minus that of the best there is, as `picked` gives them: never below 0."""
    return (picks - best) @ target / (SHARE * weights.sum(1))


def precision(picks: Floats, best: Floats, weights: Floats) -> Floats:
    """Share of what a predictor picks that is among the best there is, as `picked` gives them: a fifth by chance."""
    return np.minimum(picks, best).sum(1) / (SHARE * weights.sum(1))


def picked(predictor: Floats, weights: Floats) -> Floats:
    """How often each architecture is in the fifth with the lowest predictor, (r, n); NaN for a constant predictor."""
    if not len(predictor) or (predictor == predictor[0]).all():
        return np.full(weights.shape, np.nan)
    below = weights @ (predictor < predictor[:, None]).T
    level = weights @ (predictor == predictor[:, None]).T
    room = SHARE * weights.sum(1, keepdims=True) - below
    share = np.divide(room, level, out=np.zeros(weights.shape), where=level > 0)
    return weights * np.clip(share, 0, 1)
