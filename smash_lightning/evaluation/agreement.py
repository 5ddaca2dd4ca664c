"""How well do scores and sizes predict one ground truth? Coefficients, differences, partial coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, kendall, partial_spearman, pearson, spearman
from smash_lightning.evaluation.reliability import Reliability, reliability
from smash_lightning.evaluation.sample import SCORES, SIZES, SMASH_SCORE, Sample
from smash_lightning.evaluation.shortlist import Shortlist, shortlist
from smash_lightning.evaluation.top_fraction import top_gain

GROUND_TRUTH = "ground_truth"  # as a predictor of itself, which limits what selecting can gain


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Three coefficients of one predictor with the ground truth; positive where it predicts it."""

    spearman: Estimate | None
    kendall: Estimate | None
    pearson: Estimate | None


@dataclass(frozen=True, slots=True)
class SizeAgreement:
    """A size as predictor, where larger is better, and Spearman of the score minus that of the size (paired)."""

    coefficients: Coefficients
    delta_spearman: Estimate | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """All numbers about one ground truth, on the representative architectures; what is undefined is None.

    Args:
        reliability: of the ground truth itself.
        scores: by column of `ranking.csv`: smash_score, which ranks; val_loss, often the same; val_error.
        sizes: by column: params, macs, ops.
        partial_given_params: partial Spearman of smash_score and ground truth given the number of parameters (or its
            logarithm: ranks are the same).
        partial_given_sizes: the same given parameters, MACs and number of ops together.
        hypernets: Spearman of the validation loss with each single HyperNet.
        shortlist: the shortlist against the representative architectures.
        top_fraction: mean ground truth of the fifth of the representative architectures that a predictor selects, minus
            the mean of all: by the scores, by the sizes, and by "ground_truth" itself, which is the largest gain.
    """

    reliability: Reliability
    scores: dict[str, Coefficients]
    sizes: dict[str, SizeAgreement]
    partial_given_params: Estimate | None
    partial_given_sizes: Estimate | None
    hypernets: tuple[Estimate | None, ...]
    shortlist: Shortlist | None
    top_fraction: dict[str, Estimate | None]


def agreement(sample: Sample, ground_truth: str, resamples: int, seed: int) -> Agreement:
    """Compares scores and sizes with one ground truth: `true_loss` or `true_error`."""
    chosen = sample.representative
    bootstrap = Bootstrap(int(chosen.sum()), resamples, seed)
    target = sample.ground_truth(ground_truth)[chosen]
    scores = {name: sample.columns[name][chosen] for name in SCORES}
    sizes = {name: -sample.columns[name][chosen] for name in SIZES}  # larger predicts a smaller loss
    score = scores[SMASH_SCORE]

    def delta(size: Floats, weights: Floats) -> Floats:
        return spearman(score, target, weights) - spearman(size, target, weights)

    def given(*names: str) -> Estimate | None:
        return bootstrap.estimate(lambda weights: partial_spearman(score, target, [sizes[n] for n in names], weights))

    return Agreement(
        reliability=reliability(sample.trainings[ground_truth][chosen], resamples, seed),
        scores={name: _coefficients(column, target, bootstrap) for name, column in scores.items()},
        sizes={
            name: SizeAgreement(_coefficients(column, target, bootstrap), bootstrap.estimate(partial(delta, column)))
            for name, column in sizes.items()
        },
        partial_given_params=given("params"),
        partial_given_sizes=given(*SIZES),
        hypernets=tuple(bootstrap.estimate(partial(spearman, x, target)) for x in sample.by_hypernet[chosen].T),
        shortlist=shortlist(sample.ground_truth(ground_truth)[sample.shortlist], target),
        top_fraction={
            name: bootstrap.estimate(partial(top_gain, column, target))
            for name, column in {**scores, **sizes, GROUND_TRUTH: target}.items()
        },
    )


def _coefficients(predictor: Floats, target: Floats, bootstrap: Bootstrap) -> Coefficients:
    return Coefficients(*(bootstrap.estimate(partial(f, predictor, target)) for f in (spearman, kendall, pearson)))
