"""Tasks that cost nothing, for what sweeps do with them: each is named by `task._target_`, as a user's own would be."""

import math
import os
import signal
import time
from typing import Any

from smash_lightning.report.tracker import Tracker
from smash_lightning.stages import Experiment


def parabola(experiment: Experiment, tracker: Tracker, **options: Any) -> float | None:
    """Largest at a learning rate of 3e-3; fails for some HyperNets, and has no figure or a useless one for others."""
    width = experiment.hypernet.options["width"]
    if width == 16:
        raise RuntimeError("out of memory\nand more of it")
    if width == 32:
        return None
    return math.nan if width == 64 else -((math.log10(experiment.search.learning_rate) - math.log10(3e-3)) ** 2)


def mistaken(experiment: Experiment, tracker: Tracker, **options: Any) -> float:
    """Has a mistake in it, for one seed."""
    return {0: 0.5}[experiment.seed]


def killed(experiment: Experiment, tracker: Tracker, **options: Any) -> float:
    """Fails for a seed of 2; for a seed of 1 it waits until that has happened, and is killed."""
    if experiment.seed == 2:
        raise RuntimeError("out of memory")
    if experiment.seed == 1:
        while not (experiment.folder.path.parent / "1" / "error.txt").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.5
