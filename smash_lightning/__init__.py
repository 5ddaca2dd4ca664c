"""SMASH: one-shot architecture search through HyperNets, and how far its scores can be trusted.

    import smash_lightning as smash

    run = smash.load("FOLDER")      # a finished run
    run                             # its results on one screen
    run.model(images)               # the best retrained network, from raw images to logits

The names below are public; everything else may change. They are imported when they are used, so that the import of the
package itself takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smash_lightning.architecture import Architecture as Architecture
    from smash_lightning.architecture import ImageSpec as ImageSpec
    from smash_lightning.baselines import Baseline as Baseline
    from smash_lightning.data import DataModule as DataModule
    from smash_lightning.data import Source as Source
    from smash_lightning.finished_run import FinishedRun as FinishedRun
    from smash_lightning.finished_run import load as load
    from smash_lightning.hypernet import WeightSource as WeightSource
    from smash_lightning.python_api import Options as Options
    from smash_lightning.python_api import correlate as correlate
    from smash_lightning.python_api import rank as rank
    from smash_lightning.python_api import retrain as retrain
    from smash_lightning.python_api import search as search
    from smash_lightning.scoring import BatchNormPolicy as BatchNormPolicy
    from smash_lightning.scoring import SmashScore as SmashScore
    from smash_lightning.search_space import SearchSpace as SearchSpace
    from smash_lightning.strategies import Strategy as Strategy

_MODULES = {  # public names in an order for readers
    # The results of a run
    "finished_run": ("load", "FinishedRun"),
    # The stages, in their order, and their options
    "python_api": ("search", "rank", "retrain", "correlate", "Options"),
    # The values that they work on, and what users extend, in the order of a run
    "architecture": ("Architecture", "ImageSpec"),
    "data": ("DataModule", "Source"),
    "search_space": ("SearchSpace",),
    "hypernet": ("WeightSource",),
    "strategies": ("Strategy",),
    "scoring": ("BatchNormPolicy", "SmashScore"),
    "baselines": ("Baseline",),
}
__all__ = [name for names in _MODULES.values() for name in names]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"smash_lightning.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
