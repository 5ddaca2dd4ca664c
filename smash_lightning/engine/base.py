"""What all engines have in common: jobs for processes, repeated where one died, until a request to stop."""

import math
import pickle
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field

from smash_lightning.engine.attempts import Attempts
from smash_lightning.engine.stop_requests import Stopped, seconds_to_save, stop_requested
from smash_lightning.engine.work import (
    CHUNK_SECONDS,
    Cause,
    Failure,
    Function,
    OnMessage,
    Outcomes,
    failure,
    threads,
)
from smash_lightning.option_types import require_bounds

Job = TypeVar("Job")
Result = TypeVar("Result")
MOST = 10_000  # workers, threads, repetitions
Count = Annotated[int, Field(gt=0, le=MOST)]
POLL_SECONDS = 0.2  # between checks for messages and for a request to stop


@dataclass(frozen=True)
class Engine(ABC):
    """Runs jobs in processes.

    Args:
        workers: number of processes; None where the device decides, see `stages.trainers.engine_for`.
        threads: of each worker, also of this process where it is the only one: sums over other numbers of threads
            differ in the last digit, and so results do not depend on `workers`.
        retries: how often a job is repeated that lacked memory, or whose process or device failed. A job that raises
            another error is not. A process that dies at its start costs no repetition; more than
            `workers * (retries + 1)` of them in a row are an error of the pool.
        device: of the jobs: "cpu", "cuda", "mps" or "xpu".
    """

    workers: Count | None = None
    threads: Count = 1
    retries: Annotated[int, Field(ge=0, le=MOST)] = 2
    device: str = "cpu"
    pool_class: ClassVar[type["Pool[Any, Any]"]]
    alone_here: ClassVar[bool] = True  # whether a single worker is this process

    def __post_init__(self) -> None:
        require_bounds(self, "engine")

    @abstractmethod
    def default_workers(self) -> int:
        """Number of workers where none is given."""

    def pool(
        self, function: Function, context: Any, on_message: OnMessage = lambda index, message: None
    ) -> "Pool[Any, Any]":
        """A pool of workers for `function(context, job, send)`.

        Args:
            function: at the top level of a module.
            context: first argument of all jobs, sent to each worker once.
            on_message: called in this process with a job's position and what the job gave to `send`.
        """
        return self.pool_class(self, function, context, on_message)


