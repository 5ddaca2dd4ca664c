"""Which architecture to score next: random ones, perturbations of the best, a Markov chain (paper, section 4)."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from smash_lightning.architecture import Architecture
from smash_lightning.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Entry:
    """A scored architecture: its origin, its parent's fingerprint, and the loss that ranks it."""

    architecture: Architecture
    origin: str
    parent: str
    loss: float


class Proposal(ABC):
    """A strategy that proposes `count` architectures. A frozen dataclass; `origin` names it in the table.

    `sequential` says that each proposal needs the score of the one before; otherwise they may be scored side by side.
    """

    count: int
    origin: str
    sequential: bool

    @abstractmethod
    def propose(
        self, space: SearchSpace, before: Sequence[Entry], own: Sequence[Entry], rng: random.Random
    ) -> tuple[Architecture, str]:
        """One architecture and the fingerprint of its parent ("" for none).

        Args:
            space: where it must lie.
            before: everything that was scored before this strategy began.
            own: what this strategy had scored; empty unless it is sequential.
            rng: chance.
        """


def best(entries: Sequence[Entry]) -> Entry:
    """The entry of lowest loss; the earliest of equals."""
    return min(entries, key=lambda entry: entry.loss)


@dataclass(frozen=True)
class Random(Proposal):
    """Independent draws from the space."""

    count: int
    origin = "random"
    sequential = False

    def propose(
        self, space: SearchSpace, before: Sequence[Entry], own: Sequence[Entry], rng: random.Random
    ) -> tuple[Architecture, str]:
        """A draw."""
        return space.sample(rng), ""


@dataclass(frozen=True)
class Perturb(Proposal):
    """Perturbations of the best architecture so far, each element redrawn with `probability`."""

    count: int
    probability: float
    origin = "perturb"
    sequential = False

    def propose(
        self, space: SearchSpace, before: Sequence[Entry], own: Sequence[Entry], rng: random.Random
    ) -> tuple[Architecture, str]:
        """A neighbour of the best one."""
        parent = best(before).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint


@dataclass(frozen=True)
class Markov(Proposal):
    """A chain from the best architecture: perturb the current one, move where the score is lower."""

    count: int
    probability: float
    origin = "markov"
    sequential = True

    def propose(
        self, space: SearchSpace, before: Sequence[Entry], own: Sequence[Entry], rng: random.Random
    ) -> tuple[Architecture, str]:
        """A neighbour of the best one, those of the chain included."""
        parent = best([*before, *own]).architecture
        return space.perturb(parent, rng, self.probability), parent.fingerprint
