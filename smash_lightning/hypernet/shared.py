"""Plain weight sharing without a HyperNet: one matrix per block, of which each 1x1 convolution is a slice."""

import itertools
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits, Op
from smash_lightning.architecture.definition import Activation
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

# Bank width; kernel, dilation and nonlinearity of the first convolution; gate; activation:
Kind = tuple[int, int, int, str, bool, Activation]


@final
class SharedWeights(WeightSource):
    """The 1x1 convolutions of a block's ops are slices of one matrix: leading rows, and the columns of the banks read.

    Each is divided by its norm, as a generated one is, and all other tensors are those of `ConditionalHyperNet`, so
    that the two differ in the HyperNet alone. With `per_kind`, ops share matrices and kernels with those of their kind
    alone: of `Kind`, which conditions weights on the op without a HyperNet.
    """

    def __init__(
        self,
        limits: Limits,
        image_spec: ImageSpec,
        generator: torch.Generator | None = None,
        *,
        per_kind: bool = False,
    ) -> None:
        super().__init__(limits, image_spec)
        self.sets = {kind: index for index, kind in enumerate(kinds(limits))} if per_kind else None
        count = None if self.sets is None else len(self.sets)
        self.pointwise = shared_matrices(limits, generator, count)
        self.shared = make_shared_tensors(limits, image_spec, generator, count)

    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """None: nothing is generated."""
        del architecture
        return None

    @override
    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        assert z is None
        matrices, chosen = sliced_matrices(self.pointwise, architecture), None
        if self.sets is not None:
            chosen = [self.sets[kind_of(op, block.width)] for block in architecture.blocks for op in block.ops]
            matrices = tuple(matrix[index] for matrix, index in zip(matrices, chosen, strict=True))
        kernels = sliced(self.shared, architecture, self.image_spec, chosen)
        return kernels | named_pointwise(architecture, unit_norm(matrices))

    @override
    def tables(self) -> list[Tables]:
        return [partial(matrix_tables, self.limits)]

    def undecayed(self) -> list[nn.Parameter]:
        """The matrices, which are divided by their norms as a HyperNet's filters are."""
        return list(self.pointwise)


def kind_of(op: Op, width: int) -> Kind:
    """The kind of an op on banks of `width` channels, whatever it reads and writes."""
    first = op.paths[0][0]
    return width, max(first.kernel), max(first.dilation), first.nonlinearity, op.meet == "gate", op.activation


def kinds(limits: Limits) -> list[Kind]:
    """Every kind within the limits, in a fixed order."""
    options = (limits.widths, limits.kernels, limits.dilations, limits.nonlinearities)
    return list(itertools.product(*options, (False, True) if limits.gates else (False,), limits.activations))
