"""SNIP: how much the loss depends on the presence of single weights (Lee et al. 2019, arXiv 1810.02340).

As Abdelfattah et al. 2021 (arXiv 2101.08134) use it to rank architectures: the sum over the weights of convolutions and
classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import filter_gradients, minus_log


@dataclass(frozen=True)
class Snip(Baseline):
    """-log of the sum over weights w of |w dL/dw|, which is |dL/dm| of a mask m = 1 on w."""

    def value(self, architecture: Architecture, context: BaselineContext) -> float:
        """L is the mean cross-entropy of the setting's images."""
        pairs = filter_gradients(architecture, context)
        return minus_log(sum((tensor * gradient).abs().sum().item() for tensor, gradient in pairs))
