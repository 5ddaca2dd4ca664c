"""How does a network compute, given its weights? `forward`, BatchNorm, and standalone networks."""

from smash_lightning.network.batch_norm import NormSource as NormSource
from smash_lightning.network.batch_norm import RecordedAverages as RecordedAverages
from smash_lightning.network.batch_norm import RunningAverages as RunningAverages
from smash_lightning.network.batch_norm import UseBatchStatistics as UseBatchStatistics
from smash_lightning.network.batch_norm import norm_channels as norm_channels
from smash_lightning.network.dropping import NOTHING_DROPPED as NOTHING_DROPPED
from smash_lightning.network.dropping import Dropping as Dropping
from smash_lightning.network.forward import Weights as Weights
from smash_lightning.network.forward import forward as forward
from smash_lightning.network.standalone import Classifier as Classifier
from smash_lightning.network.standalone import StandaloneNetwork as StandaloneNetwork
from smash_lightning.network.standalone import initialize as initialize
from smash_lightning.network.standalone import register as register
