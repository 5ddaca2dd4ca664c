"""How steep the loss is at the beginning (Abdelfattah et al. 2021, "Zero-cost proxies", arXiv 2101.08134)."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import filter_gradients, minus_log


@dataclass(frozen=True)
class GradientNorm(Baseline):
    """-log of the sum of the Euclidean norms of dL/dw, over the weight tensors w of convolutions and classifier."""

    def value(self, architecture: Architecture, context: BaselineContext) -> float:
        """L is the mean cross-entropy of the setting's images."""
        pairs = filter_gradients(architecture, context)
        return minus_log(sum(gradient.norm().item() for _, gradient in pairs))
