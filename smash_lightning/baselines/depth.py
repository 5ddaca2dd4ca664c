"""Deeper is better (Simonyan and Zisserman 2015; He et al. 2016)."""

from dataclasses import dataclass

from typing_extensions import override

from smash_lightning.architecture import Architecture, Block
from smash_lightning.baselines.base import Baseline, BaselineContext


@dataclass(frozen=True)
class Depth(Baseline):
    """Minus the number of ops on the longest path from the image to the classifier: the sum of those of the blocks."""

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return -float(sum(_longest_chain(block) for block in architecture.blocks))


def _longest_chain(block: Block) -> int:
    """Most ops of which each reads a bank that the one before has written. All banks are the output of a block."""
    lengths = [0] * block.banks  # most ops on a path that ends in each bank
    for op in block.ops:
        length = 1 + max(lengths[bank] for bank in op.read)
        for bank in op.write:
            lengths[bank] = max(lengths[bank], length)
    return max(lengths)
