"""BatchNorm with the statistics of the current validation batch."""

from dataclasses import dataclass
from functools import partial

from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import UseBatchStatistics, Weights
from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData, run


@dataclass(frozen=True)
class BatchStatistics(BatchNormPolicy):
    """Without cost, but the prediction of an image depends on the others in its batch."""

    @override
    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Predictor:
        del data
        return partial(run, architecture, hypernet, weights, statistics=UseBatchStatistics())
