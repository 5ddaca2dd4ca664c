"""A HyperNet whose input is not the architecture: the score without conditioning on c."""

from typing import final

from torch import Tensor
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import EMPTY
from smash_lightning.hypernet.grid import GridHyperNet
from smash_lightning.network import Weights


@final
class UnconditionalHyperNet(GridHyperNet):
    """As `ConditionalHyperNet`, with an empty c of the same shape in place of the encoding."""

    @override
    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        shape = (1, self.encoding.layout.channels, *self.encoding.grid_shape(architecture))
        return self.from_c(architecture, self.hypernet.filters[0].new_full(shape, EMPTY), z)
