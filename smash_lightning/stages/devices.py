"""Which GPU a run uses, how many processes work for it, and whether they train each HyperNet together."""

from __future__ import annotations

from typing import Any

import torch

from smash_lightning.engine import cores
from smash_lightning.engine.external import external_workers
from smash_lightning.engine.free_gpu import keep_free_gpu

FINDS_UNUSED = "ddp_find_unused_parameters_true"


def choose_gpu(gpu: Any, accelerator: str, devices: Any) -> None:
    """Reserves a free GPU for this process if requested, before anything uses CUDA.

    Args:
        gpu: the option: "free", or None for the GPUs that CUDA shows.
        accelerator: of the Trainer.
        devices: of the Trainer.

    Raises:
        ValueError: it is another value, there is no GPU, or the Trainer is not for one of them.
    """
    if gpu is None:
        return
    if gpu != "free":
        raise ValueError(f"gpu must be free or null, got {gpu!r}")
    if external_workers:
        raise ValueError("gpu=free is for a single process: srun and torchrun give each of several its own GPU")
    if accelerator == "cpu" or devices != 1:
        raise ValueError(
            f"gpu=free is for a run on one GPU, and here trainer.accelerator is {accelerator} and trainer.devices "
            f"{devices}: choose trainer=gpu"
        )
    keep_free_gpu()


def process_count(
    device: str, workers: int | None, devices: Any, num_nodes: int = 1, strategy: Any = "auto"
) -> tuple[int, bool]:
    """Number of processes, and whether they train together, as they do where the Trainer has more than one device.

    Args:
        device: "cpu", "cuda", "mps" or "xpu".
        workers: the option; None for one process per core on a CPU, and one process on a GPU.
        devices: of the Trainer, on each machine.
        num_nodes: machines of the Trainer.
        strategy: of the Trainer.

    Raises:
        ValueError: these do not fit together, or not the processes that srun or torchrun started.
    """
    started = 1 + len(external_workers)
    count = _devices_per_machine(device, devices, started // num_nodes if started > 1 else None)
    if count * num_nodes == 1:
        if started > 1 and workers not in (None, started):
            raise ValueError(f"workers={workers}: srun or torchrun started {started} processes, leave workers out")
        if started == 1 and workers is None:
            return (cores() if device == "cpu" else 1), False
        return started if workers is None else workers, False
    if workers not in (None, count * num_nodes):
        raise ValueError(
            f"workers={workers} does not fit trainer.devices={devices}, where all devices train one HyperNet: "
            "leave workers out"
        )
    if started > 1 and started != count * num_nodes:
        raise ValueError(
            f"trainer.devices={devices} and trainer.num_nodes={num_nodes} make {count * num_nodes} processes, but srun "
            f"or torchrun started {started}: choose equal numbers"
        )
    if started == 1 and num_nodes > 1:
        raise ValueError(
            f"trainer.num_nodes={num_nodes}: start the command on every machine, a process for each device, with srun "
            "or torchrun"
        )
    if isinstance(strategy, str) and (strategy == "auto" or strategy.startswith("ddp")) and strategy != FINDS_UNUSED:
        raise ValueError(
            f"trainer.strategy={strategy}: an architecture leaves weights unused, for which processes would wait "
            f"without end: use {FINDS_UNUSED}"
        )
    return count * num_nodes, True


def _devices_per_machine(device: str, devices: Any, started: int | None) -> int:
    if devices in (-1, "-1", "auto"):
        return started or _available(device)
    if not isinstance(devices, int) or devices < 1:
        raise ValueError(
            f"trainer.devices={devices}: give a number of at least 1, and choose GPUs by CUDA_VISIBLE_DEVICES"
        )
    if device != "cpu" and not started and devices > _available(device):
        raise ValueError(f"trainer.devices={devices}: this machine has {_available(device)} GPUs")
    return devices


def _available(device: str) -> int:
    return torch.get_device_module(device).device_count() if device in ("cuda", "xpu") else 1
