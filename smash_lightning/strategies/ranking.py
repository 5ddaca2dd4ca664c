"""A ranking as a value that is stepped: propose, score, update. It can be printed, saved and taken up again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from smash_lightning.architecture import Architecture, cost
from smash_lightning.encoding import Encoding
from smash_lightning.random_streams import Stream, rng
from smash_lightning.scoring.candidate_filter import CandidateFilter
from smash_lightning.scoring.constraints import Constraints, Latency
from smash_lightning.scoring.scorer import Score
from smash_lightning.scoring.smash_score import CandidateMetrics, SmashScore, ValidationLoss
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies import Entry, Gradient, History, Strategy

ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that waits for its score."""

    architecture: Architecture
    strategy: str
    parent: str


@dataclass(frozen=True, slots=True)
class Row:
    """A scored candidate, and the error of the mean prediction up to it."""

    candidate: Candidate
    error: float
    loss: float
    loss_by_hypernet: tuple[float, ...]
    ensemble_error: float
    seconds: float = field(default=0.0, compare=False)
    images: int | None = None  # that were scored; None for all


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
        strategies: in order; the first proposes without a history.
        seed: of every draw.
        drawn: fingerprints that no candidate may have.
        labels: validation labels (images,), for the running ensemble.
        constraints: what a candidate may cost at most.
        latency: milliseconds of a forward pass, which a bound on it needs.
        gradient: dE/dc at an architecture, see `History`; asked at most once for each call of `propose`.
        encoding: writes the c that `gradient` speaks of.
        smash_score: what ranks the scored.
    """

    space: SearchSpace
    strategies: tuple[Strategy, ...]
    seed: int
    drawn: frozenset[str]
    labels: Tensor
    constraints: Constraints = field(default_factory=Constraints)
    latency: Latency | None = None
    gradient: Gradient | None = None
    encoding: Encoding | None = None
    smash_score: SmashScore = field(default_factory=ValidationLoss)

    def __post_init__(self) -> None:
        if self.constraints.max_latency is not None and self.latency is None:
            raise ValueError(
                f"ranking.max_latency={self.constraints.max_latency} cannot be kept here, where nothing measures it: "
                "set it to null"
            )

    @property
    def total(self) -> int:
        """Architectures that will be scored."""
        return sum(strategy.count for strategy in self.strategies)

    def init(self) -> State:
        """Nothing is scored yet."""
        return State()

    def propose(self, state: State, most: int) -> list[Candidate]:
        """Up to `most` candidates that may be scored side by side; none when the ranking is complete.

        Raises:
            ValueError: the space holds no further architecture that is new and keeps the constraints.
        """
        before, done = 0, len(state.rows)
        for stage, strategy in enumerate(self.strategies):  # noqa: B007 (both are used after the loop)
            if done < before + strategy.count:
                break
            before += strategy.count
        else:
            return []
        # A key may depend on all that it ranks, so it must not see what is scored side by side.
        known = state.rows if strategy.sequential else state.rows[:before]
        entries = [_entry(row, key) for row, key in zip(known, self.smash_scores(known), strict=True)]
        taken = {row.candidate.architecture for row in state.rows}
        batch = 1 if strategy.sequential else min(most, before + strategy.count - done)
        admission = CandidateFilter(taken, self.drawn, self.constraints, self.space.image_spec, self.latency)
        history = History(
            before=entries[:before],
            own=entries[before:],
            gradient=None if self.gradient is None else cache(self.gradient),
            encoding=self.encoding,
            admits=admission,
        )
        candidates: list[Candidate] = []
        for index in range(done - before, done - before + batch):
            candidates.append(self._fresh(strategy, (stage, index), history, admission))
            taken.add(candidates[-1].architecture)
        return candidates

    def smash_scores(self, rows: Sequence[Row]) -> list[float]:
        """What ranks each of `rows`, lower is better; inf for what is not a number, which ranks last.

        Raises:
            ValueError: the SMASH score is not one number for each row.
        """
        scores = (
            self.smash_score([CandidateMetrics(row.error, row.loss, self.params(row)) for row in rows]) if rows else []
        )
        if len(scores) != len(rows):
            name = type(self.smash_score).__name__
            raise ValueError(
                f"ranking.smash_score: {name} gave {len(scores)} numbers for {len(rows)} architectures, not one each"
            )
        return [math.inf if math.isnan(score) else score for score in scores]

    def params(self, row: Row) -> int:
        """Parameters of the ordinary network of a scored architecture."""
        return cost(row.candidate.architecture, self.space.image_spec).params

    def _fresh(
        self, strategy: Strategy, place: tuple[int, int], history: History, admission: CandidateFilter
    ) -> Candidate:
        for attempt in range(ATTEMPTS):
            chance = rng(Stream.CANDIDATE, self.seed, *place, attempt)
            architecture, parent = strategy.propose(self.space, history, chance)
            if admission(architecture):
                return Candidate(self.space.require(architecture), strategy.name, parent)
        raise ValueError(f"{strategy.name}: {admission.refusal(ATTEMPTS)}")

    def update(self, state: State, candidates: Sequence[Candidate], scores: Sequence[Score]) -> State:
        """Adds the scores of `candidates`, in their order."""
        rows, total = list(state.rows), state.probabilities
        for candidate, score in zip(candidates, scores, strict=True):
            total = total + score.probabilities.double()
            # Who took part in a race gives no predictions; before the first who does, there is no ensemble.
            wrong = (total.argmax(1) != self.labels.cpu()).double().mean().item() if total.ndim else math.nan
            figures = (score.error, score.loss, score.loss_by_hypernet, 100 * wrong, score.seconds, score.images)
            rows.append(Row(candidate, *figures))
        return State(tuple(rows), total)


def rank(
    ranking: Ranking,
    state: State,
    score: Callable[[Sequence[Architecture]], Sequence[Score]],
    after: Callable[[State, Sequence[Candidate]], None],
    most: int,
) -> State:
    """Steps `ranking` from `state` until it is complete.

    Args:
        ranking: the procedure.
        state: where to begin.
        score: scores architectures, which are given side by side where the strategy allows.
        after: called with the new state and the candidates that it added.
        most: most architectures to score side by side.
    """
    while candidates := ranking.propose(state, most):
        state = ranking.update(state, candidates, score([candidate.architecture for candidate in candidates]))
        after(state, candidates)
    return state


def _entry(row: Row, key: float) -> Entry:
    """What a strategy is told of a row."""
    candidate = row.candidate
    return Entry(candidate.architecture, candidate.strategy, candidate.parent, key)


def state_to_plain(state: State) -> dict[str, Any]:
    """A state as plain values and a tensor, which `torch.load(weights_only=True)` reads back."""
    rows = [
        {
            "architecture": row.candidate.architecture.to_json(),
            "strategy": row.candidate.strategy,
            "parent": row.candidate.parent,
            "error": row.error,
            "loss": row.loss,
            "loss_by_hypernet": list(row.loss_by_hypernet),
            "ensemble_error": row.ensemble_error,
            "seconds": row.seconds,
            "images": row.images,
        }
        for row in state.rows
    ]
    return {"rows": rows, "probabilities": state.probabilities}


def state_from_plain(plain: dict[str, Any]) -> State:
    """Inverse of `state_to_plain`."""
    rows = [
        Row(
            Candidate(Architecture.from_json(row["architecture"]), row["strategy"], row["parent"]),
            row["error"],
            row["loss"],
            tuple(row["loss_by_hypernet"]),
            row["ensemble_error"],
            row["seconds"],
            row["images"],
        )
        for row in plain["rows"]
    ]
    return State(tuple(rows), plain["probabilities"])
