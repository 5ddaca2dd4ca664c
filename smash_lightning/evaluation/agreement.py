"""How well do scores and sizes predict one ground truth, and how good is the shortlist that the score selects?"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import t

from smash_lightning.evaluation.bootstrap import CONFIDENCE, Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, kendall, partial_spearman, pearson, spearman, top_gain
from smash_lightning.evaluation.reliability import Reliability, reliability
from smash_lightning.evaluation.sample import SCORES, SIZES, SMASH_SCORE, Sample, numbered

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
class Shortlist:
    """Mean ground truth of the shortlist against that of the representative sample.

    An architecture counts once in each. Architectures in both groups make the standard error larger, never smaller.
    """

    top: int  # architectures in the shortlist
    representative: int  # architectures in the representative sample
    mean_top: float  # mean ground truth of the shortlist; nats for losses, % for errors, also below
    mean_representative: float  # mean ground truth of the representative sample
    difference: float  # `mean_top - mean_representative`: negative where the selection helps
    standard_error: float  # of the difference, by Welch
    z: float  # difference in standard errors
    low: float  # lower end of the difference's 95 % interval, from Student's t with Welch's degrees of freedom
    high: float  # its upper end
    beat_median: int  # number of the shortlist that is better than the median of the representative sample
    share: float  # the same as a share of the shortlist, 0 to 1


@dataclass(frozen=True, slots=True)
class Agreement:
    """All numbers about one ground truth, on the representative architectures; what is undefined is None."""

    reliability: Reliability  # of the ground truth itself
    # by column of `ranking.csv`: smash_score, which ranks; val_loss, often the same; val_error
    scores: dict[str, Coefficients]
    sizes: dict[str, SizeAgreement]  # by column: params, macs, ops
    # partial Spearman of smash_score and ground truth given the number of parameters (or its logarithm: ranks are the
    # same)
    partial_given_params: Estimate | None
    partial_given_sizes: Estimate | None  # the same given parameters, MACs and number of ops together
    hypernets: tuple[Estimate | None, ...]  # Spearman of the validation loss with each single HyperNet
    shortlist: Shortlist | None  # the shortlist against the representative architectures
    # mean ground truth of the fifth of the representative architectures that a predictor selects, minus the mean of
    # all: by the scores, by the sizes, and by "ground_truth" itself, which is the largest gain
    top_fraction: dict[str, Estimate | None]


def agreement(sample: Sample, ground_truth: str, resamples: int, seed: int) -> Agreement:
    """Compares scores and sizes with one ground truth: `true_loss` or `true_error`."""
    rows = sample.representative
    bootstrap = Bootstrap(len(rows), resamples, seed)
    target = rows[ground_truth].to_numpy()
    scores = {name: rows[name].to_numpy() for name in SCORES}
    sizes = {name: -rows[name].to_numpy() for name in SIZES}  # larger predicts a smaller loss
    score = scores[SMASH_SCORE]

    def delta(size: Floats, weights: Floats) -> Floats:
        return spearman(score, target, weights) - spearman(size, target, weights)

    def given(*names: str) -> Estimate | None:
        return bootstrap.estimate(lambda weights: partial_spearman(score, target, [sizes[n] for n in names], weights))

    return Agreement(
        reliability=reliability(numbered(rows, ground_truth), resamples, seed),
        scores={name: _coefficients(column, target, bootstrap) for name, column in scores.items()},
        sizes={
            name: SizeAgreement(_coefficients(column, target, bootstrap), bootstrap.estimate(partial(delta, column)))
            for name, column in sizes.items()
        },
        partial_given_params=given("params"),
        partial_given_sizes=given(*SIZES),
        hypernets=tuple(bootstrap.estimate(partial(spearman, x, target)) for x in numbered(rows, "val_loss").T),
        shortlist=shortlist(sample.table[ground_truth][sample.table["shortlist"]].to_numpy(), target),
        top_fraction={
            name: bootstrap.estimate(partial(top_gain, column, target))
            for name, column in {**scores, **sizes, GROUND_TRUTH: target}.items()
        },
    )


def _coefficients(predictor: Floats, target: Floats, bootstrap: Bootstrap) -> Coefficients:
    return Coefficients(*(bootstrap.estimate(partial(f, predictor, target)) for f in (spearman, kendall, pearson)))


def shortlist(top: Floats, representative: Floats) -> Shortlist | None:
    """Compares the ground truths of two groups of architectures, (n,) each.

    None where a group has fewer than two architectures, or where neither varies.
    """
    groups = (top, representative)
    if min(map(len, groups)) < 2 or not any(map(np.ptp, groups)):
        return None
    squares = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    difference = float(np.mean(top) - np.mean(representative))
    error = math.sqrt(sum(squares))
    freedom = error**4 / sum(square**2 / (len(group) - 1) for square, group in zip(squares, groups, strict=True))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    beat = int((top < np.median(representative)).sum())
    return Shortlist(
        top=len(top),
        representative=len(representative),
        mean_top=float(np.mean(top)),
        mean_representative=float(np.mean(representative)),
        difference=difference,
        standard_error=error,
        z=difference / error,
        low=difference - reach,
        high=difference + reach,
        beat_median=beat,
        share=beat / len(top),
    )
