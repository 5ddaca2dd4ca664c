"""A whole small run for analyses to start from: HyperNets, a ranking and trainings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smash_lightning.analyses.frame import TrainedSample
from smash_lightning.report.tracker import Tracker
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.stages import Experiment, rank, retrain, search
from smash_lightning.strategies import Perturb, Random, RankingOptions
from tests.stages.small_run import RETRAIN, SEARCH, small_experiment

RANDOM, TRAINED = 9, 6
NO_LOGGERS = Tracker([])


def experiment_on(source: Path | None, folder: Path, **changes: Any) -> Experiment:
    """Two HyperNets, nine random architectures and two perturbations, six of the former trained twice."""
    options = {
        "search": replace(SEARCH, hypernets=2),
        "ranking": RankingOptions(
            {"random": Random(RANDOM), "perturb": Perturb(2, 0.1)}, RecalibratedStatistics(), 0, 1
        ),
        "retrain": replace(RETRAIN, seeds=2, stratified=TRAINED),
    }
    return small_experiment(folder, source=source, **options | changes)


def finished_run(folder: Path, *, trained: bool = True, **changes: Any) -> Path:
    """Makes the run, which no test may change."""
    experiment = experiment_on(None, folder, **changes)
    search(experiment, NO_LOGGERS)
    rank(experiment, NO_LOGGERS)
    if trained:
        retrain(experiment, NO_LOGGERS)
    return folder


def made_up_sample(architectures: int, hypernets: int) -> TrainedSample:
    """Normal test losses, and as many validation losses as HyperNets, each with independent noise of the same std."""
    generator = np.random.default_rng(0)
    loss = generator.normal(size=architectures)
    by_hypernet = loss[:, None] + generator.normal(size=(architectures, hypernets))
    trainings = loss[:, None] + 0.1 * generator.normal(size=(architectures, 3))
    return TrainedSample((), loss, trainings, by_hypernet, np.ones(architectures))


def read_results(folder: Path, name: str) -> tuple[pd.DataFrame, Any]:
    """The table and the results of an analysis, whose picture must be there too."""
    assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    return pd.read_csv(folder / f"{name}.csv"), json.loads((folder / f"{name}.json").read_text())


def copied(source: Path, target: Path, *names: str) -> Path:
    """A folder with some files of a run."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((source / name).read_bytes())
    return target
