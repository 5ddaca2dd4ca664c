"""Several processes that srun or torchrun started with one command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from smash_lightning.engine.launcher_environment import launcher_environment


@contextmanager
def coordinating() -> Iterator[None]:
    """The first process continues inside; the others work for it, and exit when it ends."""
    place = launcher_environment(os.environ)
    if place is None:
        yield
        return
    from smash_lightning.engine.external import coordinate, work

    if not place.first:
        os._exit(work(place))  # threads that wait for other processes would block an ordinary exit
    with coordinate(place):
        yield
