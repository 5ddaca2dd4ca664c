"""Where do the weights of an architecture come from?"""

from smash_lightning.hypernet.base import ConditionalWeightSource, TrainedHyperNet, WeightSource
from smash_lightning.hypernet.conditional import ConditionalHyperNet
from smash_lightning.hypernet.densenet import GridDenseNet
from smash_lightning.hypernet.mixture import MixtureHyperNet
from smash_lightning.hypernet.residual import ResidualHyperNet
from smash_lightning.hypernet.shared import SharedWeights
from smash_lightning.hypernet.specification import HyperNetSpecification, load_hypernet
from smash_lightning.hypernet.unconditional import UnconditionalHyperNet
