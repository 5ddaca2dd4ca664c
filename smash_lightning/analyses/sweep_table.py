"""The jobs of a sweep as tables: their coefficients, and means over the jobs that differ in their seed alone.

sweep.csv: a row per job: its options, `architectures`, Spearman of score and mean test loss with its interval, the
noise `ceiling` with its interval, Spearman of every other predictor, and the reason why the job is `left_out`, if it
is.
sweep_means.csv: a row per setting: mean `spearman` over its jobs with Student's interval (of three jobs or more; a
single job has its own bootstrap interval) and `std`, how much it exceeds that of the first setting over the seeds of
both (`minus_first`), and means of the `ceiling` and of the Spearman of parameters and MACs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from smash_lightning.analyses.frame import t_interval
from smash_lightning.evaluation.bootstrap import MINIMUM
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.sweep import SweepJob
from smash_lightning.run_folder import RunFolder

SEED = "seed"  # the option over which is averaged
MIN_JOBS = 3  # of an interval: that of two values is wider than all that can be measured
DEFAULT = "default"  # value of an option that a job was not given
SPEARMAN = ["spearman", "spearman_low", "spearman_high"]
REFERENCES = {"ceiling": "noise ceiling", "spearman_params": "parameters", "spearman_macs": "MACs"}


def read_table(jobs: Sequence[SweepJob], options: Sequence[str]) -> pd.DataFrame:
    """The contents of sweep.csv: a row for every job, empty where it found nothing."""
    rows = []
    for job in jobs:
        row: dict[str, Any] = {"job": job.name, **{name: job.options.get(name, DEFAULT) for name in options}}
        try:
            rows.append(row | _coefficients(job) | {"left_out": ""})
        except ValueError as error:
            rows.append(row | {"left_out": str(error)})
    table = pd.DataFrame(rows)
    return table[[*table.columns.drop("left_out"), "left_out"]]


def _coefficients(job: SweepJob) -> dict[str, Any]:
    if not job.config:
        raise ValueError("it was not started")
    path = RunFolder(job.folder).correlation
    if not path.exists():
        raise ValueError("it has no correlation.json yet")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        estimates = {f"spearman_{name}": one["spearman"] for name, one in plain["comparison"]["predictors"].items()}
        score, ceiling = estimates.pop(f"spearman_{SMASH_SCORE}"), plain["loss"]["reliability"]["ceiling"]
        row = {"architectures": plain["architectures"]}
        for name, one in (("spearman", score), ("ceiling", ceiling)):
            row |= {f"{name}{end and '_'}{end}": one and one[end or "value"] for end in ("", "low", "high")}
        row |= {name: one and one["value"] for name, one in estimates.items()}
    except (KeyError, TypeError, ValueError):
        raise ValueError("its correlation.json is incomplete or of another version") from None
    if score is None:
        raise ValueError(
            f"the coefficient of {row['architectures']} architectures is undefined; {MINIMUM} are the least"
        )
    return row


def average(jobs: pd.DataFrame, options: list[str]) -> pd.DataFrame:
    """The contents of sweep_means.csv for these options, with the interval of a single job where there is only one."""
    keyed = jobs.assign(**{name: pd.Categorical(jobs[name], ordered(jobs[name]), ordered=True) for name in options})
    rows: list[dict[str, Any]] = []
    first = pd.Series(dtype=float)
    for _, part in keyed.groupby(options, observed=True) if options else [((), keyed)]:
        scores = pd.Series(part["spearman"].to_numpy(), index=part.get(SEED, pd.Series(0, part.index)))
        row: dict[str, Any] = {name: part[name].iloc[0] for name in options} | {"jobs": len(part)}
        alone = {end: part[end].iloc[0] for end in SPEARMAN}
        row |= alone if len(part) == 1 else _mean(scores, "spearman")
        ahead = (scores - first[~first.index.duplicated("last")]).dropna()
        first = first if rows else scores
        row |= {"std": scores.std()} | (_mean(ahead, "minus_first") if len(ahead) else {"minus_first": math.nan})
        rows.append(row | {name: part[name].mean() for name in REFERENCES if name in part})
    return pd.DataFrame(rows)


def _mean(scores: pd.Series[float], name: str) -> dict[str, Any]:
    if len(scores) < MIN_JOBS:
        return {name: scores.mean(), f"{name}_low": math.nan, f"{name}_high": math.nan}
    mean = t_interval(np.asarray(scores, dtype=np.float64))
    return {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}


def ordered(values: Iterable[float | str]) -> list[float | str]:
    """Different values: numbers rising; where there is a text among them, in the order in which they came."""
    different = list(dict.fromkeys(values))
    return different if any(isinstance(value, str) for value in different) else sorted(different)
