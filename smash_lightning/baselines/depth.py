"""Deeper is better (Simonyan and Zisserman 2015; He et al. 2016)."""

from dataclasses import dataclass

from typing_extensions import override

from smash_lightning.architecture import Architecture, longest_path
from smash_lightning.baselines.base import Baseline, BaselineContext


@dataclass(frozen=True)
class Depth(Baseline):
    """Minus the number of ops on the longest path from the image to the classifier: the sum of those of the blocks."""

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return -float(sum(map(longest_path, architecture.blocks)))
