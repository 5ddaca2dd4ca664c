"""The last stage: how well do score and ground truth agree, and does a baseline predict better?"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pandas as pd

from smash_lightning.evaluation.correlation import correlate as compare
from smash_lightning.evaluation.correlation import value
from smash_lightning.evaluation.sweep import SweepJob, leaves, read_jobs
from smash_lightning.evaluation.tables import (
    BASELINES,
    GROUPS,
    HISTORY,
    RETRAINED,
    read_if_exists,
    read_ranking,
    read_retrained,
    write_table,
)
from smash_lightning.files import write_text
from smash_lightning.option_types import differences, with_defaults
from smash_lightning.report.build import build
from smash_lightning.report.networks import comparison, comparison_text, trained_networks
from smash_lightning.report.run_data import architectures, read_correlation, read_run
from smash_lightning.report.tracker import Tracker
from smash_lightning.report.verdict import summary
from smash_lightning.run_folder import RunFolder, job_folders
from smash_lightning.stages.calibrate import write_calibration
from smash_lightning.stages.experiment import Experiment, copy_tables, require_same_images
from smash_lightning.stages.rounds import planned_trainings
from smash_lightning.stages.search import training_seconds

PLACES = ("root", "cache", "download")  # of a data set, which may move; that it is the same one is checked elsewhere
MAY_DIFFER = {  # between jobs: which architectures they train and how often, and paths of images
    "retrain": ("rank", "seeds", "shortlist", "stratified", "random", "checkpoint_minutes"),
    "dataset": PLACES,
}
UNEVEN = 0.1  # share of the ranking that may be missing at one end, in addition to the distance of two ranks


def correlate(experiment: Experiment, tracker: Tracker) -> float | None:
    """Compares scores and baselines with the ground truth; writes `correlation.json`, what `write_calibration` does,
    pictures and page.

    The tables are in the source folder of the experiment, and `baselines.csv` may be missing; or it is the folder of a
    sweep over trainings, whose jobs are collected first.

    Returns:
        The number that `experiment.evaluation.metric` names; None where it is undefined.

    Raises:
        ValueError: nothing was ranked or retrained, or the jobs of a sweep do not belong together.
    """
    given, experiment = experiment, collect(experiment)
    source, folder = experiment.source_folder(), experiment.prepare_folder()
    ranking, retrained = read_ranking(source), read_retrained(source)
    copy_tables(source, folder, "retrained", "training_history", "baselines", "settling", overwrite=True)
    hypernets = source.find_hypernets()
    correlation = compare(
        ranking,
        retrained,
        read_if_exists(folder.baselines, BASELINES),
        training_seconds=sum(map(training_seconds, hypernets)) if hypernets else math.nan,  # unknown without them
        bootstrap=experiment.evaluation.bootstrap,
        seed=experiment.seed,
    )
    if experiment is given and "overrides" in source.read_config():  # neither of a sweep's jobs nor from Python
        with suppress(ValueError):  # the ranking is cut, or these options are others than those of the trainings
            counts = replace(correlation.counts, planned_trainings=planned_trainings(experiment, ranking))
            correlation = replace(correlation, counts=counts)
    write_text(folder.correlation, correlation.to_json() + "\n")
    write_calibration(experiment)
    build(folder.path)
    made_from = [("ranking", source.path), ("retrained", source.path)]
    files = [
        path for path in (folder.baselines, folder.correlation, folder.ground_truths, folder.report) if path.exists()
    ]
    tracker.artifact("evaluation", "evaluation", files, made_from)
    print(summary(read_correlation(folder)))
    if retrained["preset"].any():
        run = read_run(folder.path)
        print(comparison_text(comparison(run, trained_networks(run, architectures(run)))))
    return value(experiment.evaluation.metric, correlation, ranking, retrained)


def collect(experiment: Experiment) -> Experiment:
    """Gathers the trainings of a sweep's jobs where the source of an experiment is the folder of a sweep.

    Ranking and trainings are written into the experiment's own folder. Jobs without `result.json`, which failed or are
    not finished, are named in a printed line and left out.

    Returns:
        The experiment with its own folder as source; unchanged where its source is not a sweep.

    Raises:
        ValueError: no job is finished, two jobs differ in ranking, data or training, or the ranks that were trained do
            not represent all of the ranking.
    """
    source, folder = experiment.source, experiment.folder
    if source is None or not job_folders(source):
        return experiment
    jobs = read_jobs(source)
    finished = [job for job in jobs if RunFolder(job.folder).result.exists()]
    unfinished = ", ".join(f"job {job.name}" for job in jobs if job not in finished)
    if not finished:
        raise ValueError(f"no job of {source} has finished its trainings")
    for job in finished[1:]:
        _require_same(finished[0], job)
    first, rows = RunFolder(finished[0].folder), _merged([read_retrained(RunFolder(job.folder)) for job in finished])
    _require_even(read_ranking(first), rows, unfinished)
    copy_tables(first, folder, "settling", overwrite=True)
    write_table(folder.retrained, RETRAINED, rows)
    histories = [read_if_exists(RunFolder(job.folder).training_history, HISTORY) for job in finished]
    write_table(folder.training_history, HISTORY, pd.concat(histories).drop_duplicates(["fingerprint", "seed", "step"]))
    left_out = f" Left out, as they are not finished: {unfinished}." if unfinished else ""
    print(
        f"Collected {len(finished)} of {len(jobs)} jobs of {source}: {len(rows)} trainings of "
        f"{rows['fingerprint'].nunique()} architectures.{left_out}"
    )
    return replace(experiment, source=None)


def _require_same(first: SweepJob, job: SweepJob) -> None:
    """Checks that two jobs trained architectures of one ranking in one way, on the same images."""
    for name in ("ranking.csv", "architectures.jsonl"):
        if (first.folder / name).read_bytes() != (job.folder / name).read_bytes():
            raise ValueError(
                f"{job.folder} has another {name} than {first.folder}: trainings are collected of one ranking, that of "
                "checkpoint=FOLDER in python run.py -m task=retrain; whole runs are compared by task=sweep_report"
            )
    require_same_images(RunFolder(first.folder), RunFolder(job.folder).read_data().get("content", {}))
    one, other = with_defaults(first.config, job.config), with_defaults(job.config, first.config)
    if found := differences(_compared(one), _compared(other)):
        raise ValueError(
            f"{job.folder} was run with other values than {first.folder}: {found}. Collect jobs that differ in "
            "retrain.rank and seed alone"
        )


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options in which jobs must agree."""
    return {
        option: value
        for section, excepted in MAY_DIFFER.items()
        for option, value in leaves(config[section], section).items()
        if option.split(".")[-1] not in excepted
    }


