"""The interface of BatchNorm policies, and the data that they use."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import NormSource, Weights, forward
from smash_lightning.option_types import require_bounds

Predictor = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ScoringData:
    """Normalized images for scoring, on the device of the HyperNets.

    Args:
        images: validation images (count, channels, *size).
        labels: their labels (count,).
        recalibration: training images without augmentation, from which BatchNorm statistics are taken.
        batches: training batches of images and labels, the same for every architecture.
        batch_size: images in a forward pass of a validation.
    """

    images: Tensor
    labels: Tensor
    recalibration: Tensor
    batches: tuple[tuple[Tensor, Tensor], ...]
    batch_size: int

    def to(self, device: str) -> "ScoringData":
        """A copy on `device`."""
        single = {name: getattr(self, name).to(device) for name in ("images", "labels", "recalibration")}
        pairs = tuple((images.to(device), labels.to(device)) for images, labels in self.batches)
        return replace(self, **single, batches=pairs)


class BatchNormPolicy(ABC):
    """From generated weights to predictions. Subclasses implement `predictor`, and are dataclasses of plain values.

    A policy, `_target_` of `ranking.batch_norm`, determines where BatchNorm takes its statistics from, or whether the
    weights are fine-tuned for some steps. It never uses validation images. Its options are checked against their
    annotations.
    """

    def __post_init__(self) -> None:
        require_bounds(self, "ranking.batch_norm")

    @property
    def batches(self) -> int:
        """Number of training batches that it needs in `ScoringData`."""
        return 0

    @abstractmethod
    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Predictor:
        """A function from images (count, channels, *size) to logits (count, classes), with generated `weights`."""


def run(
    architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, images: Tensor, statistics: NormSource
) -> Tensor:
    """Logits (batch, classes) of a network with generated weights."""
    return forward(architecture, hypernet.weights.image_spec, weights, images, statistics)
