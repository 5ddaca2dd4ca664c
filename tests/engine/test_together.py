"""Several processes that do one job together, as ranks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from smash_lightning.engine import Pool, rank
from smash_lightning.engine.pool import ranks_of
from smash_lightning.engine.spawned import stop_workers


def meet(context: int, job: str, send: Callable[[Any], None]) -> Any:
    """Adds a number of each rank over all ranks."""
    own = rank()
    assert own is not None
    index = own.node * own.per_node + own.local
    dist.init_process_group("gloo", rank=index, world_size=int(os.environ["WORLD_SIZE"]))
    send(("rank", index))
    if job.startswith("last one") and index == own.per_node - 1:
        if job.endswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("no such thing")
    total = torch.tensor([float(context * (index + 1))])
    dist.all_reduce(total)
    return index, total.item(), os.getpid()


def test_all_do_each_job_and_rank_0_has_the_result() -> None:
    messages: list[tuple[int, Any]] = []
    with Pool(meet, 10, 3, lambda index, message: messages.append((index, message))) as pool:
        found = [(index, *outcome) for index, outcome in pool.together(["a", "b"], str)]
    assert [(index, rank, total) for index, rank, total, _ in found] == [(0, 0, 60.0), (1, 0, 60.0)]
    assert found[0][-1] == found[1][-1] != os.getpid(), "processes are reused"
    assert messages == [(0, ("rank", 0)), (1, ("rank", 0))]


@pytest.mark.parametrize(("how", "message"), [("raises", "KeyError: 'no such thing'"), ("dies", "exit code -9")])
def test_one_that_fails_ends_the_job_for_all(how: str, message: str) -> None:
    stop_workers()
    started: list[float] = []
    pool = Pool[str, Any](meet, 10, 2, lambda index, message: started.append(time.monotonic()))
    with pytest.raises(RuntimeError, match=f"the job: .*process 1 of machine 0: .*{message}"), pool:
        list(pool.together([f"last one {how}"], lambda index: "the job"))
    assert time.monotonic() - started[0] < 10, "ranks did not wait for the failed one"
    assert multiprocessing.active_children() == []


def sleep_forever(context: Path, job: str, send: Callable[[Any], None]) -> None:
    """Writes its process id, and sleeps."""
    (context / f"{job}-{os.getpid()}").touch()
    time.sleep(600)


def test_workers_end_with_the_process_that_assigns_jobs(tmp_path: Path) -> None:
    assigner = os.fork()
    if assigner == 0:
        with Pool(sleep_forever, tmp_path, 2) as pool:
            list(pool.run(["a", "b"]))
    deadline = time.monotonic() + 60
    while len(names := [path.name for path in tmp_path.iterdir()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(assigner, signal.SIGKILL)
    os.waitpid(assigner, 0)
    workers = [int(name.split("-")[1]) for name in names]
    assert len(workers) == 2
    deadline = time.monotonic() + 5
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)


def alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Position:
    """The position of a worker, in place of the worker."""

    def __init__(self, node: int, local: int) -> None:
        self.node, self.local = node, local


def test_ranks_of_several_machines() -> None:
    team = [Position(0, 0), Position(1, 1), Position(0, 1), Position(1, 0)]
    ranks = ranks_of(team)  # type: ignore[arg-type]
    assert [(each.node, each.local, each.nodes, each.per_node) for each in ranks] == [
        (0, 0, 2, 2),
        (1, 1, 2, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 2),
    ]
    assert len({(each.address, each.port) for each in ranks}) == 1
    assert [each.first for each in ranks] == [True, False, False, False]
    for uneven in ([(0, 0), (1, 0), (1, 1)], [(0, 0), (0, 1), (0, 2), (1, 0)], [(0, 0), (2, 0)]):
        with pytest.raises(RuntimeError, match="equally many processes"):
            ranks_of([Position(*each) for each in uneven])  # type: ignore[misc]
