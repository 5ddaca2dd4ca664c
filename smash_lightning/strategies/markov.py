"""A Markov chain downhill from the best architecture (paper, section 4)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy, best


@dataclass(frozen=True)
class Markov(Strategy):
    """A chain from the best architecture: perturb the current one, move where the score is lower."""

    count: int
    probability: float
    name = "markov"
    sequential = True

    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """A neighbour of the best one, those of the chain included."""
        parent = best(history.entries).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint
