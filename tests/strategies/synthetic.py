"""Scores that are pure functions of the architecture, and all strategies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.random_streams import generator
from smash_lightning.scoring import Score
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies import (
    ArchitecturalGradient,
    AutoregressiveSampler,
    Evolution,
    LearnedPredictor,
    Markov,
    Perturb,
    Random,
    Ranking,
    RecurrentSampler,
    State,
    Strategy,
    rank,
)
from tests.cases import V1

EQUAL_OPS = replace(V1, min_ops=3, max_ops=3)  # so that no score depends on the number of ops
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])
LEARNED: dict[str, Callable[[int], Strategy]] = {
    "evolution": lambda count: Evolution(count, population=10, sample=4, probability=0.2),
    "predictor": lambda count: LearnedPredictor(count, pool=16, parents=3, probability=0.2, members=5),
    "gradient": lambda count: ArchitecturalGradient(count, pool=8, probability=0.2),
    "autoregressive": lambda count: AutoregressiveSampler(count, pool=16, elite=0.3),
    "recurrent": lambda count: RecurrentSampler(count, samples=32, elite=0.3, passes=10, concurrent=5),
}
STRATEGIES: dict[str, Callable[[int], Strategy]] = {
    "random": lambda count: Random(count),
    "perturb": lambda count: Perturb(count, 0.2),
    "markov": lambda count: Markov(count, 0.2),
    **LEARNED,
}


@dataclass(frozen=True)
class Separable:
    """The sum of a weight for each mark in each column of c: separable over ops, and linear in c.

    Args:
        encoding: makes c, here with one column per op.
        seed: of the weights.
    """

    encoding: Encoding
    seed: int
    weights: Tensor = field(init=False)

    def __post_init__(self) -> None:
        drawn = torch.randn(self.encoding.layout.channels, dtype=torch.float64, generator=generator("w", self.seed))
        object.__setattr__(self, "weights", drawn)

    @classmethod
    def over(cls, space: SearchSpace, seed: int = 0) -> "Separable":
        return cls(Encoding(space.limits, max(space.limits.memory) // space.limits.base), seed)

    def __call__(self, architecture: Architecture) -> float:
        marks = (self.encoding.encode(architecture)[0, :, 0].double() + 1) / 2
        return float(self.weights @ marks.sum(1))

    def gradient(self, architecture: Architecture) -> Tensor:
        gradient = torch.zeros_like(self.encoding.encode(architecture), dtype=torch.float64)
        gradient[0, :, 0] = self.weights[:, None] / 2
        return gradient


def ranking(
    space: SearchSpace,
    strategies: Sequence[Strategy],
    loss: Separable,
    seed: int = 0,
    drawn: frozenset[str] = frozenset(),
) -> Ranking:
    return Ranking(space, tuple(strategies), seed, drawn, LABELS, gradient=loss.gradient, encoding=loss.encoding)


def score(architecture: Architecture, loss: Callable[[Architecture], float]) -> Score:
    """`loss`, and predictions from a random stream for this architecture."""
    logits = torch.randn(len(LABELS), 5, generator=generator("score", architecture.fingerprint))
    error = 100 * (logits.argmax(1) != LABELS).double().mean().item()
    value = loss(architecture)
    return Score(error, value, (value,), logits.softmax(1))


def complete(
    ranking: Ranking, loss: Callable[[Architecture], float], limit: int = 1, state: State | None = None
) -> State:
    def scores(architectures: Sequence[Architecture]) -> list[Score]:
        return [score(architecture, loss) for architecture in architectures]

    return rank(ranking, state or ranking.init(), scores, lambda state, candidates: None, limit)
