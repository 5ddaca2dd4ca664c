"""The paper's HyperNet: every 1x1 convolution is generated from the encoding c (section 3.3)."""

from typing import final

from smash_lightning.hypernet.base import ConditionalWeightSource
from smash_lightning.hypernet.grid import GridHyperNet


@final
class ConditionalHyperNet(GridHyperNet, ConditionalWeightSource):
    """The grid is a function of c. Options as in `GridHyperNet`."""
