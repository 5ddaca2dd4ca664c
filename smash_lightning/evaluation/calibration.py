"""A prediction of the test loss from all that is known of an architecture, fitted on ground truths of this run and of
earlier ones: the content of `calibration.json`.

Predictions are cross-fitted: that of an architecture comes from fits without it. Intervals are bootstrap intervals over
architectures in which everything is fitted again, all copies of an architecture in one fold. As a resample holds fewer
different architectures, its fits are worse; the interval is therefore centered on the estimate. Percentiles of fixed
predictions would be too narrow: they held a known difference in 58 to 90 % of simulated pools, not in 95 %.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from smash_lightning.evaluation.best_found import BestFound, best_found
from smash_lightning.evaluation.bootstrap import CONFIDENCE, Bootstrap, Estimate, percentiles
from smash_lightning.evaluation.coefficients import Floats, kendall, spearman
from smash_lightning.evaluation.comparison import BAND, LEAST_PAIRS, size_matched_pairs
from smash_lightning.evaluation.ridge import (
    Fitter,
    equations,
    fit,
    fit_others,
    normal_scores,
    random_folds,
    scores,
)
from smash_lightning.evaluation.sample import BASELINE

LEAST = 10  # ground truths of one's own that are used, of representative architectures; with fewer there is no fit
REPETITIONS = 10  # of the ten folds
REFITS = 1_000  # bootstrap resamples in which everything is fitted again
PENALTY = 32.0  # for other pools alone, which have no own ground truths to choose it by
CURVE = (10, 20, 40, 80, 160)  # own ground truths in the learning curve
SUBSETS = 40  # random ones for each number of ground truths in the learning curve
COVER = 1.96  # standard deviations of a normal distribution that hold 95 %
LOSS = "val_loss"
SIZE = ("params", "macs", "ops")
ZERO_COST = tuple(
    BASELINE + name for name in ("synflow", "snip", "gradient_norm", "jacobian_covariance", "naswot", "depth")
)
SCORED = (LOSS, *SIZE)  # features that every scored architecture has
FEATURES = (*SCORED, *ZERO_COST)
GROUPS = {  # further features by group; the first two are in FEATURES
    "size": SIZE,
    "zero-cost baselines": ZERO_COST,
    "validation error": ("val_error",),
    "trained baselines": tuple(
        BASELINE + name for name in ("early_stopping", "weight_sharing", "unconditional", "untrained")
    ),
    "counts": ("reads", "writes", "units", "dilation", "longest_path", "skip_length"),
}
Draws = tuple[float, Floats]  # a statistic of the sample, and of each resample (r,)
Basis = Literal["own", "own and library", "library", "loss"]
BETTER = {1: "better", 0: "not_significant", -1: "worse"}  # by the interval of calibrated minus loss


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the learning curve."""

    ground_truths: int  # of one's own that were fitted
    spearman: float  # on the others, mean over random subsets


