"""Lightning Trainers for one process on one device, or for several processes that train one model together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L

from smash_lightning.engine import local_device, rank
from smash_lightning.training import AtomicCheckpointIO

MakeTrainer = Callable[..., L.Trainer]  # takes options of a Trainer, which override the configured ones


def alone(make: MakeTrainer, device: str, **options: Any) -> L.Trainer:
    """A Trainer for the device of this process, however many devices are configured.

    Args:
        make: makes a Trainer with the configured options.
        device: "cpu", "cuda", "mps" or "xpu".
        options: of the Trainer.
    """
    index = local_device(device).partition(":")[2]
    devices = [int(index)] if index else 1
    return make(**options, devices=devices, num_nodes=1, strategy="auto", plugins=[AtomicCheckpointIO()])


def together(make: MakeTrainer, device: str, **options: Any) -> L.Trainer:
    """A Trainer for one of several processes that train together; the same as `alone` where there is one process."""
    own = rank()
    if own is None:
        return alone(make, device, **options)
    return make(**options, devices=own.per_node, num_nodes=own.nodes, plugins=[AtomicCheckpointIO()])
