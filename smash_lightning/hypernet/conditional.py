"""The paper's HyperNet: every 1x1 convolution is generated from the encoding c (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.base import ConditionalWeightSource
from smash_lightning.hypernet.densenet import GridDenseNet
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.hypernet.unpack import grid_channels, unpack
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm


@final
class ConditionalHyperNet(ConditionalWeightSource):
    """The 1x1 convolutions of ops come from c, each divided by its norm; all other tensors are shared.

    Args:
        limits: bounds of the search space.
        image_spec: image, stem and classifier around the blocks.
        generator: random stream of the initialization.
        width: as in `GridDenseNet`.
        depths: as in `GridDenseNet`.
        growth: as in `GridDenseNet`.
        noise: as in `GridDenseNet`.
        depth_compression: the paper's D.
    """

    def __init__(
        self,
        limits: Limits,
        image_spec: ImageSpec,
        generator: torch.Generator | None = None,
        *,
        width: int | None = None,
        depths: Sequence[int] = (4, 4, 2),
        growth: int = 10,
        noise: bool = True,
        depth_compression: int = 2,
    ) -> None:
        super().__init__(Encoding(limits, depth_compression), image_spec)
        outputs = grid_channels(self.encoding)
        self.hypernet = GridDenseNet(self.encoding.layout.channels, outputs, width, depths, growth, noise, generator)
        self.shared = make_shared_tensors(limits, image_spec, generator)

    @override
    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        return self.from_grid(architecture, self.hypernet(c, z))

    def from_grid(self, architecture: Architecture, grid: Tensor) -> Weights:
        """The weights of `architecture` from the HyperNet's grid (1, outputs, rows, slices)."""
        matrices = unit_norm(unpack(grid, self.encoding, architecture))
        return sliced(self.shared, architecture, self.image_spec) | named_pointwise(architecture, matrices)

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """(1, 1, rows, slices), or None without noise."""
        return (1, 1, *self.encoding.grid_shape(architecture)) if self.hypernet.noise else None

    def undecayed(self) -> list[nn.Parameter]:
        """The HyperNet's filters."""
        return list(self.hypernet.parameters())
