"""The results of a run folder as Python objects: tables, verdict, and the best retrained network."""

import textwrap
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, final

import pandas as pd

from smash_lightning.architecture import Architecture
from smash_lightning.evaluation.sample import finished_trainings
from smash_lightning.evaluation.tables import BASELINES, RETRAINED, read_if_exists, read_ranking, read_retrained
from smash_lightning.files import read_object
from smash_lightning.network import Classifier
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.run_data import read_correlation
from smash_lightning.report.verdict import sentences
from smash_lightning.run_folder import RunFolder, image_spec_of
from smash_lightning.training import load_classifier

WIDTH = 96


class Drawing(str):
    """An SVG as text, which notebooks show as a picture."""

    def _repr_svg_(self) -> str:
        return str(self)


def load(folder: str | Path) -> "FinishedRun":
    """Reads a run folder, the last line that a run prints; also that of a single stage after the ranking.

    Raises ValueError where there is no ranking, a table holds a wrong value, or the run is of an earlier version.
    """
    return FinishedRun(Path(folder))


class TrainedNetwork(NamedTuple):
    """A retrained network in evaluation mode, and the rows of `retrained.csv` of its architecture, its own first."""

    fingerprint: str
    seed: int
    trainings: pd.DataFrame
    classifier: Classifier


def trained_network(
    run: RunFolder, fingerprint: str | None = None, content: Mapping[str, str] | None = None
) -> TrainedNetwork:
    """The network of an architecture that was trained with the lowest seed.

    Args:
        run: the folder with `retrained.csv`.
        fingerprint: the architecture; None takes the best by score of those that were retrained. Choosing it or the
            seed by the test images would spoil the test.
        content: digests of the data, with which those of the training are compared.

    Raises:
        ValueError: nothing was retrained, or not this architecture; its checkpoint is missing or of other data.
    """
    trainings = finished_trainings(read_retrained(run))
    if trainings.empty:
        raise ValueError(f"{run.path} holds no finished training: retrain first, with task=retrain")
    first = trainings["fingerprint"].iloc[0]  # where presets alone were trained
    chosen = fingerprint or next(iter(best_retrained(run)), first)
    mine = trainings[trainings["fingerprint"] == chosen].sort_values("seed")
    if mine.empty:
        raise ValueError(f"architecture {chosen} was not retrained in {run.path}")
    seed = int(mine["seed"].iloc[0])
    paths = [folder.network(chosen, seed) for folder in run.sources()]
    path = next((path for path in paths if path.exists()), paths[0])
    return TrainedNetwork(chosen, seed, mine, load_classifier(path, content))


def best_retrained(run: RunFolder) -> list[str]:
    """Architectures that were scored and retrained, best score first."""
    trainings, ranking = finished_trainings(read_retrained(run)), read_ranking(run)
    return list(ranking["fingerprint"][ranking["fingerprint"].isin(trainings["fingerprint"])])


@final
class FinishedRun:
    """A run and its results. Tables that the run did not write have no rows.

    Attributes:
        folder: of the run.
        ranking: `ranking.csv`, a row per scored architecture, best SMASH score first.
        retrained: `retrained.csv`, a row per standalone training.
        baselines: `baselines.csv`, a row per architecture and baseline.
        correlation: `correlation.json`: every coefficient with its interval, and `calibration.json` under
            "calibration"; empty where the run did not write it.
        architectures: every scored architecture by fingerprint.
        data: `data.json`: name, counts, shape and classes of the images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = RunFolder(folder)
        self.ranking = read_ranking(self._run)
        self.architectures: Mapping[str, Architecture] = self._run.read_architectures()
        self.retrained = read_if_exists(self._run.retrained, RETRAINED)
        self.baselines = read_if_exists(self._run.baselines, BASELINES)
        self.correlation: dict[str, Any] = read_correlation(self._run) if self._run.correlation.exists() else {}
        self.data = read_object(self._run.data)
        self._trainings = finished_trainings(self.retrained)

    @property
    def best(self) -> pd.Series:
        """The row of `ranking` that `architecture` and `model` are of.

        The retrained architecture with the lowest SMASH score, or where nothing was retrained the one with the lowest
        score. It is not selected by test images, as its test error would then be too low.
        """
        retrained = self.ranking[self.ranking["fingerprint"].isin(self._trainings["fingerprint"])]
        return (retrained if len(retrained) else self.ranking).iloc[0]

    @property
    def architecture(self) -> Architecture:
        """The best architecture, see `best`."""
        return self.architectures[self.best["fingerprint"]]

    @cached_property
    def model(self) -> Classifier:
        """The network of `architecture` after standalone training with its first seed, in evaluation mode.

        It maps raw images (batch, channels, *size), bytes or floats in units of bytes, to logits (batch, classes).

        Raises ValueError where nothing was retrained, or the checkpoint does not exist any more or is of other data.
        """
        name = self.best["fingerprint"]
        if not (self._trainings["fingerprint"] == name).any():
            raise ValueError(f"no architecture was retrained in {self.folder}: use task=retrain, or smash.retrain")
        return trained_network(self._run, name, self.data["content"]).classifier

    @property
    def verdict(self) -> str:
        """What the comparison of score and ground truth shows, in sentences."""
        if not self.correlation:
            return "The score was not compared with a ground truth: use task=correlate, or smash.correlate."
        return " ".join(sentences(self.correlation))

    def draw(self, fingerprint: str | None = None) -> Drawing:
        """The memory-bank diagram of an architecture as SVG text, which notebooks show as a picture.

        Args:
            fingerprint: of the architecture; None draws the best one.
        """
        chosen = self.best["fingerprint"] if fingerprint is None else fingerprint
        return Drawing(architecture_svg(self.architectures[chosen], image_spec_of(self.data), f"Architecture {chosen}"))

    def __repr__(self) -> str:
        text = (
            f"SMASH run {self.folder} on {self.data['name']}: {len(self.ranking):,} architectures ranked, "
            f"{len(self._trainings):,} standalone trainings. The best: {self.best['fingerprint']}. {self.verdict}"
        )
        return textwrap.fill(text, WIDTH)
