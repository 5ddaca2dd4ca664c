"""SynFlow: how much flows through the network along all its ways (Tanaka et al. 2020, arXiv 2006.05467).

As Abdelfattah et al. 2021 (arXiv 2101.08134) use it to rank architectures: the sum over the weights of convolutions and
classifier, with norms left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.network import Statistics, forward
from smash_lightning.rival.base import Rival, Setting
from smash_lightning.rival.beginning import filter_names, first_weights, minus_log


class NoNorm(Statistics):
    """Leaves activations as they are."""

    def normalise(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """A copy of x: the ReLU that follows a norm works in place."""
        return x.clone()


@dataclass(frozen=True)
class SynFlow(Rival):
    """-log of the sum over weights w of |w dR/dw|, R being the sum of logits of an image of ones under weights |w|."""

    def value(self, architecture: Architecture, setting: Setting) -> float:
        """In 64-bit floats, as R is a product of as many factors as the network has layers. No image is looked at."""
        weights = {name: tensor.double().abs() for name, tensor in first_weights(architecture, setting).items()}
        filters = [weights[name].requires_grad_() for name in filter_names(architecture, setting.skeleton)]
        shape = (1, setting.skeleton.channels, *setting.skeleton.size)
        ones = torch.ones(shape, dtype=torch.float64, device=setting.images.device)
        logits = forward(architecture, setting.skeleton, weights, ones, NoNorm(), op_norm=True)
        gradients = torch.autograd.grad(logits.sum(), filters)
        flow = sum((w.detach() * gradient).sum().item() for w, gradient in zip(filters, gradients, strict=True))
        return minus_log(flow)
