"""What every stage works with: the objects of an experiment, and tables of earlier runs."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, get_args

import lightning as L
import numpy as np
import pandas as pd
from pydantic import Field

from smash_lightning.baselines import BaselineOptions, OneShot
from smash_lightning.data import DataModule
from smash_lightning.engine import Engine
from smash_lightning.evaluation.bootstrap import LEAST_RESAMPLES
from smash_lightning.evaluation.correlation import Metric
from smash_lightning.evaluation.sample import SCORES, SIZES, TOGETHER
from smash_lightning.evaluation.tables import read_ranking
from smash_lightning.files import atomic_write, write_text
from smash_lightning.hypernet import HyperNetSpecification
from smash_lightning.option_types import require_bounds
from smash_lightning.run_folder import RunFolder, source_run
from smash_lightning.search_space import SearchSpace, SizeMatched
from smash_lightning.strategies import RankingOptions
from smash_lightning.training import RetrainOptions, SearchOptions


@dataclass(frozen=True)
class EvaluationOptions:
    """How scores are compared with the ground truth."""

    bootstrap: Annotated[int, Field(ge=LEAST_RESAMPLES)]  # resamples over architectures for every interval
    metric: Metric = "correlation"  # value that a comparison returns, for searches over options
    library: tuple[str, ...] = ()  # "shipped", folders and files with the ground truths of earlier runs
    other_runs: bool = False  # whether to use those of other data, spaces and options of standalone training

    def __post_init__(self) -> None:
        if not isinstance(self.library, str):  # which is refused
            object.__setattr__(self, "library", tuple(map(str, self.library)))
        require_bounds(self, "evaluation")


@dataclass(frozen=True)
class Experiment:
    """Everything that a stage needs, built and checked."""

    folder: RunFolder  # of the results
    source: Path | None  # a folder or checkpoint of an earlier run, from which a single stage starts; None for this run
    seed: int  # of everything; runs of two seeds share only the data, its splits and the size of candidates
    data: DataModule
    space: SearchSpace  # of the architectures on which HyperNets are trained
    hypernet: HyperNetSpecification  # class and options of the source of weights
    search: SearchOptions
    ranking: RankingOptions
    retrain: RetrainOptions
    baselines: BaselineOptions
    evaluation: EvaluationOptions
    trainer: Callable[..., L.Trainer]  # makes a Trainer for the devices that were chosen
    device: str  # where scores are computed
    engine: Engine  # runs independent trainings and scores concurrently
    together: bool = False  # whether its workers train each HyperNet together, instead of several concurrently
    callbacks: Sequence[Callable[[], L.Callback]] = ()  # each makes a callback of a search or standalone training

    def __post_init__(self) -> None:
        if type(self.seed) is not int or not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be a whole number of at least 0 and below 2**32, got {self.seed!r}")
        self.hypernet.check(self.space)
        if taken := {*SCORES, *SIZES, TOGETHER, *get_args(OneShot)} & self.baselines.chosen.keys():
            raise ValueError(
                f"baselines.baselines.{min(taken)}: a predictor has this name already, give the baseline another name"
            )

    @cached_property
    def candidates(self) -> SearchSpace:
        """What is ranked: the architectures of the space, or those of one size."""
        if self.ranking.size_tolerance is None:
            return self.space
        return SizeMatched(self.space, self.ranking.size_tolerance, self.ranking.size_target)

    def seed_of(self, index: int) -> int:
        """Seed of the `index`-th of several trainings."""
        return 1000 * self.seed + index

    def source_folder(self) -> RunFolder:
        """The run whose results a stage starts from."""
        return self.folder if self.source is None else RunFolder(source_run(self.source))

    def prepare_folder(self) -> RunFolder:
        """Makes the run folder and writes data.json where it is missing; every stage that writes calls this first.

        Raises:
            ValueError: the images are others than those of this run, or of the run that it builds on.
        """
        described = self.data.describe()
        for earlier in (self.folder, self.source_folder()):
            require_same_images(earlier, described["content"])
        self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
        if not self.folder.data.exists():
            write_text(self.folder.data, json.dumps(described, indent=2) + "\n")
        return self.folder


def require_same_images(earlier: RunFolder, content: Mapping[str, str]) -> None:
    """Checks that a run had images and labels with these digests, by split; their place may be another.

    Raises:
        ValueError: a split differs.
    """
    before = earlier.read_data().get("content", {})
    if changed := [split for split, digest in content.items() if before.get(split, digest) != digest]:
        raise ValueError(
            f"the {' and '.join(changed)} images or their labels are others than those of {earlier.path}: restore "
            "them, name their folder with dataset.root=FOLDER, or start anew in another folder"
        )


def copy_tables(source: RunFolder, folder: RunFolder, *more: str, overwrite: bool = False) -> None:
    """Copies ranking and architectures of an earlier run, and `more` tables that it has, such as "retrained".

    A run folder is complete in itself. Tables that it has already are replaced where `overwrite` is true.

    Raises:
        ValueError: the earlier run has no ranking, or it cannot be read.
    """
    if source.path.resolve() == folder.path.resolve():
        return
    if overwrite or not folder.ranking.exists():
        read_ranking(source)
        if not source.architectures.exists():
            raise ValueError(f"{source.architectures} is missing, and its ranking needs it: restore the file")
    for name in ("architectures", "ranking", *more):
        path, target = getattr(source, name), getattr(folder, name)
        if path.exists() and (overwrite or not target.exists()):
            with atomic_write(target) as partial:
                shutil.copyfile(path, partial)


def in_order(table: pd.DataFrame, columns: Sequence[str], keys: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """The rows in the order of `keys`, which are values of `columns`, and other rows after them."""
    positions = {key: position for position, key in enumerate(keys)}
    found = [positions.get(key, len(positions)) for key in zip(*(table[column] for column in columns), strict=True)]
    return table.iloc[np.argsort(found, kind="stable")].reset_index(drop=True)
