"""Regularized evolution: the oldest member is removed, not the worst (Real et al., AAAI 2019, arXiv 1802.01548)."""

import random
from dataclasses import dataclass

from pydantic import NonNegativeInt, PositiveInt
from typing_extensions import override

from smash_lightning.option_types import Probability
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, ScoredCandidate, Strategy, best


@dataclass(frozen=True)
class Evolution(Strategy):
    """Children of tournament winners in a population whose members are replaced by age.

    The first members are the best of what was scored before, aged by their order of scoring. So many children as
    `concurrent` have parents in the same population, and are scored at the same time.
    """

    count: NonNegativeInt
    population: PositiveInt
    sample: PositiveInt
    probability: Probability
    concurrent: PositiveInt = 1
    name = "evolution"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        parent = best(rng.choices(self.members(history), k=self.sample)).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint

    def members(self, history: History) -> list[ScoredCandidate]:
        """The current population, oldest first."""
        ranked = sorted(range(len(history.before)), key=lambda position: history.before[position].smash_score)
        founders = [history.before[position] for position in sorted(ranked[: self.population])]
        return [*founders, *history.own][-self.population :]
