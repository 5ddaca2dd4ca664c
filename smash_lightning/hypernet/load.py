"""A trained HyperNet, rebuilt from its checkpoint alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from smash_lightning.checkpoint import load_checkpoint, require_same
from smash_lightning.hypernet.base import TrainedHyperNet
from smash_lightning.hypernet.specification import HyperNetSpecification
from smash_lightning.search_space import SearchSpace


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
    require_same(saved["data"], data, str(path), "data set or split")
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
