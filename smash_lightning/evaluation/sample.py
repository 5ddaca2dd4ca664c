"""Which architectures does the study compare? The tables joined: scores and baselines beside true losses and errors."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smash_lightning.evaluation.coefficients import Floats
from smash_lightning.evaluation.tables import Predicted, Retrained, Scored

SMASH_SCORE = "smash_score"  # the score that ranks
SCORES = (SMASH_SCORE, "val_loss", "val_error")
SIZES = ("params", "macs", "ops")
COST = "seconds"
TOGETHER = "smash_score+params"  # the score and the number of parameters, as one predictor
TRUTHS = ("true_loss", "true_error")
REPRESENTATIVE = {"stratified", "random"}
TOP = "shortlist"


@dataclass(frozen=True, slots=True)
class Counts:
    """What went into the study and what fell out.

    Args:
        architectures: architectures that were retrained.
        trainings: trainings, failed ones included.
        failed_trainings: trainings without a finite result.
        without_truth: architectures left out as every training of theirs failed.
        without_score: architectures left out as their score is not finite.
        incomplete: architectures kept although some seeds are missing; their truth is the mean over the others.
    """

    architectures: int
    trainings: int
    failed_trainings: int
    without_truth: int
    without_score: int
    incomplete: int


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What one baseline of the score says.

    Args:
        values: lower predicts a lower true loss, (n,); may be infinite, NaN where there is none.
        seconds: what each value cost, (n,); NaN where there is none.
        training_seconds: what was trained once for all architectures before.
    """

    values: Floats
    seconds: Floats
    training_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Architectures with score and truth; row i of everything is one architecture.

    Args:
        fingerprints: their names, (n,).
        representative: whether it stands for the pool of candidates (arm spread or random), (n,).
        top: whether the score picked it (arm top), (n,); one that is both counts in both.
        columns: scores, sizes and seconds of scoring by their name in `ranking.csv`, (n,) each.
        by_hypernet: validation loss with each HyperNet, nats, (n, HyperNets).
        seeds: the retraining seeds, rising.
        truths: test loss (nats) and test error (%) of each training, (n, seeds) each; NaN where it is missing.
        baselines: by name.
        counts: what went in and what fell out.
    """

    fingerprints: tuple[str, ...]
    representative: NDArray[np.bool_]
    top: NDArray[np.bool_]
    columns: dict[str, Floats]
    by_hypernet: Floats
    seeds: tuple[int, ...]
    truths: dict[str, Floats]
    baselines: dict[str, Baseline]
    counts: Counts

    def truth(self, name: str) -> Floats:
        """Mean over the seeds that did not fail, (n,)."""
        return np.nanmean(self.truths[name], axis=1) if len(self.fingerprints) else np.empty(0)

    def standard_error(self, name: str) -> Floats:
        """Standard error of `truth`, (n,); NaN where only one seed stands behind it."""
        table = self.truths[name]
        seeds = np.isfinite(table).sum(1)
        squares = np.nansum((table - self.truth(name)[:, None]) ** 2, axis=1)
        return np.sqrt(np.where(seeds > 1, squares / np.maximum(seeds * (seeds - 1), 1), np.nan))


def join(scored: Sequence[Scored], retrained: Sequence[Retrained], baselines: Sequence[Predicted] = ()) -> Sample:
    """Joins the tables on the fingerprint. Of two trainings of one architecture and seed the later row counts.

    Raises:
        ValueError: an architecture that was trained or that a baseline judged was never scored, architectures were scored
            by different HyperNets, or a baseline has the name of one of the study's own predictors.
    """
    score_of = {row.fingerprint: row for row in scored}
    results: dict[str, dict[int, Retrained]] = {}
    arms: dict[str, set[str]] = {}
    for row in retrained:
        if row.fingerprint not in score_of:
            raise ValueError(
                f"architecture {row.fingerprint} was retrained but is not in the ranking: use two tables of one run"
            )
        results.setdefault(row.fingerprint, {})[row.seed] = row
        arms.setdefault(row.fingerprint, set()).update(row.arm.split("+"))
    with_truth = [name for name, rows in results.items() if any(succeeded(row) for row in rows.values())]
    kept = [name for name in with_truth if _has_score(score_of[name])]
    seeds = sorted({seed for name in kept for seed in results[name]})
    truths = {truth: _table(kept, seeds, results, truth) for truth in TRUTHS}
    trainings = [row for rows in results.values() for row in rows.values()]
    counts = Counts(
        architectures=len(results),
        trainings=len(trainings),
        failed_trainings=sum(not succeeded(row) for row in trainings),
        without_truth=len(results) - len(with_truth),
        without_score=len(with_truth) - len(kept),
        incomplete=int(np.isnan(truths[TRUTHS[0]]).any(axis=1).sum()),
    )
    return Sample(
        fingerprints=tuple(kept),
        representative=np.array([bool(arms[name] & REPRESENTATIVE) for name in kept], dtype=bool),
        top=np.array([TOP in arms[name] for name in kept], dtype=bool),
        columns={
            column: np.array([getattr(score_of[name], column) for name in kept], dtype=float)
            for column in (*SCORES, *SIZES, COST)
        },
        by_hypernet=_by_hypernet([score_of[name] for name in kept]),
        seeds=tuple(seeds),
        truths=truths,
        baselines=_baselines(kept, baselines, score_of.keys()),
        counts=counts,
    )


def succeeded(row: Retrained) -> bool:
    """Whether a training came to its end, with a finite truth."""
    return not row.failure and math.isfinite(row.true_loss) and math.isfinite(row.true_error)


def _has_score(row: Scored) -> bool:
    return all(math.isfinite(getattr(row, score)) for score in SCORES)


def _table(names: list[str], seeds: list[int], results: dict[str, dict[int, Retrained]], truth: str) -> Floats:
    table = np.full((len(names), len(seeds)), np.nan)
    for i, name in enumerate(names):
        for seed, row in results[name].items():
            if succeeded(row):
                table[i, seeds.index(seed)] = getattr(row, truth)
    return table


def _baselines(names: list[str], rows: Sequence[Predicted], scored: Container[str]) -> dict[str, Baseline]:
    baselines: dict[str, dict[str, Predicted]] = {}
    for row in rows:
        if row.fingerprint not in scored:
            raise ValueError(
                f"architecture {row.fingerprint} has a value of the baseline {row.baseline} but is not in the ranking: "
                "use tables of one run"
            )
        if row.baseline in (*SCORES, *SIZES, TOGETHER):
            raise ValueError(
                f"a baseline is called {row.baseline}, as a predictor of the study's own: give it another name"
            )
        baselines.setdefault(row.baseline, {})[row.fingerprint] = row
    return {
        name: _baseline([by_name.get(architecture) for architecture in names]) for name, by_name in baselines.items()
    }


def _baseline(rows: list[Predicted | None]) -> Baseline:
    values = np.array([np.nan if row is None else row.value for row in rows], dtype=float)
    seconds = np.array([np.nan if row is None else row.seconds for row in rows], dtype=float)
    return Baseline(values, seconds, max((row.training_seconds for row in rows if row is not None), default=0.0))


def _by_hypernet(rows: list[Scored]) -> Floats:
    losses = [[float(loss) for loss in row.val_loss_by_hypernet.split(";") if loss] for row in rows]
    if len({len(row) for row in losses}) > 1:
        few, many = min(map(len, losses)), max(map(len, losses))
        raise ValueError(f"some architectures were scored by {few} HyperNets and some by {many}: rank all by the same")
    return np.array(losses, dtype=float).reshape(len(rows), -1 if rows else 0)
