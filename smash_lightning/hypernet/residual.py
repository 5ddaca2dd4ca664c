"""A HyperNet whose generated weights are added to weights that ops share: an extension of the paper."""

from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet.base import ConditionalWeightSource, Tables
from smash_lightning.hypernet.grid import GridHyperNet
from smash_lightning.hypernet.shared_tensors import matrix_tables, shared_matrices, sliced_matrices
from smash_lightning.network.gradients import unit_norm

GENERATED_SHARE = 0.2  # initial factor of the generated weights, relative to the shared ones


@final
class ResidualHyperNet(GridHyperNet, ConditionalWeightSource):
    """As `ConditionalHyperNet`, with the generated 1x1 convolutions added to those of `SharedWeights`.

    The HyperNet need not learn what all architectures have in common. The factor of the generated part is learned.
    """

    @override
    def add_parameters(self, generator: torch.Generator | None) -> None:
        self.pointwise = shared_matrices(self.limits, generator)
        self.share = nn.Parameter(torch.tensor(GENERATED_SHARE))

    @override
    def matrices(self, architecture: Architecture, generated: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        common = unit_norm(sliced_matrices(self.pointwise, architecture))
        # All matrices in one row, so that the addition is one operation.
        total = _in_a_row(common) + self.share * _in_a_row(generated)
        pieces = total.split([matrix.numel() for matrix in common])
        return unit_norm(tuple(piece.view_as(matrix) for piece, matrix in zip(pieces, common, strict=True)))

    @override
    def tables(self) -> list[Tables]:
        return [*super().tables(), partial(matrix_tables, self.limits)]

    @override
    def undecayed(self) -> list[nn.Parameter]:
        """The HyperNet's filters, and the matrices that the generated weights are added to."""
        return [*self.hypernet.parameters(), *self.pointwise]


def _in_a_row(matrices: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([matrix.flatten() for matrix in matrices])
