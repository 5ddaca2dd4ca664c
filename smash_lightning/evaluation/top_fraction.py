"""What does selecting the best fifth by a predictor gain? Written over weights, as `coefficients` is.

Of architectures that tie at the border of the fifth each is selected in part, which is what drawing among them gives on
average: coarse predictors (a number of ops) tie there often, and the order of the table, which is that of the score,
must not help them.
"""

from __future__ import annotations

import numpy as np

from smash_lightning.evaluation.coefficients import Floats

SHARE = 1 / 5  # of a sample, however large: a part of an architecture may be selected


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
    """How often each architecture is in the fifth with the lowest predictor, (r, n); NaN for a constant predictor."""
    if not len(predictor) or (predictor == predictor[0]).all():
        return np.full(weights.shape, np.nan)
    below = weights @ (predictor < predictor[:, None]).T
    level = weights @ (predictor == predictor[:, None]).T
    room = SHARE * weights.sum(1, keepdims=True) - below
    share = np.divide(room, level, out=np.zeros(weights.shape), where=level > 0)
    return weights * np.clip(share, 0, 1)
