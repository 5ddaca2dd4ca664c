"""The SMASH score: how well an architecture does on validation with generated weights (paper, algorithm 1)."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, cost
from smash_lightning.engine import local_device
from smash_lightning.hypernet import GeneratedWeights, TrainedHyperNet
from smash_lightning.network import UseBatchStatistics
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring.batch_norm_policy import BatchNormPolicy, Predictor, ScoringData
from smash_lightning.scoring.batch_norm_policy.base import run

REMEMBERED = 250_000_000  # generated weights that are kept between looks: a gigabyte


@dataclass(frozen=True)
class Score:
    """What one architecture was found to do, averaged over the HyperNets and draws of z.

    Args:
        error: validation error, %.
        loss: validation cross-entropy, nats.
        loss_by_hypernet: the same with each HyperNet.
        probabilities: predicted class probabilities (images, classes), averaged alike.
        seconds: what it took.
        images: validation images that it stands on; None for all.
    """

    error: float
    loss: float
    loss_by_hypernet: tuple[float, ...]
    probabilities: Tensor
    seconds: float = field(default=0.0, compare=False)
    images: int | None = None


class Scorer:
    """Scores architectures on fixed images.

    Args:
        hypernets: trained ones; scores are averaged over them.
        material: the images.
        policy: how predictions are had from generated weights.
        noises: draws of z over which scores are averaged; one where a HyperNet takes no noise.
        seed: of the noise z, which is the same for every architecture of one shape.
    """

    def __init__(
        self,
        hypernets: Sequence[TrainedHyperNet],
        material: ScoringData,
        *,
        policy: BatchNormPolicy,
        seed: int,
        noises: int = 1,
    ) -> None:
        self.hypernets, self.material, self.policy = hypernets, material, policy
        self.noises, self.seed = noises, seed
        self._predictors_of: OrderedDict[tuple[str, int], list[Predictor]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs, which may have another device of the same kind."""
        state = self.__dict__ | {"_predictors_of": OrderedDict(), "device": self.material.images.device.type}
        if state["device"] != "cpu":
            state |= {"hypernets": copy.deepcopy(self.hypernets), "material": self.material.to("cpu")}
            _move(state["hypernets"], "cpu")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Moves to the device of this process."""
        device = local_device(state.pop("device"))
        self.__dict__ |= state
        self.to(device)

    def to(self, device: str) -> Scorer:
        """Moves HyperNets and images there, and returns itself."""
        self.material = self.material.to(device)
        _move(self.hypernets, device)
        return self

    @torch.no_grad()
    def __call__(self, architecture: Architecture) -> Score:
        """Scores one architecture; the same architecture always gets the same score."""
        started = time.perf_counter()
        labels = self.material.labels
        errors, losses, total = [], [], torch.zeros(())
        for hypernet in self.hypernets:
            of_draws = []
            for predictor in self._predictors(architecture, hypernet):
                logits = self._logits(predictor, self.material.images)
                errors.append(100 * (logits.argmax(1) != labels).double().mean().item())
                of_draws.append(F.cross_entropy(logits.double(), labels).item())
                total = total + logits.float().softmax(1).cpu() / self._draws(hypernet)
            losses.append(sum(of_draws) / len(of_draws))
        count = len(self.hypernets)
        seconds = time.perf_counter() - started
        return Score(sum(errors) / len(errors), sum(losses) / count, tuple(losses), total / count, seconds)

    @torch.no_grad()
    def look(self, architecture: Architecture, positions: Tensor) -> Tensor:
        """What it does on single validation images, averaged over draws of z.

        Returns:
            Tensor (HyperNets + 1, len(positions)) on the CPU: the loss with each HyperNet, nats, and last the share of
            HyperNets that are wrong.
        """
        images, labels = self.material.images[positions], self.material.labels[positions]
        looked = torch.zeros(len(self.hypernets) + 1, len(positions), dtype=torch.float64)
        for row, hypernet in enumerate(self.hypernets):
            draws = self._draws(hypernet)
            for predictor in self._remembered(architecture, row):
                logits = self._logits(predictor, images).double()
                looked[row] += F.cross_entropy(logits, labels, reduction="none").cpu() / draws
                looked[-1] += (logits.argmax(1) != labels).double().cpu() / (draws * len(self.hypernets))
        return looked

    def _remembered(self, architecture: Architecture, index: int) -> list[Predictor]:
        """Predictors with one of the HyperNets: a race comes back to them, and they cost as much as many images."""
        key = (architecture.fingerprint, index)
        if key not in self._predictors_of:
            hypernet = self.hypernets[index]
            self._predictors_of[key] = list(self._predictors(architecture, hypernet))
            weights = cost(architecture, hypernet.weights.image_spec).params * self._draws(hypernet)
            while len(self._predictors_of) > max(1, REMEMBERED // weights):
                self._predictors_of.popitem(last=False)
        return self._predictors_of[key]

    def gradient(self, architecture: Architecture) -> Tensor:
        """dE/dc: how the mean validation loss changes with c (1, channels, rows, slices), the architecture unchanged.

        BatchNorm takes the statistics of each batch, whatever the policy, as those must change with the weights.

        Raises:
            ValueError: the weights do not come from c.
        """
        total = torch.zeros(())
        for hypernet in self.hypernets:
            source = hypernet.weights
            if not isinstance(source, GeneratedWeights) or not source.conditional:
                raise ValueError(
                    "there is no gradient in c without a HyperNet that sees it: use hypernet.kind=conditional"
                )
            z = source.noise(architecture, generator(Stream.SCORE_NOISE, self.seed, device=self.material.images.device))
            c = source.encode(architecture).requires_grad_()
            batches = zip(*(part.split(self.material.batch_size) for part in self._labelled), strict=True)
            for images, labels in batches:
                logits = run(architecture, hypernet, source.from_c(architecture, c, z), images, UseBatchStatistics())
                loss = F.cross_entropy(logits, labels, reduction="sum") / len(self.material.labels)
                total = total + torch.autograd.grad(loss, c)[0].cpu() / len(self.hypernets)
        return total

    @property
    def _labelled(self) -> tuple[Tensor, Tensor]:
        return self.material.images, self.material.labels

    def _draws(self, hypernet: TrainedHyperNet) -> int:
        return self.noises if hypernet.weights.takes_noise else 1

    def _predictors(self, architecture: Architecture, hypernet: TrainedHyperNet) -> Iterator[Predictor]:
        for draw in range(self._draws(hypernet)):
            key = (Stream.SCORE_NOISE, self.seed, draw) if draw else (Stream.SCORE_NOISE, self.seed)
            z = hypernet.weights.noise(architecture, generator(*key, device=self.material.images.device))
            yield self.policy.predictor(architecture, hypernet, hypernet.weights(architecture, z), self.material)

    def _logits(self, predictor: Predictor, images: Tensor) -> Tensor:
        return torch.cat([predictor(batch) for batch in images.split(self.material.batch_size)])


def _move(hypernets: Sequence[TrainedHyperNet], device: str) -> None:
    for hypernet in hypernets:
        hypernet.weights.to(device)
        hypernet.statistics.to(device)
