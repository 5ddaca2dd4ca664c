"""The score of an architecture: validation metrics with generated weights (paper, algorithm 1)."""

import copy
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smash_lightning.architecture import Architecture, cost
from smash_lightning.hypernet import ConditionalWeightSource, TrainedHyperNet
from smash_lightning.network import UseBatchStatistics
from smash_lightning.random_streams import Stream, generator
from smash_lightning.scoring.batch_norm_policy import BatchNormPolicy, Predictor, ScoringData
from smash_lightning.scoring.batch_norm_policy.base import run

CACHED_WEIGHTS = 250_000_000  # most generated weights that are kept between calls: a gigabyte


@dataclass(frozen=True)
class Score:
    """Validation metrics of one architecture, averaged over the HyperNets and samples of z.

    Args:
        val_error: validation error, %.
        val_loss: validation cross-entropy, nats.
        val_losses: the same with each HyperNet.
        probabilities: predicted class probabilities (images, classes), averaged likewise.
        seconds: time of the computation.
        images: number of validation images used; None for all.
    """

    val_error: float
    val_loss: float
    val_losses: tuple[float, ...]
    probabilities: Tensor
    seconds: float = field(default=0.0, compare=False)
    images: int | None = None


class Scorer:
    """Scores architectures on fixed images, averaged over HyperNets and over `noises` samples of z for each.

    The noise is the same for every architecture of one shape. `policy` makes predictions of generated weights.
    """

    def __init__(
        self,
        hypernets: Sequence[TrainedHyperNet],
        data: ScoringData,
        *,
        policy: BatchNormPolicy,
        seed: int,
        noises: int = 1,
    ) -> None:
        self.hypernets, self.data, self.policy = hypernets, data, policy
        self.noises, self.seed = noises, seed
        self._cache: OrderedDict[tuple[str, int], list[Predictor]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """State for another process, which may have another device of the same kind."""
        state = self.__dict__ | {"_cache": OrderedDict(), "device": self.data.images.device.type}
        if state["device"] != "cpu":
            state |= {"hypernets": copy.deepcopy(self.hypernets), "data": self.data.to("cpu")}
            _move(state["hypernets"], "cpu")
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Moves to the device of this process."""
        device = state.pop("device")
        self.__dict__ |= state
        self.to(device)

    def to(self, device: str) -> "Scorer":
        """Moves HyperNets and images to `device`, and returns itself."""
        self.data = self.data.to(device)
        _move(self.hypernets, device)
        return self

    def __call__(self, architecture: Architecture) -> Score:
        """Scores one architecture; the same architecture always has the same score."""
        return self.scores([architecture])[0]

    @torch.no_grad()
    def scores(self, architectures: Sequence[Architecture]) -> list[Score]:
        """Scores several architectures, for which one result is transferred from the device."""
        started = time.perf_counter()
        rows = [self._measured(architecture) for architecture in architectures]
        found = []
        for architecture, row in zip(
            architectures, torch.cat(rows).cpu().split([len(row) for row in rows]), strict=True
        ):
            noises = [self._noises(architecture, hypernet) for hypernet in self.hypernets]
            errors, losses, probabilities = row.split([sum(noises), sum(noises), len(row) - 2 * sum(noises)])
            means = tuple(sum(part.tolist()) / len(part) for part in losses.split(noises))
            error, loss = sum(errors.tolist()) / len(errors), sum(means) / len(means)
            found.append(Score(error, loss, means, probabilities.view(len(self.data.labels), -1).float()))
        seconds = (time.perf_counter() - started) / len(found)
        return [replace(score, seconds=seconds) for score in found]

    def _measured(self, architecture: Architecture) -> Tensor:
        """Errors, then losses with each HyperNet and z, then mean probabilities, in a row of float64."""
        errors, losses, total = [], [], torch.zeros(())
        for hypernet in self.hypernets:
            for predictor in self._predictors(architecture, hypernet):
                logits, labels = self._comparable(self._logits(predictor, self.data.images), self.data.labels)
                errors.append(100 * (logits.argmax(1) != labels).double().mean())
                losses.append(F.cross_entropy(logits.double(), labels))
                total = total + logits.float().softmax(1) / self._noises(architecture, hypernet)
        return torch.cat([torch.stack(errors + losses), (total / len(self.hypernets)).flatten().double()])

    @torch.no_grad()
    def score_images(self, architecture: Architecture, positions: Tensor) -> Tensor:
        """Losses and error on single validation images, averaged over samples of z.

        Returns:
            Tensor (HyperNets + 1, len(positions)) on the CPU: the loss with each HyperNet, nats, and last the share of
            HyperNets that are wrong.
        """
        positions = positions.to(self.data.images.device, non_blocking=True)
        images, labels = self.data.images[positions], self.data.labels[positions]
        values, wrong = [], torch.zeros((), dtype=torch.float64)
        for row, hypernet in enumerate(self.hypernets):
            noises, mean = self._noises(architecture, hypernet), torch.zeros((), dtype=torch.float64)
            for predictor in self._cached_predictors(architecture, row):
                logits, own = self._comparable(self._logits(predictor, images), labels)
                mean = mean + F.cross_entropy(logits.double(), own, reduction="none") / noises
                wrong = wrong + (logits.argmax(1) != own).double() / (noises * len(self.hypernets))
            values.append(mean)
        return torch.stack([*values, wrong]).cpu()

    def _comparable(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both where float64 exists: on their device, or on the CPU instead of MPS."""
        return (logits.cpu(), labels.cpu()) if logits.device.type == "mps" else (logits, labels)

    def _cached_predictors(self, architecture: Architecture, index: int) -> list[Predictor]:
        """Predictors with one HyperNet: a race uses them repeatedly, and they cost as much as many images."""
        key = (architecture.fingerprint, index)
        if key not in self._cache:
            hypernet = self.hypernets[index]
            self._cache[key] = list(self._predictors(architecture, hypernet))
            weights = cost(architecture, hypernet.weights.image_spec).params * self._noises(architecture, hypernet)
            while len(self._cache) > max(1, CACHED_WEIGHTS // weights):
                self._cache.popitem(last=False)
        return self._cache[key]

    def gradient(self, architecture: Architecture) -> Tensor:
        """dE/dc (1, channels, rows, slices): derivative of the mean validation loss in c, the architecture unchanged.

        BatchNorm uses the statistics of each batch, whatever the policy, as those must change with the weights.

        Raises:
            ValueError: the weights do not depend on c.
        """
        total = torch.zeros(())
        for hypernet in self.hypernets:
            source = hypernet.weights
            if not isinstance(source, ConditionalWeightSource):
                raise ValueError(
                    f"{type(source).__name__} is no function of c and has no gradient in it: use hypernet=conditional"
                )
            z = source.noise(architecture, generator(Stream.SCORE_NOISE, self.seed, device=self.data.images.device))
            c = source.encode(architecture).requires_grad_()
            size = self.data.batch_size
            for images, labels in zip(self.data.images.split(size), self.data.labels.split(size), strict=True):
                logits = run(architecture, hypernet, source.from_c(architecture, c, z), images, UseBatchStatistics())
                loss = F.cross_entropy(logits, labels, reduction="sum") / len(self.data.labels)
                total = total + torch.autograd.grad(loss, c)[0] / len(self.hypernets)
        return total.cpu()

    def _noises(self, architecture: Architecture, hypernet: TrainedHyperNet) -> int:
        return 1 if hypernet.weights.noise_shape(architecture) is None else self.noises

    def _predictors(self, architecture: Architecture, hypernet: TrainedHyperNet) -> Iterator[Predictor]:
        for index in range(self._noises(architecture, hypernet)):
            key = (Stream.SCORE_NOISE, self.seed, index) if index else (Stream.SCORE_NOISE, self.seed)
            z = hypernet.weights.noise(architecture, generator(*key, device=self.data.images.device))
            yield self.policy.predictor(architecture, hypernet, hypernet.weights(architecture, z), self.data)

    def _logits(self, predictor: Predictor, images: Tensor) -> Tensor:
        return torch.cat([predictor(batch) for batch in images.split(self.data.batch_size)])


def _move(hypernets: Sequence[TrainedHyperNet], device: str) -> None:
    for hypernet in hypernets:
        hypernet.weights.to(device)
        hypernet.statistics.to(device)
