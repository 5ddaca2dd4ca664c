"""The forward pass: a function of an architecture and named weights."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, ImageSpec, Layer, layers
from smash_lightning.architecture.layers import BlockLayers, OpLayers, Stage
from smash_lightning.network import gradients, nd
from smash_lightning.network.banks import Average, accesses
from smash_lightning.network.batch_norm import NormSource
from smash_lightning.network.dropping import NOTHING_DROPPED, Dropping

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
    dropping: Dropping = NOTHING_DROPPED,
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
        dropping: dropout and drop-path.
    """
    table = layers(architecture, image_spec, op_norm)
    run = _Run(weights, statistics, networks, dropping)
    x = _convolve(table.stem, run, nd.channels_last(x))
    if not op_norm:
        x = torch.relu_(x)  # without norms, ops do not start with a ReLU, and the stem's output would remain linear
    if table.entry is not None:
        x = _transition(table.entry, run, torch.relu_(_norm(table.entry.norm, run, x)))
    for block, row in zip(architecture.blocks, table.blocks, strict=True):
        x = _transition(row, run, _block(block, row, run, x))
    features = x.mean(dim=tuple(range(2, x.ndim)))
    return nd.linear(weights["head.weight"], weights["head.bias"], features, networks)


class _Run(NamedTuple):
    """What a forward pass has in every layer."""

    weights: Weights
    statistics: NormSource
    networks: int
    dropping: Dropping


def _block(block: Block, row: BlockLayers, run: _Run, x: Tensor) -> Tensor:
    memory = gradients.open_memory(x, block.channels, run.networks)
    for layer, access in zip(row.ops, accesses(block, x.device), strict=True):
        h, memory = gradients.read(memory, access.read, x.shape)
        y = run.dropping.of_paths(_op(layer, run, h))
        if isinstance(access.write, Average):
            memory = gradients.average(memory, y, *access.write)
        else:
            memory = gradients.add(memory, y, access.write)
    return torch.relu_(_norm(row.norm, run, gradients.close_memory(memory, x.shape)))


def _transition(row: BlockLayers, run: _Run, x: Tensor) -> Tensor:
    if row.transition is None:
        return x
    if not row.transition.residual:
        # Pooling commutes with the 1x1 convolution, and there are four or eight times fewer pixels after it.
        return _convolve(row.transition.shortcut, run, nd.average_pool(x))
    residual = run.dropping.of_paths(_path(row.transition.residual, run, x))
    return residual + _convolve(row.transition.shortcut, run, x)


def _op(layer: OpLayers, run: _Run, h: Tensor) -> Tensor:
    if layer.entry is not None:
        h = torch.relu_(_norm(layer.entry, run, h))
    if layer.pointwise is not None:
        h = _stage(layer.pointwise, run, h)
    outputs = [_path(path, run, h) for path in layer.paths]
    return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]


def _path(path: Sequence[Stage], run: _Run, h: Tensor) -> Tensor:
    *first, last = path
    for stage in first:
        h = _stage(stage, run, h)
    return _stage(last, run, run.dropping.of_units(h))


def _stage(stage: Stage, run: _Run, h: Tensor) -> Tensor:
    h = _convolve(stage.convolution, run, h)
    if stage.norm is not None:
        h = _norm(stage.norm, run, h)
    return torch.relu_(h) if stage.activate else h


def _convolve(layer: Layer, run: _Run, x: Tensor) -> Tensor:
    return nd.convolve(layer, run.weights[f"{layer.name}.weight"], x, run.networks)


def _norm(layer: Layer, run: _Run, h: Tensor) -> Tensor:
    weight, bias = (run.weights[f"{layer.name}.{name}"] for name in ("weight", "bias"))
    return run.statistics.normalize(layer.name, h, weight, bias)
