"""Draws one architecture, without any training: architecture.svg and architecture.json."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from smash_lightning.architecture import Architecture, cost, load_architecture
from smash_lightning.evaluation.tables import read_ranking
from smash_lightning.report.diagram import architecture_svg
from smash_lightning.report.tracker import Tracker
from smash_lightning.search_space.presets import PRESETS
from smash_lightning.stages.experiment import Experiment


def draw(
    experiment: Experiment,
    tracker: Tracker,
    preset: str | None = None,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    architecture: str | None = None,
) -> None:
    """Draws a preset with its arguments, the architecture in a JSON file, or the best of an earlier run."""
    del tracker
    chosen, title = _choose(experiment, preset, arguments, architecture)
    image_spec, folder = experiment.data.image_spec, experiment.folder.path
    (folder / "architecture.svg").write_text(architecture_svg(chosen, image_spec, title), encoding="utf-8")
    (folder / "architecture.json").write_text(chosen.to_json() + "\n", encoding="utf-8")
    size = cost(chosen, image_spec)
    print(f"{title}: {size.ops} ops, {size.params:,} parameters, {size.macs:,} multiply-accumulates")


def _choose(
    experiment: Experiment, preset: str | None, arguments: Mapping[str, Any], path: str | None
) -> tuple[Architecture, str]:
    if preset is not None and path is not None:
        raise ValueError("give task.preset or task.architecture, not both")
    if preset is not None:
        if preset not in PRESETS:
            raise ValueError(f"task.preset={preset} is unknown: choose one of {', '.join(PRESETS)}")
        known = inspect.signature(PRESETS[preset]).parameters
        if unknown := arguments.keys() - known.keys():
            raise ValueError(f"task.arguments: {preset} has no {min(unknown)}, only {', '.join(known)}")
        return PRESETS[preset](**arguments), preset
    if path is not None:
        return load_architecture(path), path
    if experiment.source is None:
        raise ValueError("nothing to draw: give task.preset, task.architecture=FILE.json or checkpoint=FOLDER")
    folder = experiment.source_folder()
    best = read_ranking(folder)["fingerprint"].iloc[0]
    return folder.read_architectures()[best], f"The best by score: {best}"