@dataclass(frozen=True, slots=True)
class Calibration:
    """The content of `calibration.json`; estimates are None where they are undefined or there is no fit."""

    architectures: int  # own representative architectures: the n of every estimate
    earlier: int  # architectures of the library that were used
    pools: int  # rankings that they are from
    left_out: int  # architectures of the library that were not used, as this run has scored them as well
    basis: Basis  # what was fitted on; "loss": nothing, and the validation loss alone predicts
    features: tuple[str, ...]  # the first one is not penalized
    resamples: int
    seed: int  # of folds and resamples
    confidence: float  # of every interval
    spearman: Estimate | None = None  # of the calibrated prediction with the mean test loss
    size_matched_tau: Estimate | None = None  # Kendall's tau-b over pairs within a tenth in size
    own: Estimate | None = None  # Spearman of a fit on own ground truths alone
    library: Estimate | None = None  # Spearman of a fit on the library alone
    scored: Estimate | None = None  # Spearman with the features of SCORED alone
    # Spearman of the calibrated prediction minus that of each single predictor, paired; the strongest predictor first
    differences: dict[str, Estimate | None] = field(default_factory=dict)
    best_single: str | None = None  # the first of them, found on the same ground truths
    # Spearman of loss and one group of features minus that of the loss, paired
    groups: dict[str, Estimate | None] = field(default_factory=dict)
    learning_curve: tuple[Point, ...] = ()
    predicted_sd: float | None = None  # standard deviation of the error of `predicted_loss`, nats
    covered: float | None = None  # share of own ground truths within 1.96 of them of their cross-fitted prediction
    compared_with_loss: str | None = None  # "better", "not_significant" or "worse"
    best_found: BestFound | None = None  # at equal cost, of sixty own ground truths or more
    greedy: int = 0  # architectures of the shortlist that such a prediction selected, between rounds of trainings

    def to_json(self) -> str:
        """Indented JSON; what is undefined is null."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def calibrate(
    own: pd.DataFrame, library: Sequence[pd.DataFrame], scored: pd.DataFrame, *, resamples: int = REFITS, seed: int = 0
) -> tuple[Calibration, pd.DataFrame]:
    """Fits and evaluates the prediction.

    Args:
        own: `ground_truths.csv` of the run.
        library: representative rows of earlier runs, a table for each pool. Rows of scored architectures are left out,
            as their ground truths are those that are predicted; then pools with fewer than ten rows are not used.
        scored: every scored architecture with the columns of `ranking.csv`.
        resamples: bootstrap resamples over architectures, at most `REFITS`.
        seed: of folds and resamples.

    Returns:
        The evaluation; and for each row of `scored` its `predicted_loss` and `predicted_sd` (nats), NaN without a fit.
    """
    own = own[own["representative"] == 1].reset_index(drop=True)
    given = sum(map(len, library))
    library = [table[~table["fingerprint"].isin(scored["fingerprint"])].reset_index(drop=True) for table in library]
    left_out = given - sum(map(len, library))
    library = [table for table in library if len(table) >= LEAST]
    sample = {"architectures": len(own), "earlier": sum(map(len, library)), "pools": len(library), "left_out": left_out}
    common: dict[str, Any] = sample | {"seed": seed, "confidence": CONFIDENCE}
    if len(own) < LEAST:
        return _without_own(common, library, scored)
    main, simple = (Fitter.of(own, library, features) for features in (FEATURES, SCORED))
    evaluation, singles = Evaluation(own, min(resamples, REFITS), np.random.default_rng(seed)), single_predictors(own)
    fitted, from_scored = evaluation.predict(main), evaluation.predict(simple)
    whole = evaluation.rho(fitted)
    rho = {name: evaluation.rho((column, column)) for name, column in singles.items()}
    order = sorted(rho, key=lambda name: -np.nan_to_num(rho[name][0], nan=-2))
    differences = {name: centered_estimate(whole, rho[name]) for name in order}
    predictions, error, covered = _predictions(own, simple, fitted[0], from_scored[0], scored)
    against_loss = differences[LOSS]
    calibration = Calibration(
        **common,
        basis="own and library" if library else "own",
        features=main.features,
        resamples=evaluation.resamples,
        spearman=centered_estimate(whole),
        size_matched_tau=evaluation.size_matched_tau(fitted),
        own=centered_estimate(evaluation.rho(evaluation.predict(main, library=False)) if library else whole),
        library=_library_alone(main, evaluation),
        scored=centered_estimate(evaluation.rho(from_scored)),
        differences=differences,
        best_single=order[0],
        groups=_groups(own, library, evaluation, rho[LOSS]),
        learning_curve=(*_learning_curve(main, evaluation), Point(len(own), float(whole[0]))),
        predicted_sd=error,
        covered=covered,
        compared_with_loss=BETTER[against_loss.sign] if against_loss else None,
        best_found=best_found(main, singles["smash_score"], evaluation.losses, LEAST, seed),
    )
    return calibration, predictions


def single_predictors(own: pd.DataFrame) -> dict[str, Floats]:
    """Everything known of each architecture that predicts alone, (n,) each, lower for a lower test loss."""
    names = ["smash_score", LOSS, "val_error", *(str(name) for name in own if str(name).startswith(BASELINE))]
    found = {name: own[name].to_numpy(float) for name in names if own[name].notna().all()}
    sizes = {name: -own[name].to_numpy(float) for name in SIZE}
    return {name.removeprefix(BASELINE): column for name, column in found.items()} | sizes


def centered_estimate(one: Draws, other: Draws | None = None) -> Estimate | None:
    """A statistic, or its difference from another, with the interval of its resamples moved to be centered on it."""
    value, draws = one if other is None else (one[0] - other[0], one[1] - other[1])
    if not (found := percentiles(float(value), draws)):
        return None
    center = draws[np.isfinite(draws)].mean()
    largest = 1 if other is None else 2
    low, high = (float(end - center + value) for end in (found.low, found.high))
    return replace(found, low=max(low, -largest), high=min(high, largest))


class Evaluation:
    """Predictions and statistics over own architectures, for the sample and for the same resamples."""

    def __init__(self, own: pd.DataFrame, resamples: int, rng: np.random.Generator) -> None:
        self.losses, self.params = (own[name].to_numpy(float) for name in ("true_loss", "params"))
        self.rng, self.resamples = rng, resamples
        self.weights = Bootstrap(len(own), resamples, int(rng.integers(2**32))).weights
        self.once = np.ones((1, len(own)))

    def predict(self, fitter: Fitter, library: bool = True) -> tuple[Floats, Floats]:
        """Cross-fitted predictions: the mean over the repetitions, (n,), and in each resample, (r, n)."""
        repeated = np.repeat(self.once, REPETITIONS, axis=0)
        return fitter.predict(repeated, self.rng, library).mean(0), fitter.predict(self.weights, self.rng, library)

    def rho(self, predicted: tuple[Floats, Floats]) -> Draws:
        """Spearman with the mean test loss."""
        return self._both(lambda x, weights: spearman(x, self.losses, weights), predicted)

    def size_matched_tau(self, predicted: tuple[Floats, Floats]) -> Estimate | None:
        """Kendall's tau-b over pairs within a tenth in size; None for few pairs."""
        matched = size_matched_pairs(self.params, BAND)
        if matched.sum() < 2 * LEAST_PAIRS:
            return None
        return centered_estimate(self._both(lambda x, w: kendall(x, self.losses, w, matched), predicted))

    def _both(self, statistic: Callable[[Floats, Floats], Floats], predicted: tuple[Floats, Floats]) -> Draws:
        value, draws = statistic(predicted[0], self.once)[0], statistic(predicted[1], self.weights)
        return float(value), draws


