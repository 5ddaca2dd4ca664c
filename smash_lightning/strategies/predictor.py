"""A learned predictor of the score (sequential model-based optimization).

After Liu et al., Progressive neural architecture search (ECCV 2018), for a surrogate of the architecture's description;
Hutter et al., SMAC (LION 2011), for a pool of random samples and neighbors of the best, ordered by expected improvement
under an ensemble; Breiman, Bagging predictors (1996).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, PositiveInt
from scipy.linalg import solve
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from typing_extensions import override

from smash_lightning.architecture import Architecture, Limits
from smash_lightning.encoding import Encoding
from smash_lightning.option_types import Probability
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, ScoredCandidate, Strategy

Floats = npt.NDArray[np.float64]
RIDGE = 1.0  # penalty, relative to the mean square of a standardized architecture's features
MIN_STD = 1e-9
CACHE_SIZE = 4096  # architectures whose features are kept, as all candidates are read again at each proposal


@dataclass(frozen=True)
class LearnedPredictor(Strategy):
    """The architecture of highest expected improvement in a pool: half samples, half perturbations of the best ones.

    The predictor is fitted anew for each proposal, to all scored candidates. Its target is the normal score of the
    rank, which is robust to outliers; improvement is relative to the best prediction for the scored candidates.

    Args:
        count: proposals.
        pool: architectures to choose from.
        parents: the best ones so far that are perturbed.
        probability: of each element of a parent to be redrawn.
        members: ridge regressions on bootstrap samples, whose spread is the uncertainty of the prediction.
    """

    count: NonNegativeInt
    pool: PositiveInt
    parents: PositiveInt
    probability: Probability
    members: Annotated[int, Field(ge=2)]
    name = "predictor"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        scored = history.scored
        parents = sorted(scored, key=lambda candidate: candidate.smash_score)[: self.parents]
        proposals = [self._proposal(space, parents, rng, even=i % 2 == 0) for i in range(self.pool)]
        features = _features(space.limits, [candidate.architecture for candidate in scored])
        ensemble = fit(features, normal_scores(scored), self.members, rng)
        mean, std = ensemble.predict(_features(space.limits, [architecture for architecture, _ in proposals]))
        incumbent = float(ensemble.predict(features)[0].min())
        # The better prediction decides where improvements are equal, such as zero by rounding.
        order = np.lexsort((mean, -expected_improvement(mean, std, incumbent)))
        return history.first_accepted(proposals[position] for position in order)

    def _proposal(
        self, space: SearchSpace, parents: Sequence[ScoredCandidate], rng: random.Random, *, even: bool
    ) -> Proposal:
        if even:
            return space.sample(rng), ""
        parent = rng.choice(parents).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Linear predictors of standardized features: shift and scale (features,), weights (members, features)."""

    shift: Floats
    scale: Floats
    weights: Floats

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the members, (n,) each, for features (n, features)."""
        each = (features - self.shift) / self.scale @ self.weights.T
        return each.mean(axis=1), each.std(axis=1)


def fit(features: Floats, targets: Floats, members: int, rng: random.Random) -> Ensemble:
    """Ridge regressions of centered targets (n,) on features (n, features), each on a bootstrap sample of the rows."""
    shift, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)  # a constant feature has no effect
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


def expected_improvement(mean: Floats, std: Floats, incumbent: float) -> Floats:
    """Expected amount, (n,), by which normal variables fall below `incumbent` (Jones et al. 1998, equation 15)."""
    std = np.maximum(std, MIN_STD)
    z = (incumbent - mean) / std
    return (incumbent - mean) * ndtr(z) + std * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def normal_scores(candidates: Sequence[ScoredCandidate]) -> Floats:
    """Ranks of the SMASH scores as quantiles of a standard normal variable, (n,); their mean is 0."""
    ranks: Any = rankdata([candidate.smash_score for candidate in candidates])
    return ndtri((ranks - 0.5) / len(candidates))


def _features(limits: Limits, architectures: Sequence[Architecture]) -> Floats:
    return np.stack([describe(limits, architecture) for architecture in architectures]).astype(np.float64)


@lru_cache(maxsize=CACHE_SIZE)
def describe(limits: Limits, architecture: Architecture) -> npt.NDArray[np.float32]:
    """Features (features,): for each block the mean of its ops' marks in c, its number of ops, and channels they read.

    In the mean an op is weighted by the channels that it reads, like its slices in c.
    """
    encoding = _one_slice_per_op(limits)
    marks = (encoding.encode(architecture)[0, :, 0] > 0).numpy().astype(np.float32)
    parts, first = [], 0
    for block in architecture.blocks:
        reads = np.array([len(op.read) * block.width / limits.base for op in block.ops], dtype=np.float32)
        of_block = marks[:, first : first + len(reads)]
        parts += [of_block @ reads / reads.sum(), [len(reads), reads.sum()]]
        first += len(reads)
    return np.concatenate(parts, dtype=np.float32)


@lru_cache(maxsize=8)
def _one_slice_per_op(limits: Limits) -> Encoding:
    # No op reads more than a block's whole memory. It is an order of magnitude shorter than a c of one unit a slice.
    return Encoding(limits, max(limits.memory) // limits.base)
