"""The forward pass: a function of an architecture and named weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, ImageSpec, Layer, layers
from smash_lightning.architecture.layers import BlockLayers, OpLayers, Stage
from smash_lightning.network import gradients
from smash_lightning.network.banks import Average, accesses
from smash_lightning.network.batch_norm import NormSource

Weights = Mapping[str, Tensor]
# Operations for two and three spatial axes; nothing else distinguishes them.
_CONVOLUTION = {2: F.conv2d, 3: F.conv3d}
_POOL = {2: F.avg_pool2d, 3: F.avg_pool3d}
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # the fastest for convolutions on CPU and GPU


def forward(
    architecture: Architecture,
    image_spec: ImageSpec,
    weights: Weights,
    x: Tensor,
    statistics: NormSource,
    *,
    op_norm: bool,
) -> Tensor:
    """Logits (batch, classes) of images x (batch, channels, *size).

    `weights` has every tensor of `layers(architecture, image_spec, op_norm).parameters()`; `statistics` gives
    the mean and variance of norms. Ops have BatchNorm in standalone networks (`op_norm`), not under a HyperNet.
    """
    table = layers(architecture, image_spec, op_norm)
    x = x.contiguous(memory_format=_CHANNELS_LAST[x.ndim - 2])
    x = _convolve(table.stem, weights, x)
    if not op_norm:
        x = torch.relu_(x)  # without norms, ops do not start with a ReLU, and the stem's output would remain linear
    for block, row in zip(architecture.blocks, table.blocks, strict=True):
        x = _block(block, row, weights, x, statistics)
        if row.transition is not None:
            # Pooling commutes with the 1x1 convolution, and there are four or eight times fewer pixels after it.
            x = _convolve(row.transition, weights, _POOL[x.ndim - 2](x, 2))
    features = x.mean(dim=tuple(range(2, x.ndim)))
    return F.linear(features, weights["head.weight"], weights["head.bias"])


def _block(block: Block, row: BlockLayers, weights: Weights, x: Tensor, statistics: NormSource) -> Tensor:
    memory = gradients.open_memory(x, block.channels)
    for layer, access in zip(row.ops, accesses(block, x.device), strict=True):
        h, memory = gradients.read(memory, access.read, x.shape)
        y = _op(layer, weights, h, statistics)
        if isinstance(access.write, Average):
            memory = gradients.average(memory, y, *access.write)
        else:
            memory = gradients.add(memory, y, access.write)
    return torch.relu_(_norm(row.norm, weights, gradients.close_memory(memory, x.shape), statistics))


def _op(layer: OpLayers, weights: Weights, h: Tensor, statistics: NormSource) -> Tensor:
    if layer.entry is not None:
        h = torch.relu_(_norm(layer.entry, weights, h, statistics))
    if layer.pointwise is not None:
        h = _stage(layer.pointwise, weights, h, statistics)
    outputs = []
    for path in layer.paths:
        y = h
        for stage in path:
            y = _stage(stage, weights, y, statistics)
        outputs.append(y)
    return outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]


def _stage(stage: Stage, weights: Weights, h: Tensor, statistics: NormSource) -> Tensor:
    h = _convolve(stage.convolution, weights, h)
    if stage.norm is not None:
        h = _norm(stage.norm, weights, h, statistics)
    return torch.relu_(h) if stage.activate else h


def _convolve(layer: Layer, weights: Weights, h: Tensor) -> Tensor:
    """Convolution that keeps the resolution, or divides it by the layer's stride."""
    padding = [d * (k - 1) // 2 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
    weight = weights[f"{layer.name}.weight"]
    return _CONVOLUTION[h.ndim - 2](h, weight, None, layer.stride, padding, layer.dilation, layer.groups)


def _norm(layer: Layer, weights: Weights, h: Tensor, statistics: NormSource) -> Tensor:
    return statistics.normalize(layer.name, h, weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"])
