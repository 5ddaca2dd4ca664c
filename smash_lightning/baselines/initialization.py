"""The standalone network at initialization, for baselines that do not train."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, layers
from smash_lightning.baselines.base import BaselineContext
from smash_lightning.network import StandaloneNetwork, UseBatchStatistics, forward
from smash_lightning.random_streams import Stream, generator

Weights = dict[str, Tensor]


def initial_weights(architecture: Architecture, context: BaselineContext) -> Weights:
    """All weights by name, equal to the initial ones of `RetrainModule`; device and precision of the images."""
    network = StandaloneNetwork(architecture, context.image_spec, generator(Stream.RETRAIN, context.seed))
    return {name: tensor.detach().to(context.images) for name, tensor in network.weights.named_parameters()}


def logits(architecture: Architecture, context: BaselineContext, weights: Weights, images: Tensor) -> Tensor:
    """Logits of `images`; norms use the statistics of the batch, as in the first step of a training."""
    return forward(architecture, context.image_spec, weights, images, UseBatchStatistics())


def filter_gradients(
    architecture: Architecture, context: BaselineContext, weights: Weights, value: Callable[[Weights], Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """The weights of each convolution and of the classifier, without norms and biases, and the gradient of `value`."""
    table = layers(architecture, context.image_spec, op_norm=True)
    filters = [weights[f"{layer.name}.weight"].requires_grad_() for layer in table if layer.kind != "norm"]
    gradients = torch.autograd.grad(value(weights), filters)
    return [(tensor.detach(), gradient) for tensor, gradient in zip(filters, gradients, strict=True)]


def loss_gradients(architecture: Architecture, context: BaselineContext) -> list[tuple[Tensor, Tensor]]:
    """`filter_gradients` of the mean cross-entropy of the context's images with the initial weights."""

    def loss(weights: Weights) -> Tensor:
        return F.cross_entropy(logits(architecture, context, weights, context.images), context.labels)

    return filter_gradients(architecture, context, initial_weights(architecture, context), loss)


def minus_log(score: float) -> float:
    """-log of a score of which higher is better; +inf where the score is zero, infinite or NaN."""
    return -math.log(score) if 0 < score < math.inf else math.inf
