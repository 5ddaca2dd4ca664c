"""Which architectures are compared? The tables joined: scores and baselines with test losses and errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.tables import BASELINES, GREEDY, hypernet_columns

SMASH_SCORE = "smash_score"
SCORES = (SMASH_SCORE, "val_loss", "val_error")
SIZES = ("params", "macs", "ops")
COST = "seconds"
BASELINE = "baseline_"  # begins the name of a column with the predictions of a baseline
TOGETHER = "smash_score+params"  # the score and the number of parameters, as one predictor
GROUND_TRUTHS = ("true_loss", "true_error")
REPRESENTATIVE = ["stratified", "random"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was compared and what was left out."""

    architectures: int  # architectures that were retrained
    trainings: int  # trainings, failed ones included
    failed_trainings: int  # trainings without a finite result
    without_ground_truth: int  # architectures left out as all their trainings failed
    without_score: int  # architectures left out as their score is not finite
    # architectures kept although some seeds are missing; their ground truth is the mean over the others
    incomplete: int
    planned_trainings: int | None = None  # of a run by the command line alone


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Architectures with score and ground truth.

    `table` has a row for each, with these columns:
        fingerprint: of the architecture.
        representative: whether it represents the pool of candidates (groups stratified and random, and not greedy).
        shortlist: whether the score selected it (group shortlist); one that is both counts in both.
        greedy: whether the calibrated prediction selected it (group greedy).
        true_loss, true_error: test loss (nats) and error (%), means over the seeds that did not fail.
        true_loss_0, ..., true_error_0, ...: those of each seed; NaN where they are missing.
        scores, sizes, seconds: as in `ranking.csv`.
        val_loss_0, ...: validation loss with each HyperNet, nats.
        baseline_NAME, seconds_NAME: prediction of a baseline and its cost; NaN where there is none.
    """

    table: pd.DataFrame
    training_seconds: dict[str, float]  # of each baseline, by name
    counts: Counts  # what was compared and what was left out

    @property
    def representative(self) -> pd.DataFrame:
        """The rows of representative architectures."""
        return self.table[self.table["representative"]]

    @property
    def baselines(self) -> pd.DataFrame:
        """Predictions for representative architectures, a column for each baseline."""
        return self.representative.filter(regex=f"^{BASELINE}").rename(columns=lambda name: name.removeprefix(BASELINE))


def numbered(table: pd.DataFrame, name: str) -> Floats:
    """The columns `name`_0, `name`_1, ... of a table, (n, columns)."""
    return table.filter(regex=rf"^{name}_\d+$").to_numpy(float)


def join(ranking: pd.DataFrame, retrained: pd.DataFrame, baselines: pd.DataFrame | None = None) -> Sample:
    """Joins the tables on the fingerprint. Of two trainings of one architecture and seed the later row counts.

    Given architectures (group preset) that were never scored are left out, as if they had not been trained.

    Raises:
        ValueError: an architecture that was retrained or has a baseline was never scored, architectures were scored
            by different numbers of HyperNets, or a baseline has the name of another predictor.
    """
    scored = ranking.drop_duplicates("fingerprint", keep="last").set_index("fingerprint")
    retrained = retrained[retrained["fingerprint"].isin(scored.index) | (retrained["preset"] != 1)]
    if missing := [name for name in retrained["fingerprint"] if name not in scored.index]:
        raise ValueError(
            f"architecture {missing[0]} was retrained but is not in the ranking: use two tables of one run"
        )
    every = list(dict.fromkeys(retrained["fingerprint"]))  # in the order of the table
    trainings = retrained.drop_duplicates(["fingerprint", "seed"], keep="last")
    finished = finished_trainings(trainings)
    with_result = set(finished["fingerprint"])
    finite = set(scored.index[_finite(scored, SCORES)])
    kept = pd.Index([name for name in every if name in with_result and name in finite], name="fingerprint")
    seeds = sorted(set(trainings["seed"][trainings["fingerprint"].isin(kept)]))
    wide = partial(finished.pivot, index="fingerprint", columns="seed")
    parts = {name: wide(values=name).reindex(kept, columns=seeds).to_numpy(float) for name in GROUND_TRUTHS}
    parts["val_loss"] = _by_hypernet(scored.reindex(kept))
    marked = retrained.assign(**{GREEDY: retrained.get(GREEDY, 0)}).groupby("fingerprint")
    groups = marked[[*REPRESENTATIVE, "shortlist", GREEDY]].max().reindex(kept) == 1
    columns = {
        "representative": groups[REPRESENTATIVE].any(axis=1) & ~groups[GREEDY],
        **groups[["shortlist", GREEDY]],
        **{name: np.nanmean(parts[name], axis=1) for name in GROUND_TRUTHS},
        **scored.reindex(kept)[[*SCORES, *SIZES, COST]].astype(float),
        **{f"{name}_{index}": column for name, part in parts.items() for index, column in enumerate(part.T)},
    }
    predictions, training_seconds = pd.DataFrame(), dict[str, float]()
    if baselines is not None:
        predictions, training_seconds = _baselines(baselines, scored.index)
    counts = Counts(
        architectures=len(every),
        trainings=len(trainings),
        failed_trainings=len(trainings) - len(finished),
        without_ground_truth=len(every) - len(with_result),
        without_score=len(with_result) - len(kept),
        incomplete=int(np.isnan(parts["true_loss"]).any(axis=1).sum()),
    )
    table = pd.DataFrame(columns, kept).join(predictions).reset_index()
    return Sample(table, training_seconds, counts)


def finished_trainings(retrained: pd.DataFrame) -> pd.DataFrame:
    """The rows of trainings that did not fail and have a finite ground truth."""
    return retrained[_finite(retrained, GROUND_TRUTHS) & (retrained["failure"] == "").to_numpy(bool)]


def _finite(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_]:
    return np.isfinite(table[list(columns)].to_numpy(float)).all(axis=1)


def _baselines(table: pd.DataFrame, scored: pd.Index) -> tuple[pd.DataFrame, dict[str, float]]:
    """The columns of baselines by fingerprint, and the seconds of what each has trained."""
    for fingerprint, baseline in zip(table["fingerprint"], table["baseline"], strict=True):
        if fingerprint not in scored:
            raise ValueError(
                f"architecture {fingerprint} has a value of the baseline {baseline} but is not in the ranking: "
                "use tables of one run"
            )
        if baseline in (*SCORES, *SIZES, TOGETHER):
            raise ValueError(f"a baseline has the name {baseline} of another predictor: give the baseline another name")
    columns: dict[str, pd.Series[Any]] = {}
    training_seconds: dict[str, float] = {}
    for name, rows in table.groupby("baseline", sort=False)[list(BASELINES.columns)]:
        last = rows.drop_duplicates("fingerprint", keep="last").set_index("fingerprint")
        columns |= {f"{BASELINE}{name}": last["prediction"], f"{COST}_{name}": last["seconds"]}
        training_seconds[str(name)] = float(last["training_seconds"].max(skipna=False))
    return pd.DataFrame(columns, dtype=float), training_seconds


def _by_hypernet(rows: pd.DataFrame) -> Floats:
    losses = rows[hypernet_columns(map(str, rows))].to_numpy(float)
    counts = np.isfinite(losses).sum(axis=1)
    if len(counts) and counts.min() < counts.max():
        raise ValueError(
            f"some architectures were scored by {counts.min()} HyperNets and some by {counts.max()}: "
            "rank all by the same"
        )
    return losses
