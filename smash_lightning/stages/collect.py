"""The jobs of a sweep over trainings become one table, as if one run had trained all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smash_lightning.evaluation.sweep import SweepJob, job_folders, leaves, read_config, read_jobs
from smash_lightning.evaluation.tables import Retrained, Scored, read_records, write_records
from smash_lightning.stages.experiment import Experiment, RunFolder
from smash_lightning.stages.job import PLACES
from smash_lightning.stages.rank import ranked
from smash_lightning.stages.retrain import copy_tables, planned, trained
from smash_lightning.training import RetrainOptions

MAY_DIFFER = {  # between jobs: which architectures they train and how often, and where images lie
    "retrain": ("rank", "seeds", "shortlist", "stratified", "random", "checkpoint_minutes"),
    "dataset": PLACES,
}
UNEVEN = 0.1  # share of the ranking that may be missing at one end, beside the distance of two places


def collect(experiment: Experiment) -> Experiment:
    """Gathers the trainings of a sweep's jobs where an experiment starts from a sweep's folder.

    Ranking and trainings are written into the experiment's own folder. Jobs that failed or are not finished are named
    in a printed line and left out.

    Returns:
        The experiment, to start from its own folder; as it is where it does not start from a sweep.

    Raises:
        ValueError: no job is finished, two jobs differ in ranking, data or training, or the places of the ranking that
            were trained do not stand for all of it.
    """
    source, folder = experiment.source, experiment.folder
    if source is None or not job_folders(source):
        return experiment
    jobs = read_jobs(source)
    unfinished = {job.name: why for job in jobs if (why := _unfinished(experiment, job))}
    finished = [job for job in jobs if job.name not in unfinished]
    named = ", ".join(f"job {name} ({why})" for name, why in unfinished.items())
    if not finished:
        raise ValueError(f"no job of {source} has finished its trainings: {named}")
    for job in finished[1:]:
        _require_same(finished[0], job)
    rows = _merged([row for job in finished for row in trained(RunFolder(job.folder))])
    first = RunFolder(finished[0].folder)
    _require_even(ranked(first), rows, named)
    for stale in (folder.ranking, folder.architectures):
        stale.unlink(missing_ok=True)  # of an earlier attempt, when fewer jobs may have been there
    copy_tables(first, folder)
    write_records(folder.retrained, rows, Retrained)
    count = len({row.fingerprint for row in rows})
    print(
        f"Collected {len(finished)} of {len(jobs)} jobs of {source}: {len(rows)} trainings of {count} architectures."
        + (f" Left out: {named}." if named else "")
    )
    return replace(experiment, source=None)


def find_hypernets(folder: RunFolder) -> list[Path]:
    """Checkpoints of the HyperNets behind a run's ranking: its own, or those of the run that it builds on, and so on.

    Empty where they cannot be found any more.
    """
    seen: set[Path] = set()
    while not (found := folder.hypernets()) and folder.path not in seen:
        seen.add(folder.path)
        named = read_config(folder.path).get("checkpoint")
        if named is None or not Path(named).exists():
            return []
        path = Path(named)
        if path.is_file():
            return [path] if _scored_by(folder) == 1 else RunFolder(path.parent.parent).hypernets()
        folder = RunFolder(next((job for job in job_folders(path) if read_config(job)), path))
    return found


def _scored_by(folder: RunFolder) -> int:
    """How many HyperNets scored the run's ranking."""
    rows = read_records(folder.ranking, Scored) if folder.ranking.exists() else []
    return len(rows[0].val_loss_by_hypernet.split(";")) if rows else 0


def _unfinished(experiment: Experiment, job: SweepJob) -> str:
    """What a job lacks, in words; empty where it did all that it was asked for."""
    folder = RunFolder(job.folder)
    if not job.config:
        return "it did not begin"
    if not folder.ranking.exists() or not folder.retrained.exists():
        return "it trained nothing"
    options = RetrainOptions(**{name: value for name, value in job.config["retrain"].items() if name != "_target_"})
    plan = planned(replace(experiment, retrain=options, seed=job.config["seed"]), ranked(folder))
    done = {(row.fingerprint, row.seed) for row in trained(folder)}
    missing = sum((name, seed) not in done for name, _, seed in plan)
    return f"{len(plan) - missing} of {len(plan)} trainings" if missing else ""


def _require_same(first: SweepJob, job: SweepJob) -> None:
    """Checks that two jobs trained architectures of one ranking in one way, on the same images."""
    for name in ("ranking.csv", "architectures.jsonl"):
        if (first.folder / name).read_bytes() != (job.folder / name).read_bytes():
            raise ValueError(
                f"{job.folder} has another {name} than {first.folder}: trainings are collected of one ranking, that of "
                "checkpoint=FOLDER in python run.py -m task=retrain; whole runs are compared by task=sweep_report"
            )
    before, now = _compared(first.config), _compared(job.config)
    for option in {**before, **now}:
        if before.get(option) != now.get(option):
            raise ValueError(
                f"{job.folder} has {option}={now.get(option)}, and {first.folder} has {before.get(option)}: "
                "collect jobs that differ in retrain.rank and seed alone"
            )


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options in which jobs must agree."""
    return {
        option: value
        for section, excepted in MAY_DIFFER.items()
        for option, value in leaves(config[section], section).items()
        if option.split(".")[-1] not in excepted
    }


def _merged(rows: Sequence[Retrained]) -> list[Retrained]:
    """In the order of one run's table, seed by seed; what several jobs trained stands there once, with all its arms."""
    found: dict[tuple[str, int], Retrained] = {}
    for row in rows:
        key = (row.fingerprint, row.seed)
        earlier = found.get(key, row)
        arms = dict.fromkeys([*earlier.arm.split("+"), *row.arm.split("+")])
        found[key] = replace(earlier, arm="+".join(arms))
    return sorted(found.values(), key=lambda row: row.seed)


def _require_even(ranking: Sequence[Scored], rows: Sequence[Retrained], left_out: str) -> None:
    """Checks that the arm "stratified" stands for all random candidates: no part of their ranking has too few or too many.

    Of the first k places of N there must have been trained about their share, for every k. Even places miss it by one
    of them at most.
    """
    pool = [row.fingerprint for row in ranking if row.strategy == "random"]
    chosen = {row.fingerprint for row in rows if "stratified" in row.arm.split("+")}
    places = [place for place, name in enumerate(pool) if name in chosen]
    n, size = len(places), len(pool)
    shares = [(i / n, (i + 1) / n, (place + 0.5) / size) for i, place in enumerate(places)]
    distance = max((max(abs(low - at), abs(high - at)) for low, high, at in shares), default=0.0)
    if distance > UNEVEN + 1 / max(n, 1):
        more = f", as these jobs are left out: {left_out}" if left_out else ""
        finish = "Finish those, or train" if left_out else "Train"
        raise ValueError(
            f"the {n} places from {places[0]} to {places[-1]} that were trained do not stand for all {size} random "
            f"architectures of the ranking{more}. {finish} places that are even over it, such as "
            f"'retrain.rank=range(0,{size},{max(size // 50, 1)})'"
        )
