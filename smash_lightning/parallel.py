"""Independent jobs in processes of their own, one at a time each, so that a job that dies takes nothing with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")
Send = Callable[[Any], None]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised, or whose process died."""

    reason: str
    details: str


class Pool(Generic[Job, Result]):
    """Runs `function(context, job, send)` for many jobs.

    With one worker jobs run in this process, in order. With more, each worker is a fresh process with its share of the
    cores, which receives `context` once; what a job passes to `send` reaches `on_message` in this process.

    Args:
        function: a function at the top of a module.
        context: what all jobs have in common.
        workers: processes.
        on_message: called with a job's position and what it sent.
    """

    def __init__(
        self,
        function: Callable[[Any, Job, Send], Result],
        context: Any,
        workers: int,
        on_message: Callable[[int, Any], None] = lambda index, message: None,
    ) -> None:
        assert workers >= 1
        self.function, self.context, self.workers, self.on_message = function, context, workers, on_message
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, int]] = {}

    def __enter__(self) -> Pool[Job, Result]:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.stop()
        self._idle.clear()
        self._busy.clear()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failure]]:
        """Yields each job's position with its result or failure, in the order in which they end."""
        if self.workers == 1:
            for index, job in enumerate(jobs):
                yield index, self._run_here(index, job)
            return
        waiting = deque(enumerate(jobs))
        while waiting or self._busy:
            while waiting and len(self._busy) < self.workers:
                self._give(*waiting.popleft())
            for connection in wait(list(self._busy)):
                assert isinstance(connection, Connection)
                worker, index = self._busy[connection]
                kind, payload = worker.receive()
                if kind == "message":
                    self.on_message(index, payload)
                    continue
                del self._busy[connection]
                if kind == "died":
                    yield index, Failure(payload, "")
                else:
                    self._idle.append(worker)
                    yield index, payload

    def results(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """The same for jobs of which none may fail.

        Args:
            jobs: what to run.
            what: names the job at a position, for the message.

        Raises:
            RuntimeError: one failed.
        """
        for position, outcome in self.run(jobs):
            if isinstance(outcome, Failure):
                raise RuntimeError(f"{what(position)}: {outcome.reason}\n{outcome.details}")
            yield position, outcome

    def _run_here(self, index: int, job: Job) -> Result | Failure:
        try:
            return self.function(self.context, job, lambda message: self.on_message(index, message))
        except Exception as error:
            return _failure(error)

    def _give(self, index: int, job: Job) -> None:
        worker = self._idle.pop() if self._idle else _Worker(self.function, self.context, self.workers)
        worker.connection.send(job)
        self._busy[worker.connection] = (worker, index)


class _Worker:
    def __init__(self, function: Callable[..., Any], context: Any, workers: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        threads = max(1, torch.get_num_threads() // workers)
        # Daemons end with this process; should it be killed, they end when the pipe breaks.
        self.process: BaseProcess = spawn.Process(target=_work, args=(theirs, function, context, threads), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> tuple[str, Any]:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return "died", f"its process died with exit code {self.process.exitcode}, perhaps for lack of memory"

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _work(connection: Connection, function: Callable[..., Any], context: Any, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what an interruption means
    torch.set_num_threads(threads)
    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            outcome: Any = function(context, job, lambda message: connection.send(("message", message)))
        except BrokenPipeError:
            return
        except Exception as error:
            outcome = _failure(error)
        connection.send(("done", outcome))


def _failure(error: Exception) -> Failure:
    return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
