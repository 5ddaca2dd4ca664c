"""A HyperNet that mixes a few sets of shared weights: an extension of the paper.

Mixtures of kernels by coefficients that depend on the input are in CondConv (Yang et al. 2019); here they depend on the
architecture. K sets need K numbers for each op, where `ConditionalHyperNet` generates every weight.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, final

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from smash_lightning.architecture import Architecture, ImageSpec, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.base import ConditionalWeightSource, Tables
from smash_lightning.hypernet.densenet import GridDenseNet
from smash_lightning.hypernet.shared_tensors import (
    make_shared_tensors,
    matrix_tables,
    named_pointwise,
    op_names,
    shared_matrices,
    sliced,
    sliced_matrices,
)
from smash_lightning.network import Weights
from smash_lightning.network.gradients import unit_norm

SHARPNESS = 2.0  # initial norm of the logits of an op


@final
class MixtureHyperNet(ConditionalWeightSource):
    """As `SharedWeights`, with `sets` of matrices and kernels, which are added with coefficients of each op.

    The logits of an op are what the HyperNet makes of c, averaged over the op's cells, with a norm that is learned. The
    coefficients are their softmax divided by its norm, so that a sum of independent sets is as large as one.
    conf/hypernet/mixture.yaml explains the options, and `GridDenseNet` the layers.
    """

    def __init__(
        self,
        limits: Limits,
        image_spec: ImageSpec,
        generator: torch.Generator | None = None,
        *,
        sets: PositiveInt = 4,
        width: PositiveInt | None = None,
        depths: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (4, 4, 2),
        growth: PositiveInt = 10,
        noise: bool = True,
        depth_compression: PositiveInt = 2,
    ) -> None:
        super().__init__(Encoding(limits, depth_compression), image_spec)
        channels = self.encoding.layout.channels
        self.hypernet = GridDenseNet(channels, sets, width, depths, growth, noise, generator)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        self.pointwise = shared_matrices(limits, generator, sets)
        self.shared = make_shared_tensors(limits, image_spec, generator, sets)

    @override
    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        return self.mixed(architecture, self.coefficients(architecture, c, z))

    def coefficients(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Tensor:
        """Positive coefficients (ops, sets) of norm 1, from a c of the shape of the architecture's own."""
        (grid,) = self.hypernet(self.hypernet.with_noise(c, z))
        spans = self.encoding.spans(architecture)
        logits = [grid[:, : span.rows, span.first : span.last].mean((1, 2)) for span in spans]
        return F.normalize(torch.softmax(self.sharpness * F.normalize(torch.stack(logits), dim=1), 1), dim=1)

    def mixed(self, architecture: Architecture, coefficients: Tensor) -> Weights:
        """The weights of `architecture` from the coefficients (ops, sets) of its ops."""
        of_ops = dict(zip(op_names(architecture), coefficients, strict=True))
        stacked = zip(of_ops.values(), sliced_matrices(self.pointwise, architecture), strict=True)
        matrices = unit_norm(tuple(torch.tensordot(one, matrix, 1) for one, matrix in stacked))
        weights = sliced(self.shared, architecture, self.image_spec)
        for name, tensor in weights.items():
            if (op := name.rsplit(".", 2)[0]) in of_ops and tensor.ndim > 1:  # norms are not mixed
                weights[name] = torch.tensordot(of_ops[op], tensor, 1)
        return weights | named_pointwise(architecture, matrices)

    @override
    def tables(self) -> list[Tables]:
        return [*super().tables(), partial(matrix_tables, self.limits)]

    @override
    def noise_shape(self, architecture: Architecture) -> tuple[int, ...] | None:
        """(1, 1, rows, slices), or None without noise."""
        return (1, 1, *self.encoding.grid_shape(architecture)) if self.hypernet.noise else None

    @override
    def undecayed(self) -> list[nn.Parameter]:
        """The HyperNet's filters, the norm of logits, and the matrices, which are divided by their norms."""
        return [*self.hypernet.parameters(), self.sharpness, *self.pointwise]
