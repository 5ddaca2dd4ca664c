"""A run that is asked to stop saves what it has: by SIGTERM, or by SIGUSR1 before the time that SLURM gave it is up."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

TIME_IS_UP = "SIGUSR1"  # SLURM's warning before the end of a job's time; Windows has no such signal
SIGNALS = tuple(signal.Signals[name] for name in ("SIGTERM", TIME_IS_UP) if hasattr(signal, name))
_asked = threading.Event()
_by: list[signal.Signals] = []
_listening: list[bool] = []


class Stopped(BaseException):
    """The run was asked to stop, and what it had is saved. No error of a job, so nothing may take it for one."""


def stop_requested() -> bool:
    """Whether a job in this process should save what it has and raise `Stopped`."""
    return _asked.is_set()


def request_stop() -> None:
    """Lets the jobs of this process know."""
    _asked.set()


def requeued(environment: Mapping[str, str]) -> str:
    """Has SLURM begin this process's job again, where its time ran out; after a pre-emption it does so by itself.

    Returns:
        What was done, to be added to a message; empty where nothing was.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None or not _time_is_up():
        return ""
    asked = subprocess.run(["scontrol", "requeue", job], check=False, capture_output=True, text=True)
    return "; SLURM starts the job again" if asked.returncode == 0 else f"; scontrol: {asked.stderr.strip()}"


def seconds_to_save() -> float:
    """How long jobs may take to save: less than SLURM leaves after SIGTERM, more where it warned before its time."""
    return 100.0 if _time_is_up() else 20.0


def _time_is_up() -> bool:
    return any(number.name == TIME_IS_UP for number in _by)


def _hear(number: int, frame: FrameType | None) -> None:
    del frame
    _by.append(signal.Signals(number))
    _asked.set()


def install_signal_handlers() -> None:
    """Takes the signals back from Lightning, which ends a training at SIGTERM as if it were complete."""
    if _listening and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _hear)


@contextmanager
def handling_stop_signals() -> Iterator[None]:
    """Takes the signals for requests to stop; only in a process's main thread."""
    _by.clear()
    _listening.append(True)
    earlier = {number: signal.signal(number, _hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        _asked.clear()
        _listening.pop()
