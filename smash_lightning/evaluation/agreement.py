"""How well do the score and its baselines predict one truth? Coefficients, differences and partial coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, kendall, partial_spearman, pearson, spearman
from smash_lightning.evaluation.reliability import Reliability, reliability
from smash_lightning.evaluation.sample import SCORES, SIZES, SMASH_SCORE, Sample
from smash_lightning.evaluation.shortlist import Shortlist, shortlist
from smash_lightning.evaluation.top_fraction import best_fifth


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Three coefficients of one predictor with the truth; positive where it predicts it."""

    spearman: Estimate | None
    kendall: Estimate | None
    pearson: Estimate | None


@dataclass(frozen=True, slots=True)
class SizeAgreement:
    """A size as predictor, bigger taken to be better, and by how much the score's Spearman exceeds its own (paired)."""

    coefficients: Coefficients
    delta_spearman: Estimate | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures against one truth, on the representative architectures; what is undefined is None.

    Args:
        reliability: of the truth itself.
        scores: by column of `ranking.csv`: key, which ranks, val_loss, often the same, and val_error, the error.
        baselines: by column: params, macs, ops.
        given_params: partial Spearman of key and truth given parameters (or their logarithm: ranks are the same).
        given_sizes: the same given parameters, MACs and number of ops together.
        hypernets: Spearman of each single HyperNet's validation loss with the truth.
        shortlist: the top against the representative architectures.
        best_fifth: mean truth of the fifth of the representative architectures a predictor picks, minus the mean of
            all: by the scores, by the sizes, and by "truth" itself, the most that picking could gain.
    """

    reliability: Reliability
    scores: dict[str, Coefficients]
    sizes: dict[str, SizeAgreement]
    given_params: Estimate | None
    given_sizes: Estimate | None
    hypernets: tuple[Estimate | None, ...]
    shortlist: Shortlist | None
    best_fifth: dict[str, Estimate | None]


def compare(sample: Sample, truth: str, resamples: int, seed: int) -> Comparison:
    """Compares everything with one truth: `true_loss` or `true_error`."""
    chosen = sample.representative
    bootstrap = Bootstrap(int(chosen.sum()), resamples, seed)
    target = sample.truth(truth)[chosen]
    scores = {name: sample.columns[name][chosen] for name in SCORES}
    sizes = {name: -sample.columns[name][chosen] for name in SIZES}  # bigger predicts a smaller loss
    key = scores[SMASH_SCORE]

    def lead(size: Floats, weights: Floats) -> Floats:
        return spearman(key, target, weights) - spearman(size, target, weights)

    def beyond(*given: str) -> Estimate | None:
        return bootstrap.estimate(lambda weights: partial_spearman(key, target, [sizes[n] for n in given], weights))

    return Comparison(
        reliability=reliability(sample.truths[truth][chosen], resamples, seed),
        scores={name: _coefficients(column, target, bootstrap) for name, column in scores.items()},
        sizes={
            name: SizeAgreement(_coefficients(column, target, bootstrap), bootstrap.estimate(partial(lead, column)))
            for name, column in sizes.items()
        },
        given_params=beyond("params"),
        given_sizes=beyond(*SIZES),
        hypernets=tuple(bootstrap.estimate(partial(spearman, x, target)) for x in sample.by_hypernet[chosen].T),
        shortlist=shortlist(sample.truth(truth)[sample.top], target),
        best_fifth={
            name: bootstrap.estimate(partial(best_fifth, column, target))
            for name, column in {**scores, **sizes, "truth": target}.items()
        },
    )


def _coefficients(predictor: Floats, target: Floats, bootstrap: Bootstrap) -> Coefficients:
    return Coefficients(*(bootstrap.estimate(partial(f, predictor, target)) for f in (spearman, kendall, pearson)))
