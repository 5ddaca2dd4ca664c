"""What does a whole run amount to, as one figure that a search over options can optimise?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

from smash_lightning.evaluation.correlation import Correlation
from smash_lightning.evaluation.sample import SMASH_SCORE, succeeded
from smash_lightning.evaluation.tables import Retrained, Scored

Metric = Literal["correlation", "best_true_loss", "best_true_error"]


def value(
    metric: Metric, correlation: Correlation, scored: Sequence[Scored], retrained: Sequence[Retrained]
) -> float | None:
    """The figure, or None where it is undefined.

    Args:
        metric: "correlation", Spearman's coefficient of score and mean test loss; or "best_true_loss" (nats) or
            "best_true_error" (%), the mean over its trainings of the architecture that the score puts first among
            those that were trained. Not the lowest there is: choosing it by the test images would spoil the test.
        correlation: the comparison of the tables.
        scored: rows of `ranking.csv`, best first.
        retrained: rows of `retrained.csv`.
    """
    if metric == "correlation":
        rho = correlation.loss.scores[SMASH_SCORE].spearman
        return None if rho is None else rho.value
    truth = metric.removeprefix("best_")
    by_name: dict[str, list[float]] = {}
    for row in retrained:
        if succeeded(row):
            by_name.setdefault(row.fingerprint, []).append(getattr(row, truth))
    best = next((row.fingerprint for row in scored if row.fingerprint in by_name), None)
    return None if best is None else statistics.fmean(by_name[best])
