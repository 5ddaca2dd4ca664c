"""Counts that summarize an architecture, for models that predict from them."""

from statistics import fmean

from smash_lightning.architecture.definition import Architecture, Block


def describe(architecture: Architecture) -> dict[str, float]:
    """Counts over all blocks and ops.

    Returns:
        reads, writes, units: banks that all ops read, write, and compute. dilation: mean over convolutions and axes.
        longest_path: ops on the longest path from the image to the classifier. skip_length: mean number of ops between
        an op and the last one that wrote a bank that it reads.
    """
    ops = list(architecture.ops())
    return {
        "reads": sum(len(op.read) + len(op.pooled) for op in ops),
        "writes": sum(len(op.write) for op in ops),
        "units": sum(op.units for op in ops),
        "dilation": fmean(d for op in ops for path in op.paths for each in path for d in each.dilation),
        "longest_path": sum(map(longest_path, architecture.blocks)),
        "skip_length": fmean(length for block in architecture.blocks for length in _skip_lengths(block)),
    }


def longest_path(block: Block) -> int:
    """Most ops of which each reads a bank that the one before has written. All banks are the output of a block."""
    lengths = [0] * block.banks  # most ops on a path that ends in each bank
    for op in block.ops:
        length = 1 + max(lengths[bank] for bank in op.read)
        for bank in op.write:
            lengths[bank] = max(lengths[bank], length)
    return max(lengths)


def _skip_lengths(block: Block) -> list[int]:
    """For each bank that each op reads, the ops since it was written last."""
    written: dict[int, int] = {}
    lengths = []
    for position, op in enumerate(block.ops):
        lengths += [position - 1 - written.get(bank, -1) for bank in op.read]
        written |= dict.fromkeys(op.write, position)
    return lengths
