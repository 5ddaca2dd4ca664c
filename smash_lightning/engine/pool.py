"""Independent jobs for several processes, so that a job that dies takes nothing with it; or one for all together."""

from __future__ import annotations

import atexit
import itertools
import math
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch

from smash_lightning.engine.external import Joined, free_port, host, joined
from smash_lightning.engine.ranks import Rank
from smash_lightning.engine.stop_requests import Stopped, seconds_to_save, stop_requested
from smash_lightning.engine.worker import IGNORED, Failure, failure, receive, send, spawned

Job = TypeVar("Job")
Result = TypeVar("Result")
Send = Callable[[Any], None]

GLANCE = 0.2  # seconds between looks at whether the run is asked to stop
ECHO = 1.0  # seconds to hear of other failures, when one process of several fails: which one was the first is not known


class Pool(Generic[Job, Result]):
    """Runs `function(context, job, send)` for many jobs.

    With one worker jobs run in this process, in order. With more, each worker is another process, which receives
    `context` once; what a job passes to `send` reaches `on_message` in this process. Workers are those that joined this
    process, see `external`, or else fresh ones, each with its share of the cores, that later pools use again.

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
        for worker in self._idle:
            worker.release() if kind is None else worker.stop()
        for worker, _ in self._busy.values():
            worker.stop()
        self._idle.clear()
        self._busy.clear()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result | Failure]]:
        """Yields each job's position with its result or failure, in the order in which they end.

        Raises:
            Stopped: the run was asked to stop, and jobs in progress have saved what they could.
            RuntimeError: a process that had joined this one is gone.
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
                self._give(self._idle.pop() if self._idle else self._recruit(), *waiting.popleft())
            for worker, index, outcome in self._ended():
                if isinstance(outcome, Failure) and isinstance(worker, Joined) and worker.gone:
                    raise RuntimeError(outcome.reason)
                yield index, outcome

    def results(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """The same for jobs of which none may fail.

        Args:
            jobs: what to run.
            what: names the job at a position, for the message.

        Raises:
            RuntimeError: one failed.
            Stopped: as in `run`.
        """
        for position, outcome in self.run(jobs):
            yield position, _result(outcome, what(position))

    def together(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """Lets all workers do each job together, one job after the other; the result is that of the first rank.

        Whoever fails or dies ends the job for all.

        Raises:
            RuntimeError: one failed or died.
            Stopped: as in `run`.
        """
        for index, job in enumerate(jobs):
            if stop_requested():
                raise Stopped
            while len(self._idle) < self.workers:
                self._idle.append(self._recruit())
            team, self._idle = self._idle, []
            for worker, rank in zip(team, ranks_of(team), strict=True):
                self._give(worker, index, job, rank)
            ended: dict[_Worker, Any] = {}
            until = math.inf
            while self._busy and time.monotonic() < until:
                try:
                    for worker, _, outcome in self._ended():
                        ended[worker] = outcome
                except Stopped:
                    _require_all(ended, what(index))  # one that could not save
                    raise
                if until == math.inf and any(isinstance(outcome, Failure) for outcome in ended.values()):
                    until = time.monotonic() + ECHO
            _require_all(ended, what(index))
            yield index, next(outcome for worker, outcome in ended.items() if worker.speaks)

    def _run_here(self, index: int, job: Job) -> Result | Failure:
        try:
            return self.function(self.context, job, lambda message: self.on_message(index, message))
        except SystemExit as end:  # Lightning's answer to signals
            if stop_requested():
                raise Stopped from None
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            return failure(end)
        except Exception as error:
            return failure(error)

    def _recruit(self) -> _Worker:
        present = [*self._idle, *(worker for worker, _ in self._busy.values())]
        taken = {worker.local for worker in present if worker.node == 0}
        place = next(local for local in itertools.count() if local not in taken)
        # The first one is always made here: this process must stay free to listen.
        worker = joined.pop(0) if place and joined else _spawned(self.workers, place)
        with suppress(OSError):  # that it has died is noticed when it is listened to
            send(worker.connection, "context", self.function, self.context, worker.share)
        return worker

    def _give(self, worker: _Worker, index: int, job: Job, rank: Rank | None = None) -> None:
        worker.speaks = rank is None or rank.first
        self._busy[worker.connection] = (worker, index)
        with suppress(OSError):
            send(worker.connection, "job", job, rank)

    def _ended(self) -> Iterator[tuple[_Worker, int, Any]]:
        """Listens for a moment, and yields the outcomes of jobs that have ended."""
        yield from self._heard()
        if not stop_requested():
            return
        for connection in self._busy:
            with suppress(OSError):
                send(connection, "stop")
        deadline = time.monotonic() + seconds_to_save()
        while self._busy and time.monotonic() < deadline:
            yield from self._heard()
        raise Stopped

    def _heard(self) -> Iterator[tuple[_Worker, int, Any]]:
        for connection in wait(list(self._busy), GLANCE):
            assert isinstance(connection, Connection)
            worker, index = self._busy[connection]
            try:
                kind, content = receive(connection)
            except (EOFError, OSError):
                del self._busy[connection]
                worker.stop()
                if not stop_requested():  # then whoever asked may have killed it, and the job is no failure
                    yield worker, index, Failure(worker.how_it_died(), "")
                continue
            if kind == "message":
                if worker.speaks:
                    self.on_message(index, content)
                continue
            del self._busy[connection]
            self._idle.append(worker)
            if content is not Stopped:
                yield worker, index, content


class _Spawned:
    """A process of its own on this machine, the `local`-th of `count`."""

    def __init__(self, inherited: _Inherited) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.inherited = inherited
        self.node, self.local, self.speaks, self.share = 0, inherited.local, True, 1
        # Daemons end with this process; should it be killed, they end when the pipe breaks.
        args = (theirs, inherited.threads, inherited.local)
        self.process: BaseProcess = spawn.Process(target=spawned, args=args, daemon=True)
        with _signals_blocked():
            self.process.start()
        _living.append(self)
        theirs.close()

    def how_it_died(self) -> str:
        """What can be said once its connection broke."""
        return f"its process died with exit code {self.process.exitcode}, perhaps for lack of memory"

    def stop(self) -> None:
        """Ends it, whatever it is doing."""
        self.connection.close()
        self.process.kill()  # it ignores requests, and one that waits for other ranks could not hear
        self.process.join()
        if self in _living:
            _living.remove(self)

    def release(self) -> None:
        """Keeps it for the next pool: to make one takes as long as dozens of scores."""
        _resting.append(self)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process that is started inside receives no signal before it ignores them itself; not on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, slots=True)
class _Inherited:
    """All that a process has from the one that makes it."""

    local: int
    threads: int
    folder: str
    path: tuple[str, ...]
    environment: frozenset[tuple[str, str]]


_living: list[_Spawned] = []
_resting: list[_Spawned] = []  # without work, until a pool wants them


def _spawned(count: int, local: int) -> _Spawned:
    """A process that was made as one would be made now."""
    sharing = max(1, count - sum(one.node > 0 for one in joined))
    threads = max(1, torch.get_num_threads() // sharing)
    wanted = _Inherited(local, threads, os.getcwd(), tuple(sys.path), frozenset(os.environ.items()))
    same_place = [worker for worker in _resting if worker.local == local]
    for worker in same_place:
        _resting.remove(worker)
        if worker.inherited == wanted and worker.process.is_alive():
            return worker
        worker.stop()
    return _Spawned(wanted)


@atexit.register
def dismiss() -> None:
    """Ends all processes that were made; at the exit of this one, multiprocessing would wait for them."""
    _resting.clear()
    while _living:
        _living[-1].stop()


_Worker = _Spawned | Joined


def ranks_of(team: Sequence[_Worker]) -> list[Rank]:
    """The ranks of processes that are to do a job together.

    Raises:
        RuntimeError: machines differ in their number of processes.
    """
    nodes = 1 + max(worker.node for worker in team)
    per_node, rest = divmod(len(team), nodes)
    if rest or {(worker.node, worker.local) for worker in team} != {divmod(i, per_node) for i in range(len(team))}:
        counts = [sum(worker.node == node for worker in team) for node in range(nodes)]
        raise RuntimeError(f"machines must take part with equally many processes, not with {counts}")
    address, port = host() if nodes > 1 else "127.0.0.1", free_port()
    return [Rank(worker.node, worker.local, nodes, per_node, address, port) for worker in team]


def _require_all(ended: Mapping[_Worker, Any], what: str) -> None:
    failures = {worker: outcome for worker, outcome in ended.items() if isinstance(outcome, Failure)}
    if failures:
        places = {f"process {worker.local} of machine {worker.node}": each for worker, each in failures.items()}
        reasons = "; ".join(f"{place}: {each.reason}" for place, each in places.items())
        details = "\n".join(f"{place}: {each.details}" for place, each in places.items() if each.details)
        raise RuntimeError(f"{what}: {reasons}\n{details}")


def _result(outcome: Any, what: str) -> Any:
    if isinstance(outcome, Failure):
        raise RuntimeError(f"{what}: {outcome.reason}\n{outcome.details}")
    return outcome
