"""The standalone network at initialization, for baselines that do not train."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, ImageSpec, layers
from smash_lightning.baselines.base import BaselineContext
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.random_streams import Stream, generator


def initial_weights(architecture: Architecture, context: BaselineContext) -> dict[str, Tensor]:
    """All weights by name, equal to the initial ones of `RetrainModule`; device and precision of the images."""
    network = StandaloneNetwork(architecture, context.image_spec, generator(Stream.RETRAIN, context.seed))
    return {name: tensor.detach().to(context.images) for name, tensor in network.weights.named_parameters()}


def filter_names(architecture: Architecture, image_spec: ImageSpec) -> list[str]:
    """Names of the weights of convolutions and classifier, as in pruning criteria: without norms and biases."""
    table = layers(architecture, image_spec, op_norm=True)
    return [f"{layer.name}.weight" for layer in table if layer.kind != "norm"]


def filter_gradients(architecture: Architecture, context: BaselineContext) -> list[tuple[Tensor, Tensor]]:
    """Weight of each convolution and of the classifier, and its gradient of the batch's mean cross-entropy.

    Norms use the statistics of the batch, as in the first step of a training.
    """
    weights = initial_weights(architecture, context)
    filters = [weights[name].requires_grad_() for name in filter_names(architecture, context.image_spec)]
    logits = forward(architecture, context.image_spec, weights, context.images, UseBatchStatistics(), op_norm=True)
    gradients = torch.autograd.grad(F.cross_entropy(logits, context.labels), filters)
    return [(tensor.detach(), gradient) for tensor, gradient in zip(filters, gradients, strict=True)]


def minus_log(score: float) -> float:
    """-log of a score of which higher is better, as such scores vary by orders of magnitude.

    It is +inf where the score is zero, infinite or NaN.
    """
    return -math.log(score) if 0 < score < math.inf else math.inf
