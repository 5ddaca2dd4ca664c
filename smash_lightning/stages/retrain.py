"""The third stage: standalone training of the best architectures, and of others to compare them with."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from typing import Any

import pandas as pd
import torch

from smash_lightning.architecture import Architecture
from smash_lightning.checkpoint import load_checkpoint
from smash_lightning.engine import Cause, Failure, Send, computation
from smash_lightning.evaluation.sample import finished_trainings
from smash_lightning.evaluation.tables import (
    GREEDY,
    GROUPS,
    HISTORY,
    RETRAINED,
    append_rows,
    read_if_exists,
    read_ranking,
    read_table,
    write_table,
)
from smash_lightning.files import quoted
from smash_lightning.hypernet import WeightSource, load_hypernet
from smash_lightning.network import Weights
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.tracker import Tracker
from smash_lightning.run_folder import RunFolder
from smash_lightning.stages.experiment import Experiment, copy_tables, in_order
from smash_lightning.stages.rounds import rounds
from smash_lightning.stages.search import averaging, trainer_options
from smash_lightning.stages.selection import Groups, given_architectures
from smash_lightning.stages.trainers import alone
from smash_lightning.training import (
    DivergedError,
    RetrainModule,
    networks_side_by_side,
    silence_lightning,
)

MEASURED = ("true_error", "true_error_top5", "true_loss")
Trained = tuple[list[dict[str, Any]], list[dict[str, Any]]]  # rows of retrained.csv and of training_history.csv
TRIED_AGAIN = {Cause.MEMORY: "for lack of memory: ", Cause.MACHINE: "by its machine: "}  # how such reasons begin
KEPT = 3  # networks in the artifact, those with the lowest test losses


@dataclass(frozen=True, slots=True)
class Job:
    """Trainings side by side: an architecture, the groups that it is in, and the seeds."""

    architecture: Architecture
    groups: frozenset[str]
    seeds: tuple[int, ...]


def retrain(experiment: Experiment, tracker: Tracker) -> pd.DataFrame:
    """Trains the selected and the given architectures under one schedule, over several seeds.

    Finished trainings are not repeated. A training that diverges, or whose network cannot be computed, is recorded with
    the reason, and the others continue. So is one that lacked memory, or whose process or device failed, more than
    `engine.retries` times; it is tried again when the run is resumed. Any other error ends the run.

    Returns:
        The table `retrained.csv`, in the order of the plan.

    Raises:
        ValueError: there is no complete ranking to select from, no HyperNet to start from where it is needed, or a
            given architecture cannot be read or does not fit the images.
        OSError: a file could not be read or written, for example on a full disk.
        RuntimeError: a training could not be prepared.
    """
    given = given_architectures(experiment.retrain, experiment.space)
    folder, source = experiment.prepare_folder(), experiment.source_folder()
    if experiment.retrain.start == "generated":
        first_hypernet(experiment)  # an error here is better than one in every training
    copy_tables(source, folder, "settling")
    first = next(upcoming := rounds(experiment, _complete_ranking(experiment)))
    names = folder.read_names()
    for name, architecture in given.items():
        first.setdefault(architecture.fingerprint, set()).add("preset")
        if names.get(architecture.fingerprint) != name:
            folder.append_architecture(architecture, name)
    architectures = folder.read_architectures()
    table = _begin_tables(experiment, given.values())
    seeds = [experiment.seed_of(index) for index in range(experiment.retrain.seeds)]
    groups: Groups = {}
    for some in chain([first], upcoming):
        groups |= some
        jobs = _missing(experiment, architectures, some, seeds, table)
        _train(experiment, tracker, jobs, len(table))
        table = read_table(folder.retrained, RETRAINED)
    table, history = _in_order_of_plan(folder, [(name, seed) for seed in seeds for name in groups])
    tracker.trainings(table, history)
    best = finished_trainings(table).sort_values("true_loss")
    networks = [folder.network(*key) for key in zip(best["fingerprint"], best["seed"], strict=True)]
    kept = [path for path in networks if path.exists()][:KEPT]
    tracker.artifact("retrained", "model", [folder.retrained, *kept], [("ranking", source.path)])
    if failures := [reason for reason in table["failure"] if reason]:
        print(
            f"{len(failures)} of {len(table)} trainings failed, the first one: {failures[0]}. "
            f"{quoted('resume', folder.path)} tries again those that lacked memory or failed with their machine, and "
            f"rows that are deleted from {folder.retrained.name}"
        )
    return table


def _complete_ranking(experiment: Experiment) -> pd.DataFrame:
    """The ranking to select from; raises ValueError where architectures of it are missing."""
    folder = experiment.folder
    ranking, total = read_ranking(folder), sum(strategy.count for strategy in experiment.ranking.active_strategies)
    if len(ranking) < total:
        raise ValueError(f"the ranking in {folder.path} has {len(ranking)} of {total} architectures: complete it first")
    return ranking


def _begin_tables(experiment: Experiment, given: Iterable[Architecture]) -> pd.DataFrame:
    """Writes the tables without the failures that are tried again, and returns that of the trainings."""
    folder = experiment.folder
    table = read_if_exists(folder.retrained, RETRAINED)
    table = table[~table["failure"].str.startswith(tuple(TRIED_AGAIN.values()))]
    is_given = table["fingerprint"].isin([architecture.fingerprint for architecture in given])
    table.loc[is_given, "preset"] = 1  # it may have been trained in another group before
    if experiment.retrain.rounds > 1:
        table = table.assign(**{GREEDY: table.get(GREEDY, 0)})
    write_table(folder.training_history, HISTORY, read_if_exists(folder.training_history, HISTORY))
    return write_table(folder.retrained, RETRAINED, table)


def _missing(
    experiment: Experiment,
    architectures: Mapping[str, Architecture],
    groups: Groups,
    seeds: Sequence[int],
    table: pd.DataFrame,
) -> list[Job]:
    """Jobs for the trainings that are not in the table: all architectures with the first seeds, then with the next."""
    side_by_side = networks_side_by_side(experiment.data.image_spec, experiment.device, experiment.retrain.optimizer)
    count = side_by_side or len(seeds)
    finished = set(zip(table["fingerprint"], table["seed"], strict=True))
    missing = {name: [seed for seed in seeds if (name, seed) not in finished] for name in groups}
    return [
        Job(architectures[name], frozenset(groups[name]), tuple(several))
        for first in range(0, len(seeds), count)
        for name in groups
        if (several := missing[name][first : first + count])
    ]


def _in_order_of_plan(folder: RunFolder, plan: Sequence[tuple[str, int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Writes and returns the tables of trainings and of their losses in the order of the plan, without repetitions."""
    table, history = read_table(folder.retrained, RETRAINED), read_table(folder.training_history, HISTORY)
    history = history.drop_duplicates(["fingerprint", "seed", "step"], keep="last")
    history = write_table(folder.training_history, HISTORY, in_order(history, ("fingerprint", "seed"), plan))
    return write_table(folder.retrained, RETRAINED, in_order(table, ("fingerprint", "seed"), plan)), history


