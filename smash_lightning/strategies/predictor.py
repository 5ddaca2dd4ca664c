"""A learned predictor of the score (sequential model-based optimization).

After Liu et al., Progressive neural architecture search (ECCV 2018), for a surrogate of the architecture's description;
Hutter et al., SMAC (LION 2011), for a pool of random samples and neighbors of the best, ordered by expected improvement
under an ensemble; Breiman, Bagging predictors (1996).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, PositiveInt
from scipy.stats import norm, rankdata
from sklearn.ensemble import BaggingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
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
        mean, std = predict(ensemble, _features(space.limits, [architecture for architecture, _ in proposals]))
        incumbent = float(predict(ensemble, features)[0].min())
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


def fit(features: Floats, targets: Floats, members: int, rng: random.Random) -> BaggingRegressor:
    """Ridge regressions of targets (n,) on standardized features (n, features), each on a bootstrap sample."""
    varying = int((features.std(axis=0) > 0).sum())
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE * max(1, varying)))
    return BaggingRegressor(ridge, members, random_state=rng.getrandbits(32)).fit(features, targets)


def predict(ensemble: BaggingRegressor, features: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation over the members, (n,) each, for features (n, features)."""
    each = np.stack([member.predict(features) for member in ensemble.estimators_])
    return each.mean(axis=0), each.std(axis=0)


def expected_improvement(mean: Floats, std: Floats, incumbent: float) -> Floats:
    """Expected amount, (n,), by which normal variables fall below `incumbent` (Jones et al. 1998, equation 15)."""
    std = np.maximum(std, MIN_STD)
    z = (incumbent - mean) / std
    return (incumbent - mean) * norm.cdf(z) + std * norm.pdf(z)


def normal_scores(candidates: Sequence[ScoredCandidate]) -> Floats:
    """Ranks of the SMASH scores as quantiles of a standard normal variable, (n,); their mean is 0."""
    ranks: Any = rankdata([candidate.smash_score for candidate in candidates])
    return norm.ppf((ranks - 0.5) / len(candidates))


def _features(limits: Limits, architectures: Sequence[Architecture]) -> Floats:
    return np.stack([describe(limits, architecture) for architecture in architectures])


@lru_cache(maxsize=CACHE_SIZE)
def describe(limits: Limits, architecture: Architecture) -> Floats:
    """Features (features,): for each block the mean of c over its slices, its number of ops, and its number of slices.

    In a c of one unit a slice, the number of slices is that of the units that ops read.
    """
    encoding = Encoding(limits, 1)
    c, spans = encoding.encode(architecture)[0, :, 0].numpy(), iter(encoding.spans(architecture))
    parts: list[Any] = []
    for block in architecture.blocks:
        own = [next(spans) for _ in block.ops]
        slices = c[:, own[0].first : own[-1].last]
        parts += [slices.mean(1), [len(own), slices.shape[1]]]
    return np.concatenate(parts, dtype=np.float64)
