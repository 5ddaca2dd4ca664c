"""What runs in the processes of a Ray cluster."""

import asyncio
import os
import pickle
import threading
from typing import Any

from smash_lightning.engine.stop_requests import request_stop
from smash_lightning.engine.work import RANK_OPTIONS, Outcomes, do_as_rank, outcomes, prepare_process


def mailbox_class() -> Any:
    """A class for pickled messages, whose process so imports no torch: Ray sends a class of a function by value."""

    class Mailbox:
        def __init__(self) -> None:
            self.messages: list[bytes] = []
            self.stop = asyncio.Event()

        async def put(self, message: bytes) -> None:
            self.messages.append(message)

        async def take(self) -> list[bytes]:
            taken, self.messages = self.messages, []
            return taken

        async def request_stop(self) -> None:
            self.stop.set()

        async def stop_requested(self) -> None:
            await self.stop.wait()

    return Mailbox


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
        self.last = self.mailbox.put.remote(pickle.dumps((index, message)))


def prepare(threads: int, folder: str, mailbox: Any) -> None:
    """Prepares a process of the cluster."""
    prepare_process(threads)
    os.chdir(folder)
    threading.Thread(target=listen, args=(mailbox,), daemon=True).start()


def listen(mailbox: Any) -> None:
    """Waits for a request to stop; ends this process when the mailbox is gone."""
    import ray

    try:
        ray.get(mailbox.stop_requested.remote())
        request_stop()
    except ray.exceptions.RayError:
        os._exit(1)


def rank(loop: dict[str, Any]) -> None:
    """Does jobs as one of several ranks, in the group of processes that Ray has made."""
    import ray
    from ray import train

    context, mailbox = train.get_context(), loop["prepare"][-1]
    prepare(*loop["prepare"])
    per_machine = context.get_local_world_size()
    RANK_OPTIONS.update(devices=per_machine, num_nodes=context.get_world_size() // per_machine)

    def send(*sent: Any) -> None:
        ray.get(mailbox.put.remote(pickle.dumps(sent)))

    call, jobs = pickle.loads(ray.get(loop["call"][0])), pickle.loads(loop["jobs"])
    if not do_as_rank(context.get_world_rank(), call, jobs, send):
        raise RuntimeError("a rank failed")
