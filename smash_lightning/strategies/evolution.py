"""Regularised evolution: the oldest dies, not the worst (Real et al., AAAI 2019, arXiv 1802.01548, algorithm 1)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import Entry, History, Proposal, Strategy, best


@dataclass(frozen=True)
class Evolution(Strategy):
    """Children of tournament winners in a population whose members die of age.

    Args:
        count: children.
        population: architectures that live. The first ones are the best of what was scored before, as old as their
            place in the order of scoring; each child replaces the oldest.
        sample: entrants of a tournament, drawn with replacement; the best of them is the parent.
        probability: of each element of the parent to be redrawn.
    """

    count: int
    population: int
    sample: int
    probability: float
    name = "evolution"
    sequential = True

    def __post_init__(self) -> None:
        self.require(population=1, sample=1)

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """A child of the winner of one tournament."""
        parent = best(rng.choices(self.alive(history), k=self.sample)).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint

    def alive(self, history: History) -> list[Entry]:
        """The population, oldest first."""
        places = sorted(range(len(history.before)), key=lambda place: history.before[place].loss)
        founders = [history.before[place] for place in sorted(places[: self.population])]
        return [*founders, *history.own][-self.population :]
