"""Which GPU is for this run?"""

from __future__ import annotations

from typing import Any

from smash_lightning.engine.external import external_workers
from smash_lightning.engine.free_gpu import keep_free_gpu


def choose_gpu(gpu: Any, accelerator: str, devices: Any) -> None:
    """Takes a free GPU where one is asked for, before anything uses CUDA.

    Args:
        gpu: the option: "free", or None for those that CUDA shows.
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