def _merged(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables in the order of one run's, seed by seed; a training of several jobs is one row with all its groups."""
    rows = pd.concat(tables, ignore_index=True)
    key = ["fingerprint", "seed"]
    groups = rows.groupby(key, sort=False)[list(GROUPS)].max()
    first = rows.drop_duplicates(key).drop(columns=list(GROUPS))
    return first.merge(groups, left_on=key, right_index=True).sort_values("seed", kind="stable")


def _require_even(ranking: pd.DataFrame, rows: pd.DataFrame, unfinished: str) -> None:
    """Checks that the group "stratified" represents all random candidates.

    Of the first k ranks of N about their share must have been trained, for every k. Even ranks miss it by one of them
    at most.
    """
    pool = ranking["fingerprint"][ranking["strategy"] == "random"].reset_index(drop=True)
    positions = list(pool.index[pool.isin(rows["fingerprint"][rows["stratified"] == 1])])
    n, size = len(positions), len(pool)
    shares = [(i / n, (i + 1) / n, (position + 0.5) / size) for i, position in enumerate(positions)]
    distance = max((max(abs(low - at), abs(high - at)) for low, high, at in shares), default=0.0)
    if distance > UNEVEN + 1 / max(n, 1):
        finish = f"Finish {unfinished}, or train" if unfinished else "Train"
        raise ValueError(
            f"the {n} ranks from {positions[0]} to {positions[-1]} that were trained do not represent all {size} "
            f"random architectures of the ranking. {finish} ranks that are even over it, such as "
            f"'retrain.rank=range(0,{size},{max(size // 50, 1)})'"
        )
