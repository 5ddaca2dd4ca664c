"""Which way of selecting finds the best network at equal cost, with the trainings that a prediction is fitted on?

Replayed on the trainings of a sample: each draw has two thirds of its architectures as candidates, and each way trains
half of these: random ones, the best by score, or half random ones and half the best by a prediction fitted on them.
"""

from dataclasses import dataclass

import numpy as np

from smash_lightning.evaluation.bootstrap import Estimate, percentiles
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.ridge import Fitter, fit, random_folds

DRAWS = 200


@dataclass(frozen=True, slots=True)
class BestFound:
    """Means over draws of the lowest mean test loss among the architectures that each way trains, nats."""

    candidates: int  # in a draw
    trained: int  # of them, by each way
    fitted: int  # of these, random ones that the prediction is fitted on
    draws: int
    at_random: float
    by_score: float
    by_prediction: float
    # paired differences from random ones, with the percentiles of the draws
    score_minus_random: Estimate | None
    prediction_minus_random: Estimate | None


def best_found(fitter: Fitter, score: Floats, losses: Floats, least: int, seed: int) -> BestFound | None:
    """Replays the three ways; None where fewer than `least` architectures would be fitted.

    Args:
        fitter: the prediction's own pool and library.
        score: SMASH scores (n,), lower is better.
        losses: mean test losses, nats, (n,).
        least: ground truths of one's own for a fit.
        seed: of the draws.
    """
    count = len(losses)
    candidates = 2 * count // 3
    trained = candidates // 2
    fitted = trained // 2
    if fitted < least:
        return None
    place = random_folds(count, DRAWS, np.random.default_rng([seed, 1]), count)  # in a random order, (draws, n)
    drawn, random = place < candidates, place < fitted
    coefficients = fit(fitter.matrix, fitter.target, random.astype(float), fitter.others)
    predicted = np.where(random, -np.inf, coefficients @ fitter.matrix.T)
    orders = (place, np.broadcast_to(score, place.shape), predicted)
    best = np.array([_lowest(np.where(drawn, order, np.inf), losses, trained) for order in orders])
    differences = [percentiles(float(one.mean()), one) for one in best[1:] - best[0]]
    return BestFound(candidates, trained, fitted, DRAWS, *best.mean(1).tolist(), *differences)


def _lowest(order: Floats, losses: Floats, trained: int) -> Floats:
    """The lowest loss of the first ones in each draw, (draws,)."""
    return np.asarray(losses[np.argsort(order, axis=1, kind="stable")[:, :trained]].min(1), dtype=float)
