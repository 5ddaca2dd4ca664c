"""Which figure ranks? Keys of scored architectures, of which the lowest is the best."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CandidateMetrics:
    """What a key is made of: validation error (%) and loss (nats) with generated weights, and parameters."""

    error: float
    loss: float
    params: int


class SmashScore(ABC):
    """Orders scored architectures. A key of your own implements `__call__`; a frozen dataclass of plain values."""

    @abstractmethod
    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        """One number for each, lower is better. It may depend on all that was scored so far."""


@dataclass(frozen=True)
class ValidationLoss(SmashScore):
    """The validation loss."""

    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        """See `SmashScore`."""
        return [figures.loss for figures in scored]


@dataclass(frozen=True)
class ValidationError(SmashScore):
    """The validation error, as in the paper: coarse, as few images give few different errors."""

    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        """See `SmashScore`."""
        return [figures.error for figures in scored]


@dataclass(frozen=True)
class LossPlusSizeRank(SmashScore):
    """Rank by loss plus `weight` times the rank by parameters, where bigger is better, from 0 to 1 + `weight`.

    Generated weights are far from trained ones, and the more so the more of them there are: what a large network would
    gain by training is hidden from its loss, and size tells some of it.
    """

    weight: float = 1.0

    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        """See `SmashScore`."""
        losses = _losses(scored)
        size = _share(rankdata([-figures.params for figures in scored]))
        return _last_without_loss(_share(rankdata(losses)) + self.weight * size, losses)


def _losses(scored: Sequence[CandidateMetrics]) -> Floats:
    """Their losses, inf where one is not a number."""
    losses = np.array([figures.loss for figures in scored])
    return np.where(np.isnan(losses), np.inf, losses)


def _last_without_loss(keys: Floats, losses: Floats) -> list[float]:
    """`keys`, but inf where nothing is known of the loss: no size makes up for that."""
    return np.where(np.isfinite(losses), keys, np.inf).tolist()


def _share(ranks: Floats) -> Floats:
    """Ranks from 1 to n as shares from 0 to 1."""
    return (ranks - 0.5) / len(ranks)
