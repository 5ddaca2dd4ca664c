"""The interface of search strategies: what each receives and returns."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.encoding import Encoding
from smash_lightning.option_types import require_bounds
from smash_lightning.search_space import SearchSpace

Gradient = Callable[[Architecture], Tensor]
Proposal = tuple[Architecture, str]  # an architecture and the fingerprint of its parent, "" for none


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A scored architecture, the name of the strategy that proposed it, and its parent's fingerprint ("" for none).

    Candidates are ranked by `smash_score`, lower is better.
    """

    architecture: Architecture
    strategy: str
    parent: str
    smash_score: float


@dataclass(frozen=True, slots=True)
class History:
    """Everything that a strategy may depend on.

    Args:
        before: all candidates scored before this strategy began, in order of scoring.
        own: candidates of this strategy scored so far, in that order; empty unless it is sequential.
        gradient: dE/dc at an architecture, of the shape of its c: of the validation loss, mean over the HyperNets. None
            where there is none.
        encoding: encodes architectures as the c of `gradient`.
        accepts: whether an architecture would be accepted: it is new and violates no constraint. This may be expensive,
            so check the best candidate first. An unchecked proposal is drawn again if it is not accepted.
    """

    before: Sequence[ScoredCandidate]
    own: Sequence[ScoredCandidate] = ()
    gradient: Gradient | None = None
    encoding: Encoding | None = None
    accepts: Callable[[Architecture], bool] = lambda architecture: True

    @property
    def scored(self) -> list[ScoredCandidate]:
        """All scored candidates, in order of scoring."""
        return [*self.before, *self.own]

    def first_accepted(self, proposals: Iterable[Proposal]) -> Proposal:
        """The first of `proposals`, best first, that would be accepted; the very first if none would."""
        ordered = list(proposals)
        return next((proposal for proposal in ordered if self.accepts(proposal[0])), ordered[0])


class Strategy(ABC):
    """Proposes `count` architectures. Subclasses are frozen dataclasses; `name` is their name in ranking.csv.

    With `sequential`, proposals need the scores of those before, except those of the same `concurrent` ones, which are
    scored concurrently; without it, all are. A strategy is a pure function of the scored candidates and of `rng`, so
    that an interrupted ranking can be resumed. Options are checked against their annotations.
    """

    count: int
    name: str
    sequential: bool
    concurrent: int = 1

    def __post_init__(self) -> None:
        require_bounds(self, f"ranking.strategies.{self.name}")

    @abstractmethod
    def propose(self, space: SearchSpace, history: History, rng: random.Random) -> Proposal:
        """One architecture of `space` and the fingerprint of its parent ("" for none), drawn with `rng` alone."""


def best(candidates: Sequence[ScoredCandidate]) -> ScoredCandidate:
    """The candidate of lowest SMASH score; the earliest of equals."""
    return min(candidates, key=lambda candidate: candidate.smash_score)
