"""Jobs of the tests of engines, named after what they do."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from smash_lightning.engine import RANK_OPTIONS, Send, Stopped, stop_requested


@dataclass(frozen=True)
class Step:
    """A message of a training."""

    step: int


class Context:
    """Counts how often it is sent.

    Args:
        folder: where it notes that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        (self.folder / f"context-{time.time_ns()}").touch()


def first_time(path: Path) -> bool:
    """Whether this is the first call with this path."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def work(context: Context, job: str, send: Send) -> Any:
    if job == "long":
        time.sleep(1)
    if job.startswith("dies once"):
        first = first_time(context.folder / job)
        send(Step(0 if first else 1))
        send(Step(1 if first else 2))
        if first:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
    if job == "always dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.startswith("lacks memory"):
        first = first_time(context.folder / job)
        send(Step(0))
        if first or job == "lacks memory always":
            raise torch.OutOfMemoryError("CUDA out of memory")
    if job == "exits":
        sys.exit("enough")
    if job == "raises":
        (context.folder / f"raised-{time.time_ns()}").touch()
        raise KeyError("no such thing")
    return result(job, send)


def result(job: str, send: Send) -> Any:
    if job == "sum":
        return (torch.randn(200_000, generator=torch.Generator().manual_seed(0)) ** 2).sum()
    if job == "threads":
        return torch.get_num_threads()
    if job == "process":
        time.sleep(0.2)
        return os.getpid()
    if job == "unpicklable":
        return lambda: None
    if job == "sends much":
        for count in range(200):
            send(f"message {count}")
    return job.upper()


def until_requested(context: Path, job: str, send: Send) -> str:
    """Works until a request to stop, and saves that."""
    send("started")
    if job == "short":
        time.sleep(0.2)  # short jobs would travel together
        return "done"
    deadline = time.monotonic() + 60
    while not stop_requested():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if job == "last":
        return "done after all"
    (context / job).write_text("saved")
    raise Stopped


def meet(context: Path, job: str, send: Send) -> tuple[float, int]:
    """Adds a number of each rank over all ranks."""
    assert RANK_OPTIONS
    if not dist.is_initialized():  # Ray has made a group
        dist.init_process_group("gloo", rank=int(os.environ["LOCAL_RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
    own = dist.get_rank()
    send(own)
    if own == 1 and job == "raises":
        (context / f"raised-{time.time_ns()}").touch()
        raise KeyError("no such thing")
    if own == 1 and (job == "always dies" or (job == "dies once" and first_time(context / job))):
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "long":
        until_requested(context, f"saved by {own}", send)
    total = torch.tensor([10.0 * (own + 1)])
    dist.all_reduce(total)
    return total.item(), os.getpid()


def until_nodes(context: Path, job: str, send: Send) -> str:
    """Waits until so many nodes have had a job, and returns its own."""
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    (context / f"node-{node}").touch()
    send(node)
    deadline = time.monotonic() + 100
    while len(list(context.glob("node-*"))) < int(job):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return node


def sleep_forever(context: Path, job: str, send: Send) -> None:
    """Writes its process id, and sleeps."""
    (context / f"{job}-{os.getpid()}").touch()
    time.sleep(600)
