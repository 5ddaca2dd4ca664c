"""The third stage: the best architectures, and others to compare them with, are trained normally."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from smash_lightning.architecture import Architecture
from smash_lightning.engine import Failure, Pool
from smash_lightning.evaluation.tables import Retrained, Scored, append_record, read_records, write_records
from smash_lightning.hypernet import WeightSource
from smash_lightning.network import Weights
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator, rng
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment, RunFolder
from smash_lightning.stages.rank import ranked
from smash_lightning.stages.track import keep_best, training
from smash_lightning.stages.trainers import alone
from smash_lightning.training import (
    GracefulStop,
    Metrics,
    Progress,
    QueueLogger,
    QueueProgress,
    RetrainModule,
    RetrainOptions,
    load_hypernet,
    silence_lightning,
)
from smash_lightning.training.messages import Send


@dataclass(frozen=True, slots=True)
class Job:
    """One training: an architecture, why it is trained, and a seed."""

    architecture: Architecture
    arm: str
    seed: int


def retrain(experiment: Experiment, tracker: Tracker) -> list[Retrained]:
    """Trains the chosen architectures under one schedule, over several seeds; finished trainings are not repeated.

    A training that fails is recorded with the reason, and the others go on.

    Returns:
        The table, in the order of the plan.

    Raises:
        ValueError: there is no ranking to choose from, or no HyperNet to start from where one is asked for.
    """
    folder = experiment.folder
    if experiment.retrain.start == "generated":
        _first_hypernet(experiment)  # a wrong one is said at once, not by every training
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    copy_tables(experiment.source_folder(), folder)
    ranking, wanted = ranked(folder), sum(strategy.count for strategy in experiment.ranking.active_strategies)
    if len(ranking) < wanted:
        raise ValueError(
            f"the ranking in {folder.path} has {len(ranking)} of {wanted} architectures: complete it first"
        )
    architectures = folder.read_architectures()
    plan = [Job(architectures[name], arm, seed) for name, arm, seed in planned(experiment, ranking)]
    done = read_records(folder.retrained, Retrained) if folder.retrained.exists() else []
    write_records(folder.retrained, done, Retrained)
    finished = {(record.fingerprint, record.seed) for record in done}
    jobs = [job for job in plan if (job.architecture.fingerprint, job.seed) not in finished]

    with ProgressBars(["training architectures"], [len(plan)]) as bars:
        bars.show(0, len(plan) - len(jobs))
        history: defaultdict[int, list[tuple[dict[str, float], int]]] = defaultdict(list)

        def receive(position: int, message: Metrics | Progress) -> None:
            if isinstance(message, Metrics):
                history[position].append((message.values, message.step))

        with Pool(train_network, experiment, experiment.workers, receive) as pool:
            for position, outcome in pool.run(jobs):
                job = jobs[position]
                record = _failed(job, outcome) if isinstance(outcome, Failure) else outcome
                append_record(folder.retrained, record)
                done.append(record)
                tracker.training(
                    training(job.architecture, experiment.data.image_spec, record, history.pop(position, []))
                )
                bars.show(0, len(done))
                tracker.log("retrained", {"true_error": record.true_error, "true_loss": record.true_loss}, len(done))
    order = {(job.architecture.fingerprint, job.seed): place for place, job in enumerate(plan)}
    done.sort(key=lambda record: order.get((record.fingerprint, record.seed), len(order)))
    write_records(folder.retrained, done, Retrained)
    keep_best(folder, tracker, done, experiment.source_folder())
    if failures := [record.failure for record in done if record.failure]:
        print(
            f"{len(failures)} of {len(done)} trainings failed, the first one: {failures[0]}. "
            f"A row that is deleted from {folder.retrained} is tried again with resume={folder.path}"
        )
    return done


def planned(experiment: Experiment, ranking: Sequence[Scored]) -> list[tuple[str, str, int]]:
    """Fingerprint, arm and seed of every training, in their order: all architectures with one seed, then the next."""
    arms = choose(ranking, experiment.retrain, experiment.seed)
    seeds = [experiment.seed_of(index) for index in range(experiment.retrain.seeds)]
    return [(name, arm, seed) for seed in seeds for name, arm in arms.items()]


def choose(ranking: Sequence[Scored], options: RetrainOptions, seed: int) -> dict[str, str]:
    """Fingerprints to train, with the arms that each belongs to, joined by "+".

    "shortlist" is the shortlist: the best of each family, a random candidate with all that was made of it by perturbation.
    Siblings differ little; ten of them would be one find, trained and counted ten times. "stratified" and "random" stand
    for the pool of random candidates: the middle one of each of `spread` equal parts of their ranking, and `random`
    others drawn without regard to it.

    With `options.rank` it is the random candidate at that place alone, of the arm "stratified": places that are chosen
    evenly over the ranking stand for the pool, whichever jobs train them. `tasks.collect` checks that they are even.

    Raises:
        ValueError: there are fewer architectures than are asked for.
    """
    by_score = sorted(ranking, key=lambda record: record.smash_score)
    pool = [record.fingerprint for record in by_score if record.strategy == "random"]
    require_pool(options, len(pool))
    if options.rank is not None:
        return {pool[options.rank]: "stratified"}
    spread = [pool[int((part + 0.5) * len(pool) / options.stratified)] for part in range(options.stratified)]
    others = [name for name in pool if name not in spread]
    chosen = {
        "shortlist": _shortlist(by_score, options.shortlist),
        "stratified": spread,
        "random": rng(Stream.RANDOM_GROUP, seed).sample(sorted(others), options.random),
    }
    arms: dict[str, str] = {}
    for arm, names in chosen.items():
        for name in names:
            arms[name] = f"{arms[name]}+{arm}" if name in arms else arm
    return arms


def require_pool(options: RetrainOptions, random: int) -> None:
    """Checks that so many random candidates suffice for the arms "stratified" and "random", or have such a place.

    Raises:
        ValueError: they do not.
    """
    if options.rank is not None:
        if options.rank >= random:
            raise ValueError(
                f"retrain.rank={options.rank} is beyond the {random} random architectures that are ranked: "
                f"their places are 0 to {random - 1}"
            )
        return
    if options.stratified + options.random > random:
        raise ValueError(
            f"retrain.stratified={options.stratified} and retrain.random={options.random} are more than the {random} random "
            "architectures that are ranked: lower them, or raise ranking.strategies.random.count"
        )


def trained(folder: RunFolder) -> list[Retrained]:
    """The table of ordinary trainings.

    Raises:
        ValueError: there is none.
    """
    if not folder.retrained.exists():
        raise ValueError(f"nothing was retrained in {folder.path}: name a run with trainings with checkpoint=FOLDER")
    return read_records(folder.retrained, Retrained)


def _shortlist(by_score: Sequence[Scored], count: int) -> list[str]:
    """The best of each of the `count` best families."""
    parents = {record.fingerprint: record.parent for record in by_score}
    best: dict[str, str] = {}
    for record in by_score:
        root = record.fingerprint
        while parents.get(root):
            root = parents[root]
        best.setdefault(root, record.fingerprint)
    if count > len(best):
        raise ValueError(
            f"retrain.shortlist={count} is more than the {len(best)} families of architectures that were scored"
        )
    return list(best.values())[:count]


def train_network(experiment: Experiment, job: Job, send: Send) -> Retrained:
    """Trains one architecture and measures it on the test images."""
    silence_lightning()
    started = time.perf_counter()
    options, folder, name = experiment.retrain, experiment.folder, job.architecture.fingerprint
    start = _generated(experiment, job.architecture) if options.start == "generated" else None
    data = experiment.data.with_validation() if options.use_validation else experiment.data
    module = RetrainModule(job.architecture, data.image_spec, options, job.seed, start, data.views)
    unfinished = folder.network(name, job.seed).with_suffix(".unfinished.ckpt")
    checkpoint = ModelCheckpoint(
        dirpath=unfinished.parent,
        filename=unfinished.stem,
        train_time_interval=timedelta(minutes=options.checkpoint_minutes),
        enable_version_counter=False,
    )
    trainer = alone(
        experiment,
        max_epochs=options.epochs,
        logger=QueueLogger(send),
        callbacks=[QueueProgress(send), checkpoint, GracefulStop(unfinished)],
        limit_val_batches=0,
        default_root_dir=folder.path,
    )
    data = data.ordered(Stream.RETRAIN, job.seed)
    trainer.fit(module, datamodule=data, ckpt_path=unfinished if unfinished.exists() else None)
    trainer.test(module, datamodule=data, verbose=False)
    trainer.save_checkpoint(folder.network(name, job.seed), weights_only=True)
    unfinished.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    return Retrained(name, job.seed, job.arm, module.true_error, module.true_loss, options.epochs, seconds, "")


def _failed(job: Job, failure: Failure) -> Retrained:
    nothing = float("nan")
    reason = " ".join(failure.reason.split())
    return Retrained(job.architecture.fingerprint, job.seed, job.arm, nothing, nothing, 0, 0.0, reason)


@torch.no_grad()
def _generated(experiment: Experiment, architecture: Architecture) -> Weights:
    """Weights of the first HyperNet, from which a training may start."""
    weights = _first_hypernet(experiment)
    return weights(architecture, weights.noise(architecture, generator(Stream.SCORE_NOISE, experiment.seed)))


def _first_hypernet(experiment: Experiment) -> WeightSource:
    source = experiment.source_folder()
    if not source.hypernets():
        raise ValueError(f"retrain.start=generated needs a HyperNet, and {source.checkpoints} holds none")
    return load_hypernet(source.hypernets()[0], experiment.space, experiment.data.specification()).weights


def copy_tables(source: RunFolder, folder: RunFolder, *, with_trainings: bool = False) -> None:
    """Copies an earlier run's ranking, and its trainings too, so that the new run folder is complete in itself.

    Raises:
        ValueError: the earlier run has none.
    """
    if source.path.resolve() == folder.path.resolve():
        return
    if not folder.ranking.exists():
        records, architectures = ranked(source), source.read_architectures()
        folder.write_architectures(list(architectures.values()))
        write_records(folder.ranking, records, Scored)
    if with_trainings and not folder.retrained.exists():
        write_records(folder.retrained, trained(source), Retrained)
