"""Processes of a Ray cluster, on one machine or several. Needs the extra `ray`."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from lightning_utilities.core.rank_zero import rank_zero_only

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
from smash_lightning.engine.local import blocked_signals
from smash_lightning.engine.stop_requests import Stopped, request_stop, seconds_to_save, stop_requested

STORE_BYTES = 200 * 1024**2  # of an own cluster, for contexts and jobs
VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_TRAIN_V2_ENABLED": "1"}


@dataclass(frozen=True)
class Ray(Engine):
    """Actors of a Ray cluster. All machines need the same environment and file system.

    Args:
        workers: as in `Engine`; where none is given, as many as the cluster has places at the start. More of them wait
            for machines that come later.
        address: HOST:PORT of a cluster; None starts one that only this machine reaches, and that ends with the run.
        cpus_per_worker: cores that a worker occupies.
        gpus_per_worker: GPUs that it occupies, unless the device is a CPU.
    """

    address: str | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float = 1

    @property
    def resources(self) -> dict[str, float]:
        """What a worker occupies, by the names of Ray's resources."""
        gpus = self.gpus_per_worker if self.device in ("cuda", "xpu") else 0
        return {"CPU": self.cpus_per_worker, "GPU": gpus}

    def default_workers(self) -> int:
        """The places of the cluster."""
        found = connected(self).cluster_resources()
        return max(1, min(int(found.get(name, 0) // share) for name, share in self.resources.items() if share))

    def pool(
        self, function: Function, context: Any, on_message: OnMessage = lambda index, message: None
    ) -> RayPool[Any, Any]:
        """See `Engine`."""
        return RayPool(self, function, context, on_message)


class _Cluster:
    """What this process has in a cluster."""

    mailbox: Any = None
    kept: ClassVar[dict[tuple[Any, ...], list[Any]]] = {}  # actors without a job, by what they were started with
    starting: ClassVar[dict[tuple[Any, ...], dict[Any, Any]]] = {}  # actors, by references that are there when they are


def connected(engine: Ray) -> Any:
    """The module `ray`, connected to the cluster of an engine.

    Raises:
        ValueError: Ray is not installed, or there is no cluster at the address.
    """
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    if engine.address is None or engine.address.startswith("127."):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else Ray listens on all interfaces
    try:
        import ray
    except ImportError:
        raise ValueError("engine=ray needs pip install -e '.[ray]'") from None
    if not ray.is_initialized():
        count = max(cores(), (engine.workers or 1) * engine.cpus_per_worker)
        own = {"num_cpus": count, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        path = os.pathsep.join(filter(None, sys.path))
        options = {"log_to_driver": False, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
        try:
            with blocked_signals():  # the cluster's processes inherit this: a request to stop would end them first
                ray.init(address=engine.address or "local", **options, **({} if engine.address else own))
        except ConnectionError as error:
            raise ValueError(f"engine.address={engine.address}: {error}") from None
    if _Cluster.mailbox is None:
        _Cluster.mailbox = ray.remote(num_cpus=0)(mailbox_class()).remote()
    return ray


def mailbox_class() -> Any:
    """A class for messages. Ray sends one that is made in a function by value, so that its process imports no torch."""

    class Mailbox:
        def __init__(self) -> None:
            self.messages: list[Any] = []
            self.stop = asyncio.Event()

        async def put(self, *message: Any) -> None:
            self.messages.append(message)

        async def take(self) -> list[Any]:
            taken, self.messages = self.messages, []
            return taken

        async def request_stop(self) -> None:
            self.stop.set()

        async def stop_requested(self) -> None:
            await self.stop.wait()

    return Mailbox


class RayPool(Pool[Job, Result]):
    """See `Pool`."""

    engine: Ray

    def __init__(self, engine: Ray, function: Function, context: Any, on_message: OnMessage) -> None:
        super().__init__(engine, function, context, on_message)
        self._call: Any = None
        self._references: dict[Any, Any] = {}  # of the results of busy actors
        self._state = (engine.threads, os.getcwd(), *engine.resources.values())

    def _start(self, chunk: list[tuple[int, Job]]) -> Any:
        ray = connected(self.engine)
        self._call = self._call or [ray.put(ray.cloudpickle.dumps((self.function, self.context)))]
        kept = _Cluster.kept.setdefault(self._state, [])
        starting = _Cluster.starting.setdefault(self._state, {})
        for _ in range(self.workers - len(kept) - len(starting) - len(self._busy)):
            cpus, gpus = self.engine.resources.values()
            kind = ray.remote(num_cpus=cpus, num_gpus=gpus)(Actor)
            actor = kind.remote(self.engine.threads, os.getcwd(), _Cluster.mailbox)
            starting[actor.ready.remote()] = actor
        if not kept:
            return None
        actor = kept.pop()
        self._references[actor.work.remote(self._call, pickle.dumps(chunk))] = actor
        return actor

    def _wait(self) -> Iterator[tuple[Any, Outcomes | WorkerDied]]:
        import ray
        from ray.exceptions import RayActorError

        starting, kept = _Cluster.starting[self._state], _Cluster.kept[self._state]
        done, _ = ray.wait([*self._references, *starting], timeout=POLL_SECONDS)
        ended: list[tuple[Any, Outcomes | WorkerDied]] = []
        for reference in done:
            if reference in starting:
                actor = starting.pop(reference)
                with suppress(RayActorError):
                    ray.get(reference)
                    kept.append(actor)
                continue
            actor = self._references.pop(reference)
            try:
                found = ray.get(reference)
                by_position = [(index, pickle.loads(each)) for index, each in found.by_position]
                ended.append((actor, Outcomes(by_position, found.seconds)))
            except RayActorError as error:  # killed, without memory, or its machine is gone
                ended.append((actor, WorkerDied(str(error))))
                continue
            except Exception as error:  # of a context that cannot be read there
                ended.append((actor, Outcomes([(index, failure(error)) for index, _ in self._busy[actor]], 1.0)))
            kept.append(actor)
        for message in ray.get(_Cluster.mailbox.take.remote()):
            self._forward(*message)
        yield from ended

    def _request_stop(self) -> None:
        _Cluster.mailbox.request_stop.remote()

    def _end_workers(self, but_mailbox: bool = False) -> None:
        import ray

        groups = [*_Cluster.kept.values(), *(each.values() for each in _Cluster.starting.values()), [*self._busy]]
        for actor in [actor for group in groups for actor in group]:
            ray.kill(actor)
        _Cluster.kept.clear()
        _Cluster.starting.clear()
        if _Cluster.mailbox is not None and not but_mailbox:
            ray.kill(_Cluster.mailbox)  # with messages that nobody needs
            _Cluster.mailbox = None

    def together(self, jobs: Sequence[Job], what: Callable[[int], str]) -> Iterator[tuple[int, Result]]:
        """See `Pool`. The ranks are those of Ray Train, and do all the jobs unless one dies."""
        waiting, deaths = list(enumerate(jobs)), Counter[int]()
        while waiting:
            if stop_requested():
                raise Stopped
            connected(self.engine)
            self._end_workers(but_mailbox=True)  # the ranks need their places
            for index, outcome in self._ranks(waiting):
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

    def _ranks(self, waiting: Sequence[tuple[int, Job]]) -> Iterator[tuple[int, Any]]:
        import ray
        from ray.exceptions import RayActorError
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        folder = tempfile.mkdtemp(prefix=".ray-", dir=os.getcwd())
        call = ray.put(ray.cloudpickle.dumps((self.function, self.context)))
        loop = {"call": [call], "jobs": pickle.dumps(waiting), "threads": self.engine.threads, "folder": os.getcwd()}
        use_gpu = self.engine.resources["GPU"] > 0
        share = {name: amount for name, amount in self.engine.resources.items() if amount}
        trainer = TorchTrainer(
            rank,
            train_loop_config={**loop, "mailbox": _Cluster.mailbox},
            scaling_config=ScalingConfig(num_workers=self.workers, use_gpu=use_gpu, resources_per_worker=share),
            run_config=RunConfig(storage_path=folder, name="ranks", failure_config=FailureConfig(max_failures=0)),
        )
        index, failures, deadline, ended = waiting[0][0], dict[int, Failure](), float("inf"), False
        fit = ThreadPoolExecutor(1).submit(trainer.fit)
        try:
            while not ended and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                ended = fit.done()
                for index, kind, content in ray.get(_Cluster.mailbox.take.remote()):
                    if kind == "result":
                        yield index, pickle.loads(content)
                    elif kind == "message":
                        self._forward(index, content)
                    else:
                        failures[content[0]] = content[1]
                if stop_requested() and deadline == float("inf"):
                    self._request_stop()
                    deadline = time.monotonic() + seconds_to_save()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        error = fit.exception() if ended else None
        lost = [getattr(each, "health_check_failure", None) for each in getattr(error, "worker_failures", {}).values()]
        if failures and not any(isinstance(each, RayActorError) for each in lost):
            reasons = "; ".join(f"process {number}: {each.reason}" for number, each in failures.items())
            yield index, Failure(reasons, "\n".join(each.details for each in failures.values()))
        elif stop_requested():
            raise Stopped
        elif error is not None:
            yield index, WorkerDied(str(error))


class Actor:
    """A worker."""

    def __init__(self, threads: int, folder: str, mailbox: Any) -> None:
        prepare(threads, folder, mailbox)
        self.mailbox = mailbox
        self.call: Any = None
        self.last: Any = None

    def ready(self) -> None:
        """Returns as soon as the process has imported everything."""

    def work(self, call: list[Any], chunk: bytes) -> Outcomes:
        """Runs jobs. All their messages have arrived before the results."""
        import ray

        if self.call != call:
            self.call = call
            self.function, self.context = pickle.loads(ray.get(call[0]))
        found = outcomes(self.function, self.context, pickle.loads(chunk), self.send, pickle.dumps)
        if self.last is not None:
            ray.get(self.last)
        return found

    def send(self, index: int, message: Any) -> None:
        """Sends a message of a job."""
        self.last = self.mailbox.put.remote(index, message)


def prepare(threads: int, folder: str, mailbox: Any) -> None:
    """Prepares a process of the cluster."""
    import torch

    torch.set_num_threads(threads)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]  # whatever a scheduler's variables say
    os.chdir(folder)
    threading.Thread(target=listen, args=(mailbox,), daemon=True).start()


def listen(mailbox: Any) -> None:
    """Waits for a request to stop."""
    import ray

    with suppress(ray.exceptions.RayError):
        ray.get(mailbox.stop_requested.remote())
        request_stop()


def rank(loop: dict[str, Any]) -> None:
    """Does jobs as one of several ranks. Only rank 0 sends messages and results."""
    import ray
    from ray import train

    context, mailbox = train.get_context(), loop["mailbox"]
    prepare(loop["threads"], loop["folder"], mailbox)
    per_machine, number = context.get_local_world_size(), context.get_world_rank()
    set_rank_options(devices=per_machine, num_nodes=context.get_world_size() // per_machine)
    function, shared = pickle.loads(ray.get(loop["call"][0]))
    for position, job in pickle.loads(loop["jobs"]):
        try:
            put = partial(mailbox.put.remote, position, "message") if number == 0 else lambda message: None
            result = function(shared, job, put)
            if number == 0:
                ray.get(mailbox.put.remote(position, "result", pickle.dumps(result)))
        except Stopped:
            return
        except BaseException as error:
            ray.get(mailbox.put.remote(position, "failure", (number, failure(error))))
            raise
