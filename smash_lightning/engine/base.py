"""What all engines have in common: jobs for processes, repeated where one died, until a request to stop."""

from __future__ import annotations

import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from smash_lightning.engine.stop_requests import Stopped, seconds_to_save, stop_requested

Job = TypeVar("Job")
Result = TypeVar("Result")
Send = Callable[[Any], None]
Function = Callable[[Any, Any, Send], Any]  # context, job, send
OnMessage = Callable[[int, Any], None]  # position of a job, message

POLL_SECONDS = 0.2  # between checks for messages and for a request to stop
CHUNK_SECONDS = 0.1  # short jobs travel together, as many as take about this long
LOST = "its process died {} times, perhaps for lack of memory: {}"


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Cause(Enum):
    """What a failed job lacked: nothing, so that it would fail again, or memory, or a place for its files."""

    JOB = "job"
    MEMORY = "memory"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that raised an error, or whose process died again and again."""

    reason: str
    details: str
    cause: Cause = Cause.JOB


class WorkerDied(Exception):
    """A process ended in the middle of a job."""


def failure(error: BaseException) -> Failure:
    """Reason, traceback and cause of the current error; torch reports a full disk by an error of its own."""
    chain, each = list[BaseException](), error
    while each is not None and each not in chain:
        chain.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)  # type: ignore[assignment]
    if storage := next((each for each in chain if isinstance(each, OSError)), None):
        return Failure(str(storage), traceback.format_exc(), Cause.STORAGE)
    memory = isinstance(error, MemoryError) or "memory" in f"{type(error).__name__} {error}".lower()
    cause = Cause.MEMORY if memory else Cause.JOB
    return Failure(f"{type(error).__name__}: {error}", traceback.format_exc(), cause)


@dataclass(frozen=True)
class Engine(ABC):
    """Runs jobs in processes.

    Args:
        workers: number of processes; None where the device decides, see `devices.engine_for`.
        threads: of each worker, also of this process where it is the only one: sums over other numbers of threads
            differ in the last digit, and so results do not depend on `workers`.
        retries: how often a job whose process died is repeated. A job that raises an error is not.
        device: of the jobs: "cpu", "cuda", "mps" or "xpu".
    """

    workers: int | None = None
    threads: int = 1
    retries: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("threads", 1), ("retries", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value}")

    @abstractmethod
    def default_workers(self) -> int:
        """Number of workers where none is given."""

    @abstractmethod
    def pool(
        self, function: Function, context: Any, on_message: OnMessage = lambda index, message: None
    ) -> Pool[Any, Any]:
        """A pool of workers for `function(context, job, send)`.

        Args:
            function: at the top level of a module.
            context: first argument of all jobs, sent to each worker once.
            on_message: called in this process with a job's position and what the job gave to `send`.
        """


class Pool(ABC, Generic[Job, Result]):
    """Workers for many jobs of one function. With a single worker, jobs run in this process, in order."""

    def __init__(self, engine: Engine, function: Function, context: Any, on_message: OnMessage) -> None:
        self.engine, self.function, self.context, self.on_message = engine, function, context, on_message
        self.workers = engine.workers or 1
        self._busy: dict[Any, list[tuple[int, Job]]] = {}  # the jobs of each worker that has some
        self._seconds = CHUNK_SECONDS  # of a job, as measured last
        self._last_step: dict[int, int] = {}  # of the messages of each job
        self._known_step: dict[int, int] = {}  # up to which a repeated job has sent its messages before

    def __enter__(self) -> Pool[Job, Result]:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None or stop_requested():
            self._end_workers()
            self._busy.clear()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failure]]:
        """Yields each job's position with its result or failure, in the order in which they end.

        Raises:
            Stopped: after a request to stop, when jobs in progress have saved their state.
        """
        self._last_step.clear()
        self._known_step.clear()
        yield from self._run_here(jobs) if self.workers == 1 else self._run_in_workers(jobs)

    def results(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """The same for jobs of which none may fail.

        Args:
            jobs: to be run.
            what: describes the job at a position, for error messages.

        Raises:
            RuntimeError: one failed.
            Stopped: as in `run`.
        """
        for position, outcome in self.run(jobs):
            if isinstance(outcome, Failure):
                raise RuntimeError(f"{what(position)}: {outcome.reason}\n{outcome.details}")
            yield position, outcome

    @abstractmethod
    def together(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """Runs each job on all workers as ranks, one job after the other; result and messages are those of rank 0.

        A rank that dies ends the job for all, which is repeated as in `run`.

        Raises:
            RuntimeError: a rank failed.
            Stopped: as in `run`.
        """

    @abstractmethod
    def _start(self, chunk: list[tuple[int, Job]]) -> Any:
        """Gives jobs to a worker without any, and returns it; None where there is no such worker yet."""

    @abstractmethod
    def _wait(self) -> Iterator[tuple[Any, Outcomes | WorkerDied]]:
        """Waits a while, forwards the messages of busy workers, and yields those that ended, with their outcomes."""

    @abstractmethod
    def _request_stop(self) -> None:
        """Makes `stop_requested` true in busy workers."""

    @abstractmethod
    def _end_workers(self) -> None:
        """Ends all workers, whatever they are doing."""

    def _run_here(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failure]]:
        for index, job in enumerate(jobs):
            if stop_requested():
                raise Stopped
            with threads(self.engine.threads):
                outcome = self._outcome_here(index, job)
            yield index, outcome

    def _outcome_here(self, index: int, job: Job) -> Result | Failure:
        try:
            return self.function(self.context, job, partial(self.on_message, index))
        except SystemExit as end:  # Lightning's reaction to signals
            if stop_requested():
                raise Stopped from None
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            return failure(end)
        except Exception as error:
            return failure(error)

    def _run_in_workers(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failure]]:
        waiting, deaths, deadline = deque(enumerate(jobs)), Counter[int](), None
        while waiting or self._busy:
            if stop_requested() and deadline is None:
                self._request_stop()
                deadline = time.monotonic() + seconds_to_save()
            if deadline is not None and (not self._busy or time.monotonic() > deadline):
                raise Stopped
            while waiting and deadline is None and len(self._busy) < self.workers:
                chunk = self._chunk(waiting, deaths)
                if (worker := self._start(chunk)) is None:
                    waiting.extendleft(reversed(chunk))
                    break
                self._busy[worker] = chunk
            for worker, ended in self._wait():
                chunk = self._busy.pop(worker)
                if not isinstance(ended, WorkerDied):
                    self._seconds = ended.seconds
                    done = {index for index, _ in ended.by_position}
                    waiting.extendleft(pair for pair in reversed(chunk) if pair[0] not in done)
                    yield from ended.by_position
                elif not stop_requested():  # otherwise the same signal may have killed it, which is no failure
                    yield from self._repeat(chunk, waiting, deaths, ended)
        if deadline is not None:
            raise Stopped

    def _chunk(self, waiting: deque[tuple[int, Job]], deaths: Counter[int]) -> list[tuple[int, Job]]:
        """The next jobs for one worker; one whose process died goes alone, as it may be the cause."""
        share = -(-len(waiting) // self.workers)
        size = min(share, int(CHUNK_SECONDS / max(self._seconds, 1e-6)))
        chunk = [waiting.popleft()]
        while len(chunk) < size and not deaths.keys() & {chunk[0][0], waiting[0][0]}:
            chunk.append(waiting.popleft())
        return chunk

    def _repeat(
        self, chunk: list[tuple[int, Job]], waiting: deque[tuple[int, Job]], deaths: Counter[int], died: WorkerDied
    ) -> Iterator[tuple[int, Failure]]:
        for index, job in reversed(chunk):
            deaths[index] += len(chunk) == 1
            self._forget(index)
            if deaths[index] > self.engine.retries:
                yield index, Failure(LOST.format(deaths[index], died), "", Cause.MEMORY)
            else:
                waiting.appendleft((index, job))

    def _forget(self, index: int) -> None:
        """Prepares for the repetition of a job."""
        if index in self._last_step:
            self._known_step[index] = self._last_step[index]

    def _forward(self, index: int, message: Any) -> None:
        """Passes on a message, unless it is of a step that the job had reached before its process died."""
        step = getattr(message, "step", None)
        if step is not None:
            if step <= self._known_step.get(index, -1):
                return
            self._last_step[index] = max(step, self._last_step.get(index, -1))
        self.on_message(index, message)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a worker returns: results or failures of jobs by position, and the seconds that one took on average."""

    by_position: list[tuple[int, Any]]
    seconds: float


