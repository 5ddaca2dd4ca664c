"""What every strategy is given, and what it returns."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.search_space import SearchSpace

Gradient = Callable[[Architecture], Tensor]
Proposal = tuple[Architecture, str]  # an architecture and the fingerprint of its parent, "" for none


@dataclass(frozen=True, slots=True)
class Entry:
    """A scored architecture: its origin, its parent's fingerprint, and what ranks it, lower being better."""

    architecture: Architecture
    name: str
    parent: str
    loss: float


def _anything(architecture: Architecture) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class History:
    """What a strategy may know.

    Args:
        before: everything that was scored before this strategy began, in order of scoring.
        own: what this strategy had scored, in that order; empty unless it is sequential.
        gradient: dE/dc at an architecture, the shape of its c: of the validation loss, mean over the HyperNets. None
            where there is none.
        encoding: writes the c that `gradient` speaks of.
        admits: whether an architecture would be taken up: it is new and breaks no constraint. It may be costly, so ask
            it of the favourite first. What is proposed without asking is redrawn if it is not taken up.
    """

    before: Sequence[Entry]
    own: Sequence[Entry] = ()
    gradient: Gradient | None = None
    encoding: Encoding | None = None
    admits: Callable[[Architecture], bool] = _anything

    @property
    def entries(self) -> list[Entry]:
        """All of them, in order of scoring."""
        return [*self.before, *self.own]

    def first_admitted(self, picks: Iterable[Proposal]) -> Proposal:
        """The first of `picks`, favourites first, that would be taken up; the very first if none would."""
        ordered = list(picks)
        return next((proposal for proposal in ordered if self.admits(proposal[0])), ordered[0])


class Strategy(ABC):
    """A strategy that proposes `count` architectures. A frozen dataclass; `name` names it in the table.

    `sequential` says that each proposal needs the score of the one before; otherwise they may be scored side by side.
    A strategy is a pure function of what was scored and of chance, so that a ranking can be taken up where it stopped.
    """

    count: int
    name: str
    sequential: bool

    @abstractmethod
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """One architecture of `space` and the fingerprint of its parent ("" for none).

        Args:
            space: where it must lie.
            history: what was scored so far.
            rng: chance.
        """

    def require(self, **least: int) -> None:
        """Checks that options have at least these values.

        Raises:
            ValueError: one has not; it is named as in the configuration.
        """
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(
                    f"ranking.strategies.{self.name}.{name} must be at least {value}, got {getattr(self, name)}"
                )


def best(entries: Sequence[Entry]) -> Entry:
    """The entry of lowest loss; the earliest of equals."""
    return min(entries, key=lambda entry: entry.loss)
