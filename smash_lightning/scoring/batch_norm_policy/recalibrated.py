"""BatchNorm with each architecture's own statistics, from one pass over training images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import RecordedAverages, Weights
from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData, run


@dataclass(frozen=True)
class RecalibratedStatistics(BatchNormPolicy):
    """The default.

    Args:
        images: of `dataset.recalibration`, how many are used; null takes them all.
    """

    images: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 2:
            raise ValueError(f"ranking.batch_norm.images must be at least 2, or null for all, got {self.images}")

    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, material: ScoringData
    ) -> Predictor:
        """See `BatchNormPolicy`."""
        statistics = RecordedAverages()
        run(architecture, hypernet, weights, material.recalibration[: self.images], statistics)
        statistics.recording = False
        return partial(run, architecture, hypernet, weights, statistics=statistics)
