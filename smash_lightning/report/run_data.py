"""The files of a run folder, read for the report; a run that builds on another one finds the rest there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.evaluation.tables import SETTLING, read_if_exists, read_ranking, read_retrained
from smash_lightning.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class RunData:
    """Everything that a report is made of.

    Args:
        folder: the run folder.
        ranking: a row per scored architecture, best first.
        retrained: a row per standalone training.
        settling: a row per HyperNet, epoch and held-out architecture; empty where the file is missing.
        architectures: by fingerprint.
        correlation: content of correlation.json.
        data: content of data.json; empty where the file is missing.
        config: content of config.yaml; empty where the file is missing.
    """

    folder: Path
    ranking: pd.DataFrame
    retrained: pd.DataFrame
    settling: pd.DataFrame
    architectures: Mapping[str, Architecture]
    correlation: Mapping[str, Any]
    data: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def image_spec(self) -> ImageSpec | None:
        """Image and classifier around the architectures; None where the run does not record its data."""
        if not self.data:
            return None
        size, classes = tuple(self.data["size"]), len(self.data["classes"])
        return ImageSpec(self.data["channels"], size, classes, self.data["stem_stride"])

    def option(self, name: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted name."""
        value: Any = self.config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return default if value is None else value


def read_run(path: Path) -> RunData:
    """Reads a run folder.

    Raises:
        ValueError: a file that is needed is missing or wrong, or the run is of an earlier version.
    """
    own = RunFolder(path)
    folders = list(own.sources())

    def holder(name: str) -> RunFolder:
        """The first of the folders that has a file; the run's own if none has."""
        return next((folder for folder in folders if (folder.path / name).exists()), own)

    try:
        correlation = json.loads(holder("correlation.json").correlation.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"{own.correlation} cannot be read: compare the run first, with task=correlate") from None
    data = holder("data.json").data
    return RunData(
        folder=path,
        ranking=read_ranking(holder("ranking.csv")),
        retrained=read_retrained(holder("retrained.csv")),
        settling=read_if_exists(holder("settling.csv").settling, SETTLING),
        architectures=holder("architectures.jsonl").read_architectures(),
        correlation=correlation,
        data=json.loads(data.read_text(encoding="utf-8")) if data.exists() else {},
        config=own.read_config(),
    )
