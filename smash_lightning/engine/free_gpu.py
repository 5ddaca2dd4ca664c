"""A GPU of its own for each of several runs on one machine: the first that is free, kept until the process ends.

Counting jobs is not enough, as jobs take different times. CUDA looks once at what it may see, so a process keeps its
GPU for all its jobs. Locks are those of the operating system: a process that is killed gives its GPU back.
"""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout

VARIABLE = "CUDA_VISIBLE_DEVICES"
_kept: dict[Path, tuple[str, FileLock]] = {}  # by folder of locks: a fact about the process and of no experiment


def keep_free_gpu() -> None:
    """Lets this process see one GPU alone, which no other process has that asked for one in this way.

    Raises:
        ValueError: there is none.
    """
    folder = Path(tempfile.gettempdir()) / f"smash_lightning-gpus-{getpass.getuser()}"
    if folder not in _kept:
        os.environ[VARIABLE] = first_free(_visible(), folder)


def first_free(gpus: Sequence[str], folder: Path, pause: float = 1.0) -> str:
    """The first of some GPUs that no other process has; waits where all are taken. It is this process's to its end.

    Args:
        gpus: their names, the same in all processes.
        folder: where locks are kept.
        pause: seconds between looks.

    Raises:
        ValueError: there are no GPUs.
    """
    if not gpus:
        raise ValueError("gpu=free: torch finds no GPU here, choose trainer=cpu and leave it out")
    if folder in _kept:
        return _kept[folder][0]
    folder.mkdir(parents=True, exist_ok=True)
    waiting = False
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"{gpu}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _kept[folder] = gpu, lock
            return gpu
        if not waiting:
            print(f"waiting for one of {len(gpus)} GPUs", file=sys.stderr)
        waiting = True
        time.sleep(pause)


def _visible() -> list[str]:
    """Names of the GPUs that this process may use; without a first use of CUDA, which would fix them."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]
