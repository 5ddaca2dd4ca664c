"""Requests to stop: by SIGTERM, or by SIGUSR1 before the time limit of a SLURM job. Runs save their state and end."""

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

TIME_LIMIT = getattr(signal, "SIGUSR1", None)  # Windows has none
SIGNALS = tuple(number for number in (signal.SIGTERM, TIME_LIMIT) if number is not None)
_requested = threading.Event()
_received: list[int] = []
_handling: list[bool] = []


class Stopped(BaseException):
    """The run was requested to stop, and its state is saved. No `Exception`, so that no job handles it as an error."""


def stop_requested() -> bool:
    """Whether a job in this process should save its state and raise `Stopped`."""
    return _requested.is_set()


def request_stop() -> None:
    """Requests the jobs of this process to stop."""
    _requested.set()


def requeued(environment: Mapping[str, str]) -> str:
    """Requeues this process's SLURM job after its time limit; after a pre-emption SLURM does so by itself.

    Returns:
        The result, to be added to a message; empty where nothing was done.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None or TIME_LIMIT not in _received:
        return ""
    result = subprocess.run(["scontrol", "requeue", job], check=False, capture_output=True, text=True)
    return "; SLURM starts the job again" if result.returncode == 0 else f"; scontrol: {result.stderr.strip()}"


def seconds_to_save() -> float:
    """Time for jobs to save: less than SLURM allows after SIGTERM, more before its time limit."""
    return 100.0 if TIME_LIMIT in _received else 20.0


def _on_signal(number: int, frame: FrameType | None) -> None:
    del frame
    _received.append(number)
    _requested.set()


def install_signal_handlers() -> None:
    """Installs the handlers again after those of Lightning or Ray, which end a training or the process at SIGTERM."""
    if _handling and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _on_signal)


@contextmanager
def handling_stop_signals() -> Iterator[None]:
    """Handles the signals as requests to stop; only in the main thread of a process."""
    _received.clear()
    _handling.append(True)
    previous = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # a cluster around this process may have blocked them
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _requested.clear()
        _handling.pop()
