"""BatchNorm with the running averages of the HyperNet's training, as in the authors' code."""

from dataclasses import dataclass
from functools import partial

from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import Weights
from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData, run


@dataclass(frozen=True)
class RunningStatistics(BatchNormPolicy):
    """Averages over all architectures of the training, which fit none of them."""

    @override
    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Predictor:
        del data
        return partial(run, architecture, hypernet, weights, statistics=hypernet.statistics)
