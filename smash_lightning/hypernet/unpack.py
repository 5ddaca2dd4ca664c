"""The grid of a HyperNet, rearranged into named weights: channel-based weight compression (paper, section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.network.gradients import Region, crop


def grid_channels(encoding: Encoding) -> int:
    """Channels of the grid: the weights of one cell, (bottleneck N) outputs x (D N) inputs."""
    return encoding.limits.bottleneck * encoding.limits.base * encoding.slice_channels


class _TileGrid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grid: Tensor, inputs: int) -> Tensor:
        _, channels, rows, slices = grid.shape
        ctx.shape = (inputs, channels // inputs, rows, slices)
        # (input, output, row, slice) to (row, output; slice, input): a cell is a tile of outputs x inputs.
        return grid.reshape(ctx.shape).permute(2, 1, 3, 0).reshape(rows * (channels // inputs), slices * inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        inputs, outputs, rows, slices = ctx.shape
        tiles = gradient.view(rows, outputs, slices, inputs).permute(3, 1, 0, 2)
        return tiles.reshape(1, inputs * outputs, rows, slices), None


def tile_grid(grid: Tensor, inputs: int) -> Tensor:
    """Puts the cells of `grid` (1, outputs x inputs, rows, slices) next to each other as tiles of one matrix.

    Returns:
        Matrix (rows x outputs, slices x inputs), where tile (row, slice) holds the weights of that cell.
    """
    return _TileGrid.apply(grid, inputs)


def unpack(grid: Tensor, encoding: Encoding, architecture: Architecture) -> tuple[Tensor, ...]:
    """The 1x1 weights (bottleneck, inputs) of each op, in order of execution, before they are normalized.

    Every number of the grid is one weight of one op, or is not used: cells beyond an op's rows are left out, and where
    a width is no multiple of a slice the last cells are cut.
    """
    return crop(tile_grid(grid, encoding.slice_channels), _regions(encoding, architecture))


def _regions(encoding: Encoding, architecture: Architecture) -> tuple[Region, ...]:
    regions: list[Region] = []
    widths = [block.width for block in architecture.blocks for _ in block.ops]
    for op, width, span in zip(architecture.ops(), widths, encoding.spans(architecture), strict=True):
        first = span.first * encoding.slice_channels
        regions.append((slice(0, op.bottleneck), slice(first, first + len(op.read) * width)))
    return tuple(regions)
