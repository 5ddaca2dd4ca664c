"""Deeper is better: the plainest of beliefs about architectures (Simonyan and Zisserman 2015; He et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Architecture, Block
from smash_lightning.baselines.base import Baseline, BaselineContext


@dataclass(frozen=True)
class Depth(Baseline):
    """Minus the number of ops on the longest way from the image to the classifier."""

    def value(self, architecture: Architecture, context: BaselineContext) -> float:
        """Blocks follow one another, so that their longest ways add up."""
        return -float(sum(_longest_chain(block) for block in architecture.blocks))


def _longest_chain(block: Block) -> int:
    """Most ops of which each reads a bank that the one before has written to. A block hands on all its banks."""
    deepest = [0] * block.banks  # most ops on a way that ends in each bank
    for op in block.ops:
        local_device = 1 + max(deepest[bank] for bank in op.read)
        for bank in op.write:
            deepest[bank] = max(deepest[bank], local_device)
    return max(deepest)
