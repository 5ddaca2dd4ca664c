"""Where a process stands among those that share out the work: its GPU, and its rank where several train together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from lightning_utilities.core.rank_zero import rank_zero_only  # Lightning's own, without the rest of it

# What says to Lightning that a scheduler started this process. Ranks are given out here, so it must not look.
FOREIGN = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_NTASKS", "SLURM_PROCID", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE", "JSM_NAMESPACE_RANK"),
)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Rank:
    """One of several processes that do a job together.

    Args:
        node: its machine, from 0.
        local: its place on that machine, from 0.
        nodes: machines.
        per_node: processes on each.
        address: where all meet: a host that all can reach.
        port: of that host.
    """

    node: int
    local: int
    nodes: int
    per_node: int
    address: str
    port: int

    @property
    def world(self) -> int:
        """How many they are."""
        return self.nodes * self.per_node

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks for all."""
        return self.node == self.local == 0


class _Here:
    """What this process was told."""

    local = 0
    rank: Rank | None = None


def rank() -> Rank | None:
    """The rank of this process in the job that it is doing; None where it does it alone."""
    return _Here.rank


def local_device(device: str) -> str:
    """The device "cpu", "cuda", "mps" or "xpu" as this process sees it: of several GPUs the one that is its own."""
    if device == "cuda":
        return f"cuda:{_Here.local % torch.cuda.device_count()}"
    return f"xpu:{_Here.local % torch.xpu.device_count()}" if device == "xpu" else device


def set_local_rank(local: int) -> None:
    """Tells this process its place on its machine, and hides from Lightning who started it."""
    _Here.local = local
    for name in FOREIGN:
        os.environ.pop(name, None)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]


@contextmanager
def distributed_environment(rank: Rank) -> Iterator[None]:
    """Lets Lightning train as this rank; it finds the others by variables of the environment."""
    if rank.per_node > 1 and torch.cuda.device_count() == 1:
        # Schedulers may show each process its own GPU alone; for Lightning it is then on a machine of its own.
        rank = replace(rank, node=rank.node * rank.per_node + rank.local, local=0, nodes=rank.world, per_node=1)
    names = {
        "LOCAL_RANK": rank.local,
        "NODE_RANK": rank.node,
        "WORLD_SIZE": rank.world,
        "MASTER_ADDR": rank.address,
        "MASTER_PORT": rank.port,
    }
    os.environ.update({name: str(value) for name, value in names.items()})
    _Here.rank = rank
    try:
        yield
        # After an error others may still wait for this one, and some backends would then wait for them here.
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    finally:
        _Here.rank = None
        set_local_rank(_Here.local)
