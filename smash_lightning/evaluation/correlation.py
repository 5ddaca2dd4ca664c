"""The whole comparison of a run's tables, as `correlation.json` holds it.

Correlations are over the representative architectures alone (groups stratified and random): those that the score
selected would bias them. The paper's figure 4 shows such a comparison as a scatter, without a coefficient.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations

import pandas as pd

from smash_lightning.evaluation.agreement import Agreement, agreement
from smash_lightning.evaluation.bootstrap import CONFIDENCE, Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import mean_pairwise_spearman, spearman
from smash_lightning.evaluation.comparison import PredictorComparison, compare_predictors
from smash_lightning.evaluation.sample import Counts, join
from smash_lightning.evaluation.verdict import Verdict, verdict


@dataclass(frozen=True, slots=True)
class Pair:
    """Spearman between two HyperNets."""

    first: int
    second: int
    spearman: Estimate | None


@dataclass(frozen=True, slots=True)
class Correlation:
    """The content of `correlation.json`.

    Args:
        architectures: representative architectures with score and ground truth: the n of every coefficient.
        counts: what was compared and what was left out.
        resamples: bootstrap resamples over architectures.
        seed: of the resamples.
        confidence: of every interval.
        loss: against the mean test loss over seeds, nats, the main ground truth.
        error: against the mean test error over seeds, %.
        comparison: the score and its baselines against the mean test loss.
        hypernet_pairs: agreement of single HyperNets, on the representative architectures.
        hypernet_agreement: its mean over all pairs.
        verdict: what follows.
    """

    architectures: int
    counts: Counts
    resamples: int
    seed: int
    confidence: float
    loss: Agreement
    error: Agreement
    comparison: PredictorComparison
    hypernet_pairs: tuple[Pair, ...]
    hypernet_agreement: Estimate | None
    verdict: Verdict

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
    architectures with every seed. With fewer than five representative architectures every coefficient is undefined, and
    the verdict gives that as its reason.

    Args:
        ranking: the table `ranking.csv`.
        retrained: the table `retrained.csv`.
        baselines: the table `baselines.csv`; those without a value for every representative architecture are omitted.
        training_seconds: cost of training the HyperNets.
        bootstrap: resamples over architectures.
        seed: of the resamples.

    Raises:
        ValueError: the tables do not belong together, or there are fewer than 100 resamples.
    """
    sample = join(ranking, retrained, baselines)
    resampler = Bootstrap(int(sample.representative.sum()), bootstrap, seed)
    hypernets = list(sample.by_hypernet[sample.representative].T)
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
