"""Class and options of a source of weights, as in a configuration and in a checkpoint, and how one is loaded."""

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from smash_lightning.checkpoint import load_checkpoint, require_same, require_same_data
from smash_lightning.hypernet.base import TrainedHyperNet, WeightSource
from smash_lightning.option_types import require_types, resolve_target
from smash_lightning.random_streams import Stream, generator
from smash_lightning.search_space import SearchSpace

SPACE_ARGUMENTS = ("limits", "image_spec", "generator")  # of every constructor; the rest are options


@dataclass(frozen=True)
class HyperNetSpecification:
    """A class that extends `WeightSource`, and its options.

    Args:
        target: full name of the class, such as "smash_lightning.hypernet.ResidualHyperNet".
        options: arguments of its constructor other than `SPACE_ARGUMENTS`: plain values.
    """

    target: str
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", {name: _plain(name, value) for name, value in self.options.items()})

    @classmethod
    def of(cls, kind: type[WeightSource], **options: Any) -> "HyperNetSpecification":
        """The specification of a class object."""
        return cls(f"{kind.__module__}.{kind.__qualname__}", options)

    @property
    def kind(self) -> type[WeightSource]:
        """The class.

        Raises:
            ValueError: it cannot be imported, or does not extend `WeightSource`.
        """
        return resolve_target(self.target, "hypernet", WeightSource)

    def build(self, space: SearchSpace, seed: int) -> WeightSource:
        """Weights for the architectures of `space`, initialized from `seed`."""
        return self._make(space, generator(Stream.HYPERNET, seed))

    def check(self, space: SearchSpace) -> None:
        """Builds the weights without memory and without values, so that wrong options are found in milliseconds.

        Raises:
            ValueError: there is no such class or option, or the class refuses a value.
        """
        try:
            inspect.signature(self.kind).bind(**dict.fromkeys(SPACE_ARGUMENTS), **self.options)
        except TypeError as error:
            raise ValueError(f"hypernet, {self.target}: {error}") from None
        require_types({"_target_": self.target, **self.options}, "hypernet")
        try:
            with torch.device("meta"):
                self._make(space, None)
        except ValueError:
            raise
        except Exception:  # a class that cannot be built without values shows its errors when it is trained
            return

    def with_values(self, values: Mapping[str, Any], name: str = "hypernet") -> "HyperNetSpecification":
        """The same with changed options; where `target` is among them, options that the new class lacks are left out.

        Args:
            values: by the names of the options, or "target".
            name: of the section that an error names.

        Raises:
            ValueError: there is no such option.
        """
        changes = dict(values)
        changed = replace(self, target=changes.pop("target", self.target))
        known = [name for name in inspect.signature(changed.kind).parameters if name not in SPACE_ARGUMENTS]
        if unknown := changes.keys() - set(known):
            raise ValueError(f"{name}.{min(unknown)}: there is no such value; known: {', '.join(known)}")
        kept = {name: value for name, value in self.options.items() if name in known}
        return replace(changed, options=kept | changes)

    def with_kind(self, kind: type[WeightSource]) -> "HyperNetSpecification":
        """The specification of another class, with the options that it shares with this one."""
        return self.with_values({"target": f"{kind.__module__}.{kind.__qualname__}"})

    def _make(self, space: SearchSpace, stream: torch.Generator | None) -> WeightSource:
        make: Callable[..., WeightSource] = self.kind
        return make(limits=space.limits, image_spec=space.image_spec, generator=stream, **self.options)


def load_hypernet(path: Path, space: SearchSpace, data: Mapping[str, str]) -> TrainedHyperNet:
    """Reads a HyperNet that was trained on architectures of `space` and images of the `DataModule` specified as `data`.

    The checkpoint holds the name of its class and plain options; nothing in it is executed, and only a class that
    extends `WeightSource` is built. As a checkpoint may come from a stranger, it imports no module of its own choice: a
    class outside of this package must have been imported before.

    Raises:
        ValueError: the file is missing, truncated, not a HyperNet's, of a class that cannot be imported, of another
            search space, or of another split, whose training images may be the validation images here.
    """
    checkpoint = load_checkpoint(path, "smash")
    saved = checkpoint["smash"]
    require_same(saved["search_space"], space.specification(), str(path), "search space")
    require_same_data(saved["data"], data, str(path))
    target = str(saved["hypernet"].get("target"))
    if not target.startswith("smash_lightning.") and target.rpartition(".")[0] not in sys.modules:
        raise ValueError(
            f"{path} names {target}, which is code outside of this package: if you trust it, give hypernet._target_="
            f"{target}, or import its module first"
        )
    try:
        weights = HyperNetSpecification(**saved["hypernet"]).build(space, saved["seed"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"the HyperNet in {path} cannot be built again: {error}") from None
    statistics = weights.running_statistics()
    for name, module in (("weights", weights), ("statistics", statistics)):
        prefix = f"{name}."
        state = checkpoint["state_dict"].items()
        module.load_state_dict({key.removeprefix(prefix): value for key, value in state if key.startswith(prefix)})
    drawn, finished, seconds = frozenset(saved["drawn"]), bool(saved["finished"]), float(saved["seconds"])
    return TrainedHyperNet(weights.eval(), statistics.eval(), drawn, finished, seconds)


def _plain(name: str, value: Any) -> Any:
    """The value with tuples as lists, as JSON, YAML and checkpoints have them."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        raise ValueError(f"hypernet.{name} must be a plain value, as checkpoints hold it; got {value!r}") from None
