"""The SMASH score: what candidates are ranked by, lower is better."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from typing_extensions import override

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CandidateMetrics:
    """Metrics of a candidate: validation error (%) and loss (nats) with generated weights, and number of parameters."""

    val_error: float
    val_loss: float
    params: int


class SmashScore(ABC):
    """Computes the SMASH scores of a set of candidates. Subclasses are frozen dataclasses of plain values."""

    @abstractmethod
    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        """One score for each candidate, lower is better. It may depend on all candidates scored so far."""


@dataclass(frozen=True)
class ValidationLoss(SmashScore):
    """The validation loss."""

    @override
    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        return [metrics.val_loss for metrics in scored]


@dataclass(frozen=True)
class ValidationError(SmashScore):
    """The validation error, as in the paper: coarse, as few images give few different errors."""

    @override
    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        return [metrics.val_error for metrics in scored]


@dataclass(frozen=True)
class LossPlusSizeRank(SmashScore):
    """Rank by loss plus `weight` times the rank by descending number of parameters, from 0 to 1 + `weight`.

    The more weights are generated, the further they are from trained ones, so the loss with generated weights
    underestimates large networks; the size corrects part of it.
    """

    weight: float = 1.0

    @override
    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        losses = np.array([metrics.val_loss for metrics in scored])
        losses = np.where(np.isnan(losses), np.inf, losses)
        size = _share(rankdata([-metrics.params for metrics in scored]))
        scores = _share(rankdata(losses)) + self.weight * size
        return np.where(np.isfinite(losses), scores, np.inf).tolist()  # an infinite loss ranks last, whatever the size


def _share(ranks: Floats) -> Floats:
    """Ranks from 1 to n as shares from 0 to 1."""
    return (ranks - 0.5) / len(ranks)
