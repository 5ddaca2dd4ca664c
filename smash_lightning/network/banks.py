"""The channels of a block's memory that each op reads and writes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from smash_lightning.architecture import Block, Op


class Average(NamedTuple):
    """A write by the mean: indices of written channels and of output channels, and numbers of writes with this one."""

    channels: Tensor
    source: Tensor
    writes: Tensor


class Access(NamedTuple):
    """Channels that an op reads, and those it writes: cycles for a sum, an `Average` for a mean."""

    read: Tensor
    write: tuple[Tensor, ...] | Average


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # tensors cached in inference mode could not be used in training
def accesses(block: Block, device: torch.device) -> tuple[Access, ...]:
    """The accesses of each op of `block`, as index tensors on `device`. Bank b is channels [b width, (b + 1) width)."""
    parts: list[list[int]] = []
    for op in block.ops:
        parts += [list(op.read)] + [list(cycle) for cycle in _cycles(op)]
    # One transfer for the whole block, then views of it.
    banks = torch.tensor([bank for part in parts for bank in part], device=device)
    within = torch.arange(block.width, device=device)
    channels = iter((banks[:, None] * block.width + within).flatten().split([len(p) * block.width for p in parts]))
    writes = [1] * block.inputs + [0] * (block.banks - block.inputs)
    plan = []
    for op in block.ops:
        read, cycles = next(channels), tuple(next(channels) for _ in _cycles(op))
        for bank in op.write:
            writes[bank] += 1
        plan.append(Access(read, cycles if op.join == "sum" else _average(op, block.width, cycles, writes)))
    return tuple(plan)


def _cycles(op: Op) -> list[tuple[int, ...]]:
    """The written banks in groups of `units`: each group receives the op's output from its first slice on."""
    return [op.write[first : first + op.units] for first in range(0, len(op.write), op.units)]


def _average(op: Op, width: int, cycles: tuple[Tensor, ...], writes: list[int]) -> Average:
    device = cycles[0].device
    source = torch.cat([torch.arange(len(cycle), device=device) for cycle in cycles])
    counts = torch.tensor([writes[bank] for bank in op.write], device=device).repeat_interleave(width)
    return Average(torch.cat(cycles), source, counts)
