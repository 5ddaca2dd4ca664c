"""Norm of the loss gradient at initialization (Abdelfattah et al. 2021, "Zero-cost proxies", arXiv 2101.08134)."""

from dataclasses import dataclass

from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import loss_gradients, minus_log


@dataclass(frozen=True)
class GradientNorm(Baseline):
    """-log of the sum of the Euclidean norms of dL/dw, over the weight tensors w of convolutions and classifier.

    L is the mean cross-entropy of the images of the context.
    """

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        return minus_log(sum(gradient.norm().item() for _, gradient in loss_gradients(architecture, context)))
