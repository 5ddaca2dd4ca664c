"""The forward pass: a function of an architecture and named weights."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, Block, ImageSpec, Layer, layers
from smash_lightning.architecture.definition import Meet
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
            are concatenated along the first axis. Ops have BatchNorm where its tensors are among them.
        x: images.
        statistics: gives the mean and variance of norms.
        networks: number of networks.
        dropping: dropout and drop-path.
    """
    first = "entry" if architecture.blocks[0].ops[0].activation == "pre" else "conv0_norm"
    op_norm = f"block0.op0.{first}.weight" in weights
    table = layers(architecture, image_spec, op_norm)
    run = _Run(weights, statistics, networks, dropping)
    x = nd.channels_last(_convolve(table.stem, run, nd.channels_last(x)))  # it has channels first for grey images
    if not op_norm:
        x = torch.relu_(x)  # without norms, ops do not start with a ReLU, and the stem's output would remain linear
    if table.entry is not None:
        x = _transition(table.entry, run, _end(table.entry, run, x))
    banks = x  # of the block before, where there is one
    for block, row in zip(architecture.blocks, table.blocks, strict=True):
        banks = _banks(block, row, run, x, nd.average_pool(banks) if block.pooled_width else None)
        x = _transition(row, run, _end(row, run, banks))
    x = nd.max_pool(x) if table.pooled else x
    features = x.movedim(1, -1).flatten(1, -2).mean(1)  # the gradient of a mean over axes of space has channels first
    return nd.linear(weights["head.weight"], weights["head.bias"], features, networks)


class _Run(NamedTuple):
    """What a forward pass has in every layer."""

    weights: Weights
    statistics: NormSource
    networks: int
    dropping: Dropping


def _banks(block: Block, row: BlockLayers, run: _Run, x: Tensor, pooled: Tensor | None) -> Tensor:
    """All banks of a block after its ops, from those of its input and those of the block before at its resolution."""
    memory = gradients.open_memory(x, block.channels, run.networks, pooled)
    drawn = run.dropping.writes(block, x) if run.dropping.paths else None
    for layer, access in zip(row.ops, accesses(block, x.device), strict=True):
        h, memory = gradients.read(memory, access.read, x.shape)
        y = _op(layer, run, h)
        if isinstance(access.write, Average):
            channels, source, writes = access.write
            writes = writes if drawn is None else next(drawn).repeat_interleave(block.width, 1)
            memory = gradients.average(memory, y, channels, source, writes)
        else:
            memory = gradients.add(memory, run.dropping.of_paths(y), access.write)
    return gradients.close_memory(memory, block.channels, x.shape)


def _end(row: BlockLayers, run: _Run, x: Tensor) -> Tensor:
    """The output of a block whose banks are x, or of a stem."""
    if row.norm is not None:
        return torch.relu_(_norm(row.norm, run, x))
    return torch.relu(x.unflatten(1, (run.networks, -1))[:, :, : row.outputs].flatten(1, 2))


def _transition(row: BlockLayers, run: _Run, x: Tensor) -> Tensor:
    if row.transition is None:
        return x
    shortcut, paths, norm = row.transition.shortcut, row.transition.residual, row.transition.norm
    if not paths and norm is None:
        # Pooling commutes with the 1x1 convolution, and there are four or eight times fewer pixels after it.
        return _convolve(shortcut, run, nd.average_pool(x))
    if not paths:
        x = nd.max_pool(x)
        x = x if row.transition.doubling is None else _stage(row.transition.doubling, run, x)
        return _stage(Stage(shortcut, norm, "relu"), run, x)
    residual = run.dropping.of_paths(_meet([_path(path, run, x) for path in paths], "mean", run))
    if norm is None:
        return residual + _convolve(shortcut, run, x)
    both = torch.stack([each.unflatten(1, (run.networks, -1)) for each in (x, nd.shifted(x))], 2).flatten(1, 3)
    return residual + _stage(Stage(shortcut, norm, None), run, both)


def _op(layer: OpLayers, run: _Run, h: Tensor) -> Tensor:
    if layer.entry is not None:
        h = _norm(layer.entry, run, h)
        if layer.pointwise is not None or not layer.starts:
            h = torch.relu_(h)
    if layer.pointwise is not None:
        h = _stage(layer.pointwise, run, h)
    starts = [getattr(torch, name)(h) for name in layer.starts] or [h] * len(layer.paths)
    return _meet([_path(path, run, start) for path, start in zip(layer.paths, starts, strict=True)], layer.meet, run)


def _meet(outputs: Sequence[Tensor], meet: Meet, run: _Run) -> Tensor:
    """What one or two paths give together."""
    if len(outputs) == 1:
        return outputs[0]
    first, second = outputs
    if meet == "gate":
        return torch.tanh(first) * torch.sigmoid(second)
    return run.dropping.mixed(first, second) if meet == "mean" else first + second


def _path(path: Sequence[Stage], run: _Run, h: Tensor) -> Tensor:
    *first, last = path
    for stage in first:
        h = _stage(stage, run, h)
    return _stage(last, run, run.dropping.of_units(h))


def _stage(stage: Stage, run: _Run, h: Tensor) -> Tensor:
    h = _convolve(stage.convolution, run, h)
    if stage.norm is not None:
        h = _norm(stage.norm, run, h)
    return h if stage.nonlinearity is None else nd.nonlinear(stage.nonlinearity, h)


def _convolve(layer: Layer, run: _Run, x: Tensor) -> Tensor:
    return nd.convolve(layer, run.weights[f"{layer.name}.weight"], x, run.networks)


def _norm(layer: Layer, run: _Run, h: Tensor) -> Tensor:
    weight, bias = (run.weights[f"{layer.name}.{name}"] for name in ("weight", "bias"))
    return run.statistics.normalize(layer.name, h, weight, bias)
