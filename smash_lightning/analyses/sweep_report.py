"""How does the agreement with the ground truth depend on what a sweep varied?

sweep.csv: a row per job: its options, `architectures`, Spearman of score and mean test loss with its interval, the
noise `ceiling` with its interval, Spearman of every other predictor, of `calibrated` where there is a calibration.json,
and why the job is `left_out`, if it is.
sweep_means.csv: a row per setting: mean `spearman` over its jobs with Student's interval (of three jobs or more; a
single job has its own bootstrap interval) and `std`, how much it exceeds that of the first setting over the seeds of
both (`minus_first`), and means of the `ceiling` and of the Spearman of calibrated prediction, parameters and MACs.
sweep.png and report.html show them.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smash_lightning.analyses.frame import t_interval
from smash_lightning.evaluation.bootstrap import MINIMUM
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.sweep import SweepJob, read_jobs, varied
from smash_lightning.files import write_text
from smash_lightning.report.figures import forest, lines
from smash_lightning.report.labels import listed
from smash_lightning.report.page import render
from smash_lightning.report.run_data import read_correlation
from smash_lightning.report.style import Chart, save, specification
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.experiment import Experiment

SEED = "seed"  # the option over which is averaged
MIN_JOBS = 3  # of an interval: that of two values is wider than all that can be measured
DEFAULT = "default"  # value of an option that a job was not given
SPEARMAN = ["spearman", "spearman_low", "spearman_high"]
CALIBRATED = "spearman_calibrated"
REFERENCES = {"ceiling": "noise ceiling", CALIBRATED: "calibrated prediction"}
REFERENCES |= {"spearman_params": "parameters", "spearman_macs": "MACs"}
LINES = 4  # most values of an option that are drawn as lines


def sweep_report(experiment: Experiment, tracker: Tracker, *, sweep: str | None = None) -> None:
    """Compares the jobs of the sweep in the folder `sweep`; only the folder of `experiment` is used."""
    if sweep is None:
        raise ValueError("task.sweep has no value: give it the folder of a sweep, which holds its numbered jobs")
    jobs, folder = read_jobs(Path(sweep)), experiment.folder.path
    differing = varied([job for job in jobs if job.config])
    table = read_coefficients(jobs, differing)
    found = table[table["left_out"] == ""]
    left_out = listed(f"job {row.job} ({row.left_out})" for row in table[table["left_out"] != ""].itertuples())
    if found.empty:
        raise ValueError(
            f"no job of {sweep} has a coefficient to compare: {left_out}. Jobs of task=pipeline and "
            f"task=correlate have one; trainings of many jobs are collected by task=correlate checkpoint={sweep}"
        )
    options = [name for name in differing if name != SEED]
    settings = average(found, options)
    chart = specification(draw(settings, options))
    shared = [f"{name}={value}" for name, value in jobs[0].options.items() if name not in differing]
    page = render(
        "sweep.html.jinja",
        "A sweep of SMASH",
        {"sweep": chart},
        means=settings,
        jobs=table,
        options="\n".join([f"sweep: {sweep}", *shared]),
    )
    table.to_csv(folder / "sweep.csv", index=False)
    settings.to_csv(folder / "sweep_means.csv", index=False)
    save(chart, folder / "sweep.png")
    write_text(folder / "report.html", page)
    print("Spearman of score and test loss, mean over jobs:")
    shown = settings[[*options, "jobs", *SPEARMAN, "std", "minus_first", *settings.columns.intersection([CALIBRATED])]]
    print(shown.to_string(index=False, float_format="%.2f"))
    if left_out:
        print(f"Left out: {left_out}.")


def read_coefficients(jobs: Sequence[SweepJob], options: Sequence[str]) -> pd.DataFrame:
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
    folder = RunFolder(job.folder)
    if not folder.correlation.exists():
        raise ValueError("it has no correlation.json yet")
    try:
        plain = read_correlation(folder)
        predictors = plain["comparison"]["predictors"] | ({"calibrated": one} if (one := plain["calibration"]) else {})
        estimates = {f"spearman_{name}": one["spearman"] for name, one in predictors.items()}
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
        row |= {end: part[end].iloc[0] for end in SPEARMAN} if len(part) == 1 else _mean(scores, "spearman")
        ahead = (scores - first[~first.index.duplicated("last")]).dropna()
        first = first if rows else scores
        row |= {"std": scores.std()} | (_mean(ahead, "minus_first") if len(ahead) else {"minus_first": math.nan})
        rows.append(row | {name: part[name].mean() for name in REFERENCES if name in part})
    return pd.DataFrame(rows)


def _mean(scores: "pd.Series[float]", name: str) -> dict[str, Any]:
    if len(scores) < MIN_JOBS:
        return {name: scores.mean(), f"{name}_low": math.nan, f"{name}_high": math.nan}
    mean = t_interval(np.asarray(scores, dtype=np.float64))
    return {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}


def ordered(values: Iterable[float | str]) -> list[float | str]:
    """Different values: numbers rising; where there is a text among them, in the order in which they came."""
    different = list(dict.fromkeys(values))
    return different if any(isinstance(value, str) for value in different) else sorted(different)


def draw(settings: pd.DataFrame, options: list[str]) -> Chart:
    """Lines over an option of numbers, one for each value of a second option; otherwise a row for each setting."""
    title, y = "Agreement of score and ground truth", "Spearman with test loss"
    note = "Means over seeds, with 95 % t-intervals of three jobs or more; a single job has its bootstrap interval."
    points = settings.rename(columns=dict(zip(SPEARMAN, ("y", "low", "high"), strict=True)))
    numeric = [name for name in options if pd.api.types.is_numeric_dtype(settings[name])]
    axis = max(numeric, key=lambda name: settings[name].nunique(), default=None)
    others = [name for name in options if name != axis]
    if axis is None or len(others) > 1 or any(settings[name].nunique() > LINES for name in others):
        names = [", ".join(f"{name}={row[name]}" for name in options) or "all jobs" for _, row in settings.iterrows()]
        return forest(points.rename(columns={"y": "value"}).assign(name=names, panel=""), x=y, title=title, note=note)
    series = others[0] + "=" + settings[others[0]].astype(str) if others else "SMASH score"
    parts = [points[["y", "low", "high"]].assign(x=settings[axis], series=series)]
    for name in REFERENCES.keys() & set(settings):
        means = settings.groupby(axis)[name].mean()
        parts.append(pd.DataFrame({"x": means.index, "y": means.to_numpy(), "series": REFERENCES[name]}))
    frame = pd.concat(parts, ignore_index=True).dropna(subset="y")
    return lines(frame, x=axis, y=y, title=title, note=note)
