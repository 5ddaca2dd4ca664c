"""Lightning Trainers for where a job runs: alone on one device, or as one of several processes that train together."""

from __future__ import annotations

from typing import Any

import lightning as L

from smash_lightning.engine import local_device, rank
from smash_lightning.stages.experiment import Experiment
from smash_lightning.training import AtomicCheckpointIO


def alone(experiment: Experiment, **options: Any) -> L.Trainer:
    """A Trainer for this process's own device, however many the experiment has."""
    device = local_device(experiment.device)
    devices = 1 if device == "cpu" else [int(device.removeprefix("cuda:"))]
    return experiment.trainer(**options, devices=devices, num_nodes=1, strategy="auto", plugins=[AtomicCheckpointIO()])


def together(experiment: Experiment, **options: Any) -> L.Trainer:
    """A Trainer for this process as one of those that do the job; for itself where it does the job alone."""
    own = rank()
    if own is None:
        return alone(experiment, **options)
    return experiment.trainer(**options, devices=own.per_node, num_nodes=own.nodes, plugins=[AtomicCheckpointIO()])
