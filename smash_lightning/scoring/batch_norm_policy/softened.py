"""Any policy with its predictions softened: logits divided by a temperature."""

from __future__ import annotations

from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import Weights
from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData


@dataclass(frozen=True)
class Softened(BatchNormPolicy):
    """Lets all images count alike, not the few that are predicted wrong with confidence.

    How confident a network with generated weights is says little of how confident it will be when it is trained, and
    cross-entropy is ruled by confident mistakes. Softened, the loss tends to the mean distance of the true class's
    logit from the others'. Errors do not change.

    Args:
        policy: what predicts.
        temperature: above 1 softens.
    """

    policy: BatchNormPolicy
    temperature: float

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"ranking.batch_norm.temperature must be positive, got {self.temperature}")

    @property
    def batches(self) -> int:
        """What the other policy wants."""
        return self.policy.batches

    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, material: ScoringData
    ) -> Predictor:
        """See `BatchNormPolicy`."""
        predict = self.policy.predictor(architecture, hypernet, weights, material)
        return lambda images: predict(images) / self.temperature