def _train(experiment: Experiment, tracker: Tracker, jobs: Sequence[Job], done: int) -> None:
    """Adds the rows of all jobs to the tables as they finish; `done` rows exist already."""
    folder, total = experiment.folder, done + sum(len(job.seeds) for job in jobs)
    with (
        ProgressBars(["training architectures"], [total]) as bars,
        experiment.engine.pool(train_networks, experiment) as pool,
    ):
        bars.show(0, done)
        while jobs:
            again = []
            for position, outcome in pool.run(jobs, repeated=lambda job: len(job.seeds) == 1):
                job = jobs[position]
                if isinstance(outcome, Failure):
                    if outcome.cause.may_pass and len(job.seeds) > 1:
                        again += [replace(job, seeds=(seed,)) for seed in job.seeds]  # one at a time takes less memory
                        continue
                    outcome = _failed(job, outcome)
                rows, history = outcome
                append_rows(folder.training_history, *history)
                append_rows(folder.retrained, *rows)
                for row in rows:
                    done += 1
                    tracker.log("retrained", {name: row[name] for name in ("true_error", "true_loss")}, done)
                bars.show(0, done)
            jobs = again


def _failed(job: Job, failure: Failure) -> Trained:
    """What is recorded of trainings that failed."""
    if failure.cause is Cause.OTHER:
        raise failure.exception(f"training {job.architecture.fingerprint}")
    reason = TRIED_AGAIN.get(failure.cause, "") + " ".join(failure.reason.split())
    return [_row(job, seed, failure=reason) for seed in job.seeds], []


