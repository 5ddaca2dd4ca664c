"""The results of a run folder as Python objects: tables, verdict, and the best retrained network."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pandas as pd

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.evaluation.sample import finished_trainings
from smash_lightning.evaluation.tables import TABLES, read_if_exists, read_ranking
from smash_lightning.network import Classifier
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.labels import estimate_text, label
from smash_lightning.report.verdict import sentences
from smash_lightning.run_folder import RunFolder
from smash_lightning.training import load_classifier

WIDTH = 96


class Drawing(str):
    """An SVG as text, which notebooks show as a picture."""

    def _repr_svg_(self) -> str:
        return str(self)


def load(folder: str | Path) -> FinishedRun:
    """Reads a run folder, whether the whole job or a stage wrote it.

    Args:
        folder: of the run, the last line that the run printed.

    Raises:
        ValueError: there is no ranking, a table holds a wrong value, or the run is of an earlier version.
    """
    return FinishedRun(Path(folder))


@final
class FinishedRun:
    """A run and its results. Tables that the run did not write have no rows.

    Args:
        folder: of the run.

    Attributes:
        folder: of the run.
        ranking: `ranking.csv`, a row per scored architecture, best SMASH score first.
        retrained: `retrained.csv`, a row per standalone training.
        baselines: `baselines.csv`, a row per architecture and baseline.
        correlation: `correlation.json`: every coefficient with its interval; empty where the run did not write it.
        architectures: every scored architecture by fingerprint.
        data: `data.json`: name, counts, shape and classes of the images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._run = RunFolder(folder)
        self.ranking = read_ranking(self._run)
        self.architectures: Mapping[str, Architecture] = self._run.read_architectures()
        self.retrained = self._table(self._run.retrained, "retrained")
        self.baselines = self._table(self._run.baselines, "baselines")
        self.correlation = self._json(self._run.correlation)
        self.data = self._json(self._run.data)

    @property
    def best(self) -> pd.Series:
        """The row of `ranking` that `architecture` and `model` are of.

        The retrained architecture with the lowest SMASH score, or where nothing was retrained the one with the lowest
        score. It is not selected by test images, as its test error would then be too low.
        """
        trained = set(finished_trainings(self.retrained)["fingerprint"])
        retrained = self.ranking[self.ranking["fingerprint"].isin(trained)]
        return (retrained if len(retrained) else self.ranking).iloc[0]

    @property
    def architecture(self) -> Architecture:
        """The best architecture, see `best`."""
        return self.architectures[self.best["fingerprint"]]

    @cached_property
    def model(self) -> Classifier:
        """The network of `architecture` after standalone training with its first seed, in evaluation mode.

        It maps raw images (batch, channels, *size), bytes or floats in units of bytes, to logits (batch, classes).

        Raises:
            ValueError: nothing was retrained, or the checkpoint does not exist any more.
        """
        mine = finished_trainings(self.retrained)
        mine = mine[mine["fingerprint"] == self.best["fingerprint"]]
        if not len(mine):
            raise ValueError(f"no architecture was retrained in {self.folder}: use task=retrain, or smash.retrain")
        seed = int(mine["seed"].min())
        paths = [folder.network(self.best["fingerprint"], seed) for folder in self._run.sources()]
        return load_classifier(next((path for path in paths if path.exists()), paths[0]))

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
        return Drawing(architecture_svg(self.architectures[chosen], self._image_spec(), f"Architecture {chosen}"))

    def __repr__(self) -> str:
        lines = [f"SMASH run {self.folder}", *self._data_lines(), *self._result_lines()]
        lines += textwrap.wrap(self.verdict, WIDTH, initial_indent="  verdict      ", subsequent_indent=15 * " ")
        return "\n".join(
            [*lines, "  .model .architecture .ranking .retrained .baselines .correlation .verdict .draw()"]
        )

    def _data_lines(self) -> list[str]:
        if not self.data:
            return []
        counts = ", ".join(f"{self.data[split]:,} {split}" for split in ("train", "validation", "test"))
        return [_line("data", f"{self.data['name']}: {counts} images, {len(self.data['classes'])} classes")]

    def _result_lines(self) -> list[str]:
        first, best = self.ranking.iloc[0], self.best
        lines = [
            _line("ranked", f"{len(self.ranking):,} architectures, {first['fingerprint']} has the best SMASH score"),
            _line("best", f"{best['fingerprint']}: {self._sizes(best)}{self._test_error(best)}"),
        ]
        done, failed = finished_trainings(self.retrained), (self.retrained["failure"] != "").sum()
        if len(self.retrained):
            text = f"{len(done):,} standalone trainings of {done['fingerprint'].nunique():,} architectures"
            lines.append(_line("retrained", text + (f", {failed} failed" if failed else "")))
        if self.correlation:
            spearman = self.correlation["loss"]["scores"]["smash_score"]["spearman"]
            text = f"Spearman {estimate_text(spearman)} of SMASH score and test loss, n = {self._compared()}"
            lines.append(_line("correlation", text))
        if len(self.baselines):
            lines.append(_line("baselines", ", ".join(map(label, self.baselines["baseline"].unique()))))
        return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent=15 * " ")]

    def _compared(self) -> int:
        return int(self.correlation["architectures"])

    def _sizes(self, row: pd.Series) -> str:
        return f"{int(row['params']):,} parameters, validation error with generated weights {row['val_error']:.2f} %"

    def _test_error(self, row: pd.Series) -> str:
        done = finished_trainings(self.retrained)
        errors = done[done["fingerprint"] == row["fingerprint"]]["true_error"]
        return f", test error {errors.mean():.2f} %, mean of {len(errors)}" if len(errors) else ""

    def _image_spec(self) -> ImageSpec | None:
        if not self.data:
            return None
        size, classes = tuple(self.data["size"]), len(self.data["classes"])
        return ImageSpec(self.data["channels"], size, classes, self.data["stem_stride"])

    def _table(self, path: Path, name: str) -> pd.DataFrame:
        return read_if_exists(path, TABLES[name])

    def _json(self, path: Path) -> dict[str, Any]:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _line(name: str, text: str) -> str:
    return f"  {name:<13}{text}"
