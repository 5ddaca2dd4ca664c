"""How does a network compute, given its weights?"""

from smash_lightning.network.forward import Weights as Weights
from smash_lightning.network.forward import forward as forward
from smash_lightning.network.free import FreeNetwork as FreeNetwork
from smash_lightning.network.free import initialise as initialise
from smash_lightning.network.free import register as register
from smash_lightning.network.statistics import BatchStatistics as BatchStatistics
from smash_lightning.network.statistics import RecordedStatistics as RecordedStatistics
from smash_lightning.network.statistics import RunningStatistics as RunningStatistics
from smash_lightning.network.statistics import Statistics as Statistics
from smash_lightning.network.statistics import norm_channels as norm_channels
