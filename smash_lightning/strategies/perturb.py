"""Local search around the best architecture (paper, section 4)."""

import random
from dataclasses import dataclass

from pydantic import NonNegativeInt
from typing_extensions import override

from smash_lightning.option_types import Probability
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy, best


@dataclass(frozen=True)
class Perturb(Strategy):
    """Perturbations of the best architecture scored before, each element redrawn with `probability`."""

    count: NonNegativeInt
    probability: Probability
    name = "perturb"
    sequential = False

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        parent = best(history.before).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint
