"""A HyperNet whose generated weights are added to weights that ops share: an extension of the paper."""

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
from smash_lightning.hypernet.shared import shared_matrices, sliced_matrices
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.hypernet.unpack import grid_channels, unpack
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm

GENERATED_SHARE = 0.2  # initial factor of the generated weights, relative to the shared ones


@final
class ResidualHyperNet(ConditionalWeightSource):
    """As `ConditionalHyperNet`, with the generated 1x1 convolutions added to those of `SharedWeights`.

    The HyperNet need not learn what all architectures have in common. The factor of the generated part is learned.

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
        self.pointwise = shared_matrices(limits, generator)
        self.share = nn.Parameter(torch.tensor(GENERATED_SHARE))

    @override
    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        return self.from_grid(architecture, self.hypernet(c, z))

    def from_grid(self, architecture: Architecture, grid: Tensor) -> Weights:
        """The weights of `architecture` from the HyperNet's grid (1, outputs, rows, slices)."""
        generated = unit_norm(unpack(grid, self.encoding, architecture))
        common = unit_norm(sliced_matrices(self.pointwise, architecture))
        shapes = [matrix.shape for matrix in common]
        # All matrices in one row, so that the addition is one operation.
        total = _in_a_row(common) + self.share * _in_a_row(generated)
        pieces = total.split([shape.numel() for shape in shapes])
        matrices = unit_norm(tuple(piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)))
        return sliced(self.shared, architecture, self.image_spec) | named_pointwise(architecture, matrices)

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """(1, 1, rows, slices), or None without noise."""
        return (1, 1, *self.encoding.grid_shape(architecture)) if self.hypernet.noise else None

    def undecayed(self) -> list[nn.Parameter]:
        """The HyperNet's filters, and the matrices that the generated weights are added to."""
        return [*self.hypernet.parameters(), *self.pointwise]


def _in_a_row(matrices: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([matrix.flatten() for matrix in matrices])
