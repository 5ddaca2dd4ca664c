"""The paper's HyperNet: every 1x1 convolution is generated from the encoding c (section 3.3)."""

from typing import final

from torch import Tensor
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet.base import ConditionalWeightSource
from smash_lightning.hypernet.grid import GridHyperNet
from smash_lightning.network import Weights


@final
class ConditionalHyperNet(GridHyperNet, ConditionalWeightSource):
    """The grid is a function of c. Options as in `GridHyperNet`."""

    @override
    def from_c(self, architecture: Architecture, c: Tensor, z: Tensor | None) -> Weights:
        return self.from_grid(architecture, self.hypernet(c, z))
