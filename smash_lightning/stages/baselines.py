"""The stage between: what the score's baselines say of the architectures that were trained normally."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from smash_lightning.architecture import Architecture
from smash_lightning.baselines import Baseline, BaselineContext, OneShot
from smash_lightning.engine import Pool, local_device
from smash_lightning.evaluation.tables import Predicted, append_record, read_records, write_records
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import SIDE_BY_SIDE, ranked, score_all, score_one
from smash_lightning.stages.retrain import copy_tables, trained
from smash_lightning.stages.search import make_scorer, search
from smash_lightning.stages.trainers import alone
from smash_lightning.training import Kind, load_hypernet
from smash_lightning.training.messages import Send

KINDS: dict[OneShot, Kind] = {
    "weight_sharing": "shared",
    "unconditional": "unconditional",
    "untrained": "conditional",
}
SEED = 999  # the place among a run's seeds of what baselines train, where no ordinary training is


def baselines(experiment: Experiment, tracker: Tracker) -> list[Predicted]:
    """Asks every baseline for every architecture with a true loss; what was answered already is not asked again.

    Returns:
        All answers, a row per architecture and baseline, in the order of the baselines and of the trainings.

    Raises:
        ValueError: nothing was retrained.
        RuntimeError: a baseline failed.
    """
    folder = experiment.folder
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    copy_tables(experiment.source_folder(), folder, with_trainings=True)
    names = list(dict.fromkeys(record.fingerprint for record in trained(folder)))
    architectures = folder.read_architectures()
    done = read_records(folder.baselines, Predicted) if folder.baselines.exists() else []
    write_records(folder.baselines, done, Predicted)
    told = {(record.baseline, record.fingerprint) for record in done}

    def wanted(baseline: str) -> list[Architecture]:
        return [architectures[name] for name in names if (baseline, name) not in told]

    _ask(experiment, [(name, architecture) for name in experiment.baselines.chosen for architecture in wanted(name)])
    for name in experiment.baselines.one_shot:
        if missing := wanted(name):
            _score(experiment, tracker, name, missing)
    # Processes answer in any order.
    order = {
        name: place for place, name in enumerate((*experiment.baselines.chosen, *experiment.baselines.one_shot, *names))
    }
    table = read_records(folder.baselines, Predicted)
    table.sort(key=lambda record: [order.get(name, len(order)) for name in (record.baseline, record.fingerprint)])
    write_records(folder.baselines, table, Predicted)
    return table


def _ask(experiment: Experiment, jobs: Sequence[tuple[str, Architecture]]) -> None:
    context = (experiment.baselines.chosen, baseline_context(experiment), experiment.device)
    with ProgressBars(["asking baselines"], [len(jobs)]) as bars, Pool(ask_one, context, experiment.workers) as pool:
        named = pool.results(jobs, lambda i: f"baseline {jobs[i][0]}, architecture {jobs[i][1].fingerprint}")
        for count, (position, outcome) in enumerate(named, start=1):
            name, architecture = jobs[position]
            append_record(experiment.folder.baselines, Predicted(architecture.fingerprint, name, *outcome, 0.0))
            bars.show(0, count)


def ask_one(
    context: tuple[Mapping[str, Baseline], BaselineContext, str], job: tuple[str, Architecture], send: Send
) -> tuple[float, float]:
    """A baseline's answer and the seconds it took, in a process of its own.

    Raises:
        ValueError: the answer is not a number.
    """
    del send
    (baselines, baseline_context, device), (name, architecture) = context, job
    baseline_context = replace(
        baseline_context,
        images=baseline_context.images.to(local_device(device)),
        labels=baseline_context.labels.to(local_device(device)),
    )
    started = time.perf_counter()
    value = float(baselines[name].predict(architecture, baseline_context))
    if math.isnan(value):
        raise ValueError("it answered NaN, which no order has a place for: let it answer inf where nothing is known")
    return value, time.perf_counter() - started


def baseline_context(experiment: Experiment) -> BaselineContext:
    """What baselines may use in this experiment; the images are not on the device yet."""
    data = experiment.data
    count = min(experiment.baselines.images, len(data.train))
    order = torch.randperm(len(data.train), generator=generator(Stream.BASELINE_IMAGES, experiment.seed))[:count]
    batch = data.normalised(data.train.take(order))
    return BaselineContext(
        image_spec=data.image_spec,
        images=batch.images,
        labels=batch.labels,
        data=data,
        retrain=replace(experiment.retrain, start="random", use_validation=False),
        trainer=partial(alone, experiment),
        seed=experiment.seed_of(SEED),
        images_per_candidate=images_per_candidate(experiment, len(ranked(experiment.folder))),
        folder=experiment.folder.path,
    )


def images_per_candidate(experiment: Experiment, candidates: int) -> float:
    """Training images that a score costs, its share of the HyperNets' training included.

    A look at an image, as in a validation, counts as a third of learning from it: one pass instead of one forward and
    one of twice the work backward. What a HyperNet adds to a step is not counted.
    """
    search, data, ranking = experiment.search, experiment.data, experiment.ranking
    steps = search.epochs * (len(data.train) // data.batch_size)
    learned = steps * search.architectures_per_step / candidates + ranking.batch_norm.batches * ranking.noises
    looked_at = (len(data.validation) + data.recalibration) * ranking.noises
    return search.hypernets * (learned * data.batch_size + looked_at / 3)


def _score(experiment: Experiment, tracker: Tracker, name: OneShot, architectures: Sequence[Architecture]) -> None:
    """Scores with another source of weights."""
    options = replace(experiment.hypernet, kind=KINDS[name])
    other = replace(experiment, hypernet=options, ranking=replace(experiment.ranking, fixed=0))
    sources = _untrained(other) if name == "untrained" else _trained(other, tracker, name)
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, sources)
    training_seconds = sum(source.seconds for source in sources)
    with (
        ProgressBars([f"scoring, {name}"], [len(architectures)]) as bars,
        Pool(score_one, scorer, experiment.workers) as pool,
    ):
        for first in range(0, len(architectures), SIDE_BY_SIDE):
            batch = architectures[first : first + SIDE_BY_SIDE]
            for architecture, score in zip(batch, score_all(pool, batch), strict=True):
                record = Predicted(architecture.fingerprint, name, score.val_loss, score.seconds, training_seconds)
                append_record(experiment.folder.baselines, record)
            bars.show(0, first + len(batch))


def _trained(experiment: Experiment, tracker: Tracker, name: OneShot) -> list[TrainedHyperNet]:
    paths = search(experiment, tracker, name, label=name)
    return [load_hypernet(path, experiment.space, experiment.data.specification()) for path in paths]


def _untrained(experiment: Experiment) -> list[TrainedHyperNet]:
    seeds = [experiment.seed_of(index) for index in range(experiment.search.hypernets)]
    sources = [experiment.hypernet.build(experiment.space, seed).eval() for seed in seeds]
    return [TrainedHyperNet(source, source.running_statistics().eval(), frozenset()) for source in sources]
