"""The files of a run folder, and from its tables to the frame of each figure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.evaluation.bootstrap import MINIMUM, Bootstrap
from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.sample import REPRESENTATIVE, finished_trainings
from smash_lightning.evaluation.tables import GROUPS, SETTLING, read_if_exists, read_ranking, read_retrained
from smash_lightning.files import read_object
from smash_lightning.report.labels import cost_text, label
from smash_lightning.run_folder import RunFolder, image_spec_of

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


@dataclass(frozen=True, eq=False)
class RunData:
    """Everything that a report is made of; `settling` and `config` are empty where their file is missing."""

    ranking: pd.DataFrame
    retrained: pd.DataFrame
    architectures: Mapping[str, Architecture]
    names: Mapping[str, str]
    correlation: Mapping[str, Any]
    settling: pd.DataFrame
    data: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def image_spec(self) -> ImageSpec:
        """Image and classifier around the architectures."""
        return image_spec_of(self.data)


def read_run(path: Path) -> RunData:
    """Reads a run folder; a run that builds on another one finds the rest there.

    Raises:
        ValueError: a file that is needed is missing or wrong, or the run is of an earlier version.
    """
    own = RunFolder(path)
    folders = list(own.sources())

    def holder(name: str) -> RunFolder:
        """The first of the folders that has a file; the run's own if none has."""
        return next((folder for folder in folders if (folder.path / name).exists()), own)

    try:
        correlation = read_correlation(holder("correlation.json"))
    except ValueError:
        raise ValueError(f"{own.correlation} cannot be read: compare the run first, with task=correlate") from None
    return RunData(
        ranking=read_ranking(holder("ranking.csv")),
        retrained=read_retrained(holder("retrained.csv")),
        architectures=holder("architectures.jsonl").read_architectures(),
        names=holder("architectures.jsonl").read_names(),
        correlation=correlation,
        settling=read_if_exists(holder("settling.csv").settling, SETTLING),
        data=read_object(holder("data.json").data),
        config=own.read_config(),
    )


def read_correlation(folder: RunFolder) -> dict[str, Any]:
    """The content of correlation.json, and under "calibration" that of calibration.json, or None without one.

    Raises ValueError where there is no correlation.json, or a file is not JSON.
    """
    correlation = read_object(folder.correlation)
    calibration = read_object(folder.calibration) if folder.calibration.exists() else None
    return {**correlation, "calibration": calibration}


def architectures(run: RunData) -> pd.DataFrame:
    """The ranking, best first, with the mean over standalone trainings where there are any."""
    frame = run.ranking.merge(trained_architectures(run), how="left", left_on="fingerprint", right_index=True)
    shortlist, sample = frame["shortlist"].gt(0), frame[REPRESENTATIVE].gt(0).any(axis=1)
    conditions = [sample & ~shortlist, sample & shortlist, shortlist, frame["preset"].gt(0)]
    frame["chosen"] = np.select(conditions, CHOSEN, "")
    return frame


def trained_architectures(run: RunData) -> pd.DataFrame:
    """Means over the standalone trainings by fingerprint, with the standard deviations (`_sd`) over seeds."""
    by_name = finished_trainings(run.retrained).groupby("fingerprint")
    trained = by_name[["true_loss", "true_error", *GROUPS]].mean()
    trained["seeds"], trained["standard_error"] = by_name.size(), by_name["true_loss"].sem()
    return trained.join(by_name[["true_loss", "true_error"]].std().add_suffix("_sd"))


def scatter_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Score against ground truth, for `figures.scatter`."""
    rows = frame.loc[frame["seeds"].gt(0), list(DETAILS)]
    rows = rows.assign(x=rows["smash_score"], y=rows["true_loss"], group=pd.Categorical(rows["chosen"], [*CHOSEN, ""]))
    return rows.assign(low=rows["y"] - rows["standard_error"], high=rows["y"] + rows["standard_error"])


def fitted_line(points: pd.DataFrame, seed: int) -> pd.DataFrame | None:
    """The least-squares line of y on x over the sample with its 95 % bootstrap band; None where it is undefined."""
    sample = points[points["group"].isin(CHOSEN[:2])]
    x, y = (sample[column].to_numpy(float) for column in "xy")
    if len(x) < MINIMUM or not np.ptp(x):
        return None
    positions = np.linspace(x.min(), x.max(), LINE_POINTS)

    def fitted(weights: Floats) -> Floats:
        """Values at the positions (p,) for each row of weights (r, n): (r, p)."""
        total = weights.sum(1)
        mean_x, mean_y = weights @ x / total, weights @ y / total
        covariance = weights @ (x * y) / total - mean_x * mean_y
        slope = covariance / (weights @ (x * x) / total - mean_x**2)
        return mean_y[:, None] + slope[:, None] * (positions - mean_x[:, None])

    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold one point alone
        draws = Bootstrap(len(x), LINE_RESAMPLES, seed).draws(fitted)
    low, high = np.nanquantile(draws, (0.025, 0.975), axis=0)
    return pd.DataFrame({"x": positions, "y": fitted(np.ones((1, len(x))))[0], "low": low, "high": high})


def predictor_frame(correlation: Mapping[str, Any], panels: tuple[str, str]) -> pd.DataFrame:
    """Every predictor's agreement with the test loss, over all pairs and over size-matched ones, best first.

    The calibrated prediction, which is made of all others, is first.
    """
    predictors = correlation["comparison"]["predictors"]
    if (calibration := correlation.get("calibration")) and calibration["spearman"]:
        predictors = {"calibrated": calibration} | predictors
    rows = []
    for panel, column in zip(panels, ("spearman", "size_matched_tau"), strict=True):
        for name, one in predictors.items():
            estimate = one[column] or dict.fromkeys(("value", "low", "high"), math.nan)
            cost = "that of its parts" if name == "calibrated" else cost_text(one["seconds"], one["training_seconds"])
            row = {
                "panel": panel,
                "name": label(name),
                "highlighted": name in ("calibrated", "smash_score"),
                "cost": cost,
            }
            rows.append(row | {end: estimate[end] for end in ("value", "low", "high")})
    return pd.DataFrame(rows)


def settling_frames(settling: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Losses and their order for the first HyperNet, for `figures.settling`; None for fewer than two epochs."""
    rows = settling[settling["hypernet"] == settling["hypernet"].min()]
    table = rows.pivot_table(index="epoch", columns="fingerprint", values="val_loss", dropna=False).fillna(math.inf)
    if len(table) < 2:
        return None
    ranks = rankdata(table.to_numpy(float), axis=1)
    last = pd.Series(ranks[-1], index=table.columns)
    losses = rows.assign(last_rank=rows["fingerprint"].map(last), rank=0.0)
    order = [(epoch, *_spearman(row, ranks[-1])) for epoch, row in zip(table.index, ranks, strict=True)]
    order_frame = pd.DataFrame(order, columns=["epoch", "value", "low", "high"])
    return losses[np.isfinite(losses["val_loss"])], order_frame


def _spearman(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Spearman's rho of two rows of ranks with the interval of Bonett and Wright (2000); NaN where undefined."""
    if len(x) < MINIMUM or not np.ptp(x) or not np.ptp(y):
        return math.nan, math.nan, math.nan
    rho = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    if abs(rho) > 1 - 1e-12:
        return rho, rho, rho
    reach = NormalDist().inv_cdf(0.975) * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)
