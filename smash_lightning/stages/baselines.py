"""The fourth stage: baselines of the score predict the test loss of the architectures that were retrained."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import torch

from smash_lightning.architecture import Architecture
from smash_lightning.baselines import Baseline, BaselineContext, OneShot
from smash_lightning.engine import Send, call
from smash_lightning.evaluation.tables import (
    BASELINES,
    append_rows,
    read_if_exists,
    read_ranking,
    read_retrained,
    read_table,
    write_table,
)
from smash_lightning.hypernet import (
    ConditionalHyperNet,
    SharedWeights,
    TrainedHyperNet,
    UnconditionalHyperNet,
    WeightSource,
    load_hypernet,
)
from smash_lightning.progress_bars import ProgressBars
from smash_lightning.random_streams import Stream, generator
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment, copy_tables, in_order
from smash_lightning.stages.rank import score_all
from smash_lightning.stages.search import make_scorer, search
from smash_lightning.stages.trainers import alone

CLASSES: dict[OneShot, type[WeightSource]] = {
    "weight_sharing": SharedWeights,
    "unconditional": UnconditionalHyperNet,
    "untrained": ConditionalHyperNet,
}
KEY = ("baseline", "fingerprint")  # identifies a row
SEED = 999  # index of the seed of what baselines train, which no standalone training has


def baselines(experiment: Experiment, tracker: Tracker) -> pd.DataFrame:
    """Computes every baseline for every ranked architecture that was retrained; existing predictions are kept.

    Returns:
        The table `baselines.csv`, in the order of the baselines and of the trainings.

    Raises:
        ValueError: nothing was retrained.
        RuntimeError: a baseline failed.
    """
    folder, source = experiment.prepare_folder(), experiment.source_folder()
    copy_tables(source, folder, "settling", "retrained", "training_history")
    trained = read_retrained(folder if folder.retrained.exists() else source)["fingerprint"]
    names = list(trained[trained.isin(read_ranking(folder)["fingerprint"])].unique())
    architectures = folder.read_architectures()
    done = write_table(folder.baselines, BASELINES, read_if_exists(folder.baselines, BASELINES))
    known = set(zip(*(done[column] for column in KEY), strict=True))

    def missing(baseline: str) -> list[Architecture]:
        return [architectures[name] for name in names if (baseline, name) not in known]

    _predict(experiment, [(name, each) for name in experiment.baselines.chosen for each in missing(name)])
    for name in experiment.baselines.one_shot:
        if rest := missing(name):
            _score(experiment, tracker, name, rest)
    # Processes finish in any order.
    predictors = (*experiment.baselines.chosen, *experiment.baselines.one_shot)
    table = in_order(read_table(folder.baselines, BASELINES), KEY, itertools.product(predictors, names))
    return write_table(folder.baselines, BASELINES, table)


def _predict(experiment: Experiment, jobs: Sequence[tuple[str, Architecture]]) -> None:
    context = (experiment.baselines.chosen, baseline_context(experiment), experiment.device)
    pool = experiment.engine.pool(predict, context)
    with ProgressBars(["computing baselines"], [len(jobs)]) as bars, pool:
        named = pool.results(jobs, lambda i: f"baseline {jobs[i][0]}, architecture {jobs[i][1].fingerprint}")
        for count, (position, outcome) in enumerate(named, start=1):
            _append(experiment, *jobs[position], *outcome, 0.0)
            bars.show(0, count)


def _append(experiment: Experiment, baseline: str, architecture: Architecture, *values: float) -> None:
    """Adds a row of `baselines.csv`; `values` are prediction, seconds and training_seconds."""
    row = dict(zip(BASELINES.columns, (architecture.fingerprint, baseline, *values), strict=True))
    append_rows(experiment.folder.baselines, row)


def predict(
    context: tuple[Mapping[str, Baseline], BaselineContext, str], job: tuple[str, Architecture], send: Send
) -> tuple[float, float]:
    """Prediction of a baseline and the seconds that it took, in a worker process.

    Raises ValueError where the prediction is not a number.
    """
    del send
    (baselines, given, device), (name, architecture) = context, job
    given = replace(given, images=given.images.to(device), labels=given.labels.to(device))
    started = time.perf_counter()
    value = float(baselines[name].predict(architecture, given))
    if math.isnan(value):
        raise ValueError("the prediction is NaN, which cannot be ordered: return inf where it is undefined")
    return value, time.perf_counter() - started


def baseline_context(experiment: Experiment) -> BaselineContext:
    """Input of the baselines in this experiment; the images are not on the device yet."""
    data = experiment.data
    order = torch.randperm(len(data.train), generator=generator(Stream.BASELINE_IMAGES, experiment.seed))
    batch = data.normalised(data.train.take(order[: experiment.baselines.images]))
    return BaselineContext(
        image_spec=data.image_spec,
        images=batch.images,
        labels=batch.labels,
        data=data,
        retrain=replace(experiment.retrain, start="random", use_validation=False),
        trainer=partial(alone, experiment.trainer),
        seed=experiment.seed_of(SEED),
        images_per_candidate=images_per_candidate(experiment, len(read_ranking(experiment.folder))),
        folder=experiment.folder.path,
    )


def images_per_candidate(experiment: Experiment, candidates: int) -> float:
    """Cost of a score in training images, its share of the HyperNets' training included.

    An image that is only classified, as in a validation, counts as a third of one that is trained on, whose backward
    pass costs twice its forward pass. What a HyperNet adds to a step is not counted.
    """
    search, data, ranking = experiment.search, experiment.data, experiment.ranking
    steps = search.epochs * (len(data.train) // data.batch_size)
    trained = steps * search.architectures_per_step / candidates + ranking.batch_norm.batches * ranking.noises
    classified = (len(data.validation) + data.recalibration) * ranking.noises
    return search.hypernets * (trained * data.batch_size + classified / 3)


def _score(experiment: Experiment, tracker: Tracker, name: OneShot, architectures: Sequence[Architecture]) -> None:
    """Predicts with the validation loss under another source of weights."""
    options = experiment.hypernet.with_kind(CLASSES[name])
    if name != "weight_sharing":
        options = options.with_values(experiment.baselines.hypernet, "baselines.hypernet")
    other = replace(experiment, hypernet=options, ranking=replace(experiment.ranking, fixed=0))
    if name == "untrained":
        seeds = map(experiment.seed_of, range(experiment.search.hypernets))
        weights = [options.build(experiment.space, seed).eval() for seed in seeds]
        sources = [TrainedHyperNet(each, each.running_statistics().eval(), frozenset()) for each in weights]
    else:
        paths = search(other, tracker, name, label=name)
        sources = [load_hypernet(path, other.space, other.data.specification()) for path in paths]
    scorer = make_scorer(experiment.data, experiment.ranking, experiment.seed, experiment.device, sources)
    training_seconds = sum(source.seconds for source in sources)
    with (
        ProgressBars([f"scoring, {name}"], [len(architectures)]) as bars,
        experiment.engine.pool(call, scorer) as pool,
    ):
        scores = score_all(pool, architectures)
        for done, (architecture, score) in enumerate(zip(architectures, scores, strict=True), start=1):
            _append(experiment, name, architecture, score.val_loss, score.seconds, training_seconds)
            bars.show(0, done)
