"""What every score policy offers, and what it may use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import NormSource, Weights, forward

Predictor = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ScoringData:
    """Normalised images that scores are made with, on the device of the HyperNets.

    Args:
        images: validation images (count, channels, *size).
        labels: their labels (count,).
        recalibration: training images without augmentation, from which BatchNorm statistics are taken.
        batches: training batches of images and labels, the same for every architecture.
        batch_size: images in a forward pass of an evaluation.
    """

    images: Tensor
    labels: Tensor
    recalibration: Tensor
    batches: tuple[tuple[Tensor, Tensor], ...]
    batch_size: int

    def to(self, device: str) -> ScoringData:
        """The same on another device."""
        single = {name: getattr(self, name).to(device) for name in ("images", "labels", "recalibration")}
        pairs = tuple((images.to(device), labels.to(device)) for images, labels in self.batches)
        return replace(self, **single, batches=pairs)


class BatchNormPolicy(ABC):
    """From generated weights to predictions. A policy of your own implements `predictor`.

    A policy is a frozen dataclass of plain values, which `ranking.batch_norm` names by `_target_`. It decides what happens
    between the HyperNet and the validation images, which it never sees: where BatchNorm takes its statistics from, or
    whether the weights are trained on for some steps.
    """

    @property
    def batches(self) -> int:
        """Training batches that it wants in its material."""
        return 0

    @abstractmethod
    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, material: ScoringData
    ) -> Predictor:
        """A function from images (count, channels, *size) to logits (count, classes).

        Args:
            architecture: what to predict with.
            hypernet: where the weights come from.
            weights: generated for `architecture`.
            material: what may be used.
        """


def run(
    architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, images: Tensor, statistics: NormSource
) -> Tensor:
    """Logits with norms where a HyperNet's networks have them."""
    return forward(architecture, hypernet.weights.image_spec, weights, images, statistics, op_norm=False)
