"""A learned predictor of the score proposes what it expects to gain most from (sequential model-based optimisation).

After Liu et al., Progressive neural architecture search (ECCV 2018), for a surrogate of the architecture's description;
Hutter et al., SMAC (LION 2011), for a pool of random draws and neighbours of the best, ordered by expected improvement
under an ensemble; Breiman, Bagging predictors (1996).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from smash_lightning.architecture import Architecture, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import Entry, History, Proposal, Strategy

Floats = npt.NDArray[np.float64]
RIDGE = 1.0  # penalty, relative to the mean square of a standardised architecture's features
LEAST_DEVIATION = 1e-9
REMEMBERED = 4096  # architectures whose features are kept, for all rows are read again at each proposal


@dataclass(frozen=True)
class LearnedPredictor(Strategy):
    """The architecture of highest expected improvement in a pool: half draws, half perturbations of the best ones.

    It is fitted anew for each proposal, on everything scored. What it predicts is the normal score of the rank, which
    outliers do not move; improvement is meant upon the best prediction for what was scored already.

    Args:
        count: proposals.
        pool: architectures to choose from.
        parents: the best ones so far that are perturbed.
        probability: of each element of a parent to be redrawn.
        members: ridge regressions on bootstrap samples, whose spread says how sure the prediction is.
    """

    count: int
    pool: int
    parents: int
    probability: float
    members: int
    name = "predictor"
    sequential = True

    def __post_init__(self) -> None:
        self.require(pool=1, parents=1, members=2)

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """The best of the pool by expected improvement."""
        scored = history.entries
        parents = sorted(scored, key=lambda entry: entry.loss)[: self.parents]
        picks = [self._pick(space, parents, rng, even=i % 2 == 0) for i in range(self.pool)]
        known = _table(space.limits, [entry.architecture for entry in scored])
        ensemble = fit(known, normal_scores(scored), self.members, rng)
        mean, deviation = ensemble.predict(_table(space.limits, [architecture for architecture, _ in picks]))
        incumbent = float(ensemble.predict(known)[0].min())
        # Where no improvement can be told from none, the better prediction decides.
        order = np.lexsort((mean, -expected_improvement(mean, deviation, incumbent)))
        return history.first_admitted(picks[place] for place in order)

    def _pick(self, space: SearchSpace, parents: Sequence[Entry], rng: random.Random, *, even: bool) -> Proposal:
        if even:
            return space.sample(rng), ""
        parent = rng.choice(parents).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Linear predictors of standardised features: shift and scale (features,), weights (members, features)."""

    shift: Floats
    scale: Floats
    weights: Floats

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the members, (n,) each, for features (n, features)."""
        each = (features - self.shift) / self.scale @ self.weights.T
        return each.mean(axis=1), each.std(axis=1)


def fit(features: Floats, targets: Floats, members: int, rng: random.Random) -> Ensemble:
    """Ridge regressions of centred targets (n,) on features (n, features), each on a bootstrap sample of the rows."""
    shift, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)  # what does not vary says nothing
    x, n = (features - shift) / scale, len(features)
    kernel = x @ x.T
    penalty = RIDGE * max(1, int((spread > 0).sum()))
    weights = []
    for _ in range(members):
        times = np.bincount(rng.choices(range(n), k=n), minlength=n)
        rows = np.flatnonzero(times)
        # A row that was drawn twice has half the noise: the dual form needs each row once, so n^3 becomes (.63 n)^3.
        system = kernel[np.ix_(rows, rows)] + np.diag(penalty / times[rows])
        weights.append(solve(system, targets[rows], assume_a="pos") @ x[rows])
    return Ensemble(shift, scale, np.array(weights))


def expected_improvement(mean: Floats, deviation: Floats, incumbent: float) -> Floats:
    """Expected amount, (n,), by which normal variables fall below `incumbent` (Jones et al. 1998, equation 15)."""
    deviation = np.maximum(deviation, LEAST_DEVIATION)
    z = (incumbent - mean) / deviation
    return (incumbent - mean) * ndtr(z) + deviation * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def normal_scores(entries: Sequence[Entry]) -> Floats:
    """The ranks of the losses as quantiles of a standard normal variable, (n,); their mean is 0."""
    ranks: Any = rankdata([entry.loss for entry in entries])
    return ndtri((ranks - 0.5) / len(entries))


def _table(limits: Limits, architectures: Sequence[Architecture]) -> Floats:
    return np.stack([describe(limits, architecture) for architecture in architectures]).astype(np.float64)


@lru_cache(maxsize=REMEMBERED)
def describe(limits: Limits, architecture: Architecture) -> npt.NDArray[np.float32]:
    """Features (features,): for each block the mean of its ops' marks in c, its number of ops, and what they read.

    In the mean an op counts by the channels that it reads, as its slices in c do.
    """
    encoding = _one_slice_an_op(limits)
    marks = (encoding.encode(architecture)[0, :, 0] > 0).numpy().astype(np.float32)
    parts, first = [], 0
    for block in architecture.blocks:
        reads = np.array([len(op.read) * block.width / limits.base for op in block.ops], dtype=np.float32)
        local_device = marks[:, first : first + len(reads)]
        parts += [local_device @ reads / reads.sum(), [len(reads), reads.sum()]]
        first += len(reads)
    return np.concatenate(parts, dtype=np.float32)


@lru_cache(maxsize=8)
def _one_slice_an_op(limits: Limits) -> Encoding:
    # No op reads more than a block's whole memory. It is an order of magnitude shorter than a c of one unit a slice.
    return Encoding(limits, max(limits.memory) // limits.base)
