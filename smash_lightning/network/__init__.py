"""How does a network compute, given its weights?"""

from smash_lightning.network.forward import Weights as Weights
from smash_lightning.network.forward import forward as forward
from smash_lightning.network.free import StandaloneNetwork as StandaloneNetwork
from smash_lightning.network.free import initialize as initialize
from smash_lightning.network.free import register as register
from smash_lightning.network.statistics import NormSource as NormSource
from smash_lightning.network.statistics import RecordedAverages as RecordedAverages
from smash_lightning.network.statistics import RunningAverages as RunningAverages
from smash_lightning.network.statistics import UseBatchStatistics as UseBatchStatistics
from smash_lightning.network.statistics import norm_channels as norm_channels
