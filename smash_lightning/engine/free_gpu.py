"""One GPU for each of several runs on one machine: the first free one, locked until the process ends.

Counting jobs is not enough, as they take different times. CUDA reads the visible GPUs once, so a process keeps its GPU
for all its jobs. The operating system releases the lock of a process that is killed.
"""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

VARIABLE = "CUDA_VISIBLE_DEVICES"
_locked: dict[Path, tuple[str, FileLock]] = {}  # by folder of locks


def keep_free_gpu() -> None:
    """Makes one GPU visible to this process, which no other process has locked in this way.

    Raises:
        ValueError: there is none.
    """
    folder = Path(tempfile.gettempdir()) / f"smash_lightning-gpus-{getpass.getuser()}"
    if folder not in _locked:
        os.environ[VARIABLE] = first_free(_visible(), folder)


def first_free(gpus: Sequence[str], folder: Path, pause: float = 1.0) -> str:
    """Locks the first free GPU until this process ends; waits while all are locked.

    Args:
        gpus: their names, the same in all processes.
        folder: of the lock files.
        pause: seconds between attempts.

    Raises:
        ValueError: there are no GPUs.
    """
    if not gpus:
        raise ValueError("gpu=free: torch finds no GPU here, choose trainer=cpu and leave it out")
    if folder in _locked:
        return _locked[folder][0]
    folder.mkdir(parents=True, exist_ok=True)
    waiting = False
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"{gpu}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _locked[folder] = gpu, lock
            return gpu
        if not waiting:
            print(f"waiting for one of {len(gpus)} GPUs", file=sys.stderr)
        waiting = True
        time.sleep(pause)


def _visible() -> list[str]:
    """Names of the GPUs that this process may use, without initializing CUDA, which would fix them."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
