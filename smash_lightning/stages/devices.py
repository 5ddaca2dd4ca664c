"""How many processes share the work of an experiment, and whether they train each HyperNet together."""

from __future__ import annotations

from typing import Any

import torch

from smash_lightning.engine import cores
from smash_lightning.engine.external import external_workers

FINDS_UNUSED = "ddp_find_unused_parameters_true"


def crew(
    device: str, workers: int | None, devices: Any, num_nodes: int = 1, strategy: Any = "auto"
) -> tuple[int, bool]:
    """Processes, and whether they train together, which they do where a Trainer of more than one device is asked for.

    Args:
        device: "cpu", "cuda", "mps" or "xpu".
        workers: processes that are asked for; None leaves it to this function.
        devices: of the Trainer, on each machine.
        num_nodes: machines of the Trainer.
        strategy: of the Trainer.

    Raises:
        ValueError: these do not go together, or not with the processes that srun or torchrun began.
    """
    began = 1 + len(external_workers)
    count = _count(device, devices, began // num_nodes if began > 1 else None)
    if count * num_nodes == 1:
        if began > 1 and workers not in (None, began):
            raise ValueError(f"workers={workers}: srun or torchrun began {began} processes, leave workers out")
        if began == 1 and workers is None:
            return (cores() if device == "cpu" else 1), False
        return began if workers is None else workers, False
    if workers not in (None, count * num_nodes):
        raise ValueError(
            f"workers={workers} does not go with trainer.devices={devices}, where all devices train one HyperNet: "
            "leave workers out"
        )
    if began > 1 and began != count * num_nodes:
        raise ValueError(
            f"trainer.devices={devices} and trainer.num_nodes={num_nodes} make {count * num_nodes} processes, but srun "
            f"or torchrun began {began}: let them be as many"
        )
    if began == 1 and num_nodes > 1:
        raise ValueError(
            f"trainer.num_nodes={num_nodes}: begin the command on every machine, a process for each device, with srun "
            "or torchrun"
        )
    if isinstance(strategy, str) and (strategy == "auto" or strategy.startswith("ddp")) and strategy != FINDS_UNUSED:
        raise ValueError(
            f"trainer.strategy={strategy}: an architecture leaves weights unused, and that would make processes wait "
            f"for ever: use {FINDS_UNUSED}"
        )
    return count * num_nodes, True


def _count(device: str, devices: Any, began: int | None) -> int:
    """Devices on each machine."""
    if devices in (-1, "-1", "auto"):
        return began or _there_are(device)
    if not isinstance(devices, int) or devices < 1:
        raise ValueError(
            f"trainer.devices={devices}: give a number of at least 1, and choose GPUs by CUDA_VISIBLE_DEVICES"
        )
    if device != "cpu" and not began and devices > _there_are(device):
        raise ValueError(f"trainer.devices={devices}: this machine has {_there_are(device)} GPUs")
    return devices


def _there_are(device: str) -> int:
    """Devices of a kind on this machine."""
    return torch.get_device_module(device).device_count() if device in ("cuda", "xpu") else 1
