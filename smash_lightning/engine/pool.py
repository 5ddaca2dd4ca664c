"""A pool of worker processes, for independent jobs or for jobs of all ranks together."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, TypeVar

from smash_lightning.engine.external import ExternalWorker, external_workers, free_port, host
from smash_lightning.engine.ranks import Rank
from smash_lightning.engine.spawned import SpawnedWorker, spawned_worker
from smash_lightning.engine.stop_requests import Stopped, seconds_to_save, stop_requested
from smash_lightning.engine.worker import Failure, failure, receive, send

Job = TypeVar("Job")
Result = TypeVar("Result")
Send = Callable[[Any], None]

POLL_SECONDS = 0.2  # between checks for a request to stop
FAILURE_GRACE_SECONDS = 1.0  # to collect further failures after the first of several ranks, which may not be the cause


class Pool(Generic[Job, Result]):
    """Runs `function(context, job, send)` for many jobs.

    With one worker, jobs run in this process, in order. With more, each worker is another process, which receives
    `context` once; messages of a job by `send` are passed to `on_message` in this process. Workers are external ones,
    see `external`, or else spawned ones, each with its share of the cores, which later pools reuse.

    Args:
        function: a function at the top level of a module.
        context: first argument of all jobs.
        workers: number of processes.
        on_message: called with a job's position and its message.
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
        for worker in self._idle:
            worker.release() if kind is None else worker.stop()
        for worker, _ in self._busy.values():
            worker.stop()
        self._idle.clear()
        self._busy.clear()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failure]]:
        """Yields each job's position with its result or failure, in the order in which they end.

        Raises:
            Stopped: after a request to stop, when jobs in progress have saved their state.
            RuntimeError: an external worker is gone.
        """
        if self.workers == 1:
            for index, job in enumerate(jobs):
                if stop_requested():
                    raise Stopped
                yield index, self._run_here(index, job)
            return
        waiting = deque(enumerate(jobs))
        while waiting or self._busy:
            if waiting and not self._busy and stop_requested():
                raise Stopped
            while waiting and len(self._busy) < self.workers:
                self._assign(self._idle.pop() if self._idle else self._new_worker(), *waiting.popleft())
            for worker, index, outcome in self._outcomes():
                if isinstance(outcome, Failure) and isinstance(worker, ExternalWorker) and worker.closed:
                    raise RuntimeError(outcome.reason)
                yield index, outcome

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
            yield position, _result(outcome, what(position))

    def together(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """Runs each job on all workers as ranks, one job after the other; the result is that of rank 0.

        A worker that fails or dies ends the job for all.

        Raises:
            RuntimeError: one failed or died.
            Stopped: as in `run`.
        """
        for index, job in enumerate(jobs):
            if stop_requested():
                raise Stopped
            while len(self._idle) < self.workers:
                self._idle.append(self._new_worker())
            team, self._idle = self._idle, []
            for worker, rank in zip(team, ranks_of(team), strict=True):
                self._assign(worker, index, job, rank)
            ended: dict[_Worker, Any] = {}
            deadline = math.inf
            while self._busy and time.monotonic() < deadline:
                try:
                    for worker, _, outcome in self._outcomes():
                        ended[worker] = outcome
                except Stopped:
                    _require_success(ended, what(index))  # a rank could not save
                    raise
                if deadline == math.inf and any(isinstance(outcome, Failure) for outcome in ended.values()):
                    deadline = time.monotonic() + FAILURE_GRACE_SECONDS
            _require_success(ended, what(index))
            yield index, next(outcome for worker, outcome in ended.items() if worker.reports)

    def _run_here(self, index: int, job: Job) -> Result | Failure:
        try:
            return self.function(self.context, job, lambda message: self.on_message(index, message))
        except SystemExit as end:  # Lightning's reaction to signals
            if stop_requested():
                raise Stopped from None
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            return failure(end)
        except Exception as error:
            return failure(error)

    def _new_worker(self) -> _Worker:
        present = [*self._idle, *(worker for worker, _ in self._busy.values())]
        taken = {worker.local for worker in present if worker.node == 0}
        local = next(index for index in itertools.count() if index not in taken)
        # The first one is always spawned, as this process, the coordinator, must be free to receive messages.
        worker = external_workers.pop(0) if local and external_workers else spawned_worker(self.workers, local)
        with suppress(OSError):  # a dead worker is detected when it is polled
            send(worker.connection, "context", self.function, self.context, worker.share)
        return worker

    def _assign(self, worker: _Worker, index: int, job: Job, rank: Rank | None = None) -> None:
        worker.reports = rank is None or rank.first
        self._busy[worker.connection] = (worker, index)
        with suppress(OSError):
            send(worker.connection, "job", job, rank)

    def _outcomes(self) -> Iterator[tuple[_Worker, int, Any]]:
        """Polls the workers once, and yields the outcomes of jobs that have ended; stops all after a request."""
        yield from self._poll()
        if not stop_requested():
            return
        for connection in self._busy:
            with suppress(OSError):
                send(connection, "stop")
        deadline = time.monotonic() + seconds_to_save()
        while self._busy and time.monotonic() < deadline:
            yield from self._poll()
        raise Stopped

    def _poll(self) -> Iterator[tuple[_Worker, int, Any]]:
        for connection in wait(list(self._busy), POLL_SECONDS):
            assert isinstance(connection, Connection)
            worker, index = self._busy[connection]
            try:
                kind, content = receive(connection)
            except (EOFError, OSError):
                del self._busy[connection]
                worker.stop()
                if not stop_requested():  # otherwise the same signal may have killed it, which is no failure
                    yield worker, index, Failure(worker.exit_reason(), "")
                continue
            if kind == "message":
                if worker.reports:
                    self.on_message(index, content)
                continue
            del self._busy[connection]
            self._idle.append(worker)
            if content is not Stopped:
                yield worker, index, content


_Worker = SpawnedWorker | ExternalWorker


def ranks_of(team: Sequence[_Worker]) -> list[Rank]:
    """The ranks of processes that do a job together.

    Raises:
        RuntimeError: machines differ in their number of processes.
    """
    nodes = 1 + max(worker.node for worker in team)
    per_node, rest = divmod(len(team), nodes)
    if rest or {(worker.node, worker.local) for worker in team} != {divmod(i, per_node) for i in range(len(team))}:
        counts = [sum(worker.node == node for worker in team) for node in range(nodes)]
        raise RuntimeError(f"machines must have equally many processes, not {counts}")
    address, port = host() if nodes > 1 else "127.0.0.1", free_port()
    return [Rank(worker.node, worker.local, nodes, per_node, address, port) for worker in team]


def _require_success(ended: Mapping[_Worker, Any], what: str) -> None:
    failures = {worker: outcome for worker, outcome in ended.items() if isinstance(outcome, Failure)}
    if failures:
        names = {f"process {worker.local} of machine {worker.node}": each for worker, each in failures.items()}
        reasons = "; ".join(f"{name}: {each.reason}" for name, each in names.items())
        details = "\n".join(f"{name}: {each.details}" for name, each in names.items() if each.details)
        raise RuntimeError(f"{what}: {reasons}\n{details}")


def _result(outcome: Any, what: str) -> Any:
    if isinstance(outcome, Failure):
        raise RuntimeError(f"{what}: {outcome.reason}\n{outcome.details}")
    return outcome
