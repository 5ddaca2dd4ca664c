"""BatchNorm with each architecture's own statistics, from one pass over training images."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import Field
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import RecordedAverages, Weights
from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData, run


@dataclass(frozen=True)
class RecalibratedStatistics(BatchNormPolicy):
    """The mean and variance of each norm for this architecture and these weights. The default."""

    images: Annotated[int, Field(ge=2)] | None = None

    @override
    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Predictor:
        statistics = RecordedAverages()
        run(architecture, hypernet, weights, data.recalibration[: self.images], statistics)
        statistics.recording = False
        return partial(run, architecture, hypernet, weights, statistics=statistics)
