"""The files of a run folder, read for the report; a run that builds on another one finds the rest there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from smash_lightning.architecture import Architecture, ImageSpec

GROUPS = ("shortlist", "stratified", "random", "preset")


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
        config: content of config.yaml, as text and resolved; empty where the file is missing.
    """

    folder: Path
    ranking: pd.DataFrame
    retrained: pd.DataFrame
    settling: pd.DataFrame
    architectures: Mapping[str, Architecture]
    correlation: Mapping[str, Any]
    data: Mapping[str, Any]
    config_text: str
    config: Mapping[str, Any]

    @property
    def image_spec(self) -> ImageSpec | None:
        """Image and classifier around the architectures; None where the run does not record its data."""
        if not self.data:
            return None
        names = ("channels", "stem_stride")
        return ImageSpec(
            size=tuple(self.data["size"]),
            classes=len(self.data["classes"]),
            **{name: self.data[name] for name in names},
        )

    def option(self, name: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted name."""
        value: Any = self.config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return default if value is None else value


def read_run(folder: Path) -> RunData:
    """Reads a run folder.

    Raises:
        ValueError: a file that is needed is missing, or the run is of an earlier version.
    """
    config_text = path.read_text() if (path := folder / "config.yaml").exists() else ""
    folders = _chain(folder)
    ranking = _table(folders, "ranking.csv")
    if "origin" in ranking or "key" in ranking:
        raise ValueError(f"{folder}: a run of an earlier version, whose tables have other columns; run it again")
    retrained = _table(folders, "retrained.csv")
    for group in GROUPS:
        retrained[group] = retrained.get(group, pd.Series(0, index=retrained.index)).fillna(0).astype(bool)
    lines = _find(folders, "architectures.jsonl").read_text().splitlines()
    plain = {one["fingerprint"]: one["architecture"] for one in map(json.loads, lines)}
    data = _find(folders, "data.json", needed=False)
    return RunData(
        folder=folder,
        ranking=ranking,
        retrained=retrained,
        settling=_table(folders, "settling.csv", needed=False),
        architectures={name: Architecture.from_json(json.dumps(one)) for name, one in plain.items()},
        correlation=json.loads(_find(folders, "correlation.json").read_text()),
        data=json.loads(data.read_text()) if data.exists() else {},
        config_text=config_text,
        config=yaml.safe_load(config_text) or {},
    )


def _chain(folder: Path) -> list[Path]:
    """The folder, the one of the run that it builds on, and so on."""
    folders = [folder]
    while (path := folders[-1] / "config.yaml").exists():
        source = (yaml.safe_load(path.read_text()) or {}).get("source_run")
        if not source or Path(source) in folders:
            break
        folders.append(Path(source))
    return folders


def _find(folders: list[Path], name: str, *, needed: bool = True) -> Path:
    found = next((path for folder in folders if (path := folder / name).exists()), None)
    if found is None and needed:
        raise ValueError(f"{folders[0]}: the report needs {name}, which is missing")
    return found or folders[0] / name


def _table(folders: list[Path], name: str, *, needed: bool = True) -> pd.DataFrame:
    path = _find(folders, name, needed=needed)
    text = {"fingerprint": str, "parent": str, "strategy": str, "failure": str}
    return pd.read_csv(path, dtype=text) if path.exists() else pd.DataFrame()