def outcomes(
    function: Function, context: Any, chunk: Sequence[tuple[int, Any]], send: OnMessage, pack: Callable[[Any], Any]
) -> Outcomes:
    """Runs jobs in a worker process, the first one and others for a while; those that are left out have no outcome.

    Args:
        function: see `Engine.pool`.
        context: likewise.
        chunk: jobs with their positions.
        send: sends a message of the job at a position.
        pack: makes of a result what is sent; its error is the job's.
    """
    found: list[tuple[int, Any]] = []
    started = time.perf_counter()
    for index, job in chunk:
        if found and (stop_requested() or time.perf_counter() - started > CHUNK_SECONDS):
            break
        try:
            found.append((index, pack(function(context, job, partial(send, index)))))
        except Stopped:
            break
        except BaseException as error:  # SystemExit too would end the worker
            found.append((index, pack(failure(error))))
    sys.stdout.flush()  # the process may be killed at any time after this
    sys.stderr.flush()
    return Outcomes(found, (time.perf_counter() - started) / max(1, len(found)))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Computes with so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_trainer_options: dict[str, Any] = {}


def rank_options() -> dict[str, Any]:
    """Options of a Lightning Trainer in a process that does its job together with others; empty elsewhere."""
    return _trainer_options


def set_rank_options(**options: Any) -> None:
    """Sets what `rank_options` returns."""
    _trainer_options.update(options)
