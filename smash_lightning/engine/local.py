"""Processes of this machine: an executor for each worker, so that a process that dies ends no other's job."""

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_processes
from operator import itemgetter
from typing import Any

from smash_lightning.engine.base import POLL_SECONDS, Engine, Job, Pool, Result
from smash_lightning.engine.stop_requests import SIGNALS, request_stop
from smash_lightning.engine.work import (
    RANK_OPTIONS,
    Failure,
    Function,
    OnMessage,
    Outcomes,
    do_as_rank,
    failed,
    outcomes,
    prepare_process,
)

BEGUN = "begun"  # sent before jobs
SPAWN = multiprocessing.get_context("spawn")


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
        self.begun = False  # its jobs
        self.future: Future[Outcomes] = Future()

    def start(self, call: bytes, chunk: bytes) -> None:
        """Starts jobs, and first the process."""
        self.begun = False
        try:
            with blocked_signals():
                self.future = self.executor.submit(work, None if call is self.call else call, chunk)
        except BrokenProcessPool as died:  # while it had no job
            self.future = Future()
            self.future.set_exception(died)
        self.call = call
        self._end.close()

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
        self._ranks_at: tuple[Connection, ...] = ()

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

    def _wait(self) -> Iterator[tuple[Worker, Outcomes | Exception]]:
        wait([worker.future for worker in self._busy], POLL_SECONDS, FIRST_COMPLETED)
        ended = [worker for worker in self._busy if worker.future.done()]
        for worker in self._busy:
            for message in received(worker.connection):  # all of those that ended, as they sent them before
                if message == BEGUN:
                    worker.begun = True
                    self._attempts.record_start(True)
                else:
                    self._forward(*message)
        for worker in ended:
            try:
                outcome: Outcomes | Exception = worker.future.result()
                kept.append(worker)
            except BrokenProcessPool as died:
                worker.end()
                outcome = died
                if not worker.begun:
                    outcome = Outcomes({}, self._seconds)  # all of its jobs are waiting again
                    self._attempts.record_start(False, str(died))
            except Exception as error:  # of a context that cannot be read there, perhaps for lack of memory
                kept.append(worker)
                outcome = failed(self._busy[worker], error)
            yield worker, outcome

    def _request_stop(self) -> None:
        for connection in (*(worker.connection for worker in self._busy), *self._ranks_at):
            with suppress(OSError):  # it is gone
                connection.send_bytes(b"stop")

    def _end_workers(self) -> None:
        for worker in [*self._busy, *kept]:
            worker.end()
        kept.clear()

    def _ranks(self, waiting: Sequence[tuple[int, Job]]) -> Generator[tuple[int, str, Any]]:
        from lightning.fabric.plugins.environments.lightning import find_free_network_port
        from torch.multiprocessing.spawn import start_processes

        self._ranks_at, ends = zip(*(SPAWN.Pipe() for _ in range(self.workers)), strict=True)
        call, jobs = pickle.dumps((self.function, self.context)), pickle.dumps(waiting)
        arguments = (ends, self.engine.threads, call, jobs, [find_free_network_port() for _ in waiting])
        with blocked_signals():
            team = start_processes(rank, arguments, self.workers, join=False)
        for end in ends:
            end.close()
        codes: list[int | None] = [None]
        try:
            while None in codes and not any(codes):
                wait_for_processes(team.sentinels, POLL_SECONDS)
                codes = [process.exitcode for process in team.processes]
                events = [event for connection in self._ranks_at for event in received(connection)]
                for _, *event in sorted(events, key=itemgetter(0)):  # a failure before those that it causes elsewhere
                    yield tuple(event)
                yield 0, "nothing", None
            if killed := [f"process {i} by signal {-code}" for i, code in enumerate(codes) if code and code < 0]:
                yield 0, "died", ", ".join(killed)
            elif waiting and any(codes):  # if no rank has sent why
                yield waiting[0][0], "failure", Failure(f"exit codes of the processes: {codes}", "")
        finally:
            for connection, process in zip(self._ranks_at, team.processes, strict=True):
                connection.close()  # which ends it
                process.join(5)
                process.kill()


class Local(Engine):
    """Processes of this machine, each with one of its GPUs. They are kept, as a start takes as long as many scores."""

    pool_class = LocalPool

    def default_workers(self) -> int:
        """One for each core on a CPU, one on a GPU."""
        from joblib import cpu_count  # here, as worker processes do not need it

        return int(cpu_count()) if self.device == "cpu" else 1


def received(connection: Connection) -> Iterator[Any]:
    """What has arrived; ends also where the other end is closed."""
    with suppress(EOFError, OSError):
        while connection.poll():
            yield pickle.loads(connection.recv_bytes())


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
    _Process.connection = connection
    threading.Thread(target=listen, args=(connection,), daemon=True).start()  # first, as the import of torch takes long
    prepare_process(threads)
    atexit.register(os._exit, 0)  # without the finalization of libraries, which costs time and may wait for threads


def listen(connection: Connection) -> None:
    """Receives requests to stop; ends this process when the one that started it is gone, for whatever reason."""
    with suppress(EOFError, OSError):
        while connection.recv_bytes():
            request_stop()
    os._exit(1)


def work(call: bytes | None, chunk: bytes) -> Outcomes:
    """Runs jobs."""
    _Process.connection.send_bytes(pickle.dumps(BEGUN))
    if call is not None:
        _Process.function, _Process.context = pickle.loads(call)
    return outcomes(_Process.function, _Process.context, pickle.loads(chunk), send)


def send(*message: Any) -> None:
    """Sends a message to the process that started this one."""
    _Process.connection.send_bytes(pickle.dumps(message))


def rank(
    number: int, connections: Sequence[Connection], threads: int, call: bytes, jobs: bytes, ports: Sequence[int]
) -> None:
    """Does jobs as one of several ranks, in a group of processes for each job."""
    prepare(connections[number], threads, {})
    from torch import distributed

    os.environ.update(MASTER_ADDR="127.0.0.1", NODE_RANK="0", LOCAL_RANK=str(number))
    RANK_OPTIONS.update(devices=len(connections), num_nodes=1)

    def at_ports() -> Iterator[tuple[int, Any]]:
        for each, port in zip(pickle.loads(jobs), ports, strict=True):
            os.environ.update(MASTER_PORT=str(port), WORLD_SIZE=str(len(connections)))
            yield each

    def end_group() -> None:
        if distributed.is_initialized():
            distributed.destroy_process_group()

    def send_with_time(*event: Any) -> None:
        send(time.monotonic(), *event)

    if not do_as_rank(number, pickle.loads(call), at_ports(), send_with_time, end_group):
        os._exit(1)  # others may wait for this process, for which some backends would wait here
