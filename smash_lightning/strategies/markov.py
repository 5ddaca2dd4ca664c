"""A Markov chain from the best architecture (paper, section 4)."""

import random
from dataclasses import dataclass

from pydantic import NonNegativeInt
from typing_extensions import override

from smash_lightning.option_types import Probability
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy, best


@dataclass(frozen=True)
class Markov(Strategy):
    """Perturbs the best architecture scored so far, those of the chain included: it moves where the score is lower."""

    count: NonNegativeInt
    probability: Probability
    name = "markov"
    sequential = True

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        parent = best(history.scored).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint
