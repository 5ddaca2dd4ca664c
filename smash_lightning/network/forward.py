"""The forward pass: a function of an architecture and named weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, ImageSpec, Layer, layers
from smash_lightning.architecture.layers import BlockLayers, OpLayers, Stage
from smash_lightning.network import gradients, nd
from smash_lightning.network.banks import Average, accesses
from smash_lightning.network.batch_norm import NormSource

Weights = Mapping[str, Tensor]


def forward(
    architecture: Architecture,
    image_spec: ImageSpec,
    weights: Weights,
    x: Tensor,
    statistics: NormSource,
    *,
    op_norm: bool,
    networks: int = 1,
) -> Tensor:
    """Logits (batch, networks x classes) of images x (batch, networks x channels, *size).

    Several networks of one architecture may compute side by side, each with its own weights and images; in every
    tensor, the channels of one network follow those of the other.

    Args:
        architecture: of the networks.
        image_spec: image, stem and classifier of one network.
        weights: every tensor of `layers(architecture, image_spec, op_norm).parameters()`; those of several networks
            are concatenated along the first axis.
        x: images.
        statistics: gives the mean and variance of norms.
        op_norm: whether ops have BatchNorm: in standalone networks, not under a HyperNet.
        networks: number of networks.
    """
    table = layers(architecture, image_spec, op_norm)
    x = _convolve(table.stem, weights, nd.channels_last(x), networks)
    if not op_norm:
        x = torch.relu_(x)  # without norms, ops do not start with a ReLU, and the stem's output would remain linear
    if table.entry is not None:
        x = torch.relu_(_norm(table.entry.norm, weights, x, statistics))
        x = _transition(table.entry, weights, x, statistics, networks)
    for block, row in zip(architecture.blocks, table.blocks, strict=True):
        x = _block(block, row, weights, x, statistics, networks)
        x = _transition(row, weights, x, statistics, networks)
    features = x.mean(dim=tuple(range(2, x.ndim)))
    return nd.linear(weights["head.weight"], weights["head.bias"], features, networks)


def _block(
    block: Block, row: BlockLayers, weights: Weights, x: Tensor, statistics: NormSource, networks: int
) -> Tensor:
    memory = gradients.open_memory(x, block.channels, networks)
    for layer, access in zip(row.ops, accesses(block, x.device), strict=True):
        h, memory = gradients.read(memory, access.read, x.shape)
        y = _op(layer, weights, h, statistics, networks)
        if isinstance(access.write, Average):
            memory = gradients.average(memory, y, *access.write)
        else:
            memory = gradients.add(memory, y, access.write)
    return torch.relu_(_norm(row.norm, weights, gradients.close_memory(memory, x.shape), statistics))


def _transition(row: BlockLayers, weights: Weights, x: Tensor, statistics: NormSource, networks: int) -> Tensor:
    if row.transition is None:
        return x
    if not row.transition.residual:
        # Pooling commutes with the 1x1 convolution, and there are four or eight times fewer pixels after it.
        return _convolve(row.transition.shortcut, weights, nd.average_pool(x), networks)
    h = x
    for stage in row.transition.residual:
        h = _stage(stage, weights, h, statistics, networks)
    return h + _convolve(row.transition.shortcut, weights, x, networks)


def _op(layer: OpLayers, weights: Weights, h: Tensor, statistics: NormSource, networks: int) -> Tensor:
    if layer.entry is not None:
        h = torch.relu_(_norm(layer.entry, weights, h, statistics))
    if layer.pointwise is not None:
        h = _stage(layer.pointwise, weights, h, statistics, networks)
    outputs = []
    for path in layer.paths:
        y = h
        for stage in path:
            y = _stage(stage, weights, y, statistics, networks)
        outputs.append(y)
    return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]


def _stage(stage: Stage, weights: Weights, h: Tensor, statistics: NormSource, networks: int) -> Tensor:
    h = _convolve(stage.convolution, weights, h, networks)
    if stage.norm is not None:
        h = _norm(stage.norm, weights, h, statistics)
    return torch.relu_(h) if stage.activate else h


def _convolve(layer: Layer, weights: Weights, x: Tensor, networks: int) -> Tensor:
    return nd.convolve(layer, weights[f"{layer.name}.weight"], x, networks)


def _norm(layer: Layer, weights: Weights, h: Tensor, statistics: NormSource) -> Tensor:
    return statistics.normalize(layer.name, h, weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"])
