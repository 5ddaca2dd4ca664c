"""Processes of a Ray cluster, on one machine or several. Needs the extra `ray`."""

import os
import pickle
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, ClassVar

from joblib import cpu_count
from pydantic import PositiveFloat, PositiveInt

from smash_lightning.engine.base import POLL_SECONDS, Engine, Job, Pool, Result
from smash_lightning.engine.local import blocked_signals
from smash_lightning.engine.ray_process import Actor, mailbox_class, rank
from smash_lightning.engine.stop_requests import install_signal_handlers
from smash_lightning.engine.work import Failure, Function, OnMessage, Outcomes, failed

ENDING_SECONDS = 10  # for ranks that are no longer needed
VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_TRAIN_V2_ENABLED": "1"}


class _Cluster:
    """What this process has in a cluster."""

    folder = ""  # of Ray's own files on this machine
    mailbox: Any = None
    kept: ClassVar[dict[tuple[Any, ...], list[Any]]] = {}  # actors without a job, by what they were started with
    starting: ClassVar[dict[tuple[Any, ...], dict[Any, Any]]] = {}  # actors, by references that are there when they are


def connected(engine: "Ray") -> Any:
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
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    except ImportError:
        raise ValueError("engine=ray needs pip install -e '.[ray]'") from None
    if not ray.is_initialized():
        count = max(cpu_count(), (engine.workers or 1) * engine.cpus_per_worker)
        own = {"num_cpus": count, "include_dashboard": False, "object_store_memory": 200 * 1024**2}
        options = {"log_to_driver": False, "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}}
        try:
            with blocked_signals():  # the cluster's processes inherit this: a request to stop would end them first
                made = ray.init(address=engine.address or "local", **options, **({} if engine.address else own))
        except ConnectionError as error:
            raise ValueError(f"engine.address={engine.address}: {error}") from None
        _Cluster.folder = made.address_info["session_dir"]
        install_signal_handlers()
    if _Cluster.mailbox is None:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        _Cluster.mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(mailbox_class()).remote()
    return ray


class RayPool(Pool[Job, Result]):
    """See `Pool`."""

    engine: "Ray"

    def __init__(self, engine: "Ray", function: Function, context: Any, on_message: OnMessage) -> None:
        super().__init__(engine, function, context, on_message)
        self._call: Any = None
        self._references: dict[Any, Any] = {}  # of the results of busy actors
        self._state = (engine.threads, os.getcwd(), *engine.resources.values())

    def _start(self, chunk: list[tuple[int, Job]]) -> Any:
        ray = connected(self.engine)
        kept = _Cluster.kept.setdefault(self._state, [])
        starting = _Cluster.starting.setdefault(self._state, {})
        if self._call is None:
            end_kept(but=self._state)  # others would occupy the places of new ones
            self._call = [ray.put(ray.cloudpickle.dumps((self.function, self.context)))]
            self._check_kept()
        for _ in range(self.workers - len(kept) - len(starting) - len(self._busy)):
            cpus, gpus = self.engine.resources.values()
            actor = ray.remote(num_cpus=cpus, num_gpus=gpus)(Actor).remote(*self._preparation())
            starting[actor.ready.remote()] = actor
        if not kept:
            return None
        actor = kept.pop()
        self._references[actor.work.remote(self._call, pickle.dumps(chunk))] = actor
        return actor

    def _check_kept(self) -> None:
        """Kept actors get a job when they have replied: each that has died would cost a job one of its retries."""
        kept = _Cluster.kept[self._state]
        _Cluster.starting[self._state] |= {actor.ready.remote(): actor for actor in kept}
        kept.clear()

    def _wait(self) -> Iterator[tuple[Any, Outcomes | Exception]]:
        import ray
        from ray.exceptions import RayActorError

        starting, kept = _Cluster.starting[self._state], _Cluster.kept[self._state]
        done, _ = ray.wait([*self._references, *starting], timeout=POLL_SECONDS)
        ended: dict[Any, Outcomes | Exception] = {}
        for reference in done:
            if reference in starting:
                self._started(starting.pop(reference), reference)
                continue
            actor = self._references.pop(reference)
            try:
                ended[actor] = ray.get(reference)
                kept.append(actor)
            except RayActorError as died:  # killed, without memory, or its machine is gone
                ended[actor] = died
                self._check_kept()  # its machine may have had others
            except Exception as error:  # of a context that cannot be read there, perhaps for lack of memory
                kept.append(actor)
                ended[actor] = failed(self._busy[actor], error)
        for message in taken():
            self._forward(*message)
        yield from ended.items()

    def _started(self, actor: Any, reference: Any) -> None:
        import ray

        try:
            ray.get(reference)
            _Cluster.kept[self._state].append(actor)
            self._attempts.record_start(True)
        except ray.exceptions.RayActorError as died:
            self._attempts.record_start(False, str(died))

    def _request_stop(self) -> None:
        _Cluster.mailbox.request_stop.remote()

    def _end_workers(self, but_mailbox: bool = False) -> None:
        import ray

        end_kept()
        for actor in self._busy:
            ray.kill(actor)
        if _Cluster.mailbox is not None and not but_mailbox:
            ray.kill(_Cluster.mailbox)  # with messages that are not needed
            _Cluster.mailbox = None

    def _ranks(self, waiting: Sequence[tuple[int, Job]]) -> Generator[tuple[int, str, Any]]:
        ray = connected(self.engine)
        from ray.exceptions import RayActorError
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        self._end_workers(but_mailbox=True)  # the ranks need their places
        call = [ray.put(ray.cloudpickle.dumps((self.function, self.context)))]
        loop = {"call": call, "jobs": pickle.dumps(waiting), "prepare": self._preparation()}
        share = {name: amount for name, amount in self.engine.resources.items() if amount}
        places = ScalingConfig(num_workers=self.workers, use_gpu="GPU" in share, resources_per_worker=share)
        run = RunConfig(name="ranks", storage_path=_Cluster.folder)  # where Ray Train writes an empty file
        trainer = TorchTrainer(rank, train_loop_config=loop, scaling_config=places, run_config=run)
        fit: Future[None] = Future()
        threading.Thread(target=fulfil, args=(fit, trainer.fit), daemon=True).start()
        try:
            while wait([fit], POLL_SECONDS).not_done:
                yield 0, "nothing", None
                yield from taken()
            yield from taken()
            if (error := fit.exception()) is not None:
                found = getattr(error, "worker_failures", {}).values()
                lost = [isinstance(getattr(each, "health_check_failure", None), RayActorError) for each in found]
                if any(lost) or not lost:
                    yield 0, "died", str(error)
                elif waiting:  # if no rank has sent why
                    yield waiting[0][0], "failure", Failure(str(error), "")
        finally:
            if not fit.done():
                ray.kill(_Cluster.mailbox)  # which ends the ranks
                _Cluster.mailbox = None
                wait([fit], ENDING_SECONDS)

    def _preparation(self) -> tuple[int, str, Any]:
        return self.engine.threads, os.getcwd(), _Cluster.mailbox


def taken() -> Iterator[Any]:
    """The messages that have arrived."""
    import ray

    yield from map(pickle.loads, ray.get(_Cluster.mailbox.take.remote()))


def end_kept(but: tuple[Any, ...] | None = None) -> None:
    """Ends actors without a job, except those that were started in one way."""
    import ray

    kept, starting = _Cluster.kept, _Cluster.starting
    for state in (kept.keys() | starting.keys()) - {but}:
        for actor in (*kept.pop(state, []), *starting.pop(state, {}).values()):
            ray.kill(actor)


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
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: PositiveFloat = 1

    @property
    def resources(self) -> dict[str, float]:
        """What a worker occupies, by the names of Ray's resources."""
        gpus = self.gpus_per_worker if self.device in ("cuda", "xpu") else 0
        return {"CPU": self.cpus_per_worker, "GPU": gpus}

    def default_workers(self) -> int:
        """The places of the cluster."""
        found = connected(self).cluster_resources()
        return max(1, min(int(found.get(name, 0) // share) for name, share in self.resources.items() if share))
