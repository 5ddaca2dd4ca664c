"""HyperNets that generate 1x1 weights in a grid: channel-based weight compression (paper, section 3.3)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.base import WeightSource
from smash_lightning.hypernet.densenet import GraphedDenseNet, GridDenseNet
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.network import Weights
from smash_lightning.network.gradients import Region, crop, unit_norm


class GridHyperNet(WeightSource):
    """The 1x1 convolutions of ops come from a grid, each divided by its norm; all other tensors are shared.

    conf/hypernet/small.yaml explains the options, and `GridDenseNet` the layers.
    """

    def __init__(
        self,
        limits: Limits,
        image_spec: ImageSpec,
        generator: torch.Generator | None = None,
        *,
        width: PositiveInt | None = None,
        depths: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (4, 4, 2),
        growth: PositiveInt = 10,
        noise: bool = True,
        depth_compression: PositiveInt = 2,
    ) -> None:
        WeightSource.__init__(self, limits, image_spec)
        self.encoding = Encoding(limits, depth_compression)
        channels, outputs = self.encoding.layout.channels, grid_channels(self.encoding)
        self.hypernet = GridDenseNet(channels, outputs, width, depths, growth, noise, generator)
        self.graphs: GraphedDenseNet | None = None
        self.shared = make_shared_tensors(limits, image_spec, generator)
        self.add_parameters(generator)

    def add_parameters(self, generator: torch.Generator | None) -> None:
        """Parameters of a subclass, which are initialized after the others."""

    def matrices(self, architecture: Architecture, generated: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The 1x1 weights (bottleneck, inputs) of each op, from the generated ones; both have norm 1."""
        del architecture
        return generated

    @override
    def use_graphs(self, use: bool) -> None:
        self.graphs = GraphedDenseNet(self.hypernet) if use else None

    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        """The weights of `architecture` from a c of the shape of its own, and noise where there is a channel for it."""
        c = self.hypernet.with_noise(c, z)
        grid = self.hypernet(c) if self.graphs is None or not torch.is_grad_enabled() else self.graphs(c)
        matrices = self.matrices(architecture, unit_norm(unpack(grid, self.encoding, architecture)))
        return sliced(self.shared, architecture, self.image_spec) | named_pointwise(architecture, matrices)

    @override
    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """(1, 1, rows, slices), or None without noise."""
        return (1, 1, *self.encoding.grid_shape(architecture)) if self.hypernet.noise else None

    @override
    def undecayed(self) -> list[nn.Parameter]:
        """The HyperNet's filters."""
        return list(self.hypernet.parameters())


def grid_channels(encoding: Encoding) -> int:
    """Channels of the grid: the weights of one cell, (bottleneck N) outputs x (D N) inputs."""
    return encoding.limits.bottleneck * encoding.limits.base * encoding.slice_channels


def tile_grid(grid: Tensor, inputs: int) -> Tensor:
    """Puts the cells of `grid` (1, inputs x outputs, rows, slices) next to each other as tiles of one matrix.

    Returns:
        Matrix (rows x outputs, slices x inputs), where tile (row, slice) holds the weights of that cell.
    """
    _, channels, rows, slices = grid.shape
    outputs = channels // inputs
    tiles = grid.reshape(inputs, outputs, rows, slices).permute(2, 1, 3, 0)  # (row, output; slice, input)
    return tiles.reshape(rows * outputs, slices * inputs)


def unpack(grid: Tensor, encoding: Encoding, architecture: Architecture) -> tuple[Tensor, ...]:
    """The 1x1 weights (bottleneck, inputs) of each op, in order of execution, before they are normalized.

    Every number of the grid is one weight of one op, or is not used: cells beyond an op's rows are left out, and where
    a width is no multiple of a slice the last cells are cut.
    """
    regions: list[Region] = []
    inputs = [block.channels_read(op) for block in architecture.blocks for op in block.ops]
    for op, channels, span in zip(architecture.ops(), inputs, encoding.spans(architecture), strict=True):
        first = span.first * encoding.slice_channels
        regions.append((slice(0, op.bottleneck), slice(first, first + channels)))
    return crop(tile_grid(grid, encoding.slice_channels), tuple(regions))
