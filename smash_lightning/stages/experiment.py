"""What every stage works with: the objects of an experiment, and tables of earlier runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import lightning as L
import numpy as np
import pandas as pd

from smash_lightning.baselines import BaselineOptions, OneShot
from smash_lightning.data import DataModule
from smash_lightning.engine import Engine
from smash_lightning.evaluation.bootstrap import LEAST_RESAMPLES
from smash_lightning.evaluation.correlation import Metric
from smash_lightning.evaluation.sample import SCORES, SIZES, TOGETHER
from smash_lightning.evaluation.tables import RANKING, TABLES, read_ranking, read_table, write_table
from smash_lightning.files import atomic_write
from smash_lightning.hypernet import HyperNetSpecification
from smash_lightning.run_folder import RunFolder, source_run
from smash_lightning.search_space import SearchSpace, SizeMatched
from smash_lightning.strategies import RankingOptions
from smash_lightning.training import RetrainOptions, SearchOptions


@dataclass(frozen=True)
class EvaluationOptions:
    """How scores are compared with the ground truth.

    Args:
        bootstrap: resamples over architectures for every interval.
        metric: value that a comparison returns, for searches over options.
    """

    bootstrap: int
    metric: Metric = "correlation"

    def __post_init__(self) -> None:
        if self.bootstrap < LEAST_RESAMPLES:  # refused here, not at the end of the run
            raise ValueError(f"evaluation.bootstrap must be at least {LEAST_RESAMPLES}, got {self.bootstrap}")


@dataclass(frozen=True)
class Experiment:
    """Everything that a stage needs, built and checked.

    Args:
        folder: of the results.
        source: an earlier run's folder, or one of its checkpoints, that a single stage starts from; None for this run.
        seed: of everything; runs of two seeds share only the data, its splits and the size of candidates.
        data: the data set.
        space: what HyperNets are trained on.
        candidates: what is ranked: the same space, or its architectures of one size.
        hypernet: class and options of the source of weights.
        search: how HyperNets are trained.
        ranking: how architectures are proposed and scored.
        retrain: which are trained standalone, and how.
        baselines: what they are compared with.
        evaluation: how scores are compared with the ground truth.
        trainer: makes a Lightning Trainer for the devices that were chosen.
        device: where scores are computed.
        engine: runs independent trainings and scores concurrently.
        callbacks: make Lightning callbacks that join the search and standalone trainings, new ones for each.
        together: whether its workers train each HyperNet together, instead of several HyperNets concurrently.
    """

    folder: RunFolder
    source: Path | None
    seed: int
    data: DataModule
    space: SearchSpace
    candidates: SearchSpace
    hypernet: HyperNetSpecification
    search: SearchOptions
    ranking: RankingOptions
    retrain: RetrainOptions
    baselines: BaselineOptions
    evaluation: EvaluationOptions
    trainer: Callable[..., L.Trainer]
    device: str
    engine: Engine
    together: bool = False
    callbacks: Sequence[Callable[[], L.Callback]] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        self.hypernet.check(self.space)
        if taken := {*SCORES, *SIZES, TOGETHER, *get_args(OneShot)} & self.baselines.chosen.keys():
            raise ValueError(
                f"baselines.baselines.{min(taken)}: a predictor has this name already, give the baseline another name"
            )

    def seed_of(self, index: int) -> int:
        """Seed of the `index`-th of several trainings."""
        return 1000 * self.seed + index

    def source_folder(self) -> RunFolder:
        """The run whose results a stage starts from."""
        return self.folder if self.source is None else RunFolder(source_run(self.source))

    def prepare_folder(self) -> RunFolder:
        """Makes the run folder and writes data.json where it is missing; every stage that writes calls this first."""
        self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        if not self.folder.data.exists():
            with atomic_write(self.folder.data) as partial:
                partial.write_text(json.dumps(self.data.describe(), indent=2) + "\n", encoding="utf-8")
        return self.folder


def copy_tables(source: RunFolder, folder: RunFolder, *more: str, overwrite: bool = False) -> None:
    """Copies the ranking, and `more` tables that exist, of an earlier run: a run folder is complete in itself.

    Args:
        source: the earlier run.
        folder: the new one; nothing happens where it is the same.
        more: such as "retrained".
        overwrite: whether tables that exist already are replaced.

    Raises:
        ValueError: the earlier run has no ranking, or a table cannot be read.
    """
    if source.path.resolve() == folder.path.resolve():
        return
    if overwrite or not folder.ranking.exists():
        ranking, architectures = read_ranking(source), source.read_architectures()
        folder.write_architectures(architectures.values())
        write_table(folder.ranking, RANKING, ranking)
    for name in more:
        path, target, kind = getattr(source, name), getattr(folder, name), TABLES[name]
        if path.exists() and (overwrite or not target.exists()):
            write_table(target, kind, read_table(path, kind))


def in_order(table: pd.DataFrame, columns: Sequence[str], keys: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """The rows in the order of `keys`, which are values of `columns`, and other rows after them."""
    places = {key: place for place, key in enumerate(keys)}
    found = [places.get(key, len(places)) for key in zip(*(table[column] for column in columns), strict=True)]
    return table.iloc[np.argsort(found, kind="stable")].reset_index(drop=True)


def candidates_of(space: SearchSpace, options: RankingOptions) -> SearchSpace:
    """What is ranked: the architectures of a space, or those of one size."""
    if options.size_tolerance is None:
        return space
    return SizeMatched(space, options.size_tolerance, options.size_target)
