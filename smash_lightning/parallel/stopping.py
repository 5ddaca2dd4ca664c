"""A run that is asked to stop saves what it has: by SIGTERM, or by SIGUSR1 before the time that SLURM gave it is up."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_asked = threading.Event()
_by: list[signal.Signals] = []


class Stopped(BaseException):
    """The run was asked to stop, and what it had is saved. No error of a job, so nothing may take it for one."""


def asked_to_stop() -> bool:
    """Whether a job in this process should save what it has and raise `Stopped`."""
    return _asked.is_set()


def ask_to_stop() -> None:
    """Lets the jobs of this process know."""
    _asked.set()


def requeued(environment: Mapping[str, str]) -> str:
    """Has SLURM begin this process's job again, where its time ran out; after a pre-emption it does so by itself.

    Returns:
        What was done, to be added to a message; empty where nothing was.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None or signal.SIGUSR1 not in _by:
        return ""
    asked = subprocess.run(["scontrol", "requeue", job], check=False, capture_output=True, text=True)
    return "; SLURM begins the job again" if asked.returncode == 0 else f"; scontrol: {asked.stderr.strip()}"


@contextmanager
def listening() -> Iterator[None]:
    """Takes the signals for requests to stop; only in a process's main thread."""

    def hear(number: int, frame: FrameType | None) -> None:
        del frame
        _by.append(signal.Signals(number))
        _asked.set()

    _by.clear()
    earlier = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        _asked.clear()
