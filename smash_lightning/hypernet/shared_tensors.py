"""Tensors that all architectures share, each sliced to the size that an architecture needs."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, Block, ImageSpec, Layer, Limits, layers
from smash_lightning.architecture.layers import STEM_KERNEL
from smash_lightning.host_tables import Call, on_device
from smash_lightning.network import initialize, shared_name
from smash_lightning.network.banks import bank_channels
from smash_lightning.network.gradients import Region, crop


def make_shared_tensors(
    limits: Limits, image_spec: ImageSpec, generator: torch.Generator | None, sets: int | None = None
) -> nn.ParameterDict:
    """Everything but the 1x1 convolutions of ops, of the largest size that any architecture needs.

    The stem; for each block one kernel per convolution position, or `sets` of them along a new first axis, and norms of
    ops where the limits have these; transitions, norms and the classifier.
    """
    tensors = nn.ParameterDict()
    for layer in largest_layers(limits, image_spec):
        count = sets if ".conv" in layer.name and layer.kind == "convolution" else None
        drawn = [initialize(layer, generator) for _ in range(count or 1)]
        for name, tensor in drawn[0].items():
            value = tensor if count is None else torch.stack([one[name] for one in drawn])
            tensors[name.replace(".", "/")] = nn.Parameter(value)
    return tensors


def sliced(
    tensors: nn.ParameterDict, architecture: Architecture, image_spec: ImageSpec, chosen: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """The tensors of an architecture by name: leading channels, and the centre in space.

    Each shared tensor is cut once into all its pieces. Where there are several sets of kernels, an op's are of the set
    `chosen` for it, or of all sets along the first axis.
    """
    sets = dict(zip(op_names(architecture), chosen or (), strict=chosen is not None))
    wanted: dict[str, list[tuple[str, Region]]] = {}
    op_norm = "block0/pointwise_norm/weight" in tensors
    for layer in layers(architecture, image_spec, op_norm):
        if layer.name.endswith(".pointwise"):
            continue
        for name, shape in layer.parameters.items():
            source = shared_name(name).replace(".", "/")  # as the ops of a block share it
            chosen_set = sets.get(layer.name.rpartition(".")[0], slice(None))
            wanted.setdefault(source, []).append((name, _region(tensors[source].shape, shape, chosen_set)))
    weights: dict[str, Tensor] = {}
    for source, pieces in wanted.items():
        cut = crop(tensors[source], tuple(region for _, region in pieces))
        weights.update(zip((name for name, _ in pieces), cut, strict=True))
    return weights


def shared_matrices(limits: Limits, generator: torch.Generator | None, sets: int | None = None) -> nn.ParameterList:
    """For each block a matrix (most channels after a 1x1, channels that ops may read), or (sets, ...) of them."""
    rows = limits.bottleneck * limits.max_outputs

    def draw(columns: int) -> Tensor:
        return nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)

    return nn.ParameterList(
        draw(readable) if sets is None else torch.stack([draw(readable) for _ in range(sets)])
        for readable in limits.readable
    )


def sliced_matrices(matrices: nn.ParameterList, architecture: Architecture) -> tuple[Tensor, ...]:
    """The 1x1 weights (bottleneck, inputs) or (sets, ...) of each op in order, before they are normalized.

    One look-up for each block, however many ops it has.
    """
    weights: list[Tensor] = []
    for block, matrix in zip(architecture.blocks, matrices, strict=True):
        found = matrix.flatten(-2).index_select(-1, _indices(block, matrix.shape[-1], matrix.device))
        shapes = [(op.bottleneck or 0, block.channels_read(op)) for op in block.ops]
        pieces = found.split([rows * columns for rows, columns in shapes], -1)
        weights += [piece.view(*piece.shape[:-1], *shape) for piece, shape in zip(pieces, shapes, strict=True)]
    return tuple(weights)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a tensor cached by an evaluation must be usable in a training
def _indices(block: Block, columns: int, device: torch.device) -> Tensor:
    return on_device(matrix_indices, block, columns, device=device)


def matrix_indices(block: Block, columns: int) -> np.ndarray:
    """Indices of the weights of a block's ops in the flattened matrix: leading rows, columns of the banks read.

    Columns of banks of the block before are counted from the last one.
    """
    parts = []
    for op in block.ops:
        rows = np.arange(op.bottleneck or 0)[:, None]
        pooled = columns - 1 - bank_channels(op.pooled, block.pooled_width)
        parts.append((rows * columns + np.concatenate([bank_channels(op.read, block.width), pooled])).ravel())
    return np.concatenate(parts)


def matrix_tables(limits: Limits, architecture: Architecture) -> list[Call]:
    """The tables on the host that `sliced_matrices` needs."""
    return [(matrix_indices, each) for each in zip(architecture.blocks, limits.readable, strict=True)]


def named_pointwise(architecture: Architecture, matrices: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The 1x1 matrices (bottleneck, inputs) of all ops, in order of execution, as named convolutions."""
    names, ones = op_names(architecture), (1,) * architecture.dimensions
    named = zip(names, matrices, strict=True)
    return {f"{name}.pointwise.weight": weight.view(*weight.shape, *ones) for name, weight in named}


def op_names(architecture: Architecture) -> list[str]:
    """What the names of an op's tensors begin with, in order of execution."""
    return [f"block{b}.op{o}" for b, block in enumerate(architecture.blocks) for o in range(len(block.ops))]


def _region(whole: torch.Size, shape: tuple[int, ...], chosen: int | slice) -> Region:
    """Leading channels, and the centre in space, of the set `chosen` where there are several."""
    sets = (chosen,) * (len(whole) - len(shape))
    whole = whole[len(sets) :]
    centred = [slice((w - s) // 2, (w + s) // 2) for w, s in zip(whole[2:], shape[2:], strict=True)]
    return (*sets, *(slice(0, s) for s in shape[:2]), *centred)


def largest_layers(limits: Limits, image_spec: ImageSpec) -> list[Layer]:
    """The layers of all tensors that architectures share, each of the largest size that any of them needs."""
    outputs, kernel = limits.max_outputs, (limits.kernels[-1],) * limits.dimensions
    ones, post = (1,) * limits.dimensions, "post" in limits.activations
    stem = (STEM_KERNEL,) * limits.dimensions
    table = [Layer("stem", "convolution", image_spec.channels, limits.inputs[0], kernel=stem)]
    for b, channels in enumerate(limits.memory):
        norms = {"pointwise_norm": limits.bottleneck * outputs}
        norms |= {"entry": limits.readable[b]} if "pre" in limits.activations else {}
        for position in range(limits.positions):
            inputs = outputs if position % 2 else limits.bottleneck * outputs
            table.append(Layer(f"block{b}.conv{position}", "convolution", inputs, outputs, kernel=kernel))
            norms |= {f"conv{position}_norm": outputs} if post else {}
        norms = (norms if limits.op_norm else {}) | {"norm": channels}
        table += [Layer(f"block{b}.{name}", "norm", count, count) for name, count in norms.items()]
        if b + 1 < len(limits.memory):
            table.append(Layer(f"block{b}.transition", "convolution", channels, limits.inputs[b + 1], kernel=ones))
    table.append(Layer("head", "linear", limits.memory[-1], image_spec.classes))
    return table