class Pool(ABC, Generic[Job, Result]):
    """Workers for many jobs of one function."""

    def __init__(self, engine: Engine, function: Function, context: Any, on_message: OnMessage) -> None:
        self.engine, self.function, self.context, self.on_message = engine, function, context, on_message
        self.workers = engine.workers or 1
        self._busy: dict[Any, list[tuple[int, Job]]] = {}  # the jobs of each worker that has some
        self._seconds = CHUNK_SECONDS  # of a job, as measured last
        self._attempts = self._new_attempts()

    def __enter__(self) -> "Pool[Job, Result]":
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None or stop_requested():
            self._end_workers()
            self._busy.clear()

    def run(
        self, jobs: Sequence[Job], repeated: Callable[[Job], bool] = lambda job: True
    ) -> Iterator[tuple[int, Result | Failure]]:
        """Yields each job's position with its result or failure, in the order in which they end.

        Args:
            jobs: to be run.
            repeated: whether a job that lacks memory is repeated after the others, see `Engine`.

        Raises:
            Stopped: after a request to stop, when jobs in progress have saved their state.
        """
        attempts = self._attempts = self._new_attempts()
        here = self.workers == 1 and self.engine.alone_here
        waiting = deque(enumerate(jobs))
        for index, outcome in self._run_here(waiting) if here else self._run_in_workers(waiting):
            may_pass = isinstance(outcome, Failure) and outcome.cause.may_pass and repeated(jobs[index])
            if may_pass and attempts.repeat(index):
                waiting.append((index, jobs[index]))
            else:
                yield index, outcome

    def results(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """The same for jobs of which none may fail.

        Args:
            jobs: to be run.
            what: describes the job at a position, for error messages.

        Raises:
            RuntimeError: one failed, or OSError where it could not read or write a file.
            Stopped: as in `run`.
        """
        for position, outcome in self.run(jobs):
            if isinstance(outcome, Failure):
                raise outcome.exception(what(position))
            yield position, outcome

    def ordered_results(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[Result]:
        """Yields each result as soon as those of the jobs before it have been yielded; raises as `results`."""
        found: dict[int, Result] = {}
        following = 0
        for position, result in self.results(jobs, what):
            found[position] = result
            while following in found:
                yield found.pop(following)
                following += 1

    def together(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """Does each job by all workers as ranks, one job after the other; result and messages are those of rank 0.

        The ranks are new processes, which do all the jobs unless one dies; then the job is repeated, as in `run`.

        Raises:
            RuntimeError: a rank failed.
            Stopped: as in `run`.
        """
        attempts = self._attempts = self._new_attempts()
        waiting = list(enumerate(jobs))
        while waiting:
            if stop_requested():
                raise Stopped
            reason = ""
            for index, kind, content in self._sent_by_ranks(waiting):
                if kind == "result":
                    waiting.pop(0)
                    yield index, content
                elif kind == "failure":
                    raise content.exception(what(index))
                else:
                    reason = content
            if waiting and not stop_requested():
                index = waiting[0][0]
                if not attempts.repeat(index):
                    raise RuntimeError(f"{what(index)}: {attempts.lost(index, reason)}")

    def _sent_by_ranks(self, waiting: Sequence[tuple[int, Job]]) -> Iterator[tuple[int, str, Any]]:
        """Results, and at last how a rank died, or else the first failure; forwards messages."""
        ends: list[tuple[int, str, Any]] = []
        deadline = math.inf
        with closing(self._ranks(waiting)) as events:
            for event in events:
                index, kind, content = event
                if kind == "message":
                    self._forward(index, content)
                elif kind == "result":
                    yield event
                elif kind != "nothing":
                    ends.append(event)
                if stop_requested() and deadline == math.inf:
                    self._request_stop()
                    deadline = time.monotonic() + seconds_to_save()
                if time.monotonic() > deadline:
                    break
        yield from sorted(ends, key=lambda event: event[1] != "died")[:1]

    @abstractmethod
    def _ranks(self, waiting: Sequence[tuple[int, Job]]) -> Generator[tuple[int, str, Any]]:
        """Starts ranks for jobs with their positions, and ends them when it is closed.

        Yields what they send: the position of a job, "message", "result" or "failure", and content. In addition "died"
        with the reason, and from time to time "nothing".
        """

    @abstractmethod
    def _start(self, chunk: list[tuple[int, Job]]) -> Any:
        """Gives jobs to a worker without any, and returns it; None where there is no such worker yet."""

    @abstractmethod
    def _wait(self) -> Iterator[tuple[Any, Outcomes | Exception]]:
        """Waits a while, forwards messages, and yields busy workers that ended, with outcomes or how they died."""

    @abstractmethod
    def _request_stop(self) -> None:
        """Makes `stop_requested` true in busy workers."""

    @abstractmethod
    def _end_workers(self) -> None:
        """Ends all workers, whatever they are doing."""

    def _run_here(self, waiting: deque[tuple[int, Job]]) -> Iterator[tuple[int, Result | Failure]]:
        while waiting:
            if stop_requested():
                raise Stopped
            index, job = waiting.popleft()
            with threads(self.engine.threads):
                outcome = self._outcome_here(index, job)
            yield index, outcome

    def _outcome_here(self, index: int, job: Job) -> Result | Failure:
        try:
            return self.function(self.context, job, partial(self._forward, index))
        except SystemExit as end:  # Lightning's reaction to signals
            if stop_requested():
                raise Stopped from None
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            return failure(end)
        except Exception as error:
            return failure(error)

    def _run_in_workers(self, waiting: deque[tuple[int, Job]]) -> Iterator[tuple[int, Result | Failure]]:
        deadline = None
        while waiting or self._busy:
            if stop_requested() and deadline is None:
                self._request_stop()
                deadline = time.monotonic() + seconds_to_save()
            if deadline is not None and (not self._busy or time.monotonic() > deadline):
                raise Stopped
            while waiting and deadline is None and len(self._busy) < self.workers:
                chunk = self._chunk(waiting)
                if (worker := self._start(chunk)) is None:
                    waiting.extendleft(reversed(chunk))
                    break
                self._busy[worker] = chunk
            for worker, ended in self._wait():
                chunk = self._busy.pop(worker)
                if isinstance(ended, Outcomes):
                    self._seconds = ended.seconds
                    waiting.extendleft(pair for pair in reversed(chunk) if pair[0] not in ended.packed)
                    yield from ((index, pickle.loads(outcome)) for index, outcome in ended.packed.items())
                elif not stop_requested():  # otherwise the same signal may have killed it, which is no failure
                    yield from self._repeat(chunk, waiting, str(ended))
        if deadline is not None:
            raise Stopped

    def _chunk(self, waiting: deque[tuple[int, Job]]) -> list[tuple[int, Job]]:
        """The next jobs for one worker; one whose process died goes alone, as it may be the cause."""
        share = -(-len(waiting) // self.workers)
        size = min(share, int(CHUNK_SECONDS / max(self._seconds, 1e-6)))
        chunk = [waiting.popleft()]
        while len(chunk) < size and not self._attempts.have_failed(chunk[0][0], waiting[0][0]):
            chunk.append(waiting.popleft())
        return chunk

    def _repeat(
        self, chunk: list[tuple[int, Job]], waiting: deque[tuple[int, Job]], reason: str
    ) -> Iterator[tuple[int, Failure]]:
        for index, job in reversed(chunk):
            if self._attempts.repeat(index, alone=len(chunk) == 1):
                waiting.appendleft((index, job))
            else:
                yield index, Failure(self._attempts.lost(index, reason), "", Cause.MEMORY)

    def _new_attempts(self) -> Attempts:
        return Attempts(self.engine.retries, self.workers)

    def _forward(self, index: int, message: Any) -> None:
        if self._attempts.is_new(index, message):
            self.on_message(index, message)
