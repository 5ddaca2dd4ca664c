"""Several processes that srun or torchrun started with one command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from smash_lightning.engine.launcher_environment import launcher_environment


@contextmanager
def coordinating() -> Iterator[None]:
    """The first process continues inside; the others work for it, and exit when it ends."""
    launcher = launcher_environment(os.environ)
    if launcher is None:
        yield
        return
    from smash_lightning.engine.external import coordinate, work

    if not launcher.first:
        os._exit(work(launcher))  # threads that wait for other processes would block an ordinary exit
    with coordinate(launcher):
        yield
