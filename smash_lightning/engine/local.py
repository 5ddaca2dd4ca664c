"""Processes of this machine: an executor for each worker, so that a process that dies ends no other's job."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_processes
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only  # Lightning's own, without importing Lightning

from smash_lightning.engine.base import (
    LOST,
    POLL_SECONDS,
    Engine,
    Failure,
    Function,
    Job,
    OnMessage,
    Outcomes,
    Pool,
    Result,
    WorkerDied,
    cores,
    failure,
    outcomes,
    set_rank_options,
)
from smash_lightning.engine.stop_requests import SIGNALS, Stopped, request_stop, seconds_to_save, stop_requested

SPAWN = multiprocessing.get_context("spawn")


class Local(Engine):
    """Processes of this machine, each with one of its GPUs."""

    def default_workers(self) -> int:
        """One for each core on a CPU, one on a GPU."""
        return cores() if self.device == "cpu" else 1

    def pool(
        self, function: Function, context: Any, on_message: OnMessage = lambda index, message: None
    ) -> LocalPool[Any, Any]:
        """See `Engine`. Workers are kept for later pools: starting one takes as long as dozens of scores."""
        return LocalPool(self, function, context, on_message)


class Worker:
    """A process, which waits for jobs.

    Args:
        engine: it is of.
        slot: index among its workers.
    """

    def __init__(self, engine: Engine, slot: int) -> None:
        self.slot, self.state = slot, inherited(engine)
        self.connection, self._end = SPAWN.Pipe()
        arguments = (self._end, engine.threads, own_gpu(engine.device, slot))
        self.executor = ProcessPoolExecutor(1, SPAWN, prepare, arguments)
        self.call = b""  # function and context that the process has
        self.future: Future[Outcomes] = Future()

    def start(self, call: bytes, chunk: bytes) -> None:
        """Starts jobs, and first the process."""
        try:
            with blocked_signals():
                self.future = self.executor.submit(work, None if call is self.call else call, chunk)
        except BrokenProcessPool as died:  # while it had no job
            self.future = Future()
            self.future.set_exception(died)
        self.call = call
        self._end.close()

    def messages(self) -> Iterator[Any]:
        """What has arrived from the process."""
        yield from received(self.connection)

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        self.connection.close()
        self.executor.shutdown()


kept: list[Worker] = []  # without a job, until a pool uses them


class LocalPool(Pool[Job, Result]):
    """See `Pool`."""

    def __init__(self, engine: Engine, function: Function, context: Any, on_message: OnMessage) -> None:
        super().__init__(engine, function, context, on_message)
        self._call = b""

    def _start(self, chunk: list[tuple[int, Job]]) -> Worker:
        self._call = self._call or pickle.dumps((self.function, self.context))
        worker = self._free_worker()
        worker.start(self._call, pickle.dumps(chunk))
        return worker

    def _free_worker(self) -> Worker:
        used = {worker.slot for worker in self._busy}
        slot = next(slot for slot in range(self.workers) if slot not in used)
        for worker in [worker for worker in kept if worker.slot == slot]:
            kept.remove(worker)
            if worker.state == inherited(self.engine):
                return worker
            worker.end()
        return Worker(self.engine, slot)

    def _wait(self) -> Iterator[tuple[Worker, Outcomes | WorkerDied]]:
        wait([worker.future for worker in self._busy], POLL_SECONDS, FIRST_COMPLETED)
        ended = [worker for worker in self._busy if worker.future.done()]
        for worker in self._busy:
            for index, message in worker.messages():  # all of those that have ended, as they sent them before
                self._forward(index, message)
        for worker in ended:
            try:
                done = worker.future.result()
                outcome: Outcomes | WorkerDied = Outcomes(
                    [(index, pickle.loads(each)) for index, each in done.by_position], done.seconds
                )
                kept.append(worker)
            except BrokenProcessPool as error:
                worker.end()
                outcome = WorkerDied(str(error))
            except Exception as error:  # of a context that cannot be read there
                kept.append(worker)
                outcome = Outcomes([(index, failure(error)) for index, _ in self._busy[worker]], 1.0)
            yield worker, outcome

    def _request_stop(self) -> None:
        for worker in self._busy:
            with suppress(OSError):
                worker.connection.send_bytes(b"stop")

    def _end_workers(self) -> None:
        for worker in [*self._busy, *kept]:
            worker.end()
        kept.clear()

    def together(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """See `Pool`. The ranks are new processes, which do all the jobs unless one dies."""
        waiting, deaths = list(enumerate(jobs)), Counter[int]()
        while waiting:
            if stop_requested():
                raise Stopped
            ends = [SPAWN.Pipe() for _ in range(self.workers)]
            mine, other = zip(*ends, strict=True)
            try:
                for index, outcome in self._ranks(mine, other, waiting):
                    if isinstance(outcome, Failure):
                        raise RuntimeError(f"{what(index)}: {outcome.reason}\n{outcome.details}")
                    if not isinstance(outcome, WorkerDied):
                        waiting.pop(0)
                        yield index, outcome
                        continue
                    deaths[index] += 1
                    self._forget(index)
                    if deaths[index] > self.engine.retries:
                        raise RuntimeError(f"{what(index)}: {LOST.format(deaths[index], outcome)}")
            finally:
                for connection in mine:
                    connection.close()  # which ends the ranks

    def _ranks(
        self, mine: Sequence[Connection], other: Sequence[Connection], waiting: Sequence[tuple[int, Job]]
    ) -> Iterator[tuple[int, Any]]:
        """Starts ranks for the waiting jobs; yields positions and results, at last perhaps a failure or a death."""
        from torch.multiprocessing.spawn import start_processes

        ports = [free_port() for _ in waiting]
        call = pickle.dumps((self.function, self.context))
        arguments = (other, self.engine.threads, call, pickle.dumps(waiting), ports)
        with blocked_signals():
            team = start_processes(rank, arguments, self.workers, join=False)
        for end in other:
            end.close()
        index, failures, deadline = waiting[0][0], dict[int, Failure](), float("inf")
        codes: list[int | None] = [None]
        while not any(codes) and None in codes and time.monotonic() < deadline:
            wait_for_processes(team.sentinels, POLL_SECONDS)
            codes = [process.exitcode for process in team.processes]
            for number, connection in enumerate(mine):
                for index, kind, content in received(connection):
                    if kind == "result":
                        yield index, content
                    elif kind == "message":
                        self._forward(index, content)
                    else:
                        failures[number] = content
            if stop_requested() and deadline == float("inf"):
                deadline = time.monotonic() + seconds_to_save()
                for connection in mine:
                    with suppress(OSError):
                        connection.send_bytes(b"stop")
        killed = {number: -code for number, code in enumerate(codes) if code is not None and code < 0}
        if failures and not killed:
            reasons = "; ".join(f"process {number}: {each.reason}" for number, each in failures.items())
            yield index, Failure(reasons, "\n".join(each.details for each in failures.values()))
        elif stop_requested():
            raise Stopped
        elif any(codes):
            yield index, WorkerDied(", ".join(f"process {number} by signal {code}" for number, code in killed.items()))


def received(connection: Connection) -> Iterator[Any]:
    """What has arrived; ends also where the other end is closed."""
    with suppress(EOFError, OSError):
        while connection.poll():
            yield pickle.loads(connection.recv_bytes())


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inherited(engine: Engine) -> tuple[Any, ...]:
    """Everything that a worker has from the moment of its start."""
    return engine.threads, engine.device, os.getcwd(), tuple(sys.path), frozenset(os.environ.items())


def own_gpu(device: str, slot: int) -> dict[str, str]:
    """The variable that makes one GPU visible to a process; nothing on other devices."""
    import torch

    if (name := {"cuda": "CUDA_VISIBLE_DEVICES", "xpu": "ZE_AFFINITY_MASK"}.get(device)) is None:
        return {}
    count = torch.get_device_module(device).device_count()
    visible = os.environ.get(name) or ",".join(map(str, range(count)))
    return {name: visible.split(",")[slot % count]}


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Processes that are started here never receive a request to stop, which this process passes on to them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it before the first process, and then unblocks SIGTERM
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, *SIGNALS))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process:
    """State of this worker process."""

    function: Function
    context: Any
    connection: Connection


def prepare(connection: Connection, threads: int, environment: dict[str, str]) -> None:
    """Prepares a worker process; `environment` is set before CUDA starts."""
    os.environ.update(environment)
    import torch

    torch.set_num_threads(threads)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # whatever a scheduler's variables say
    _Process.connection = connection
    atexit.register(os._exit, 0)  # without the finalization of libraries, which costs time and may wait for threads
    threading.Thread(target=listen, args=(connection,), daemon=True).start()


def listen(connection: Connection) -> None:
    """Receives requests to stop; ends this process when the one that started it is gone, for whatever reason."""
    with suppress(EOFError, OSError):
        while connection.recv_bytes():
            request_stop()
    os._exit(1)


def work(call: bytes | None, chunk: bytes) -> Outcomes:
    """Runs jobs. All travels by value: tensors by reference would be lost with the process that sent them."""
    if call is not None:
        _Process.function, _Process.context = pickle.loads(call)
    return outcomes(_Process.function, _Process.context, pickle.loads(chunk), send, pickle.dumps)


def send(*message: Any) -> None:
    """Sends a message to the process that started this one."""
    _Process.connection.send_bytes(pickle.dumps(message))


def rank(
    index: int, connections: Sequence[Connection], threads: int, call: bytes, jobs: bytes, ports: Sequence[int]
) -> None:
    """Does jobs as one of several ranks. Only rank 0 sends messages and results."""
    prepare(connections[index], threads, {})
    from torch import distributed

    set_rank_options(devices=len(connections), num_nodes=1)
    function, context = pickle.loads(call)
    for (position, job), port in zip(pickle.loads(jobs), ports, strict=True):
        names = {"LOCAL_RANK": index, "NODE_RANK": 0, "WORLD_SIZE": len(connections), "MASTER_PORT": port}
        os.environ.update({"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in names.items()}})
        try:
            result = function(context, job, partial(send, position, "message") if index == 0 else lambda message: None)
            if distributed.is_initialized():
                distributed.destroy_process_group()
            if index == 0:
                send(position, "result", result)
        except Stopped:
            return
        except BaseException as error:
            send(position, "failure", failure(error))
            os._exit(1)  # others may wait for this process, for which some backends would wait here
