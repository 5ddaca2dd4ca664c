"""Does the score tell the truth? The whole comparison of a study's tables, as `correlation.json` holds it.

Correlations stand on the representative architectures alone (arms spread and random): those that the score picked
would bias them. The paper's figure 4 shows such a comparison as a scatter, without a coefficient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations

from smash_lightning.evaluation.agreement import Coefficients, Comparison, compare
from smash_lightning.evaluation.bootstrap import CONFIDENCE, Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import mean_pairwise_spearman, spearman
from smash_lightning.evaluation.comparison import PredictorComparison, contest
from smash_lightning.evaluation.sample import Counts, join
from smash_lightning.evaluation.tables import Predicted, Retrained, Scored
from smash_lightning.evaluation.verdict import Verdict, verdict


@dataclass(frozen=True, slots=True)
class Pair:
    """Spearman between two HyperNets, named by their positions in `val_loss_by_hypernet`."""

    first: int
    second: int
    spearman: Estimate | None


@dataclass(frozen=True, slots=True)
class Correlation:
    """The figures of a study.

    Args:
        architectures: representative architectures with score and truth: the n of every coefficient.
        counts: what went into the study and what fell out.
        resamples: bootstrap resamples over architectures.
        seed: theirs.
        confidence: of every interval.
        loss: against the mean test loss over seeds, nats, the main truth.
        error: against the mean test error over seeds, %.
        contest: the score and its baselines against the main truth.
        hypernet_pairs: agreement of single HyperNets, on the representative architectures.
        hypernet_agreement: its mean over all pairs.
        verdict: what follows, in plain sentences.
    """

    architectures: int
    counts: Counts
    resamples: int
    seed: int
    confidence: float
    loss: Comparison
    error: Comparison
    contest: PredictorComparison
    hypernet_pairs: tuple[Pair, ...]
    hypernet_agreement: Estimate | None
    verdict: Verdict

    def scores(self, truth: Comparison) -> dict[str, Coefficients]:
        """The scores against one truth, without the validation loss where it is the key: nothing is said twice."""
        return {name: figures for name, figures in truth.scores.items() if name in self.contest.predictors}

    def to_json(self) -> str:
        """Indented JSON; what is undefined is null."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def correlate(
    scored: Sequence[Scored],
    retrained: Sequence[Retrained],
    baselines: Sequence[Predicted] = (),
    *,
    training_seconds: float = 0.0,
    bootstrap: int = 10_000,
    seed: int = 0,
) -> Correlation:
    """Compares the scores, and what baselines say, with the truths.

    The truth of an architecture is the mean over the seeds that did not fail; its reliability stands on architectures
    with every seed. Of fewer than five representative architectures no coefficient is given, and the verdict says so.

    Args:
        scored: rows of `ranking.csv`.
        retrained: rows of `retrained.csv`.
        baselines: rows of `baselines.csv`. A baseline counts where it has a value for every representative architecture.
        training_seconds: what training the HyperNets cost.
        bootstrap: resamples over architectures.
        seed: of the resamples.

    Raises:
        ValueError: the tables do not belong together, or there are fewer than 100 resamples.
    """
    sample = join(scored, retrained, baselines)
    resampler = Bootstrap(int(sample.representative.sum()), bootstrap, seed)
    hypernets = list(sample.by_hypernet[sample.representative].T)
    pairs = tuple(
        Pair(i, j, resampler.estimate(partial(spearman, hypernets[i], hypernets[j])))
        for i, j in combinations(range(len(hypernets)), 2)
    )
    loss = compare(sample, "true_loss", bootstrap, seed)
    against_rivals = contest(sample, bootstrap, seed, training_seconds=training_seconds)
    return Correlation(
        architectures=resampler.size,
        counts=sample.counts,
        resamples=bootstrap,
        seed=seed,
        confidence=CONFIDENCE,
        loss=loss,
        error=compare(sample, "true_error", bootstrap, seed),
        contest=against_rivals,
        hypernet_pairs=pairs,
        hypernet_agreement=resampler.estimate(partial(mean_pairwise_spearman, hypernets)),
        verdict=verdict(loss, against_rivals),
    )
