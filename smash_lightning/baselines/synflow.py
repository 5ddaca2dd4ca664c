"""SynFlow: the flow through all paths of the network (Tanaka et al. 2020, arXiv 2006.05467).

To rank architectures, as in Abdelfattah et al. 2021 (arXiv 2101.08134): the sum over the weights of convolutions and
classifier, with norms left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.baselines.base import Baseline, BaselineContext
from smash_lightning.baselines.initialization import Weights, filter_gradients, initial_weights, minus_log
from smash_lightning.network import NormSource, forward


class NoNorm(NormSource):
    """The identity."""

    @override
    def normalize(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return x.clone()  # the ReLU after a norm works in place


@dataclass(frozen=True)
class SynFlow(Baseline):
    """-log of the sum over weights w of |w dR/dw|, R being the sum of logits of an image of ones under weights |w|.

    In 64-bit floats, as R is a product of as many factors as the network has layers. No image is used.
    """

    @override
    def predict(self, architecture: Architecture, context: BaselineContext) -> float:
        weights = {name: tensor.double().abs() for name, tensor in initial_weights(architecture, context).items()}
        shape = (1, context.image_spec.channels, *context.image_spec.size)
        ones = torch.ones(shape, dtype=torch.float64, device=context.images.device)

        def output(weights: Weights) -> Tensor:
            return forward(architecture, context.image_spec, weights, ones, NoNorm()).sum()

        pairs = filter_gradients(architecture, context, weights, output)
        return minus_log(sum((tensor * gradient).sum().item() for tensor, gradient in pairs))
