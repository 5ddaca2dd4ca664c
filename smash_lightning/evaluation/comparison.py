"""Who predicts the true loss better, the score or a baseline? Every predictor on the same architectures and resamples.

Overall and at equal size: as bigger is nearly always better, what a predictor knows beyond that shows in pairs of
architectures with nearly as many parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import Floats, concordance, partial_spearman, pearson, ranks, spearman
from smash_lightning.evaluation.reliability import ceiling
from smash_lightning.evaluation.sample import COST, SCORES, SIZES, SMASH_SCORE, TOGETHER, Sample
from smash_lightning.evaluation.top_fraction import picked, precision, regret

BAND = 0.1  # share by which the parameters of two architectures of nearly equal size differ at most
LEAST_PAIRS = 30  # of such architectures; fewer show nothing
GOAL = 0.9  # of the noise ceiling
OWN = (*SCORES, TOGETHER)  # the score itself in some form, hence no baselines
FIGURES = (
    *("spearman", "concordance", "given_params", "regret", "precision"),
    *("delta_spearman", "delta_tau_size_matched"),  # differences of the first two
)


@dataclass(frozen=True, slots=True)
class Predictor:
    """What one predictor says, and what it costs.

    Args:
        column: its ranking of the representative architectures, (n,): lower predicts a lower true loss.
        seconds: per architecture; None where unknown.
        training_seconds: what was trained once for all architectures before; None where unknown.
    """

    column: Floats
    seconds: float | None
    training_seconds: float | None


@dataclass(frozen=True, slots=True)
class PredictorMetrics:
    """How well one predictor does; what is undefined is None.

    Args:
        spearman: with the mean test loss; positive where it predicts it.
        delta_spearman: Spearman of the score minus its own, paired; None for the score itself.
        given_params: partial Spearman given the number of parameters.
        concordance: Kendall's tau-b over pairs of nearly equal size.
        delta_tau_size_matched: concordance of the score minus its own, paired; None for the score itself.
        regret: mean test loss of the fifth that it picks minus that of the true best fifth, nats.
        precision: share of the fifth that it picks that is in the true best fifth, 0 to 1.
        seconds: what it costs per architecture.
        training_seconds: what was trained once for all architectures before.
    """

    spearman: Estimate | None
    delta_spearman: Estimate | None
    given_params: Estimate | None
    concordance: Estimate | None
    delta_tau_size_matched: Estimate | None
    regret: Estimate | None
    precision: Estimate | None
    seconds: float | None
    training_seconds: float | None


@dataclass(frozen=True, slots=True)
class PredictorComparison:
    """All predictors against the mean test loss, on the representative architectures.

    Args:
        architectures: how many they are.
        band: share by which the parameters of two architectures of nearly equal size differ at most.
        pairs: pairs of such architectures.
        predictors: by name, best Spearman first; the validation loss only where it is not the key.
        left_out: baselines without a value for all architectures, and how many they lack.
        above_goal: the score's Spearman minus 0.9 of the noise ceiling, paired, on architectures with every seed.
    """

    architectures: int
    band: float
    pairs: int
    predictors: dict[str, PredictorMetrics]
    left_out: dict[str, int]
    above_goal: Estimate | None

    def baselines(self) -> list[str]:
        """Predictors other than the score whose Spearman is defined, the strongest first."""
        return [name for name, figures in self.predictors.items() if name not in OWN and figures.spearman is not None]

    def strongest_size_matched(self) -> str | None:
        """The baseline with the highest concordance over pairs of nearly equal size; None where none is defined."""
        found = {name: figures.concordance for name, figures in self.predictors.items() if name not in OWN}
        values = {name: estimate.value for name, estimate in found.items() if estimate is not None}
        return max(values, key=values.__getitem__, default=None)


def contest(
    sample: Sample, resamples: int, seed: int, *, training_seconds: float = 0.0, band: float = BAND
) -> PredictorComparison:
    """Compares all predictors.

    Args:
        sample: the tables joined, baselines included.
        resamples: bootstrap resamples over architectures, the same for every figure.
        seed: theirs.
        training_seconds: what training the HyperNets cost.
        band: share by which the parameters of two architectures of nearly equal size differ at most.
    """
    chosen = sample.representative
    target, params = sample.truth("true_loss")[chosen], sample.columns["params"][chosen]
    predictors, alike = _predictors(sample, training_seconds), size_matched_pairs(params, band)
    bootstrap = Bootstrap(len(target), resamples, seed)
    measured = measure({name: p.column for name, p in predictors.items()}, target, params, alike, bootstrap)
    contestants = {
        name: PredictorMetrics(**measured[name], seconds=p.seconds, training_seconds=p.training_seconds)
        for name, p in predictors.items()
    }
    order = sorted(contestants, key=lambda name: -_value(contestants[name].spearman))
    missing = {name: int(np.isnan(baseline.values[chosen]).sum()) for name, baseline in sample.baselines.items()}
    return PredictorComparison(
        architectures=len(target),
        band=band,
        pairs=int(alike.sum()) // 2,
        predictors={name: contestants[name] for name in order},
        left_out={name: count for name, count in missing.items() if count},
        above_goal=_above_goal(sample, resamples, seed),
    )


def size_matched_pairs(params: Floats, band: float) -> NDArray[np.bool_]:
    """Which pairs differ by at most `band` as a share of the smaller one, (n, n); none with itself."""
    within = params[:, None] <= (1 + band) * params * (1 + 1e-12)  # 110 is within a tenth of 100, rounding or not
    return within & within.T & ~np.eye(len(params), dtype=bool)


def measure(
    columns: Mapping[str, Floats], target: Floats, params: Floats, alike: NDArray[np.bool_], bootstrap: Bootstrap
) -> dict[str, dict[str, Estimate | None]]:
    """The estimates of a `PredictorMetrics` by field, for each predictor.

    Args:
        columns: predictors by name, (n,) each, the score among them: lower predicts a lower target.
        target: (n,).
        params: number of parameters, (n,).
        alike: pairs of nearly equal size, (n, n); fewer than 30 are not looked at.
        bootstrap: resamples of n architectures.
    """
    enough = alike.sum() >= 2 * LEAST_PAIRS

    def figures(weights: Floats) -> Floats:
        """(r, predictors x figures), the two to subtract first; what the target has in all of them is made once."""
        ranked, best, nothing = ranks(target, weights), picked(target, weights), np.full(len(weights), np.nan)
        table = np.empty((len(weights), len(columns), len(FIGURES)))
        for row, column in enumerate(columns.values()):
            picks = picked(column, weights)
            of_one = (
                pearson(ranks(column, weights), ranked, weights),
                concordance(column, target, alike, weights) if enough else nothing,
                partial_spearman(column, target, [params], weights),
                regret(picks, best, target, weights),
                precision(picks, best, weights),
            )
            table[:, row, : len(of_one)] = np.stack(of_one, axis=1)
        table[:, :, -2:] = table[:, [list(columns).index(SMASH_SCORE)], :2] - table[:, :, :2]
        return table.reshape(len(weights), -1)

    flat = iter(bootstrap.estimates(figures, len(columns) * len(FIGURES)))
    estimates = {name: {figure: next(flat) for figure in FIGURES} for name in columns}
    estimates[SMASH_SCORE] |= dict.fromkeys(FIGURES[-2:])  # nothing is ahead of itself
    return estimates


def _predictors(sample: Sample, training_seconds: float) -> dict[str, Predictor]:
    """By name; sizes predict that bigger is better and cost nothing."""
    chosen = sample.representative
    columns = {name: rankdata(sample.columns[name][chosen]) for name in SCORES}
    if np.array_equal(sample.columns[SMASH_SCORE], sample.columns["val_loss"]):
        del columns["val_loss"]
    sizes = {name: rankdata(-sample.columns[name][chosen]) for name in SIZES}
    # Ranks within the sample, taken as they are in every resample: a fixed rule that a user could apply.
    columns[TOGETHER] = columns[SMASH_SCORE] + sizes["params"]
    each = _mean(sample.columns[COST][chosen])
    return {
        **{name: Predictor(ranks, each, _known(training_seconds)) for name, ranks in columns.items()},
        **{name: Predictor(ranks, 0.0, 0.0) for name, ranks in sizes.items()},
        **{
            name: Predictor(
                rankdata(baseline.values[chosen]), _mean(baseline.seconds[chosen]), _known(baseline.training_seconds)
            )
            for name, baseline in sample.baselines.items()
            if not np.isnan(baseline.values[chosen]).any()
        },
    }


def _above_goal(sample: Sample, resamples: int, seed: int) -> Estimate | None:
    """Only architectures with every seed have a part in a ceiling, so the score is measured on them too."""
    trainings = sample.truths["true_loss"]
    complete = sample.representative & np.isfinite(trainings).all(axis=1)
    key, target, columns = (
        sample.columns[SMASH_SCORE][complete],
        sample.truth("true_loss")[complete],
        trainings[complete].T,
    )

    def difference(weights: Floats) -> Floats:
        return spearman(key, target, weights) - GOAL * ceiling(list(columns), weights)

    return Bootstrap(len(key), resamples, seed).estimate(difference)


def _mean(seconds: Floats) -> float | None:
    return _known(float(seconds.mean())) if len(seconds) else None


def _known(seconds: float) -> float | None:
    return seconds if np.isfinite(seconds) else None


def _value(estimate: Estimate | None) -> float:
    return -np.inf if estimate is None else estimate.value
