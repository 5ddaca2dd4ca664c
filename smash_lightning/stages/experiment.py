"""What every task works on: the objects of an experiment, and the files of its run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import lightning as L

from smash_lightning.architecture import Architecture
from smash_lightning.baselines import BaselineOptions, OneShot
from smash_lightning.data import DataModule
from smash_lightning.evaluation.bootstrap import LEAST_RESAMPLES
from smash_lightning.evaluation.metric import Metric
from smash_lightning.evaluation.sample import SCORES, SIZES, TOGETHER
from smash_lightning.files import atomic_write
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies import RankingOptions
from smash_lightning.training import HyperNetOptions, RetrainOptions, SearchOptions


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run; README and DESIGN describe them."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """HyperNets and retrained networks."""
        return self.path / "checkpoints"

    @property
    def ranking(self) -> Path:
        """One row per scored architecture, best first once the ranking is complete."""
        return self.path / "ranking.csv"

    @property
    def ranking_state(self) -> Path:
        """The ranking as it is taken up again."""
        return self.checkpoints / "ranking.pt"

    @property
    def architectures(self) -> Path:
        """Fingerprint and JSON of every scored architecture."""
        return self.path / "architectures.jsonl"

    @property
    def retrained(self) -> Path:
        """One row per ordinary training."""
        return self.path / "retrained.csv"

    @property
    def baselines(self) -> Path:
        """One row per architecture and baseline of the score; missing where no baseline was asked."""
        return self.path / "baselines.csv"

    @property
    def result(self) -> Path:
        """The task and its figure; missing until the run has ended well."""
        return self.path / "result.json"

    def hypernet(self, index: int, name: str = "hypernet") -> Path:
        """Checkpoint of a HyperNet, or of another source of weights that has a name of its own."""
        return self.checkpoints / f"{name}{index}.ckpt"

    def hypernets(self) -> list[Path]:
        """Checkpoints of the HyperNets that are there."""
        return sorted(self.checkpoints.glob("hypernet*.ckpt"), key=lambda path: (len(path.name), path.name))

    def network(self, fingerprint: str, seed: int) -> Path:
        """Checkpoint of a retrained network."""
        return self.checkpoints / f"{fingerprint}-{seed}.ckpt"

    def read_architectures(self) -> dict[str, Architecture]:
        """Every scored architecture by fingerprint.

        Raises:
            ValueError: the file is missing, or a line holds no architecture or that of another fingerprint.
        """
        try:
            lines = self.architectures.read_text().splitlines()
        except OSError as error:
            raise ValueError(f"cannot read {self.architectures}: {error.strerror}") from None
        found = {}
        for number, line in enumerate(lines, start=1):
            try:
                plain = json.loads(line)
                architecture = Architecture.from_json(json.dumps(plain["architecture"]))
                if architecture.fingerprint != plain["fingerprint"]:
                    raise ValueError(f"the architecture's fingerprint is {architecture.fingerprint}")
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{self.architectures}, line {number}: {error}") from None
            found[architecture.fingerprint] = architecture
        return found

    def write_architectures(self, architectures: Sequence[Architecture]) -> None:
        """Writes the whole file at once."""
        with atomic_write(self.architectures) as partial:
            partial.write_text("".join(architecture_line(architecture) for architecture in architectures))


def architecture_line(architecture: Architecture) -> str:
    """A line of `architectures.jsonl`."""
    return f'{{"fingerprint":"{architecture.fingerprint}","architecture":{architecture.to_json()}}}\n'


@dataclass(frozen=True)
class EvaluationOptions:
    """How scores are compared with truths.

    Args:
        bootstrap: resamples over architectures for every interval.
        metric: the figure that a comparison returns, for searches over options.
    """

    bootstrap: int
    metric: Metric = "correlation"

    def __post_init__(self) -> None:
        if self.bootstrap < LEAST_RESAMPLES:  # said here, not at the end of the run that it is for
            raise ValueError(f"evaluation.bootstrap must be at least {LEAST_RESAMPLES}, got {self.bootstrap}")


@dataclass(frozen=True)
class Experiment:
    """Everything that a task needs, built and checked.

    Args:
        folder: where results go.
        source: an earlier run's folder, or one of its checkpoints, that a single stage starts from; None for this run.
        seed: of everything; runs of two seeds share the data, its splits and the size of candidates, no more.
        data: the data set.
        space: what HyperNets are trained on.
        candidates: what is ranked: the same space, or its architectures of one size.
        hypernet: shape of the HyperNets.
        search: how they are trained.
        ranking: how architectures are proposed and scored.
        retrain: which are trained normally, and how.
        baselines: what they are compared with.
        evaluation: how scores are compared with truths.
        trainer: makes a Lightning Trainer for the devices that were chosen.
        device: where scores are computed.
        workers: processes that run independent trainings and scores side by side.
        together: whether they train each HyperNet together, instead of several HyperNets side by side.
    """

    folder: RunFolder
    source: Path | None
    seed: int
    data: DataModule
    space: SearchSpace
    candidates: SearchSpace
    hypernet: HyperNetOptions
    search: SearchOptions
    ranking: RankingOptions
    retrain: RetrainOptions
    baselines: BaselineOptions
    evaluation: EvaluationOptions
    trainer: Callable[..., L.Trainer]
    device: str
    workers: int
    together: bool = False

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("workers", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        if taken := {*SCORES, *SIZES, TOGETHER, *get_args(OneShot)} & self.baselines.chosen.keys():
            raise ValueError(
                f"baselines.baselines.{min(taken)}: a predictor has this name already, give the baseline another name"
            )

    def seed_of(self, index: int) -> int:
        """Seed of the `index`-th of several trainings."""
        return 1000 * self.seed + index

    def source_folder(self) -> RunFolder:
        """The run whose results a single stage starts from."""
        if self.source is None:
            return self.folder
        return RunFolder(self.source if self.source.is_dir() else self.source.parent.parent)
