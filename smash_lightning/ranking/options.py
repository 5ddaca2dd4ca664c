"""What a ranking does, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smash_lightning.ranking.proposals import Proposal
from smash_lightning.ranking.score import Policy


@dataclass(frozen=True)
class RankingOptions:
    """How architectures are proposed and scored.

    Args:
        proposals: strategies by name, in order; one with a count of 0 is left out.
        statistics: where BatchNorm takes its statistics from, see `Scorer`.
        fixed: architectures that are scored during training, to see the scores settle; 0 for none.
        fixed_every: epochs between those scores.
    """

    proposals: Mapping[str, Proposal]
    statistics: Policy
    fixed: int
    fixed_every: int

    def __post_init__(self) -> None:
        if not self.strategies or self.strategies[0].origin != "random":
            raise ValueError("ranking: the first strategy must be random, with a count of at least 1")
        if self.fixed < 0 or self.fixed_every < 1:
            raise ValueError(f"ranking: fixed ({self.fixed}) or fixed_every ({self.fixed_every}) is too small")

    @property
    def strategies(self) -> tuple[Proposal, ...]:
        """Those that propose anything."""
        return tuple(proposal for proposal in self.proposals.values() if proposal.count > 0)
