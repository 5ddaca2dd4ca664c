"""The channels of a block's memory that each op reads and writes."""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, Op
from smash_lightning.host_tables import Call, on_device


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
    """The accesses of each op of `block`, as index tensors on `device`.

    Bank b is channels [b width, (b + 1) width); those of the block before follow the banks of this one.
    """
    parts = []
    for op in block.ops:
        writes = [len(op.write)] * 3 if op.join == "mean" else map(len, _cycles(op))
        parts.append([block.channels_read(op), *(block.width * banks for banks in writes)])
    tensors = iter(on_device(bank_indices, block, device=device).split(list(itertools.chain(*parts))))
    plan = []
    for op, part in zip(block.ops, parts, strict=True):
        read, *write = (next(tensors) for _ in part)
        plan.append(Access(read, Average(*write) if op.join == "mean" else tuple(write)))
    return tuple(plan)


def bank_indices(block: Block) -> np.ndarray:
    """The indices of all accesses in a row: for each op what it reads, then its cycles or the parts of an `Average`."""
    width = block.width
    writes = [1] * block.inputs + [0] * (block.banks - block.inputs)
    rows = []
    for op in block.ops:
        for bank in op.write:
            writes[bank] += 1
        rows += [bank_channels(op.read, width), block.channels + bank_channels(op.pooled, block.pooled_width)]
        rows += [bank_channels(op.write, width)]  # the cycles one after another
        if op.join == "mean":
            rows += [bank_channels([j % op.units for j in range(len(op.write))], width)]
            rows += [np.repeat([writes[bank] for bank in op.write], width)]
    return np.concatenate(rows)


def tables(architecture: Architecture) -> list[Call]:
    """The tables on the host that the forward pass needs."""
    return [(bank_indices, (block,)) for block in architecture.blocks]


def _cycles(op: Op) -> list[tuple[int, ...]]:
    """The written banks in groups of `units`: each group receives the op's output from its first slice on."""
    return [op.write[first : first + op.units] for first in range(0, len(op.write), op.units)]


def bank_channels(banks: Sequence[int], width: int) -> np.ndarray:
    """Channels of banks of `width` channels, one bank after another."""
    return (np.array(banks, dtype=np.int64)[:, None] * width + np.arange(width)).ravel()
