"""What came of a sweep: its jobs side by side, in a picture, in tables, and on a page."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from smash_lightning.evaluation.aggregate import LEAST, Average, Group, Outcome, grouped, mean_of, read_outcomes
from smash_lightning.evaluation.sample import SMASH_SCORE
from smash_lightning.evaluation.sweep import SweepJob, read_jobs, varied
from smash_lightning.evaluation.sweep_picture import draw_sweep
from smash_lightning.evaluation.verdict import figure
from smash_lightning.report.page import Facts, Paragraphs, Picture, Preformatted, Section, Table, Value, report_page
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment

BESIDE = {"params": "parameters", "macs": "MACs"}  # what stands beside the score in tables
MOST_NAMED = 12  # jobs that are left out and named one by one


def sweep_report(experiment: Experiment, tracker: Tracker, *, sweep: str | None = None) -> None:
    """Compares the jobs of a sweep: Spearman of score and mean test loss by what was varied, averaged over seeds.

    Writes `sweep.csv` (a row per job), `sweep_means.csv` (a row per setting), `sweep.png` and `report.html`, and prints
    the means. Nothing but the folder is used of the experiment.

    Args:
        experiment: its folder is written to.
        tracker: gets all that is shown.
        sweep: the sweep's folder.

    Raises:
        ValueError: none is named, it is no sweep, or no job of it has a coefficient yet.
    """
    if sweep is None:
        raise ValueError("task.sweep has no value: give it the folder of a sweep, which holds its numbered jobs")
    jobs, folder = read_jobs(Path(sweep)), experiment.folder.path
    outcomes, left_out = read_outcomes(jobs)
    if not outcomes:
        raise ValueError(
            f"no job of {sweep} has a coefficient to compare: {_named(left_out)}. Jobs of task=pipeline and "
            f"task=correlate have one; trainings of many jobs are collected by task=correlate checkpoint={sweep}"
        )
    differing = varied([job for job in jobs if job.config])
    options = [name for name in differing if name != "seed"]
    groups = grouped(outcomes, options)
    columns, rows = _jobs(outcomes, left_out, jobs, differing)
    _write(folder / "sweep.csv", columns, rows)
    _write(folder / "sweep_means.csv", *_means(groups, options))
    draw_sweep(outcomes, groups, options).savefig(folder / "sweep.png")
    page = _page(sweep, outcomes, groups, options, differing, left_out, (folder / "sweep.png").read_bytes())
    (folder / "report.html").write_text(page)
    tracker.table("sweep", columns, rows)
    tracker.image("sweep_png", folder / "sweep.png")
    tracker.page("report", folder / "report.html")
    print(_summary(groups, options, left_out))


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def _jobs(
    outcomes: Sequence[Outcome], left_out: Mapping[str, str], jobs: Sequence[SweepJob], differing: Sequence[str]
) -> tuple[list[str], list[list[Value]]]:
    """Columns and rows of `sweep.csv`: a row for every job, empty where it found nothing."""
    found = {outcome.job.name: outcome for outcome in outcomes}
    predictors = list(dict.fromkeys(name for outcome in outcomes for name in outcome.spearman if name != SMASH_SCORE))
    ends = [f"{name}{end}" for name in ("spearman", "ceiling") for end in ("", "_low", "_high")]
    columns = ["job", *differing, "architectures", *ends, *(f"spearman_{name}" for name in predictors), "left_out"]
    rows: list[list[Value]] = []
    for job in jobs:
        row: list[Value] = [job.name, *(job.options.get(name) for name in differing)]
        if job.name in left_out:
            rows.append([*row, *[None] * (len(columns) - len(row) - 1), left_out[job.name]])
            continue
        outcome = found[job.name]
        row.append(outcome.architectures)
        for estimate in (outcome.score, outcome.ceiling):
            row += [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
        others = [outcome.spearman.get(name) for name in predictors]
        rows.append([*row, *(None if other is None else other.value for other in others), ""])
    return columns, rows


def _means(groups: Sequence[Group], options: Sequence[str]) -> tuple[list[str], list[list[Value]]]:
    """Columns and rows of `sweep_means.csv`."""
    columns = [*options, "jobs", "spearman", "low", "high", "deviation"]
    columns += ["minus_first", "minus_first_low", "minus_first_high", *BESIDE, "ceiling"]
    rows: list[list[Value]] = []
    for group in groups:
        mean, ahead = group.score, group.minus_first
        row: list[Value] = [*group.values, mean.count, mean.value, mean.low, mean.high, mean.deviation]
        row += [None] * 3 if ahead is None else [ahead.value, ahead.low, ahead.high]
        rows.append([*row, *_beside(group).values()])
    return columns, [[None if isinstance(v, float) and math.isnan(v) else v for v in row] for row in rows]


def _beside(group: Group) -> dict[str, float]:
    """Means of what stands beside the score."""
    found = {name: mean_of(outcome.spearman.get(name) for outcome in group.outcomes) for name in BESIDE}
    return found | {"ceiling": mean_of(outcome.ceiling for outcome in group.outcomes)}


def _page(
    sweep: str,
    outcomes: Sequence[Outcome],
    groups: Sequence[Group],
    options: Sequence[str],
    differing: Sequence[str],
    left_out: Mapping[str, str],
    png: bytes,
) -> str:
    counts = (("jobs", len(outcomes)), ("settings", len(groups)), ("architectures in each", _range(outcomes)))
    parts = (
        Paragraphs(tuple(_sentences(groups, options, len(left_out)))),
        Facts(tuple((name, str(count)) for name, count in counts)),
        Picture(png, "Spearman of score and test loss by what the sweep varied"),
    )
    sections = [Section("What did it change?", parts)]
    if len(groups) > 1:
        sections.append(Section("Means", (_table_of_means(groups, options),)))
    sections.append(Section("Jobs", (_table_of_jobs(outcomes, differing),)))
    if left_out:
        rows = tuple(left_out.items())
        sections.append(Section("Left out", (Table(("job", "why"), rows, "Jobs that have no part in this"),)))
    shared = {key: value for key, value in outcomes[0].job.options.items() if key not in differing}
    text = "\n".join([f"sweep: {sweep}", *(f"{key}={value}" for key, value in shared.items())])
    sections.append(Section("How it was run", (Preformatted(text, "What all jobs were given"),)))
    return report_page("A sweep of SMASH", sections)


def _table_of_means(groups: Sequence[Group], options: Sequence[str]) -> Table:
    columns = (*options, "jobs", "Spearman, mean [95 %]", "SD", "minus the first, same seeds")
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (
            *map(str, group.values),
            group.score.count,
            _score(group),
            _number(group.score.deviation),
            "" if group.minus_first is None else _words(group.minus_first),
            *map(_number, _beside(group).values()),
        )
        for group in groups
    )
    caption = (
        "Spearman with the mean test loss; intervals are t-intervals over three jobs or more, or that of a single job"
    )
    return Table((*columns, *BESIDE.values(), "noise ceiling"), rows, caption)


def _table_of_jobs(outcomes: Sequence[Outcome], differing: Sequence[str]) -> Table:
    columns = ("job", *differing, "architectures", "Spearman", *BESIDE.values(), "noise ceiling")
    rows: list[tuple[Value, ...]] = []
    for outcome in outcomes:
        beside = [outcome.spearman.get(name) for name in BESIDE]
        told = [figure(estimate) for estimate in (outcome.score, *beside, outcome.ceiling)]
        rows.append(
            (outcome.job.name, *(str(outcome.value_of(name)) for name in differing), outcome.architectures, *told)
        )
    return Table(columns, tuple(rows), "Spearman with the mean test loss, with 95 % bootstrap intervals")


def _sentences(groups: Sequence[Group], options: Sequence[str], left_out: int) -> list[str]:
    order = sorted(groups, key=lambda group: group.score.value)
    best, worst = order[-1], order[0]
    if best is worst:
        told = [f"The mean Spearman of score and test loss is {_score(best)} over {_jobs_of(best.score.count)}."]
    else:
        told = [
            "The highest mean Spearman of score and test loss has "
            + "; the lowest has ".join(
                f"{_setting(group, options)}: {_score(group)} over {_jobs_of(group.score.count)}"
                for group in (best, worst)
            )
            + ".",
            f"The best of {len(groups)} settings is flattered by having been picked: run it anew with other seeds.",
        ]
    return [*told, *([f"{_jobs_of(left_out).capitalize()} found nothing yet, see below."] if left_out else [])]


def _summary(groups: Sequence[Group], options: Sequence[str], left_out: Mapping[str, str]) -> str:
    names = [_setting(group, options) or "all" for group in groups]
    width = max(map(len, names)) + 2
    lines = ["Spearman of score and test loss, mean over jobs [95 % t-interval, or that of a single job]:"]
    for name, group in zip(names, groups, strict=True):
        lines.append(f"  {name:<{width}}{_score(group):<22}{_jobs_of(group.score.count)}")
    return "\n".join([*lines, *([f"Left out: {_named(left_out)}."] if left_out else [])])


def _setting(group: Group, options: Sequence[str]) -> str:
    return ", ".join(f"{option}={value}" for option, value in zip(options, group.values, strict=True))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _score(group: Group) -> str:
    """The mean with what is known of its uncertainty: that of a single job is its own."""
    if group.score.count == 1:
        return figure(group.outcomes[0].score)
    return (
        _words(group.score) if group.score.count >= LEAST else f"{_words(group.score)} (SD {group.score.deviation:.2f})"
    )


def _words(mean: Average) -> str:
    if math.isnan(mean.low):
        return _number(mean.value)
    return f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]"


def _jobs_of(count: int) -> str:
    return "one job" if count == 1 else f"{count} jobs"


def _range(outcomes: Sequence[Outcome]) -> str:
    counts = sorted({outcome.architectures for outcome in outcomes})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _named(left_out: Mapping[str, str]) -> str:
    named = [f"job {name} ({why})" for name, why in left_out.items()]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return ", ".join(named[:MOST_NAMED]) + more
