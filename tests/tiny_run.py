"""A whole run that takes seconds, made by the public functions."""

from pathlib import Path
from typing import Any

import smash_lightning as smash
from smash_lightning.baselines import Depth
from smash_lightning.data import Digits
from smash_lightning.strategies import Random


def options() -> dict[str, Any]:
    """Options of the run; the same for every stage."""
    sizes = {"train": 128, "validation": 100, "batch_size": 64, "eval_batch_size": 500, "recalibration": 64}
    return {
        "data": smash.DataModule(name="digits", source=Digits(), stem_stride=1, split_seed=0, **sizes),
        "hypernet": {"depths": [1], "growth": 4},
        "search": {"epochs": 1, "hypernets": 2},
        "ranking": {"strategies": {"random": Random(7)}, "fixed": 2, "fixed_every": 1},
        "retrain": {"epochs": 1, "seeds": 2, "shortlist": 1, "stratified": 5, "random": 1},
        "baselines": {"baselines": {"depth": Depth()}, "one_shot": ()},
        "evaluation": {"bootstrap": 200},
    }


def make_tiny_run(folder: Path) -> smash.FinishedRun:
    """All stages, one after the other."""
    chosen = options()
    smash.search(folder, **chosen)
    smash.rank(folder, **chosen)
    smash.retrain(folder, **chosen)
    return smash.correlate(folder, **chosen)
