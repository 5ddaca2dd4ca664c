"""Predictors over six runs of the default together: python docs/results/pooled.py > docs/results/pooled.json.

Each run is predicted with a library that holds neither its rows nor its architectures: the shipped one, or the other
five runs. A figure is a mean over runs; its interval is of a stratified bootstrap, in which the architectures of all
runs are drawn anew, also where they are the library, and everything is fitted again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from collect import record

from smash_lightning.evaluation.calibration import (
    FEATURES,
    PENALTY,
    REPETITIONS,
    Draws,
    centered_estimate,
    single_predictors,
)
from smash_lightning.evaluation.coefficients import Floats, spearman
from smash_lightning.evaluation.comparison import GOAL
from smash_lightning.evaluation.ground_truths import LIBRARY, NAME
from smash_lightning.evaluation.reliability import ceiling
from smash_lightning.evaluation.ridge import Fitter, Normal, cross_fit, fit_others, random_folds
from smash_lightning.evaluation.sample import numbered
from smash_lightning.evaluation.tables import GROUND_TRUTHS, read_table

RESAMPLES = 1_000
KEY_RESAMPLES = 10_000  # of the default key, which fits nothing
RUNS = Path(__file__).parent / "default_pools.csv"  # rows of ground_truths.csv of `RUN_SEEDS`, without architectures
RUN_SEEDS, SHIPPED_SEEDS = (0, 1, 2, 3, 4, 7), (0, 1, 2, 100)  # in the order of the files
CALIBRATED, OWN, ALONE = "calibrated, own + shipped", "calibrated, own", "calibrated, shipped"
OTHERS, OTHERS_ALONE = "calibrated, own + other five runs", "calibrated, other five runs"
ALL, ALL_ALONE = "calibrated, own + shipped + other five runs", "calibrated, shipped + other five runs"
BEST, BEST_ELSEWHERE = "best single predictor of each run", "best single predictor of the other five runs"
SHOWN = ("val_loss", "smash_score", "weight_sharing", "unconditional", "val_error", "early_stopping", "params")
GOAL_NAME = "0.9 of the noise ceiling"


def read_pools(path: Path) -> list[pd.DataFrame]:
    """The tables of a file, one for each pool, in their order."""
    rows = read_table(path, GROUND_TRUTHS)
    return [part.reset_index(drop=True) for _, part in rows.groupby("pool", sort=False)]


def shipped_library(own: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    """Pools of the package but for that of the same seed, whose architectures the run has scored."""
    return [
        table[~table["fingerprint"].isin(own["fingerprint"])].reset_index(drop=True)
        for other, table in zip(SHIPPED_SEEDS, read_pools(LIBRARY / "digits" / NAME), strict=True)
        if other != seed
    ]


def drawn(tables: Sequence[pd.DataFrame], seeds: Sequence[int], resamples: int) -> list[Floats]:
    """How often each resample has each row, (r, n) for each pool; pools of one seed share draws of architectures."""
    weights: list[Floats] = [np.empty(0)] * len(tables)
    for seed in sorted(set(seeds)):
        of_seed = [index for index, other in enumerate(seeds) if other == seed]
        names = pd.unique(pd.concat([tables[index]["fingerprint"] for index in of_seed]))
        rng = np.random.default_rng([0, seed])
        counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples).astype(float)
        for index in of_seed:
            weights[index] = counts[:, pd.Index(names).get_indexer(tables[index]["fingerprint"])]
    return weights


def both(column: Floats, resampled: Floats, losses: Floats, weights: Floats) -> Draws:
    """Spearman with the mean test loss in the sample, and in each resample."""
    return float(spearman(column, losses, np.ones((1, len(losses))))[0]), spearman(resampled, losses, weights)


def equations(fitter: Fitter, weights: Floats) -> Normal:
    """Normal equations of a pool in one resample, with weights (n,)."""
    weighted = fitter.matrix.T * weights
    return weighted @ fitter.matrix, weighted @ fitter.target


def added(parts: Sequence[Normal]) -> Normal:
    """Normal equations of several pools."""
    squares, products = zip(*parts, strict=True)
    return np.sum(squares, axis=0), np.sum(products, axis=0)


def of_run(tables: Sequence[pd.DataFrame], weights: Sequence[Floats], index: int) -> dict[str, Draws]:
    """Spearman of each predictor in one run, and in each resample."""
    own, rng, count = tables[index], np.random.default_rng([1, index]), len(weights[index])
    losses = own["true_loss"].to_numpy(float)
    fitter = Fitter.of(own, shipped_library(own, RUN_SEEDS[index]), FEATURES)
    others = [Fitter.of(table, [], FEATURES) for table in tables]
    once = np.ones((1, len(own)))

    def cross(fitted: Floats, equations_of: Callable[[int], Normal | None]) -> Floats:
        """Cross-fitted predictions in each of some resamples, (r, n)."""
        folds = random_folds(len(own), len(fitted), rng)
        rows = [
            cross_fit(fitter.matrix, fitter.target, fitted[[r]], folds[[r]], equations_of(r))[0]
            for r in range(len(fitted))
        ]
        return np.array(rows)

    def of_others(r: int | None) -> Normal:
        rows = [np.ones(len(table)) if r is None else weights[i][r] for i, table in enumerate(tables)]
        return added([equations(others[i], rows[i]) for i in range(len(tables)) if i != index])

    def of_all(r: int | None) -> Normal:
        return added([fitter.others, of_others(r)])

    def alone(normal: Normal) -> Floats:
        return fitter.matrix @ fit_others(normal, PENALTY)

    repeated = np.repeat(once, REPETITIONS, axis=0)
    fixed = alone(fitter.others)
    predicted = {
        CALIBRATED: (fitter.predict(repeated, rng).mean(0), fitter.predict(weights[index], rng)),
        OWN: (fitter.predict(repeated, rng, False).mean(0), fitter.predict(weights[index], rng, False)),
        ALONE: (fixed, fixed),
        OTHERS: (cross(repeated, lambda r: of_others(None)).mean(0), cross(weights[index], of_others)),
        OTHERS_ALONE: (alone(of_others(None)), np.array([alone(of_others(r)) for r in range(count)])),
        ALL: (cross(repeated, lambda r: of_all(None)).mean(0), cross(weights[index], of_all)),
        ALL_ALONE: (alone(of_all(None)), np.array([alone(of_all(r)) for r in range(count)])),
    }
    predicted |= {name: (column, column) for name, column in single_predictors(own).items()}
    found = {name: both(*pair, losses, weights[index]) for name, pair in predicted.items()}
    columns = list(numbered(own, "true_loss").T)
    limits = [GOAL * ceiling(columns, some) for some in (once, weights[index])]
    return found | {GOAL_NAME: (float(limits[0][0]), limits[1])}


def mean(runs: Sequence[Draws]) -> Draws:
    """The mean over runs, in the sample and in each resample."""
    return float(np.mean([value for value, _ in runs])), np.mean([draws for _, draws in runs], axis=0)


def best(runs: Sequence[dict[str, Draws]], names: Sequence[str]) -> dict[str, Draws]:
    """The best single predictor, chosen in each resample: by the run itself, or by the other runs."""
    values = np.array([[[run[name][0], *run[name][1]] for name in names] for run in runs])  # runs, names, 1 + r
    elsewhere = (values.sum(0) - values).argmax(1)
    chosen = {BEST: values.max(1), BEST_ELSEWHERE: np.take_along_axis(values, elsewhere[:, None], axis=1)[:, 0]}
    return {name: (float(one.mean(0)[0]), one.mean(0)[1:]) for name, one in chosen.items()}


def default_key(runs: Sequence[pd.DataFrame], resamples: int) -> dict[str, object]:
    """The validation loss against the default score, loss and rank of size, over all pools at hand."""
    shipped = read_pools(LIBRARY / "digits" / NAME)
    tables, seeds = [*runs, *shipped], [*RUN_SEEDS, *SHIPPED_SEEDS]
    weights = drawn(tables, seeds, resamples)
    found: dict[str, list[Draws]] = {"val_loss": [], "smash_score": []}
    for table, some in zip(tables, weights, strict=True):
        for name, draws in found.items():
            column = table[name].to_numpy(float)
            draws.append(both(column, column, table["true_loss"].to_numpy(float), some))
    loss, score = (mean(draws) for draws in found.values())
    return {
        "pools": len(tables),
        "resamples": resamples,
        "val_loss": centered_estimate(loss),
        "smash_score": centered_estimate(score),
        "val_loss minus smash_score": centered_estimate(loss, score),
    }


def figures(resamples: int) -> dict[str, object]:
    """What pooled.json holds: Spearman with the mean test loss, and paired differences."""
    tables = read_pools(RUNS)
    weights = drawn(tables, RUN_SEEDS, resamples)
    runs = [of_run(tables, weights, index) for index in range(len(tables))]
    pooled = {name: mean([run[name] for run in runs]) for name in runs[0]}
    pooled |= best(runs, list(single_predictors(tables[0])))
    calibrated = (CALIBRATED, OWN, ALONE, OTHERS, OTHERS_ALONE, ALL, ALL_ALONE)
    baselines = (*SHOWN, BEST_ELSEWHERE, BEST)
    pairs = [(one, other) for one in calibrated for other in (*baselines, GOAL_NAME)]
    pairs += [
        (CALIBRATED, OWN),
        (CALIBRATED, ALONE),
        (OTHERS, CALIBRATED),
        (ALL, CALIBRATED),
        ("val_loss", "smash_score"),
    ]
    return {
        "runs": len(runs),
        "architectures": sum(map(len, tables)),
        "resamples": resamples,
        "spearman": {name: centered_estimate(pooled[name]) for name in (GOAL_NAME, *calibrated, *baselines)},
        "differences": {f"{a} minus {b}": centered_estimate(pooled[a], pooled[b]) for a, b in pairs},
        "default key": default_key(tables, KEY_RESAMPLES),
    }


if __name__ == "__main__":
    print(record(["python docs/results/pooled.py"], {"six runs": figures(RESAMPLES)}))
