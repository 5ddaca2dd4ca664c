"""One variant of a run: changed options, and the HyperNets that they need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, get_type_hints

from smash_lightning.hypernet import HyperNetSpecification, TrainedHyperNet, load_hypernet
from smash_lightning.option_types import require_type
from smash_lightning.report.tracker import Tracker
from smash_lightning.stages.experiment import Experiment
from smash_lightning.stages.rank import hypernets_of
from smash_lightning.stages.search import search


@dataclass(frozen=True)
class Variant:
    """Values that differ from those of the run, by their names in the configuration.

    Args:
        hypernet: of `hypernet`, where "target" names another class; HyperNets are trained anew.
        search: of `search`; they are trained anew, unless only their number is lowered.
        ranking: of `ranking`, such as batch_norm, smash_score or noises.
    """

    hypernet: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    ranking: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, experiment: Experiment, name: str) -> Experiment:
        """The experiment with these values; ValueError where one does not exist or is of another type."""
        groups = [group.name for group in fields(Variant)]
        changed = {
            group: _changed(getattr(experiment, group), getattr(self, group), f"{name}.{group}") for group in groups
        }
        return replace(experiment, **changed)


def _changed(options: Any, values: Mapping[str, Any], name: str) -> Any:
    if isinstance(options, HyperNetSpecification):
        return options.with_values(values, f"task.variants.{name}")
    hints = get_type_hints(type(options).__init__)
    for key, value in values.items():
        if key not in hints:
            raise ValueError(f"task.variants.{name}.{key}: there is no such value; known: {', '.join(hints)}")
        if not is_dataclass(value):  # an object was checked with its own section
            require_type(f"task.variants.{name}.{key}", value, hints[key])
    return replace(options, **values)


def hypernets_of_variant(base: Experiment, other: Experiment, name: str, tracker: Tracker) -> list[TrainedHyperNet]:
    """The run's own HyperNets where they are those of the variant; otherwise new ones."""
    if _training(base) == _training(other) and other.search.hypernets <= base.search.hypernets:
        return hypernets_of(base)[: other.search.hypernets]
    digest = hashlib.sha256(_training(other).encode()).hexdigest()[:8]
    unfollowed = replace(other, ranking=replace(other.ranking, fixed=0))
    paths = search(unfollowed, tracker, f"variant-{digest}-", label=name)
    return [load_hypernet(path, other.space, other.data.specification()) for path in paths]


def _training(experiment: Experiment) -> str:
    """All that the training of a HyperNet depends on, but for the seeds and the data."""
    return json.dumps([asdict(experiment.hypernet), asdict(experiment.search) | {"hypernets": 0}])
