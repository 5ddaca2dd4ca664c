"""Which architectures are compared? The tables joined: scores and baselines with test losses and errors."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.tables import BASELINES, GREEDY, hypernet_columns

SMASH_SCORE = "smash_score"
SCORES = (SMASH_SCORE, "val_loss", "val_error")
SIZES = ("params", "macs", "ops")
COST = "seconds"
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
class BaselinePredictions:
    """Predictions of one baseline and the cost of each, (n,), as in `baselines.csv`; NaN where there is none."""

    values: Floats
    seconds: Floats
    training_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Architectures with score and ground truth; row i of everything is one architecture."""

    fingerprints: tuple[str, ...]  # of the architectures, (n,)
    # whether it represents the pool of candidates (groups stratified and random, and not greedy), (n,)
    representative: NDArray[np.bool_]
    # whether the score selected it (group shortlist), (n,); one that is both counts in both
    shortlist: NDArray[np.bool_]
    greedy: NDArray[np.bool_]  # whether the calibrated prediction selected it (group greedy), (n,)
    columns: dict[str, Floats]  # scores, sizes and seconds of scoring by their name in `ranking.csv`, (n,) each
    by_hypernet: Floats  # validation loss with each HyperNet, nats, (n, HyperNets)
    # test loss (nats) and test error (%) of each training, (n, seeds) each; NaN where it is missing
    trainings: dict[str, Floats]
    baselines: dict[str, BaselinePredictions]  # by name
    counts: Counts  # what was compared and what was left out

    def ground_truth(self, name: str) -> Floats:
        """Mean of `true_loss` or `true_error` over the seeds that did not fail, (n,)."""
        return np.nanmean(self.trainings[name], axis=1) if len(self.fingerprints) else np.empty(0)


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
    kept = [name for name in every if name in with_result and name in finite]
    finished = finished[finished["fingerprint"].isin(kept)]
    seeds = sorted(set(trainings["seed"][trainings["fingerprint"].isin(kept)]))
    tables = {
        name: finished.pivot(index="fingerprint", columns="seed", values=name).reindex(kept, columns=seeds)
        for name in GROUND_TRUTHS
    }
    counts = Counts(
        architectures=len(every),
        trainings=len(trainings),
        failed_trainings=len(trainings) - len(finished_trainings(trainings)),
        without_ground_truth=len(every) - len(with_result),
        without_score=len(with_result) - len(kept),
        incomplete=int(tables["true_loss"].isna().any(axis=1).sum()),
    )
    marked = retrained.assign(**{GREEDY: retrained.get(GREEDY, 0)}).groupby("fingerprint")
    groups = marked[[*REPRESENTATIVE, "shortlist", GREEDY]].max().reindex(kept) == 1
    return Sample(
        fingerprints=tuple(kept),
        representative=(groups[REPRESENTATIVE].any(axis=1) & ~groups[GREEDY]).to_numpy(bool),
        shortlist=groups["shortlist"].to_numpy(bool),
        greedy=groups[GREEDY].to_numpy(bool),
        columns={name: scored[name].reindex(kept).to_numpy(float) for name in (*SCORES, *SIZES, COST)},
        by_hypernet=_by_hypernet(scored.reindex(kept)),
        trainings={name: table.to_numpy(float) for name, table in tables.items()},
        baselines={} if baselines is None else _baselines(kept, baselines, scored.index),
        counts=counts,
    )


def finished_trainings(retrained: pd.DataFrame) -> pd.DataFrame:
    """The rows of trainings that did not fail and have a finite ground truth."""
    return retrained[_finite(retrained, GROUND_TRUTHS) & (retrained["failure"] == "").to_numpy(bool)]


def _finite(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_]:
    return np.isfinite(table[list(columns)].to_numpy(float)).all(axis=1)


def _baselines(names: list[str], table: pd.DataFrame, scored: Container[str]) -> dict[str, BaselinePredictions]:
    for fingerprint, baseline in zip(table["fingerprint"], table["baseline"], strict=True):
        if fingerprint not in scored:
            raise ValueError(
                f"architecture {fingerprint} has a value of the baseline {baseline} but is not in the ranking: "
                "use tables of one run"
            )
        if baseline in (*SCORES, *SIZES, TOGETHER):
            raise ValueError(f"a baseline has the name {baseline} of another predictor: give the baseline another name")
    found = {}
    for name, rows in table.groupby("baseline", sort=False)[list(BASELINES.columns)]:
        last = rows.drop_duplicates("fingerprint", keep="last").set_index("fingerprint")
        values, seconds = (last[column].reindex(names).to_numpy(float) for column in ("prediction", "seconds"))
        found[str(name)] = BaselinePredictions(values, seconds, float(last["training_seconds"].max(skipna=False)))
    return found


def _by_hypernet(rows: pd.DataFrame) -> Floats:
    losses = rows[hypernet_columns(map(str, rows))].to_numpy(float)
    counts = np.isfinite(losses).sum(axis=1)
    if len(counts) and counts.min() < counts.max():
        raise ValueError(
            f"some architectures were scored by {counts.min()} HyperNets and some by {counts.max()}: "
            "rank all by the same"
        )
    return losses
