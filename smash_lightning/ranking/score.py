"""The SMASH score: how well an architecture does on validation with generated weights (paper, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import BatchStatistics, RecordedStatistics, Statistics, forward
from smash_lightning.randomness import generator

Policy = Literal["recalibrated", "running", "batch"]


@dataclass(frozen=True)
class Score:
    """What one architecture was found to do, averaged over the HyperNets.

    Args:
        error: validation error, %.
        loss: validation cross-entropy, nats.
        loss_by_hypernet: the same with each HyperNet.
        probabilities: predicted class probabilities (images, classes), averaged over the HyperNets.
    """

    error: float
    loss: float
    loss_by_hypernet: tuple[float, ...]
    probabilities: Tensor


class Scorer:
    """Scores architectures on fixed images.

    Args:
        hypernets: trained ones; scores are averaged over them.
        images: normalised validation images (count, channels, *size).
        labels: their labels (count,).
        recalibration: normalised training images from which BatchNorm statistics are taken.
        batch_size: validation images in a forward pass.
        policy: source of BatchNorm statistics: "recalibrated" on `recalibration` for each architecture;
            "running" averages over all architectures of the training, as the authors have it; the "batch" at hand.
        seed: of the noise z, which is the same for every architecture of one shape.
    """

    def __init__(
        self,
        hypernets: Sequence[TrainedHyperNet],
        images: Tensor,
        labels: Tensor,
        recalibration: Tensor,
        *,
        batch_size: int,
        policy: Policy,
        seed: int,
    ) -> None:
        if policy not in ("recalibrated", "running", "batch"):
            raise ValueError(f"ranking.statistics must be recalibrated, running or batch, got {policy!r}")
        self.hypernets, self.policy, self.seed, self.batch_size = hypernets, policy, seed, batch_size
        self.images, self.labels, self.recalibration = images, labels, recalibration

    @torch.no_grad()
    def __call__(self, architecture: Architecture) -> Score:
        """Scores one architecture; the same architecture always gets the same score."""
        errors, losses, total = [], [], torch.zeros(())
        for hypernet in self.hypernets:
            logits = self._logits(architecture, hypernet)
            errors.append(100 * (logits.argmax(1) != self.labels).double().mean().item())
            losses.append(F.cross_entropy(logits.double(), self.labels).item())
            total = total + logits.float().softmax(1).cpu()
        count = len(self.hypernets)
        return Score(sum(errors) / count, sum(losses) / count, tuple(losses), total / count)

    def _logits(self, architecture: Architecture, hypernet: TrainedHyperNet) -> Tensor:
        noise = generator("score noise", self.seed, device=self.images.device)
        weights = hypernet.weights(architecture, hypernet.weights.noise(architecture, noise))

        def run(images: Tensor, statistics: Statistics) -> Tensor:
            skeleton = hypernet.weights.skeleton
            return forward(architecture, skeleton, weights, images, statistics, op_norm=False)

        statistics: Statistics
        if self.policy == "recalibrated":
            statistics = RecordedStatistics()
            run(self.recalibration, statistics)
            statistics.recording = False
        elif self.policy == "running":
            statistics = hypernet.statistics
        else:
            statistics = BatchStatistics()
        return torch.cat([run(batch, statistics) for batch in self.images.split(self.batch_size)])
