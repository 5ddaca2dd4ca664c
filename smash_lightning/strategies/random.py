"""Random search: the paper's first stage (algorithm 1)."""

import random
from dataclasses import dataclass

from pydantic import NonNegativeInt
from typing_extensions import override

from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import History, Proposal, Strategy


@dataclass(frozen=True)
class Random(Strategy):
    """Independent samples of the space."""

    count: NonNegativeInt
    name = "random"
    sequential = False

    @override
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        return space.sample(rng), ""
