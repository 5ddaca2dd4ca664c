"""Where do generated weights come from?"""

from smash_lightning.hypernet.densenet import HyperNet as HyperNet
from smash_lightning.hypernet.generated import GeneratedWeights as GeneratedWeights
from smash_lightning.hypernet.source import TrainedHyperNet as TrainedHyperNet
from smash_lightning.hypernet.source import WeightSource as WeightSource
from smash_lightning.hypernet.weight_sharing import SharedWeights as SharedWeights
