"""Plain weight sharing in place of a HyperNet: one learned 1x1 matrix per block, sliced."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, Limits, Op, Skeleton
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.learned import learned_tensors, named_pointwise, sliced
from smash_lightning.hypernet.source import WeightSource
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm


class SharedWeights(WeightSource):
    """All ops of a block take their 1x1 from one matrix: leading rows, and the columns of the banks that they read.

    Each is divided by its norm, as a generated one is, and all other tensors are those of `GeneratedWeights`, so that
    the two differ in the HyperNet alone.

    Args:
        encoding: bounds the architectures.
        skeleton: image, stem and classifier.
        generator: stream of the initialisation.
    """

    def __init__(self, encoding: Encoding, skeleton: Skeleton, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.encoding, self.skeleton = encoding, skeleton
        self.pointwise = shared_matrices(encoding.limits, generator)
        self.shared = learned_tensors(encoding, skeleton, generator)

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
        return sliced(self.shared, architecture, self.skeleton) | named_pointwise(architecture, matrices)

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
    """The 1x1 weights (bottleneck, inputs) of each op, in order of execution, before they are normalised."""
    return tuple(
        matrix[: op.bottleneck].index_select(1, _columns(op, block.width, matrix.device))
        for block, matrix in zip(architecture.blocks, matrices, strict=True)
        for op in block.ops
    )


def _columns(op: Op, width: int, device: torch.device) -> Tensor:
    """Channels of the banks that an op reads."""
    return torch.tensor([bank * width + channel for bank in op.read for channel in range(width)], device=device)
