"""Where do the weights of an architecture come from?"""

from smash_lightning.hypernet.base import ConditionalWeightSource as ConditionalWeightSource
from smash_lightning.hypernet.base import TrainedHyperNet as TrainedHyperNet
from smash_lightning.hypernet.base import WeightSource as WeightSource
from smash_lightning.hypernet.conditional import ConditionalHyperNet as ConditionalHyperNet
from smash_lightning.hypernet.densenet import GridDenseNet as GridDenseNet
from smash_lightning.hypernet.residual import ResidualHyperNet as ResidualHyperNet
from smash_lightning.hypernet.shared import SharedWeights as SharedWeights
from smash_lightning.hypernet.specification import HyperNetSpecification as HyperNetSpecification
from smash_lightning.hypernet.specification import load_hypernet as load_hypernet
from smash_lightning.hypernet.unconditional import UnconditionalHyperNet as UnconditionalHyperNet
