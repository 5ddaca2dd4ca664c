"""Plain weight sharing without a HyperNet: one matrix per block, of which each 1x1 convolution is a slice."""

from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits
from smash_lightning.hypernet.base import Tables, WeightSource
from smash_lightning.hypernet.shared_tensors import (
    make_shared_tensors,
    matrix_tables,
    named_pointwise,
    shared_matrices,
    sliced,
    sliced_matrices,
)
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm


@final
class SharedWeights(WeightSource):
    """The 1x1 convolutions of a block's ops are slices of one matrix: leading rows, and the columns of the banks read.

    Each is divided by its norm, as a generated one is, and all other tensors are those of `ConditionalHyperNet`, so
    that the two differ in the HyperNet alone.
    """

    def __init__(self, limits: Limits, image_spec: ImageSpec, generator: torch.Generator | None = None) -> None:
        super().__init__(limits, image_spec)
        self.pointwise = shared_matrices(limits, generator)
        self.shared = make_shared_tensors(limits, image_spec, generator)

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """None: nothing is generated."""
        del architecture
        return None

    @override
    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        assert z is None
        matrices = unit_norm(sliced_matrices(self.pointwise, architecture))
        return sliced(self.shared, architecture, self.image_spec) | named_pointwise(architecture, matrices)

    @override
    def tables(self) -> list[Tables]:
        return [partial(matrix_tables, self.limits)]

    def undecayed(self) -> list[nn.Parameter]:
        """The matrices, which are divided by their norms as a HyperNet's filters are."""
        return list(self.pointwise)
