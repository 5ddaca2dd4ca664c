"""Folders of sweeps as Hydra and the tasks leave them, with made-up studies in them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from smash_lightning.evaluation.correlation import correlate
from tests.evaluation.study_tables import baselines, study


def sweep_folder(
    folder: Path, options: Mapping[str, Sequence[Any]], *, skills: Mapping[Any, float] | None = None
) -> Path:
    """A finished job for every combination; `skills` is how good the score is by a value of the first option."""
    for number, values in enumerate(itertools.product(*options.values())):
        given = dict(zip(options, values, strict=True))
        skill = (skills or {}).get(values[0], 0.6) if values else 0.6
        job_folder(folder / str(number), given, skill, number)
    return folder


def job_folder(folder: Path, given: Mapping[str, Any], skill: float = 0.6, key: int = 0) -> None:
    """A finished job that was given these options."""
    begin(folder, given)
    scored, retrained = study(24, 4, 3, skill=skill, key=key)
    found = correlate(scored, retrained, baselines(retrained, ("synflow",), key=key), bootstrap=200)
    (folder / "correlation.json").write_text(found.to_json())


def begin(folder: Path, given: Mapping[str, Any]) -> None:
    """A job that began and did nothing yet."""
    folder.mkdir(parents=True)
    overrides = ["experiment=quick", *(f"{name}={value}" for name, value in given.items())]
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": given.get("seed", 0), "overrides": overrides}))
