"""Generated weights: the HyperNet's 1x1 convolutions, and learned tensors sliced to what an architecture asks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.encoding import Encoding
from smash_lightning.encoding.encoder import EMPTY
from smash_lightning.hypernet.base import WeightSource
from smash_lightning.hypernet.densenet import HyperNet
from smash_lightning.hypernet.shared import shared_matrices, sliced_matrices
from smash_lightning.hypernet.shared_tensors import make_shared_tensors, named_pointwise, sliced
from smash_lightning.hypernet.unpack import grid_channels, unpack
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm

GENERATED_SHARE = 0.2  # of what is generated beside what ops share, when a residual HyperNet begins


class GeneratedWeights(WeightSource):
    """Weights of which the 1x1 convolutions come from a HyperNet, each divided by its norm (paper, section 3.3).

    Everything else is learned and shared: see `make_shared_tensors`.

    Args:
        encoding: writes architectures as c.
        image_spec: image, stem and classifier.
        width: as in `HyperNet`.
        depths: as in `HyperNet`.
        growth: as in `HyperNet`.
        noise: as in `HyperNet`.
        conditional: False hides the architecture: the HyperNet sees an empty c of its shape.
        residual: whether what is generated is added to a matrix that the ops of a block share, see `SharedWeights`. An
            extension of the paper: the HyperNet need not learn what all architectures have in common.
        generator: stream of the initialisation.
    """

    def __init__(
        self,
        encoding: Encoding,
        image_spec: ImageSpec,
        *,
        width: int | None,
        depths: Sequence[int],
        growth: int,
        noise: bool,
        conditional: bool = True,
        residual: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.encoding, self.image_spec, self.conditional = encoding, image_spec, conditional
        self.hypernet = HyperNet(
            encoding.layout.channels,
            grid_channels(encoding),
            width=width,
            depths=tuple(depths),
            growth=growth,
            noise=noise,
            generator=generator,
        )
        self.shared = make_shared_tensors(encoding, image_spec, generator)
        self.pointwise = shared_matrices(encoding.limits, generator) if residual else None
        self.share = nn.Parameter(torch.tensor(GENERATED_SHARE)) if residual else None

    @property
    def takes_noise(self) -> bool:
        """As the HyperNet was built."""
        return self.hypernet.noise

    def noise(self, architecture: Architecture, generator: torch.Generator) -> Tensor | None:
        """Noise z (1, 1, rows, slices) for an architecture, or None where the HyperNet takes none."""
        if not self.hypernet.noise:
            return None
        slices = self.encoding.spans(architecture)[-1].last
        return torch.randn(1, 1, self.encoding.limits.max_units, slices, generator=generator, device=generator.device)

    def encode(self, architecture: Architecture) -> Tensor:
        """The c (1, channels, rows, slices) that the HyperNet sees of an architecture."""
        c = self.encoding.encode(architecture, self.shared["stem/weight"].device)
        return c if self.conditional else torch.full_like(c, EMPTY)

    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs under a HyperNet, by name."""
        return self.from_c(architecture, self.encode(architecture), z)

    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        """The same, with the HyperNet told c, of the architecture's shape: perhaps that of another architecture."""
        return self.from_grid(architecture, self.hypernet(c, z))

    def from_grid(self, architecture: Architecture, grid: Tensor) -> Weights:
        """The same, given the HyperNet's grid (1, outputs, rows, slices) for this architecture."""
        pointwise = unit_norm(unpack(grid, self.encoding, architecture))
        if self.pointwise is not None and self.share is not None:
            common = unit_norm(sliced_matrices(self.pointwise, architecture))
            shapes = [matrix.shape for matrix in common]
            # All matrices in one row, for an addition that is one operation.
            together = _in_a_row(common) + self.share * _in_a_row(pointwise)
            pieces = together.split([shape.numel() for shape in shapes])
            pointwise = unit_norm(tuple(piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)))
        weights = sliced(self.shared, architecture, self.image_spec)
        return weights | named_pointwise(architecture, pointwise)

    def undecayed(self) -> list[nn.Parameter]:
        """The HyperNet's, and the matrices that what it generates is added to."""
        return [*self.hypernet.parameters(), *(self.pointwise or ())]


def _in_a_row(matrices: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([matrix.flatten() for matrix in matrices])
