"""How many processes work for a run, whether they train each HyperNet together, and the Lightning Trainers of each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from smash_lightning.checkpoint import AtomicCheckpointIO
from smash_lightning.engine import RANK_OPTIONS, Engine, Local

FINDS_UNUSED = "ddp_find_unused_parameters_true"
MakeTrainer = Callable[..., L.Trainer]  # takes options of a Trainer, which override the configured ones


def engine_for(
    engine: Engine, device: str, devices: Any = 1, num_nodes: int = 1, strategy: Any = "auto"
) -> tuple[Engine, bool]:
    """The engine with a number of workers, and whether these train together, as for a Trainer of several devices.

    Args:
        engine: as configured.
        device: "cpu", "cuda", "mps" or "xpu".
        devices: of the Trainer, on each machine.
        num_nodes: machines of the Trainer.
        strategy: of the Trainer.

    Raises:
        ValueError: these do not fit together.
    """
    if devices in (-1, "-1", "auto"):
        devices = torch.get_device_module(device).device_count() if device in ("cuda", "xpu") else 1
    if not isinstance(devices, int) or devices < 1:
        raise ValueError(
            f"trainer.devices={devices}: give a number of at least 1, and choose GPUs by CUDA_VISIBLE_DEVICES"
        )
    engine, count = replace(engine, device=device), devices * num_nodes
    if count == 1:
        return replace(engine, workers=engine.workers or engine.default_workers()), False
    if engine.workers not in (None, count):
        raise ValueError(
            f"workers={engine.workers} does not fit trainer.devices={devices}, where all devices train one HyperNet: "
            "leave workers out"
        )
    if num_nodes > 1 and isinstance(engine, Local):
        raise ValueError(f"trainer.num_nodes={num_nodes}: engine=local works on one machine, choose engine=ray")
    if isinstance(strategy, str) and (strategy == "auto" or strategy.startswith("ddp")) and strategy != FINDS_UNUSED:
        raise ValueError(
            f"trainer.strategy={strategy}: an architecture leaves weights unused, for which processes would wait "
            f"without end: use {FINDS_UNUSED}"
        )
    return replace(engine, workers=count), True


def alone(make: MakeTrainer, **options: Any) -> L.Trainer:
    """A Trainer for one device of this process, however many are configured.

    Args:
        make: makes a Trainer with the configured options.
        options: of the Trainer.
    """
    return make(**options, devices=1, num_nodes=1, strategy="auto", plugins=_plugins())


def together(make: MakeTrainer, **options: Any) -> L.Trainer:
    """A Trainer for one of several processes that train together; the same as `alone` where there is one process."""
    return make(**options, **RANK_OPTIONS, plugins=_plugins()) if RANK_OPTIONS else alone(make, **options)


def _plugins() -> list[Any]:
    """The environment is given, as Lightning would otherwise take ranks from the variables of a scheduler."""
    return [LightningEnvironment(), AtomicCheckpointIO()]
