"""Where do generated weights come from?"""

from smash_lightning.hypernet.base import TrainedHyperNet as TrainedHyperNet
from smash_lightning.hypernet.base import WeightSource as WeightSource
from smash_lightning.hypernet.densenet import HyperNet as HyperNet
from smash_lightning.hypernet.generated import GeneratedWeights as GeneratedWeights
from smash_lightning.hypernet.shared import SharedWeights as SharedWeights
