"""A few steps of standalone training from the generated weights: a more expensive score."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from smash_lightning.architecture import Architecture
from smash_lightning.hypernet import TrainedHyperNet
from smash_lightning.network import UseBatchStatistics, Weights
from smash_lightning.scoring.batch_norm_policy.base import BatchNormPolicy, Predictor, ScoringData, run
from smash_lightning.scoring.batch_norm_policy.recalibrated import RecalibratedStatistics


@dataclass(frozen=True)
class WarmStart(BatchNormPolicy):
    """Fine-tunes a copy of the weights, then takes BatchNorm statistics as `RecalibratedStatistics` does.

    Every op gets its own tensors, also those that ops share under a HyperNet. All architectures use the same batches in
    the same order, so that randomness of the data affects all equally.

    Args:
        steps: training batches.
        learning_rate: of SGD with Nesterov's momentum; it falls to zero along a cosine.
        momentum: its momentum.
    """

    steps: PositiveInt
    learning_rate: PositiveFloat = 0.02
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9

    @property
    @override
    def batches(self) -> int:
        return self.steps

    @torch.enable_grad()
    def tuned(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Weights:
        """The weights after fine-tuning."""
        tuned = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
        options = {"lr": self.learning_rate, "momentum": self.momentum, "nesterov": True, "fused": True}
        optimizer = torch.optim.SGD(tuned.values(), **options)  # type: ignore[arg-type]
        for step, (images, labels) in enumerate(data.batches[: self.steps]):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
            optimizer.zero_grad(set_to_none=True)
            logits = run(architecture, hypernet, tuned, images, UseBatchStatistics())
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
        return {name: weight.detach() for name, weight in tuned.items()}

    @override
    def predictor(
        self, architecture: Architecture, hypernet: TrainedHyperNet, weights: Weights, data: ScoringData
    ) -> Predictor:
        tuned = self.tuned(architecture, hypernet, weights, data)
        return RecalibratedStatistics().predictor(architecture, hypernet, tuned, data)
