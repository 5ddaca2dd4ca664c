"""Plain weight sharing in place of a HyperNet: one learned 1x1 matrix per block, sliced."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, Block, ImageSpec, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.base import WeightSource
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm


class SharedWeights(WeightSource):
    """All ops of a block take their 1x1 from one matrix: leading rows, and the columns of the banks that they read.

    Each is divided by its norm, as a generated one is, and all other tensors are those of `GeneratedWeights`, so that
    the two differ in the HyperNet alone.

    Args:
        encoding: bounds the architectures.
        image_spec: image, stem and classifier.
        generator: stream of the initialisation.
    """

    def __init__(self, encoding: Encoding, image_spec: ImageSpec, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.encoding, self.image_spec = encoding, image_spec
        self.pointwise = shared_matrices(encoding.limits, generator)
        self.shared = make_shared_tensors(encoding, image_spec, generator)

    @property
    def takes_noise(self) -> bool:
        """Nothing is generated."""
        return False

    def noise(self, architecture: Architecture, generator: torch.Generator) -> Tensor | None:
        """None: nothing is generated."""
        del architecture, generator
        return None

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs without norms in ops, by name."""
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
    """The 1x1 weights (bottleneck, inputs) of each op, in order of execution, before they are normalised.

    One look-up for each block, however many ops it has.
    """
    weights: list[Tensor] = []
    for block, matrix in zip(architecture.blocks, matrices, strict=True):
        found = matrix.flatten().index_select(0, _places(block, matrix.shape[1], matrix.device))
        shapes = [(op.bottleneck or 0, len(op.read) * block.width) for op in block.ops]
        pieces = found.split([rows * columns for rows, columns in shapes])
        weights += [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    return tuple(weights)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # what an evaluation caches must serve a training too
def _places(block: Block, columns: int, device: torch.device) -> Tensor:
    """Where the weights of a block's ops stand in the flattened matrix: leading rows, and columns of what they read."""
    parts = []
    for op in block.ops:
        banks = torch.tensor(op.read)[:, None] * block.width + torch.arange(block.width)
        parts.append((torch.arange(op.bottleneck or 0)[:, None] * columns + banks.flatten()).flatten())
    return torch.cat(parts).to(device)
