"""Where do generated weights come from?"""

from smash_lightning.hypernet.densenet import HyperNet as HyperNet
from smash_lightning.hypernet.generated import GeneratedWeights as GeneratedWeights
from smash_lightning.hypernet.generated import TrainedHyperNet as TrainedHyperNet
