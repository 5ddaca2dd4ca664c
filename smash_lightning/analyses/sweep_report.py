"""How does the agreement with the ground truth depend on what a sweep varied? Writes sweep.csv and sweep_means.csv, see
`sweep_table`, sweep.png, and report.html, which shows all of them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from pathlib import Path

import pandas as pd

from smash_lightning.analyses.sweep_table import REFERENCES, SEED, SPEARMAN, average, read_table
from smash_lightning.evaluation.sweep import read_jobs, varied
from smash_lightning.files import atomic_write
from smash_lightning.report.figures import sweep as sweep_figure
from smash_lightning.report.labels import count, listed
from smash_lightning.report.page import render
from smash_lightning.report.style import save
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

LINES = 5  # most values of an option that are drawn as lines


def sweep_report(experiment: Experiment, tracker: Tracker, *, sweep: str | None = None) -> None:
    """Compares the jobs of the sweep in the folder `sweep`; only the folder of `experiment` is used."""
    del tracker
    if sweep is None:
        raise ValueError("task.sweep has no value: give it the folder of a sweep, which holds its numbered jobs")
    jobs, folder = read_jobs(Path(sweep)), experiment.folder.path
    differing = varied([job for job in jobs if job.config])
    table = read_table(jobs, differing)
    found = table[table["left_out"] == ""]
    reasons = [f"job {row.job} ({row.left_out})" for row in table[table["left_out"] != ""].itertuples()]
    if found.empty:
        raise ValueError(
            f"no job of {sweep} has a coefficient to compare: {listed(reasons)}. Jobs of task=pipeline and "
            f"task=correlate have one; trainings of many jobs are collected by task=correlate checkpoint={sweep}"
        )
    options = [name for name in differing if name != SEED]
    settings = average(found, options)
    chart = sweep_figure(
        marks(found, options),
        y="Spearman with test loss",
        title=f"Agreement of score and ground truth over {count(len(found), 'job')}",
        note="Small marks: jobs, with 95 % bootstrap intervals over architectures. Large marks: means over "
        "seeds, with 95 % t-intervals of three or more; or a single job with its own interval.",
    )
    shown = settings[[*options, "jobs", *SPEARMAN, "std", "minus_first"]]
    summary = [
        "Spearman of score and test loss, mean over jobs:",
        shown.to_string(index=False, float_format="%.2f", na_rep=""),
    ]
    summary += [f"Left out: {listed(reasons)}."] if reasons else []
    page = render(
        "sweep.html.jinja",
        "A sweep of SMASH",
        {"sweep": chart},
        sentences=_sentences(settings, options),
        means=settings,
        jobs=table,
        options=_shared(jobs[0].options, differing, sweep),
    )
    for name, content in (("sweep", table), ("sweep_means", settings)):
        content.to_csv(folder / f"{name}.csv", index=False)
    save(chart, folder / "sweep.png")
    with atomic_write(folder / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    print("\n".join(summary))


def _shared(given: Mapping[str, object], differing: Container[str], sweep: str) -> str:
    shared = [f"{name}={value}" for name, value in given.items() if name not in differing]
    return "\n".join([f"sweep: {sweep}", *shared])


def marks(jobs: pd.DataFrame, options: list[str]) -> pd.DataFrame:
    """Marks of the picture: a panel with a line for each value of a second option, or a panel for each option."""
    options = options or ([SEED] if SEED in jobs else ["job"])
    # The axis goes to numbers, and then to the option with more values.
    numeric = {name: not any(isinstance(value, str) for value in jobs[name]) for name in options}
    axis, *others = sorted(options, key=lambda name: (not numeric[name], -jobs[name].nunique()))
    together = len(others) < 2 and all(jobs[name].nunique() <= LINES for name in others)
    parts = []
    for panel in [[axis, *others]] if together else [[name] for name in options]:
        alone = jobs.groupby(panel, sort=False)["job"].transform("size") == 1
        few = together or jobs[panel[0]].nunique() <= LINES
        means, singles = average(jobs, panel), jobs[~alone] if few else jobs
        parts.append(_marks("mean", means if few else means[:0], panel, together))
        parts.append(_marks("job", singles, panel, together))
        size = average(jobs, panel[:1])
        for name in REFERENCES:
            if name in size:
                parts.append(_marks("reference", size.assign(spearman=size[name]), panel[:1], False, REFERENCES[name]))
    return pd.concat(parts, ignore_index=True).dropna(subset="y")


def _marks(kind: str, table: pd.DataFrame, panel: list[str], bars: bool, series: str = "SMASH score") -> pd.DataFrame:
    found = pd.DataFrame({"x": table[panel[0]], "y": table["spearman"], "job": table.get("job", "")})
    found["series"] = series if len(panel) == 1 else f"{panel[1]}=" + table[panel[1]].astype(str)
    for end in ("low", "high"):
        found[end] = table[f"spearman_{end}"] if bars else math.nan
    return found.assign(panel=panel[0], kind=kind)


def _sentences(means: pd.DataFrame, options: list[str]) -> list[str]:
    order = means.sort_values("spearman")
    texts = [
        f"{', '.join(f'{name}={row[name]}' for name in options) or 'all jobs'}: {row['spearman']:.2f} "
        f"[{row['spearman_low']:.2f}, {row['spearman_high']:.2f}] over {count(int(row['jobs']), 'job')}"
        for row in order.to_dict("records")
    ]
    if len(texts) == 1:
        return [f"Mean Spearman of score and test loss of {texts[0]}."]
    return [
        f"The highest mean Spearman of score and test loss has {texts[-1]}; the lowest has {texts[0]}.",
        f"The best of {len(texts)} settings is biased by its selection: run it again with other seeds.",
    ]
