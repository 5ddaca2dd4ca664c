"""What follows from a comparison: an outcome as data. The sentences are made in the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from smash_lightning.evaluation.agreement import Agreement
from smash_lightning.evaluation.bootstrap import MINIMUM, Estimate
from smash_lightning.evaluation.comparison import PredictorComparison
from smash_lightning.evaluation.sample import SMASH_SCORE

T = TypeVar("T")

LEAST_RELIABILITY = 0.3  # below it two trainings differ about as much as two architectures, and nothing can be judged


class Status(StrEnum):
    """Does the score predict the test loss?"""

    PREDICTS = "predicts"
    NOT_SIGNIFICANT = "not_significant"
    MISLEADS = "misleads"
    NO_VERDICT = "no_verdict"


class Reason(StrEnum):
    """Why there is no verdict."""

    FEW_ARCHITECTURES = "few_architectures"
    UNKNOWN_RELIABILITY = "unknown_reliability"
    LOW_RELIABILITY = "low_reliability"
    CONSTANT = "constant"


class Goal(StrEnum):
    """Spearman of the score against 0.9 of the noise ceiling."""

    ABOVE = "above"
    NOT_SIGNIFICANT = "not_significant"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison shows about the score as a predictor of the mean test loss.

    Args:
        status: by the interval of Spearman's rho.
        reason: why there is no verdict; None otherwise.
        goal: by the interval of the difference; None where it is undefined or there is no verdict.
        strongest: the baseline with the highest Spearman; None without a verdict.
        strongest_size_matched: the baseline with the highest tau over size-matched pairs; None without a verdict.
    """

    status: Status
    reason: Reason | None = None
    goal: Goal | None = None
    strongest: str | None = None
    strongest_size_matched: str | None = None


def verdict(loss: Agreement, comparison: PredictorComparison) -> Verdict:
    """The verdict from the agreement with the mean test loss and the comparison of predictors of it."""
    rho = loss.scores[SMASH_SCORE].spearman
    reliability = loss.reliability.icc_mean
    if comparison.architectures < MINIMUM:
        return Verdict(Status.NO_VERDICT, Reason.FEW_ARCHITECTURES)
    if reliability is None:
        return Verdict(Status.NO_VERDICT, Reason.UNKNOWN_RELIABILITY)
    if reliability.value < LEAST_RELIABILITY:
        return Verdict(Status.NO_VERDICT, Reason.LOW_RELIABILITY)
    if rho is None:
        return Verdict(Status.NO_VERDICT, Reason.CONSTANT)
    above = comparison.above_goal
    return Verdict(
        _side(rho, Status.PREDICTS, Status.NOT_SIGNIFICANT, Status.MISLEADS),
        goal=None if above is None else _side(above, Goal.ABOVE, Goal.NOT_SIGNIFICANT, Goal.BELOW),
        strongest=next(iter(comparison.baselines()), None),
        strongest_size_matched=next(iter(comparison.baselines("size_matched_tau")), None),
    )


def _side(estimate: Estimate, above: T, around: T, below: T) -> T:
    """Which fits the position of an interval relative to zero."""
    return above if estimate.low > 0 else below if estimate.high < 0 else around