def _library_alone(main: Fitter, evaluation: Evaluation) -> Estimate | None:
    """Spearman of a fit on the library alone, which is the same in every resample; None without a library."""
    if not main.others:
        return None
    fixed = main.matrix @ fit_others(main.others, PENALTY)
    return centered_estimate(evaluation.rho((fixed, fixed)))


def _groups(
    own: pd.DataFrame, library: Sequence[pd.DataFrame], evaluation: Evaluation, loss: Draws
) -> dict[str, Estimate | None]:
    """Spearman of loss and one group of features, where there are any, minus that of the loss."""
    fitters = {
        group: Fitter.of(own, library, (LOSS, *features)) for group, features in GROUPS.items() if features[0] in own
    }
    predicted = {group: evaluation.predict(fitter) for group, fitter in fitters.items()}
    return {group: centered_estimate(evaluation.rho(both), loss) for group, both in predicted.items()}


def _learning_curve(fitter: Fitter, evaluation: Evaluation) -> Iterator[Point]:
    """Spearman on the other architectures after a fit on some."""
    count = len(evaluation.losses)
    for some in (size for size in CURVE if size + LEAST <= count):
        chosen = random_folds(count, SUBSETS, evaluation.rng, count) < some
        coefficients = fit(fitter.matrix, fitter.target, chosen.astype(float), fitter.others)
        found = spearman(coefficients @ fitter.matrix.T, evaluation.losses, (~chosen).astype(float))
        yield Point(some, float(np.nanmean(found)))


def _predictions(
    own: pd.DataFrame, simple: Fitter, fitted: Floats, from_scored: Floats, scored: pd.DataFrame
) -> tuple[pd.DataFrame, float, float]:
    """Predictions of all scored architectures in nats, their error on own ground truths, and how often it covers.

    Own architectures have their cross-fitted prediction from all features, others that from the features that all have.
    """
    losses = own["true_loss"].to_numpy(float)
    others = scores(scored, simple.features, own) @ simple.coefficients()
    values, errors = _in_nats(from_scored, losses, others)
    of_own, error = _in_nats(fitted, losses, fitted)
    table = pd.DataFrame({"predicted_loss": values, "predicted_sd": errors}, index=scored["fingerprint"])
    table.loc[own["fingerprint"], "predicted_loss"] = of_own
    table.loc[own["fingerprint"], "predicted_sd"] = error
    covered = float((np.abs(losses - of_own) <= COVER * error).mean())
    return table.reset_index(drop=True), error, covered


def _in_nats(fitted: Floats, losses: Floats, normal: Floats) -> tuple[Floats, float]:
    """Predictions as losses, by least squares of losses on cross-fitted predictions, and the std of their error."""
    if not np.ptp(fitted):
        return np.full(len(normal), losses.mean()), float(losses.std(ddof=1))
    slope, intercept = np.polyfit(fitted, losses, 1)
    residuals = losses - intercept - slope * fitted
    return intercept + slope * normal, float(np.sqrt((residuals**2).sum() / (len(losses) - 2)))


def _without_own(
    given: dict[str, Any], library: Sequence[pd.DataFrame], scored: pd.DataFrame
) -> tuple[Calibration, pd.DataFrame]:
    """With too few own ground truths the library alone predicts, or without one nothing but the loss does."""
    predictions = pd.DataFrame(np.nan, index=scored.index, columns=["predicted_loss", "predicted_sd"])
    error: float | None = None
    features: tuple[str, ...] = (LOSS,)
    if library:
        pool, features = scored[scored["strategy"] == "random"], SCORED
        tables = [(scores(table, SCORED), table["true_loss"].to_numpy(float)) for table in library]
        coefficients = fit_others(equations([(matrix, normal_scores(losses)) for matrix, losses in tables]), PENALTY)
        fitted = np.concatenate([matrix @ coefficients for matrix, _ in tables])
        normal = scores(scored, SCORED, pool) @ coefficients
        values, error = _in_nats(fitted, np.concatenate([losses for _, losses in tables]), normal)
        predictions = pd.DataFrame({"predicted_loss": values, "predicted_sd": error})
    basis: Basis = "library" if library else "loss"
    return Calibration(**given, basis=basis, features=features, resamples=0, predicted_sd=error), predictions
