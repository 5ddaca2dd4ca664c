"""Several processes that do one job together."""

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
from smash_lightning.engine.pool import dismiss, ranks_of


def meet(context: int, job: str, send: Callable[[Any], None]) -> Any:
    """Adds a number of each rank over all ranks."""
    own = rank()
    assert own is not None
    place = own.node * own.per_node + own.local
    dist.init_process_group("gloo", rank=place, world_size=int(os.environ["WORLD_SIZE"]))
    send(("heard of", place))
    if job.startswith("last one") and place == own.per_node - 1:
        if job.endswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("no such thing")
    total = torch.tensor([float(context * (place + 1))])
    dist.all_reduce(total)
    return place, total.item(), os.getpid()


def test_all_do_each_job_and_the_first_speaks() -> None:
    messages: list[tuple[int, Any]] = []
    with Pool(meet, 10, 3, lambda index, message: messages.append((index, message))) as pool:
        found = [(index, *outcome) for index, outcome in pool.together(["a", "b"], str)]
    assert [(index, place, total) for index, place, total, _ in found] == [(0, 0, 60.0), (1, 0, 60.0)]
    assert found[0][-1] == found[1][-1] != os.getpid(), "processes are used again"
    assert messages == [(0, ("heard of", 0)), (1, ("heard of", 0))]


@pytest.mark.parametrize(("how", "said"), [("raises", "KeyError: 'no such thing'"), ("dies", "exit code -9")])
def test_one_that_fails_ends_the_job_for_all(how: str, said: str) -> None:
    dismiss()
    started: list[float] = []
    pool = Pool[str, Any](meet, 10, 2, lambda index, message: started.append(time.monotonic()))
    with pytest.raises(RuntimeError, match=f"the job: .*process 1 of machine 0: .*{said}"), pool:
        list(pool.together([f"last one {how}"], lambda index: "the job"))
    assert time.monotonic() - started[0] < 10, "it did not wait for the one that failed"
    assert multiprocessing.active_children() == []


def wait_for_ever(context: Path, job: str, send: Callable[[Any], None]) -> None:
    """Says who it is, and goes on."""
    (context / f"{job}-{os.getpid()}").touch()
    time.sleep(600)


def test_workers_end_with_the_one_that_gives_out_work(tmp_path: Path) -> None:
    giver = os.fork()
    if giver == 0:
        with Pool(wait_for_ever, tmp_path, 2) as pool:
            list(pool.run(["a", "b"]))
    deadline = time.monotonic() + 60
    while len(names := [path.name for path in tmp_path.iterdir()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(giver, signal.SIGKILL)
    os.waitpid(giver, 0)
    workers = [int(name.split("-")[1]) for name in names]
    assert len(workers) == 2
    deadline = time.monotonic() + 5
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(worker) for worker in workers)


def alive(process: int) -> bool:
    """Whether it runs; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Standing:
    """A process at a place, as far as `ranks_of` looks."""

    def __init__(self, node: int, local: int) -> None:
        self.node, self.local = node, local


def test_ranks_of_several_machines() -> None:
    team = [Standing(0, 0), Standing(1, 1), Standing(0, 1), Standing(1, 0)]
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
            ranks_of([Standing(*place) for place in uneven])  # type: ignore[misc]
