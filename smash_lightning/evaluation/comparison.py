"""Does the score or a baseline predict the test loss better? All predictors on the same architectures and resamples.

Over all pairs and over size-matched ones: as larger is nearly always better, information beyond size shows in
pairs of architectures with nearly equal numbers of parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from smash_lightning.evaluation.bootstrap import Bootstrap, Estimate
from smash_lightning.evaluation.coefficients import (
    Floats,
    kendall,
    partial_spearman,
    pearson,
    precision,
    ranks,
    regret,
    spearman,
    top_membership,
)
from smash_lightning.evaluation.reliability import ceiling
from smash_lightning.evaluation.sample import COST, SCORES, SIZES, SMASH_SCORE, TOGETHER, Sample, numbered

BAND = 0.1  # share by which the parameters of two size-matched architectures differ at most
LEAST_PAIRS = 30  # of size-matched architectures; with fewer nothing is estimated
GOAL = 0.9  # of the noise ceiling
OWN = (*SCORES, TOGETHER)  # the score itself in some form, hence no baselines
ESTIMATES = (
    *("spearman", "size_matched_tau", "partial_spearman", "regret", "precision"),
    *("delta_spearman", "delta_tau_size_matched"),  # the score's minus the predictor's, of the first two
)


@dataclass(frozen=True, slots=True)
class PredictorMetrics:
    """How well one predictor does; what is undefined is None."""

    spearman: Estimate | None  # with the mean test loss; positive where it predicts it
    delta_spearman: Estimate | None  # Spearman of the score minus this one, paired; None for the score itself
    partial_spearman: Estimate | None  # given the number of parameters
    size_matched_tau: Estimate | None  # Kendall's tau-b over size-matched pairs
    delta_tau_size_matched: Estimate | None  # that of the score minus this one, paired; None for the score itself
    regret: Estimate | None  # mean test loss of the fifth that it selects minus that of the true best fifth, nats
    precision: Estimate | None  # share of the fifth that it selects that is in the true best fifth, 0 to 1
    seconds: float | None  # cost per architecture
    training_seconds: float | None  # cost of what was trained once for all architectures


@dataclass(frozen=True, slots=True)
class PredictorComparison:
    """All predictors against the mean test loss, on the representative architectures."""

    architectures: int  # their number
    band: float  # share by which the parameters of two size-matched architectures differ at most
    pairs: int  # number of size-matched pairs
    # by name, best Spearman first; the validation loss only where it is not the score itself
    predictors: dict[str, PredictorMetrics]
    omitted: dict[str, str]  # baselines without a value for all architectures, and the reason
    # the score's Spearman minus 0.9 of the noise ceiling, paired, on architectures with every seed
    above_goal: Estimate | None

    def baselines(self, by: str = "spearman") -> list[str]:
        """Predictors other than the score, best first by one of their estimates; those without it are left out."""
        found = {name: getattr(metrics, by) for name, metrics in self.predictors.items() if name not in OWN}
        return sorted((name for name in found if found[name]), key=lambda name: -found[name].value)


def compare_predictors(
    sample: Sample, resamples: int, seed: int, *, training_seconds: float = 0.0
) -> PredictorComparison:
    """Compares all predictors in a sample on the same bootstrap resamples over architectures.

    `training_seconds` is the cost of training the HyperNets.
    """
    rows = sample.representative
    target, params = rows["true_loss"].to_numpy(), rows["params"].to_numpy()
    matched, columns, costs = size_matched_pairs(params, BAND), _columns(sample), _costs(sample, training_seconds)
    measured = measure(columns, target, params, matched, Bootstrap(len(target), resamples, seed))
    parts: dict[str, dict[str, Any]] = {name: {**measured[name], **costs[name]} for name in columns}
    values = {name: estimates["spearman"] for name, estimates in measured.items()}
    order = sorted(columns, key=lambda name: -one.value if (one := values[name]) else np.inf)
    missing = sample.baselines.isna().sum()
    return PredictorComparison(
        architectures=len(target),
        band=BAND,
        pairs=int(matched.sum()) // 2,
        predictors={name: PredictorMetrics(**parts[name]) for name in order},
        omitted={str(name): f"no value for {n} of {len(target)} architectures" for name, n in missing.items() if n},
        above_goal=_above_goal(sample, resamples, seed),
    )


def size_matched_pairs(params: Floats, band: float) -> NDArray[np.bool_]:
    """Which pairs differ by at most `band` as a share of the smaller one, (n, n); none with itself."""
    within = params[:, None] <= (1 + band) * params * (1 + 1e-12)  # 110 is within a tenth of 100 despite rounding
    return within & within.T & ~np.eye(len(params), dtype=bool)


def measure(
    columns: Mapping[str, Floats], target: Floats, params: Floats, matched: NDArray[np.bool_], bootstrap: Bootstrap
) -> dict[str, dict[str, Estimate | None]]:
    """The estimates of `PredictorMetrics` for each of `columns` (n,), of pairs only those in `matched` (n, n)."""
    enough = matched.sum() >= 2 * LEAST_PAIRS

    def statistics(weights: Floats) -> Floats:
        """(r, predictors x estimates); what depends on the target alone is computed once."""
        ranked, best, nothing = ranks(target, weights), top_membership(target, weights), np.full(len(weights), np.nan)
        table = np.empty((len(weights), len(columns), len(ESTIMATES)))
        for row, column in enumerate(columns.values()):
            selected = top_membership(column, weights)
            of_one = (
                pearson(ranks(column, weights), ranked, weights),
                kendall(column, target, weights, matched) if enough else nothing,
                partial_spearman(column, target, [params], weights),
                regret(selected, best, target, weights),
                precision(selected, best, weights),
            )
            table[:, row, : len(of_one)] = np.stack(of_one, axis=1)
        table[:, :, -2:] = table[:, [list(columns).index(SMASH_SCORE)], :2] - table[:, :, :2]
        return table.reshape(len(weights), -1)

    flat = iter(bootstrap.estimates(statistics, len(columns) * len(ESTIMATES)))
    estimates = {name: {estimate: next(flat) for estimate in ESTIMATES} for name in columns}
    estimates[SMASH_SCORE] |= dict.fromkeys(ESTIMATES[-2:])  # no difference from itself
    return estimates


def _columns(sample: Sample) -> dict[str, Floats]:
    """Ranks of the representative architectures by predictor; sizes predict that larger is better."""
    rows = sample.representative
    columns = {name: rankdata(rows[name]) for name in SCORES}
    if sample.table[SMASH_SCORE].equals(sample.table["val_loss"]):
        del columns["val_loss"]
    sizes = {name: rankdata(-rows[name]) for name in SIZES}
    # Ranks within the sample, the same in every resample: a fixed rule that a user could apply.
    columns[TOGETHER] = columns[SMASH_SCORE] + sizes["params"]
    known = sample.baselines.dropna(axis="columns")
    return columns | sizes | {str(name): rankdata(values) for name, values in known.items()}


def _costs(sample: Sample, training_seconds: float) -> dict[str, dict[str, Any]]:
    """Seconds per architecture and of training by predictor, as in `PredictorMetrics`; sizes cost nothing."""
    rows = sample.representative
    costs = dict.fromkeys(OWN, (rows[COST].mean(skipna=False), training_seconds)) | dict.fromkeys(SIZES, (0.0, 0.0))
    for name, of_training in sample.training_seconds.items():
        costs[name] = rows[f"{COST}_{name}"].mean(skipna=False), of_training
    known = {name: [float(one) if np.isfinite(one) else None for one in pair] for name, pair in costs.items()}
    return {name: {"seconds": one, "training_seconds": other} for name, (one, other) in known.items()}


def _above_goal(sample: Sample, resamples: int, seed: int) -> Estimate | None:
    """Only architectures with every seed count in a ceiling, so the score is measured on them too."""
    rows = sample.representative
    trainings = numbered(rows, "true_loss")
    complete = np.isfinite(trainings).all(axis=1)
    score, target = (rows[name].to_numpy()[complete] for name in (SMASH_SCORE, "true_loss"))
    columns = list(trainings[complete].T)

    def difference(weights: Floats) -> Floats:
        return spearman(score, target, weights) - GOAL * ceiling(columns, weights)

    return Bootstrap(len(score), resamples, seed).estimate(difference)
