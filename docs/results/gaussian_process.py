"""A Gaussian process against the linear model of the calibrated prediction, on six runs of the default:
python docs/results/gaussian_process.py > docs/results/gaussian_process.json.

Both get the same features, rows, folds and resamples. The process has a linear and a squared exponential kernel, a
prior variance of the loss's coefficient that leaves it free, and noise: of each architecture from its trainings (half
of it that of the whole pool, as five trainings give a rough variance), and an equal one for all. Its five parameters
maximize the likelihood of the whole run, which favours it a little; the rest is fitted again in each fold and resample.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from collect import record
from pooled import RUN_SEEDS, RUNS, both, drawn, mean, read_pools, shipped_library
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from smash_lightning.evaluation.calibration import FEATURES, REPETITIONS, Draws, centered_estimate
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.ridge import FOLDS, Fitter, cross_fit, random_folds
from smash_lightning.evaluation.sample import numbered

RESAMPLES = 300
FREE = 100.0  # prior variance of the coefficient of the loss
KERNEL = (
    ConstantKernel(0.1, (1e-4, 10)) * DotProduct(0, "fixed")
    + ConstantKernel(0.3, (1e-4, 10)) * RBF(3, (0.5, 100))
    + WhiteKernel(0.3, (1e-3, 2))
)


def noise(table: pd.DataFrame) -> Floats:
    """Variance of each mean logarithmic test loss as a share of their variance over architectures, (n,)."""
    trainings = np.log(numbered(table, "true_loss"))
    own = trainings.var(axis=1, ddof=1) / trainings.shape[1]
    return (own + own.mean()) / 2 / trainings.mean(axis=1).var(ddof=1)


class Process:
    """The covariance of all rows, own ones first, and predictions of own ones from any of them."""

    def __init__(self, own: pd.DataFrame, library: Sequence[pd.DataFrame]) -> None:
        tables = [own, *library]
        parts = [Fitter.of(table, [], FEATURES) for table in tables]
        features, self.target = np.concatenate([one.matrix for one in parts]), np.concatenate([p.target for p in parts])
        self.noise, first, self.count = np.concatenate([noise(one) for one in tables]), features[:, 0], len(own)
        model = GaussianProcessRegressor(KERNEL, alpha=self.noise, n_restarts_optimizer=2, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound
            model.fit(features, self.target - first * (first @ self.target) / (first @ first))
        fitted = model.kernel_.k1
        self.noise = self.noise + model.kernel_.k2.noise_level
        self.covariance = fitted(features) + FREE * np.outer(first, first)

    def cross_fit(self, weights: Floats, folds: Floats) -> Floats:
        """Predictions of each own row without its fold, for weights and folds (r, n)."""
        found = np.empty_like(weights)
        for row, fold, some in zip(found, folds, weights, strict=True):
            every = np.concatenate([some, np.ones(len(self.target) - self.count)])
            for held_out in range(FOLDS):
                inside = every > 0
                inside[: self.count] &= fold != held_out
                matrix = self.covariance[np.ix_(inside, inside)] + np.diag(self.noise[inside] / every[inside])
                chosen = np.flatnonzero(fold == held_out)
                row[chosen] = self.covariance[np.ix_(chosen, inside)] @ np.linalg.solve(matrix, self.target[inside])
        return found


def of_run(tables: Sequence[pd.DataFrame], weights: Floats, index: int, resamples: int) -> dict[str, Draws]:
    """Spearman of both models in one run, and in each resample; with own rows alone, and with the shipped library."""
    own, rng = tables[index], np.random.default_rng([2, index])
    losses, found = own["true_loss"].to_numpy(float), {}
    several = np.ones((REPETITIONS, len(own)))
    folds = [random_folds(len(own), count, rng) for count in (REPETITIONS, resamples)]
    for name, library in (("own", []), ("own + shipped", shipped_library(own, RUN_SEEDS[index]))):
        fitter, process = Fitter.of(own, library, FEATURES), Process(own, library)
        for model in ("linear", "process"):
            predicted = [
                process.cross_fit(some, fold)
                if model == "process"
                else cross_fit(fitter.matrix, fitter.target, some, fold, fitter.others)
                for some, fold in zip((several, weights), folds, strict=True)
            ]
            found[f"{model}, {name}"] = both(predicted[0].mean(0), predicted[1], losses, weights)
    return found


def figures(resamples: int) -> dict[str, object]:
    """Mean Spearman over runs, and the process minus the linear model, paired."""
    tables = read_pools(RUNS)
    weights = drawn(tables, RUN_SEEDS, resamples)
    runs = [of_run(tables, weights[index], index, resamples) for index in range(len(tables))]
    pooled = {name: mean([run[name] for run in runs]) for name in runs[0]}
    minus = {
        name: centered_estimate(pooled[f"process, {name}"], pooled[f"linear, {name}"])
        for name in ("own", "own + shipped")
    }
    estimates = {name: centered_estimate(draws) for name, draws in pooled.items()}
    return {"runs": len(runs), "resamples": resamples, "spearman": estimates, "process minus linear": minus}


if __name__ == "__main__":
    print(record(["python docs/results/gaussian_process.py"], {"six runs": figures(RESAMPLES)}))
