"""The whole comparison of a run's tables, as `correlation.json` holds it, what follows from it, and one number of it.

Correlations are over the representative architectures alone (groups stratified and random): those that the score
selected would bias them. The paper's figure 4 shows such a comparison as a scatter, without a coefficient.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Literal

import pandas as pd

from smash_lightning.evaluation.agreement import Agreement, agreement
from smash_lightning.evaluation.bootstrap import CONFIDENCE, MINIMUM, Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import mean_pairwise_spearman, spearman
from smash_lightning.evaluation.comparison import PredictorComparison, compare_predictors
from smash_lightning.evaluation.sample import SMASH_SCORE, Counts, finished_trainings, join, numbered

Metric = Literal["correlation", "best_true_loss", "best_true_error"]

LEAST_RELIABILITY = 0.3  # below it two trainings differ about as much as two architectures, and nothing can be judged
STATUS = {1: "predicts", 0: "not_significant", -1: "misleads"}  # by the interval of Spearman's rho
GOAL = {1: "above", 0: "not_significant", -1: "below"}  # by the interval of Spearman's rho minus 0.9 of the ceiling


@dataclass(frozen=True, slots=True)
class Pair:
    """Spearman between two HyperNets."""

    first: int
    second: int
    spearman: Estimate | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison shows about the score as a predictor of the mean test loss; the report has the sentences."""

    status: str  # "predicts", "not_significant", "misleads" or "no_verdict"
    # why there is no verdict: "few_architectures", "unknown_reliability", "low_reliability" or "constant"
    reason: str | None = None
    goal: str | None = None  # "above", "not_significant" or "below"; None where it is undefined or there is no verdict
    strongest: str | None = None  # the baseline with the highest Spearman; None without a verdict
    # the baseline with the highest tau over size-matched pairs; None without a verdict
    strongest_size_matched: str | None = None


@dataclass(frozen=True, slots=True)
class Correlation:
    """The content of `correlation.json`."""

    architectures: int  # representative architectures with score and ground truth: the n of every coefficient
    counts: Counts  # what was compared and what was left out
    resamples: int  # bootstrap resamples over architectures
    seed: int  # of the resamples
    confidence: float  # of every interval
    loss: Agreement  # against the mean test loss over seeds, nats, the main ground truth
    error: Agreement  # against the mean test error over seeds, %
    comparison: PredictorComparison  # the score and its baselines against the mean test loss
    hypernet_pairs: tuple[Pair, ...]  # agreement of single HyperNets, on the representative architectures
    hypernet_agreement: Estimate | None  # its mean over all pairs
    verdict: Verdict  # what follows

    def to_json(self) -> str:
        """Indented JSON; what is undefined is null."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def correlate(
    ranking: pd.DataFrame,
    retrained: pd.DataFrame,
    baselines: pd.DataFrame | None = None,
    *,
    training_seconds: float = 0.0,
    bootstrap: int = 10_000,
    seed: int = 0,
) -> Correlation:
    """Compares scores and baselines with the ground truth.

    The ground truth of an architecture is the mean over the seeds that did not fail; its reliability is estimated from
    architectures with every seed. With fewer than five representative architectures every coefficient is undefined.

    Raises:
        ValueError: the tables do not belong together, or there are fewer than 100 resamples.
    """
    sample = join(ranking, retrained, baselines)
    resampler = Bootstrap(len(sample.representative), bootstrap, seed)
    hypernets = list(numbered(sample.representative, "val_loss").T)
    pairs = tuple(
        Pair(i, j, resampler.estimate(partial(spearman, hypernets[i], hypernets[j])))
        for i, j in combinations(range(len(hypernets)), 2)
    )
    loss = agreement(sample, "true_loss", bootstrap, seed)
    comparison = compare_predictors(sample, bootstrap, seed, training_seconds=training_seconds)
    return Correlation(
        architectures=resampler.size,
        counts=sample.counts,
        resamples=bootstrap,
        seed=seed,
        confidence=CONFIDENCE,
        loss=loss,
        error=agreement(sample, "true_error", bootstrap, seed),
        comparison=comparison,
        hypernet_pairs=pairs,
        hypernet_agreement=resampler.estimate(partial(mean_pairwise_spearman, hypernets)),
        verdict=verdict(loss, comparison),
    )


def verdict(loss: Agreement, comparison: PredictorComparison) -> Verdict:
    """The verdict from the agreement with the mean test loss and the comparison of predictors of it."""
    rho, reliability, above = loss.scores[SMASH_SCORE].spearman, loss.reliability.icc_mean, comparison.above_goal
    if comparison.architectures < MINIMUM:
        return Verdict("no_verdict", "few_architectures")
    if reliability is None:
        return Verdict("no_verdict", "unknown_reliability")
    if reliability.value < LEAST_RELIABILITY:
        return Verdict("no_verdict", "low_reliability")
    if rho is None:
        return Verdict("no_verdict", "constant")
    strongest = [next(iter(comparison.baselines(by)), None) for by in ("spearman", "size_matched_tau")]
    return Verdict(STATUS[rho.sign], None, GOAL[above.sign] if above else None, *strongest)


def value(metric: Metric, correlation: Correlation, ranking: pd.DataFrame, retrained: pd.DataFrame) -> float | None:
    """One number for a whole run, which a search over options can optimize; None where it is undefined.

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