def train_networks(experiment: Experiment, job: Job, send: Send) -> Trained:
    """Trains one architecture from one or several seeds and measures it on the test images."""
    silence_lightning()
    started = time.perf_counter()
    options, folder = experiment.retrain, experiment.folder
    start = _generated(experiment, job.architecture) if options.start == "generated" else None
    data = experiment.data.with_validation() if options.use_validation else experiment.data
    with computation():
        module = RetrainModule(job.architecture, data.image_spec, options, job.seeds, start, data.views)
    paths = [folder.network(job.architecture.fingerprint, seed) for seed in job.seeds]
    unfinished = paths[0].with_suffix(".unfinished.ckpt")
    interval = timedelta(minutes=options.checkpoint_minutes)
    shared = trainer_options(experiment, send, unfinished, *averaging(options.average), train_time_interval=interval)
    trainer = alone(experiment.trainer, max_epochs=options.epochs, **shared)
    data = data.ordered(Stream.RETRAIN, *job.seeds)
    same = unfinished.exists() and load_checkpoint(unfinished, "seeds")["seeds"] == module.seeds
    with suppress(DivergedError), computation():  # of all seeds
        trainer.fit(module, datamodule=data, ckpt_path=unfinished if same else None)
        trainer.test(module, datamodule=data, verbose=False)
    seconds = (time.perf_counter() - started) / len(job.seeds)
    rows, history = [], []
    for index, (seed, path) in enumerate(zip(job.seeds, paths, strict=True)):
        values = [(step, losses[index]) for step, losses in module.history if math.isfinite(losses[index])]
        known = {"fingerprint": job.architecture.fingerprint, "seed": seed}
        history += [known | {"step": step, "epoch_loss": loss} for step, loss in values]
        if reason := module.diverged.get(seed) or _not_finite(module.measured[index]):
            rows.append(_row(job, seed, failure=f"DivergedError: {reason}"))
        else:
            trainer.strategy.checkpoint_io.save_checkpoint(module.classifier_checkpoint(index), path)
            rows.append(_row(job, seed, **module.measured[index], epochs=trainer.current_epoch, seconds=seconds))
    unfinished.unlink(missing_ok=True)
    return rows, history


def _not_finite(measured: Mapping[str, float]) -> str:
    loss = measured["true_loss"]
    return "" if math.isfinite(loss) else f"the test loss is {loss}"


def _row(job: Job, seed: int, **values: Any) -> dict[str, Any]:
    """A row of `retrained.csv`; what `values` lack is that of a training that failed."""
    groups = {group: int(group in job.groups) for group in (*GROUPS, *job.groups & {GREEDY})}
    failed = {**dict.fromkeys(MEASURED, math.nan), "epochs": 0, "seconds": 0.0, "failure": ""}
    return {"fingerprint": job.architecture.fingerprint, "seed": seed, **groups, **failed, **values}


@torch.no_grad()
def _generated(experiment: Experiment, architecture: Architecture) -> Weights:
    """Weights of the first HyperNet, from which a training may start."""
    weights = first_hypernet(experiment)
    return weights(architecture, weights.noise(architecture, generator(Stream.SCORE_NOISE, experiment.seed)))


def first_hypernet(experiment: Experiment) -> WeightSource:
    """The first HyperNet of the run that is built on; ValueError where there is none."""
    _ = experiment.hypernet.kind  # imports the class: no checkpoint does
    source = experiment.source_folder()
    if not (paths := source.find_hypernets()):
        raise ValueError(f"retrain.start=generated needs a HyperNet, and {source.checkpoints} holds none")
    return load_hypernet(paths[0], experiment.space, experiment.data.specification()).weights
