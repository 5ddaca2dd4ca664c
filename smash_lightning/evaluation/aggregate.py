"""What do the jobs of a sweep say together? Their coefficients by the options that were varied, averaged over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from smash_lightning.evaluation.bootstrap import CONFIDENCE, MINIMUM, Estimate
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.sweep import SweepJob

SEED = "seed"  # the option over which is averaged
LEAST = 3  # of a t-interval: from two values it is wider than all that can be
Value = float | str
MISSING = "as it is"  # the value of an option that a job was not given


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job's `correlation.json` says.

    Args:
        job: its options among others.
        architectures: behind each coefficient.
        spearman: with the mean test loss, by predictor; that of the score is defined.
        ceiling: the highest that the truth's noise allows.
    """

    job: SweepJob
    architectures: int
    spearman: Mapping[str, Estimate | None]
    ceiling: Estimate | None

    @property
    def score(self) -> Estimate:
        """Spearman of the score."""
        found = self.spearman[SMASH_SCORE]
        assert found is not None
        return found

    def value_of(self, option: str) -> Value:
        """What the job was given for an option."""
        return self.job.options.get(option, MISSING)


@dataclass(frozen=True, slots=True)
class Average:
    """A mean over jobs.

    Args:
        value: the mean.
        deviation: standard deviation of a job; NaN of one.
        low: lower end of the 95 % t-interval of the mean; NaN of fewer than three, of which it says nothing.
        high: upper end.
        count: jobs.
    """

    value: float
    deviation: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that differ in their seed alone.

    Args:
        values: of the varied options, in their order.
        outcomes: the jobs'.
        score: mean Spearman of the score.
        minus_first: how much that exceeds the first group's, over the seeds that both have; None where there is none.
    """

    values: tuple[Value, ...]
    outcomes: tuple[Outcome, ...]
    score: Average
    minus_first: Average | None


def read_outcomes(jobs: Sequence[SweepJob]) -> tuple[list[Outcome], dict[str, str]]:
    """What the jobs found, and by its name why a job has no part in it."""
    found, left_out = [], {}
    for job in jobs:
        try:
            found.append(_outcome(job))
        except ValueError as error:
            left_out[job.name] = str(error)
    return found, left_out


def grouped(outcomes: Sequence[Outcome], options: Sequence[str]) -> list[Group]:
    """Jobs by their values of the varied options, which rise where they are numbers."""
    orders = [ordered({outcome.value_of(option): None for outcome in outcomes}) for option in options]
    found: dict[tuple[Value, ...], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(tuple(map(outcome.value_of, options)), []).append(outcome)
    first: list[Outcome] = []
    groups = []
    for values in sorted(found, key=lambda values: [order.index(v) for order, v in zip(orders, values, strict=True)]):
        members = found[values]
        ahead = _ahead(members, first) if first else []
        groups.append(
            Group(values, tuple(members), average([o.score.value for o in members]), average(ahead) if ahead else None)
        )
        first = first or members
    return groups


def ordered(values: Iterable[Value]) -> list[Value]:
    """Numbers rising; where there is a text among them, in the order in which they came."""
    values = list(dict.fromkeys(values))
    return sorted(values, key=float) if numeric(values) else values


def numeric(values: Iterable[Value]) -> bool:
    """Whether all are numbers."""
    return all(not isinstance(value, str) for value in values)


def average(values: Sequence[float]) -> Average:
    """The mean of at least one value, with its t-interval."""
    count, nothing = len(values), math.nan
    mean = float(np.mean(values))
    deviation = float(np.std(values, ddof=1)) if count > 1 else nothing
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * deviation / math.sqrt(count) if count >= LEAST else nothing
    return Average(mean, deviation, float(mean - reach), float(mean + reach), count)


def mean_of(estimates: Iterable[Estimate | None]) -> float:
    """The mean of those that are defined; NaN of none."""
    values = [estimate.value for estimate in estimates if estimate is not None]
    return float(np.mean(values)) if values else math.nan


def _outcome(job: SweepJob) -> Outcome:
    """Raises ValueError, with the reason alone, where the job found nothing."""
    if not job.config:
        raise ValueError("it did not begin")
    path = job.folder / "correlation.json"
    if not path.exists():
        raise ValueError("it has no correlation.json yet")
    try:
        plain = json.loads(path.read_text())
        predictors = plain["contest"]["predictors"]
        spearman = {name: _estimate(figures["spearman"]) for name, figures in predictors.items()}
        ceiling = _estimate(plain["loss"]["reliability"]["ceiling"])
        outcome = Outcome(job, plain["architectures"], spearman, ceiling)
    except (KeyError, TypeError, ValueError):
        raise ValueError("its correlation.json is cut off or of another kind") from None
    if outcome.spearman.get(SMASH_SCORE) is None:
        raise ValueError(
            f"the coefficient of {outcome.architectures} architectures is undefined; {MINIMUM} are the least"
        )
    return outcome


def _estimate(plain: Mapping[str, float] | None) -> Estimate | None:
    return None if plain is None else Estimate(plain["value"], plain["low"], plain["high"], int(plain["resamples"]))


def _ahead(members: Sequence[Outcome], first: Sequence[Outcome]) -> list[float]:
    """By how much the jobs are ahead of those of the first group that have the same seed."""
    base = {outcome.value_of(SEED): outcome.score.value for outcome in first}
    return [o.score.value - base[o.value_of(SEED)] for o in members if o.value_of(SEED) in base]
