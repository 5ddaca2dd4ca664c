"""Processes of a Ray cluster, on one machine or several. Needs the extra `ray`."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from smash_lightning.engine.base import POLL_SECONDS, Engine, Job, Pool, Result, cores, prepare_process
from smash_lightning.engine.local import blocked_signals
from smash_lightning.engine.stop_requests import install_signal_handlers, request_stop
from smash_lightning.engine.work import RANK_OPTIONS, Function, OnMessage, Outcomes, do_as_rank, failed, outcomes

VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_TRAIN_V2_ENABLED": "1"}


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
        own = {"num_cpus": count, "include_dashboard": False, "object_store_memory": 200 * 1024**2}
        options = {"log_to_driver": False, "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}}
        try:
            with blocked_signals():  # the cluster's processes inherit this: a request to stop would end them first
                ray.init(address=engine.address or "local", **options, **({} if engine.address else own))
        except ConnectionError as error:
            raise ValueError(f"engine.address={engine.address}: {error}") from None
        install_signal_handlers()
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
        self._failed_starts = 0
        self._state = (engine.threads, os.getcwd(), *engine.resources.values())

    def _start(self, chunk: list[tuple[int, Job]]) -> Any:
        ray = connected(self.engine)
        self._call = self._call or [ray.put(ray.cloudpickle.dumps((self.function, self.context)))]
        kept = _Cluster.kept.setdefault(self._state, [])
        starting = _Cluster.starting.setdefault(self._state, {})
        for _ in range(self.workers - len(kept) - len(starting) - len(self._busy)):
            cpus, gpus = self.engine.resources.values()
            actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(Actor).remote(*self._preparation())
            starting[actor.ready.remote()] = actor
        if not kept:
            return None
        actor = kept.pop()
        self._references[actor.work.remote(self._call, pickle.dumps(chunk))] = actor
        return actor

    def _wait(self) -> Iterator[tuple[Any, Outcomes | str]]:
        import ray
        from ray.exceptions import RayActorError

        starting, kept = _Cluster.starting[self._state], _Cluster.kept[self._state]
        done, _ = ray.wait([*self._references, *starting], timeout=POLL_SECONDS)
        ended: dict[Any, Outcomes | str] = {}
        for reference in done:
            if reference in starting:
                self._started(starting.pop(reference), reference)
                continue
            actor = self._references.pop(reference)
            try:
                ended[actor] = ray.get(reference)
                kept.append(actor)
            except RayActorError as error:  # killed, without memory, or its machine is gone
                ended[actor] = str(error)
            except Exception as error:  # of a context that cannot be read there
                ended[actor] = failed(self._busy[actor], error)
                kept.append(actor)
        for message in ray.get(_Cluster.mailbox.take.remote()):
            self._forward(*message)
        yield from ended.items()

    def _started(self, actor: Any, reference: Any) -> None:
        import ray

        try:
            ray.get(reference)
            _Cluster.kept[self._state].append(actor)
        except ray.exceptions.RayActorError as error:
            self._failed_starts += 1
            if self._failed_starts > self.workers * self.engine.retries:
                raise RuntimeError(f"a worker does not start: {error}") from None

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

    def _ranks(self, waiting: Sequence[tuple[int, Job]]) -> Generator[tuple[int, str, Any]]:
        ray = connected(self.engine)
        from ray.exceptions import RayActorError
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        self._end_workers(but_mailbox=True)  # the ranks need their places
        folder = tempfile.mkdtemp(prefix=".ray-", dir=os.getcwd())
        call = [ray.put(ray.cloudpickle.dumps((self.function, self.context)))]
        loop = {"call": call, "jobs": pickle.dumps(waiting), "prepare": self._preparation()}
        share = {name: amount for name, amount in self.engine.resources.items() if amount}
        places = ScalingConfig(num_workers=self.workers, use_gpu="GPU" in share, resources_per_worker=share)
        run = RunConfig(name="ranks", storage_path=folder)
        trainer = TorchTrainer(rank, train_loop_config=loop, scaling_config=places, run_config=run)
        fit: Future[None] = Future()
        threading.Thread(target=fulfil, args=(fit, trainer.fit), daemon=True).start()
        try:
            while wait([fit], POLL_SECONDS).not_done:
                yield 0, "nothing", None
                yield from ray.get(_Cluster.mailbox.take.remote())
            yield from ray.get(_Cluster.mailbox.take.remote())
            if (error := fit.exception()) is not None:
                found = getattr(error, "worker_failures", {}).values()
                lost = [isinstance(getattr(each, "health_check_failure", None), RayActorError) for each in found]
                if any(lost) or not lost:
                    yield 0, "died", str(error)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _preparation(self) -> tuple[int, str, Any]:
        return self.engine.threads, os.getcwd(), _Cluster.mailbox


def fulfil(future: Future[None], call: Callable[[], Any]) -> None:
    """Makes a call, and reports its end. A thread of an executor would be waited for at the exit of this process."""
    try:
        call()
        future.set_result(None)
    except BaseException as error:
        future.set_exception(error)


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

    pool_class = RayPool
    alone_here = False  # only a worker has a GPU of its own
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


class Actor:
    """A worker."""

    call: Any = None  # of the pool whose function and context it has
    last: Any = None  # message

    def __init__(self, threads: int, folder: str, mailbox: Any) -> None:
        prepare(threads, folder, mailbox)
        self.mailbox = mailbox

    def ready(self) -> None:
        """Returns as soon as the process has imported everything."""

    def work(self, call: list[Any], chunk: bytes) -> Outcomes:
        """Runs jobs. All their messages have arrived before the results."""
        import ray

        if self.call != call:
            self.call = call
            self.function, self.context = pickle.loads(ray.get(call[0]))
        found = outcomes(self.function, self.context, pickle.loads(chunk), self._send)
        if self.last is not None:
            ray.get(self.last)
        return found

    def _send(self, index: int, message: Any) -> None:
        self.last = self.mailbox.put.remote(index, message)


def prepare(threads: int, folder: str, mailbox: Any) -> None:
    """Prepares a process of the cluster."""
    prepare_process(threads)
    os.chdir(folder)
    threading.Thread(target=listen, args=(mailbox,), daemon=True).start()


def listen(mailbox: Any) -> None:
    """Waits for a request to stop."""
    import ray

    with suppress(ray.exceptions.RayError):
        ray.get(mailbox.stop_requested.remote())
        request_stop()


def rank(loop: dict[str, Any]) -> None:
    """Does jobs as one of several ranks, in the group of processes that Ray has made."""
    import ray
    from ray import train

    context, mailbox = train.get_context(), loop["prepare"][-1]
    prepare(*loop["prepare"])
    per_machine = context.get_local_world_size()
    RANK_OPTIONS.update(devices=per_machine, num_nodes=context.get_world_size() // per_machine)

    def send(*sent: Any) -> None:
        ray.get(mailbox.put.remote(*sent))

    call, jobs = pickle.loads(ray.get(loop["call"][0])), pickle.loads(loop["jobs"])
    if not do_as_rank(context.get_world_rank(), call, jobs, send):
        raise RuntimeError("a rank failed")
