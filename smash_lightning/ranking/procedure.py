"""A ranking as a value that is stepped: propose, score, update. It can be printed, saved and taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture
from smash_lightning.randomness import rng
from smash_lightning.ranking.proposals import Entry, Proposal
from smash_lightning.ranking.score import Score
from smash_lightning.search_space import SearchSpace

ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that waits for its score."""

    architecture: Architecture
    origin: str
    parent: str


@dataclass(frozen=True, slots=True)
class Row:
    """A scored candidate, and the error of the mean prediction up to it."""

    candidate: Candidate
    error: float
    loss: float
    loss_by_hypernet: tuple[float, ...]
    ensemble_error: float


@dataclass(frozen=True, slots=True)
class State:
    """All rows in order of scoring, and the sum of their predicted probabilities (images, classes)."""

    rows: tuple[Row, ...] = ()
    probabilities: Tensor = field(default_factory=lambda: torch.zeros(()))


@dataclass(frozen=True)
class Ranking:
    """The procedure: each strategy in turn, over a space, avoiding architectures that training has drawn.

    Args:
        space: where candidates lie.
        proposals: strategies in order; the first proposes without a history.
        seed: of every draw.
        drawn: fingerprints that no candidate may have.
        labels: validation labels (images,), for the running ensemble.
    """

    space: SearchSpace
    proposals: tuple[Proposal, ...]
    seed: int
    drawn: frozenset[str]
    labels: Tensor

    @property
    def total(self) -> int:
        """Architectures that will be scored."""
        return sum(proposal.count for proposal in self.proposals)

    def init(self) -> State:
        """Nothing is scored yet."""
        return State()

    def propose(self, state: State, most: int) -> list[Candidate]:
        """Up to `most` candidates that may be scored side by side; none when the ranking is complete.

        Raises:
            ValueError: the space holds no further architecture that is new.
        """
        before, done = 0, len(state.rows)
        for stage, proposal in enumerate(self.proposals):  # noqa: B007 (both are used after the loop)
            if done < before + proposal.count:
                break
            before += proposal.count
        else:
            return []
        entries = [Entry(r.candidate.architecture, r.candidate.origin, r.candidate.parent, r.loss) for r in state.rows]
        taken = {entry.architecture.fingerprint for entry in entries}
        batch = 1 if proposal.sequential else min(most, before + proposal.count - done)
        own = entries[before:] if proposal.sequential else []
        candidates: list[Candidate] = []
        for index in range(done - before, done - before + batch):
            candidate = self._fresh(proposal, (stage, index), entries[:before], own, taken)
            taken.add(candidate.architecture.fingerprint)
            candidates.append(candidate)
        return candidates

    def _fresh(
        self,
        proposal: Proposal,
        place: tuple[int, int],
        before: Sequence[Entry],
        own: Sequence[Entry],
        taken: set[str],
    ) -> Candidate:
        for attempt in range(ATTEMPTS):
            chance = rng("candidate", self.seed, *place, attempt)
            architecture, parent = proposal.propose(self.space, before, own, chance)
            if architecture.fingerprint not in taken and architecture.fingerprint not in self.drawn:
                return Candidate(self.space.require(architecture), proposal.origin, parent)
        raise ValueError(
            f"{proposal.origin}: no new architecture in {ATTEMPTS} attempts after {len(taken)} were scored; "
            "lower the counts of `ranking`, or widen the search space"
        )

    def update(self, state: State, candidates: Sequence[Candidate], scores: Sequence[Score]) -> State:
        """Adds the scores of `candidates`, in their order."""
        rows, total = list(state.rows), state.probabilities
        for candidate, score in zip(candidates, scores, strict=True):
            total = total + score.probabilities.double()
            wrong = (total.argmax(1) != self.labels.cpu()).double().mean().item()
            rows.append(Row(candidate, score.error, score.loss, score.loss_by_hypernet, 100 * wrong))
        return State(tuple(rows), total)


def state_to_plain(state: State) -> dict[str, Any]:
    """A state as plain values and a tensor, which `torch.load(weights_only=True)` reads back."""
    rows = [
        {
            "architecture": row.candidate.architecture.to_json(),
            "origin": row.candidate.origin,
            "parent": row.candidate.parent,
            "error": row.error,
            "loss": row.loss,
            "loss_by_hypernet": list(row.loss_by_hypernet),
            "ensemble_error": row.ensemble_error,
        }
        for row in state.rows
    ]
    return {"rows": rows, "probabilities": state.probabilities}


def state_from_plain(plain: dict[str, Any]) -> State:
    """Inverse of `state_to_plain`."""
    rows = [
        Row(
            Candidate(Architecture.from_json(row["architecture"]), row["origin"], row["parent"]),
            row["error"],
            row["loss"],
            tuple(row["loss_by_hypernet"]),
            row["ensemble_error"],
        )
        for row in plain["rows"]
    ]
    return State(tuple(rows), plain["probabilities"])
