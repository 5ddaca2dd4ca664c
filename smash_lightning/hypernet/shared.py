"""Plain weight sharing without a HyperNet: one matrix per block, of which each 1x1 convolution is a slice."""

from __future__ import annotations

from functools import lru_cache
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, Block, ImageSpec, Limits
from smash_lightning.hypernet.base import WeightSource
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm


@final
class SharedWeights(WeightSource):
    """The 1x1 convolutions of a block's ops are slices of one matrix: leading rows, and the columns of the banks read.

    Each is divided by its norm, as a generated one is, and all other tensors are those of `ConditionalHyperNet`, so
    that the two differ in the HyperNet alone.

    Args:
        limits: bounds of the search space.
        image_spec: image, stem and classifier around the blocks.
        generator: random stream of the initialization.
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

    def undecayed(self) -> list[nn.Parameter]:
        """The matrices, which are divided by their norms as a HyperNet's filters are."""
        return list(self.pointwise)


def shared_matrices(limits: Limits, generator: torch.Generator | None) -> nn.ParameterList:
    """For each block a matrix (most channels after a 1x1, channels of all banks)."""
    rows = limits.bottleneck * limits.max_outputs
    return nn.ParameterList(
        nn.init.orthogonal_(torch.empty(rows, memory), generator=generator) for memory in limits.memory
    )


def sliced_matrices(matrices: nn.ParameterList, architecture: Architecture) -> tuple[Tensor, ...]:
    """The 1x1 weights (bottleneck, inputs) of each op, in order of execution, before they are normalized.

    One look-up for each block, however many ops it has.
    """
    weights: list[Tensor] = []
    for block, matrix in zip(architecture.blocks, matrices, strict=True):
        found = matrix.flatten().index_select(0, _indices(block, matrix.shape[1], matrix.device))
        shapes = [(op.bottleneck or 0, len(op.read) * block.width) for op in block.ops]
        pieces = found.split([rows * columns for rows, columns in shapes])
        weights += [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    return tuple(weights)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a tensor cached by an evaluation must be usable in a training
def _indices(block: Block, columns: int, device: torch.device) -> Tensor:
    """Indices of the weights of a block's ops in the flattened matrix: leading rows, columns of the banks read."""
    parts = []
    for op in block.ops:
        banks = torch.tensor(op.read)[:, None] * block.width + torch.arange(block.width)
        parts.append((torch.arange(op.bottleneck or 0)[:, None] * columns + banks.flatten()).flatten())
    return torch.cat(parts).to(device)
