"""Worker processes that this process starts on its own machine."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

from smash_lightning.engine.external import external_workers
from smash_lightning.engine.worker import IGNORED, main


class SpawnedWorker:
    """A spawned process on this machine."""

    def __init__(self, inherited: _Inherited) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, other_end = spawn.Pipe()
        self.inherited = inherited
        self.node, self.local, self.reports, self.share = 0, inherited.local, True, 1
        # Daemons end with this process; if it is killed, they end when the pipe breaks.
        args = (other_end, inherited.threads, inherited.local)
        self.process: BaseProcess = spawn.Process(target=main, args=args, daemon=True)
        with _blocked_signals():
            self.process.start()
        _running.append(self)
        other_end.close()

    def exit_reason(self) -> str:
        """Message for a broken connection."""
        return f"its process died with exit code {self.process.exitcode}, perhaps for lack of memory"

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self.connection.close()
        self.process.kill()  # it ignores other signals, and may wait for other ranks
        self.process.join()
        if self in _running:
            _running.remove(self)

    def release(self) -> None:
        """Keeps the process for the next pool: starting one takes as long as dozens of scores."""
        _available.append(self)


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Blocks signals while a process starts, until it ignores them itself; without effect on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it before the first process, and then unblocks SIGTERM
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, slots=True)
class _Inherited:
    """Everything that a process inherits from the one that starts it."""

    local: int
    threads: int
    folder: str
    path: tuple[str, ...]
    environment: frozenset[tuple[str, str]]


_running: list[SpawnedWorker] = []
_available: list[SpawnedWorker] = []  # without work, until a pool uses them


def spawned_worker(count: int, local: int) -> SpawnedWorker:
    """A new process, or an available one that was started in the same state."""
    sharing = max(1, count - sum(worker.node > 0 for worker in external_workers))
    threads = max(1, _threads() // sharing)
    inherited = _Inherited(local, threads, os.getcwd(), tuple(sys.path), frozenset(os.environ.items()))
    candidates = [worker for worker in _available if worker.local == local]
    for worker in candidates:
        _available.remove(worker)
        if worker.inherited == inherited and worker.process.is_alive():
            return worker
        worker.stop()
    return SpawnedWorker(inherited)


def _threads() -> int:
    import torch  # takes seconds

    return torch.get_num_threads()


@atexit.register
def stop_workers() -> None:
    """Ends all spawned processes; at the exit of this process, multiprocessing would wait for them."""
    _available.clear()
    while _running:
        _running[-1].stop()
