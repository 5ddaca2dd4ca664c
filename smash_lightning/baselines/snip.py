"""SNIP: sensitivity of the loss to the removal of single weights (Lee et al. 2019, arXiv 1810.02340).

To rank architectures, as in Abdelfattah et al. 2021 (arXiv 2101.08134): the sum over the weights of convolutions and
classifier.
"""

from dataclasses import dataclass

from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import loss_gradients, minus_log


@dataclass(frozen=True)
class Snip(Baseline):
    """-log of the sum over weights w of |w dL/dw|, which is |dL/dm| of a mask m = 1 on w.

    L is the mean cross-entropy of the images of the context.
    """

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        pairs = loss_gradients(architecture, context)
        return minus_log(sum((tensor * gradient).abs().sum().item() for tensor, gradient in pairs))
