"""The position of this process among several: its GPU, and its rank in a distributed training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lightning_utilities.core.rank_zero import rank_zero_only  # Lightning's own, without importing Lightning

# Variables by which Lightning detects a scheduler. They are removed, as ranks are assigned here.
LAUNCHER_VARIABLES = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_NTASKS", "SLURM_PROCID", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE", "JSM_NAMESPACE_RANK"),
)


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Rank:
    """One of several processes that do a job together.

    Args:
        node: index of its machine.
        local: index among the processes of that machine.
        nodes: number of machines.
        per_node: processes on each machine.
        address: host of the process group, reachable from all machines.
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
        """Number of processes."""
        return self.nodes * self.per_node

    @property
    def first(self) -> bool:
        """Whether this is rank 0, whose result and messages count."""
        return self.node == self.local == 0


class _ThisProcess:
    """The position of this process."""

    local = 0
    rank: Rank | None = None


def rank() -> Rank | None:
    """The rank of this process in its current job; None where it does the job alone."""
    return _ThisProcess.rank


def local_device(device: str) -> str:
    """The device of this process: "cuda" and "xpu" become one of several GPUs, as "cuda:1"; others are unchanged."""
    import torch

    if device == "cuda":
        return f"cuda:{_ThisProcess.local % torch.cuda.device_count()}"
    return f"xpu:{_ThisProcess.local % torch.xpu.device_count()}" if device == "xpu" else device


def set_local_rank(local: int) -> None:
    """Sets the index of this process on its machine, and removes the variables of its launcher."""
    _ThisProcess.local = local
    for name in LAUNCHER_VARIABLES:
        os.environ.pop(name, None)
    rank_zero_only.rank = 0  # type: ignore[attr-defined]


@contextmanager
def distributed_environment(rank: Rank) -> Iterator[None]:
    """Sets the variables by which Lightning trains as this rank."""
    import torch

    if rank.per_node > 1 and torch.cuda.device_count() == 1:
        # Schedulers may make one GPU visible to each process; for Lightning each is then on its own machine.
        rank = replace(rank, node=rank.node * rank.per_node + rank.local, local=0, nodes=rank.world, per_node=1)
    names = {
        "LOCAL_RANK": rank.local,
        "NODE_RANK": rank.node,
        "WORLD_SIZE": rank.world,
        "MASTER_ADDR": rank.address,
        "MASTER_PORT": rank.port,
    }
    os.environ.update({name: str(value) for name, value in names.items()})
    _ThisProcess.rank = rank
    try:
        yield
        # After an error others may still wait for this process, and some backends would then wait for them here.
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    finally:
        _ThisProcess.rank = None
        set_local_rank(_ThisProcess.local)
