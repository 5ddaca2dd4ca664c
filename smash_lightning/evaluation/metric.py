"""One number for a whole run, which a search over options can optimise."""

from __future__ import annotations

from statistics import fmean
from typing import Literal

import pandas as pd

from smash_lightning.evaluation.correlation import Correlation
from smash_lightning.evaluation.sample import SMASH_SCORE, finished_trainings

Metric = Literal["correlation", "best_true_loss", "best_true_error"]


def value(metric: Metric, correlation: Correlation, ranking: pd.DataFrame, retrained: pd.DataFrame) -> float | None:
    """The number, or None where it is undefined.

    Args:
        metric: "correlation", Spearman's coefficient of score and mean test loss; or "best_true_loss" (nats) or
            "best_true_error" (%), the mean over its trainings of the architecture that the score puts first among
            those that were retrained. Not the lowest of all: selecting it by the test images would spoil the test.
        correlation: the comparison of the tables.
        ranking: the table `ranking.csv`, best first.
        retrained: the table `retrained.csv`.
    """
    if metric == "correlation":
        rho = correlation.loss.scores[SMASH_SCORE].spearman
        return None if rho is None else rho.value
    done = finished_trainings(retrained)
    best = next((name for name in ranking["fingerprint"] if name in set(done["fingerprint"])), None)
    if best is None:
        return None
    return fmean(done[metric.removeprefix("best_")][done["fingerprint"] == best])
