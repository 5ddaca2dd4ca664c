"""From a run's tables to the frame of each figure."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from smash_lightning.evaluation.bootstrap import MINIMUM
from smash_lightning.evaluation.tables import GROUPS
from smash_lightning.report.labels import cost_text, label
from smash_lightning.report.run_data import RunData

CHOSEN = ("sample", "sample and shortlist", "shortlist", "preset")  # the sample is what the coefficients are over
LINE_POINTS, LINE_RESAMPLES = 40, 2_000
DETAILS = {
    "fingerprint": "architecture",
    "strategy": "strategy",
    "chosen": "chosen as",
    "smash_score": "SMASH score",
    "val_loss": "validation loss, nats",
    "val_error": "validation error, %",
    "true_loss": "test loss, nats",
    "standard_error": "standard error",
    "true_error": "test error, %",
    "seeds": "trainings",
    "params": "parameters",
    "macs": "MACs",
    "ops": "ops",
}
"""Columns of an architecture's row for readers."""


def architectures(run: RunData) -> pd.DataFrame:
    """The ranking, best first, with the mean over standalone trainings where there are any."""
    rows = run.retrained.dropna(subset=["true_loss", "true_error"])
    by_name = rows.groupby("fingerprint")
    trained = by_name[["true_loss", "true_error", *GROUPS]].mean()
    trained["seeds"], trained["standard_error"] = by_name.size(), by_name["true_loss"].sem()
    frame = run.ranking.merge(trained, how="left", left_on="fingerprint", right_index=True)
    shortlist = frame["shortlist"].fillna(0).gt(0)
    sample = frame[["stratified", "random"]].fillna(0).gt(0).any(axis=1)
    conditions = [sample & ~shortlist, sample & shortlist, shortlist, frame["preset"].fillna(0).gt(0)]
    frame["chosen"] = pd.Categorical(np.select(conditions, CHOSEN, ""), [*CHOSEN, ""])
    return frame


def scatter_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Score against ground truth, for `figures.scatter`."""
    rows = frame[frame["seeds"].gt(0)].copy()
    rows = rows.assign(x=rows["smash_score"], y=rows["true_loss"], group=rows["chosen"])
    rows["low"], rows["high"] = rows["y"] - rows["standard_error"], rows["y"] + rows["standard_error"]
    return rows[["x", "y", "low", "high", "group", *(column for column in DETAILS if column in rows)]]


def fitted_line(points: pd.DataFrame, seed: int) -> pd.DataFrame | None:
    """The least-squares line of y on x over the sample with its 95 % bootstrap band; None where it is undefined."""
    sample = points[points["group"].isin(CHOSEN[:2])]
    x, y = (sample[column].to_numpy(float) for column in "xy")
    if len(x) < MINIMUM or not np.ptp(x):
        return None
    positions = np.linspace(x.min(), x.max(), LINE_POINTS)
    weights = np.random.default_rng(seed).multinomial(len(x), np.full(len(x), 1 / len(x)), LINE_RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold one point alone
        low, high = np.nanquantile(_lines(x, y, weights, positions), (0.025, 0.975), axis=0)
    middle = _lines(x, y, np.ones((1, len(x))), positions)[0]
    return pd.DataFrame({"x": positions, "y": middle, "low": low, "high": high})


def predictor_frame(comparison: dict[str, Any], panels: tuple[str, str]) -> pd.DataFrame:
    """Every predictor's agreement with the test loss, over all pairs and over size-matched ones, best first."""
    rows = []
    for panel, column in zip(panels, ("spearman", "size_matched_tau"), strict=True):
        for name, one in comparison["predictors"].items():
            estimate = one[column] or dict.fromkeys(("value", "low", "high"), math.nan)
            cost = cost_text(one["seconds"], one["training_seconds"])
            row = {"panel": panel, "name": label(name), "highlighted": name == "smash_score", "cost": cost}
            rows.append(row | {end: estimate[end] for end in ("value", "low", "high")})
    return pd.DataFrame(rows)


def settling_frames(settling: pd.DataFrame, hypernet: int) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Losses and their order for one HyperNet, for `figures.settling`; None where there are fewer than two epochs."""
    rows = settling[settling["hypernet"] == hypernet]
    table = rows.pivot_table(index="epoch", columns="fingerprint", values="val_loss", dropna=False).fillna(math.inf)
    if len(table) < 2:
        return None
    ranks = rankdata(table.to_numpy(float), axis=1)
    last = pd.Series(ranks[-1], index=table.columns)
    losses = rows.assign(last_rank=rows["fingerprint"].map(last), rank=0.0)
    losses = losses.replace([math.inf, -math.inf], math.nan).dropna(subset=["val_loss"])
    order = [(epoch, *_spearman(row, ranks[-1])) for epoch, row in zip(table.index, ranks, strict=True)]
    return losses, pd.DataFrame(order, columns=["epoch", "value", "low", "high"])


def _lines(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[Any], positions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fitted values at `positions` (p,) for each row of weights (r, n): (r, p)."""
    total = weights.sum(1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    covariance = weights @ (x * y) / total - mean_x * mean_y
    slope = covariance / (weights @ (x * x) / total - mean_x**2)
    return mean_y[:, None] + slope[:, None] * (positions - mean_x[:, None])


def _spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Spearman's rho of two rows of ranks with the interval of Bonett and Wright (2000); NaN where undefined."""
    if len(x) < MINIMUM or not np.ptp(x) or not np.ptp(y):
        return math.nan, math.nan, math.nan
    rho = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    if abs(rho) > 1 - 1e-12:
        return rho, rho, rho
    reach = NormalDist().inv_cdf(0.975) * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)
