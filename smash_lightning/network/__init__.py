"""How does a network compute, given its weights? `forward`, BatchNorm, and standalone networks."""

from smash_lightning.network.batch_norm import (
    NormSource,
    RecordedAverages,
    RunningAverages,
    UseBatchStatistics,
    norm_channels,
    shared_name,
)
from smash_lightning.network.dropping import NOTHING_DROPPED, Dropping
from smash_lightning.network.forward import Weights, forward
from smash_lightning.network.standalone import Classifier, StandaloneNetwork, initialize, register
