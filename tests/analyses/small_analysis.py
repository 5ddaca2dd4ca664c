"""A whole small run for investigations to work on: HyperNets, a ranking and trainings."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smash_lightning.report.tracker import Tracker, Value
from smash_lightning.scoring import RecalibratedStatistics
from smash_lightning.stages import Experiment, rank, retrain, search
from smash_lightning.strategies import Perturb, Random, RankingOptions
from tests.stages.small_run import RETRAIN, SEARCH, small_experiment

RANDOM, TRAINED = 9, 6
NOBODY = Tracker([])


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


def run_to_investigate(folder: Path, *, trained: bool = True, **changes: Any) -> Path:
    """Makes the run, which no test may change."""
    experiment = experiment_on(None, folder, **changes)
    search(experiment, NOBODY)
    rank(experiment, NOBODY)
    if trained:
        retrain(experiment, NOBODY)
    return folder


class Noting(Tracker):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__([])
        self.tables: dict[str, int] = {}
        self.images: dict[str, Path] = {}
        self.figures: dict[str, Value] = {}

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        assert all(len(row) == len(columns) for row in rows)
        self.tables[name] = len(rows)

    def image(self, name: str, path: Path) -> None:
        self.images[name] = path

    def summary(self, values: dict[str, Value]) -> None:  # type: ignore[override]
        self.figures |= values


def left(folder: Path, name: str) -> tuple[list[dict[str, str]], Any]:
    """The table and the figures of an investigation, whose picture must be there too."""
    assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file)), json.loads((folder / f"{name}.json").read_text())
