"""What every source of named weights offers, and what is known of one that was trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smash_lightning.architecture import Architecture, ImageSpec
from smash_lightning.encoding import Encoding
from smash_lightning.hypernet.shared_tensors import running_statistics
from smash_lightning.network import RunningAverages, Weights


class WeightSource(nn.Module, ABC):
    """Named weights for any architecture within an encoding's limits, trained over many of them at once."""

    encoding: Encoding
    image_spec: ImageSpec

    @property
    @abstractmethod
    def takes_noise(self) -> bool:
        """Whether the weights depend on noise z."""

    @abstractmethod
    def noise(self, architecture: Architecture, generator: torch.Generator) -> Tensor | None:
        """Noise z for an architecture, or None where the source takes none."""

    @abstractmethod
    def forward(self, architecture: Architecture, z: Tensor | None) -> Weights:
        """Every tensor that the network of `architecture` needs without norms in ops, by name."""

    @abstractmethod
    def undecayed(self) -> list[nn.Parameter]:
        """Parameters that weight decay spares, such as a HyperNet's, whose filters are divided by their norms."""

    def running_statistics(self) -> RunningAverages:
        """Fresh averages for the norms of any architecture within the limits."""
        return running_statistics(self.encoding, self.image_spec)


@dataclass(frozen=True, slots=True)
class TrainedHyperNet:
    """Weights to score with, the running statistics of their training, and what is known of it.

    Args:
        weights: the weights of any architecture.
        statistics: the running averages of the training.
        drawn: fingerprints of the architectures that it drew.
        finished: whether it came to its end; not so for weights in the midst of it, or without one.
        seconds: what its training took.
    """

    weights: WeightSource
    statistics: RunningAverages
    drawn: frozenset[str]
    finished: bool = False
    seconds: float = 0.0
