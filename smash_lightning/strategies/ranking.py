"""A ranking as a value with three steps: propose, score, update. Its state can be printed, saved and resumed."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter
from torch import Tensor

from smash_lightning.architecture import Architecture, cost
from smash_lightning.encoding import Encoding
from smash_lightning.random_streams import Stream, rng
from smash_lightning.scoring.constraints import Bounds, CandidateFilter
from smash_lightning.scoring.scorer import Score
from smash_lightning.scoring.smash_score import CandidateMetrics, SmashScore, ValidationLoss
from smash_lightning.search_space import SearchSpace
from smash_lightning.strategies.base import Gradient, History, ScoredCandidate, Strategy

ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed architecture without a score, the name of its strategy, and its parent's fingerprint ("" for none)."""

    architecture: Architecture
    strategy: str
    parent: str


@dataclass(frozen=True, slots=True)
class Row:
    """A scored candidate, and the validation error (%) of the mean prediction of all candidates up to it."""

    candidate: Candidate
    val_error: float
    val_loss: float
    val_losses: tuple[float, ...]
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
    """The procedure: each strategy in turn, over a space, without the architectures that training has sampled.

    Args:
        space: the space of candidates.
        strategies: in order; the first proposes without a history.
        seed: of all random numbers.
        drawn: fingerprints that no candidate may have.
        labels: validation labels (images,), for the ensemble of all candidates.
        bounds: on the cost of a candidate.
        gradient: dE/dc at an architecture, see `History`; called at most once for each call of `propose`.
        encoding: encodes architectures as the c of `gradient`.
        smash_score: what candidates are ranked by.
    """

    space: SearchSpace
    strategies: tuple[Strategy, ...]
    seed: int
    drawn: frozenset[str]
    labels: Tensor
    bounds: Bounds = field(default_factory=dict)
    gradient: Gradient | None = None
    encoding: Encoding | None = None
    smash_score: SmashScore = field(default_factory=ValidationLoss)

    @property
    def total(self) -> int:
        """Number of architectures that will be scored."""
        return sum(strategy.count for strategy in self.strategies)

    def init(self) -> State:
        """The state without scores."""
        return State()

    def propose(self, state: State, limit: int) -> list[Candidate]:
        """Up to `limit` candidates that may be scored concurrently; none when the ranking is complete.

        Raises:
            ValueError: the space holds no further architecture that is new and satisfies the bounds.
        """
        before, done = 0, len(state.rows)
        for stage, strategy in enumerate(self.strategies):  # noqa: B007 (both are used after the loop)
            if done < before + strategy.count:
                break
            before += strategy.count
        else:
            return []
        # A SMASH score may depend on all rows, so it must be independent of those that are scored concurrently.
        step, own = strategy.concurrent if strategy.sequential else strategy.count, done - before
        rows = state.rows[: done - own % step]
        scored = [
            ScoredCandidate(row.candidate.architecture, row.candidate.strategy, row.candidate.parent, score)
            for row, score in zip(rows, self.smash_scores(rows), strict=True)
        ]
        taken = {row.candidate.architecture for row in state.rows}
        count = min(limit, step - own % step, strategy.count - own)
        accepts = CandidateFilter(taken, self.drawn, self.bounds)
        history = History(
            before=scored[:before],
            own=scored[before:],
            gradient=None if self.gradient is None else cache(self.gradient),
            encoding=self.encoding,
            accepts=accepts,
        )
        candidates: list[Candidate] = []
        for index in range(own, own + count):
            candidates.append(self._new_candidate(strategy, (stage, index), history, accepts))
            taken.add(candidates[-1].architecture)
        return candidates

    def smash_scores(self, rows: Sequence[Row]) -> list[float]:
        """The SMASH score of each of `rows`, lower is better; NaN becomes inf, which ranks last.

        Raises:
            ValueError: the SMASH score is not one number for each row.
        """
        metrics = [CandidateMetrics(row.val_error, row.val_loss, self.params(row)) for row in rows]
        scores = self.smash_score(metrics) if rows else []
        if len(scores) != len(rows):
            name = type(self.smash_score).__name__
            raise ValueError(
                f"ranking.smash_score: {name} gave {len(scores)} numbers for {len(rows)} architectures, not one each"
            )
        return [math.inf if math.isnan(score) else score for score in scores]

    def params(self, row: Row) -> int:
        """Parameters of the standalone network of a scored architecture."""
        return cost(row.candidate.architecture, self.space.image_spec).params

    def _new_candidate(
        self, strategy: Strategy, position: tuple[int, int], history: History, accepts: CandidateFilter
    ) -> Candidate:
        for attempt in range(ATTEMPTS):
            architecture, parent = strategy.propose(
                self.space, history, rng(Stream.CANDIDATE, self.seed, *position, attempt)
            )
            if accepts(architecture):
                return Candidate(self.space.require(architecture), strategy.name, parent)
        raise ValueError(f"{strategy.name}: {accepts.message(ATTEMPTS)}")

    def update(self, state: State, candidates: Sequence[Candidate], scores: Sequence[Score]) -> State:
        """Adds the scores of `candidates`, in their order."""
        rows, total = list(state.rows), state.probabilities
        for candidate, score in zip(candidates, scores, strict=True):
            total = total + score.probabilities.double()
            # Candidates scored in a race have no predictions; without any predictions there is no ensemble.
            error = (total.argmax(1) != self.labels.cpu()).double().mean().item() if total.ndim else math.nan
            metrics = (score.val_error, score.val_loss, score.val_losses, 100 * error, score.seconds, score.images)
            rows.append(Row(candidate, *metrics))
        return State(tuple(rows), total)


def rank(
    ranking: Ranking,
    state: State,
    score: Callable[[Sequence[Architecture]], Iterable[Score]],
    after: Callable[[State, Sequence[Candidate]], None],
    limit: int,
) -> State:
    """Steps `ranking` from `state` until it is complete.

    `score` yields the scores of all architectures that a strategy proposes without further ones, in order; `after`
    gets each new state and the candidates that were added to it, at most `limit`, which changes no row.
    """
    while candidates := ranking.propose(state, ranking.total):
        scored = zip(candidates, score([candidate.architecture for candidate in candidates]), strict=True)
        while some := list(islice(scored, limit)):
            added = [candidate for candidate, _ in some]
            state = ranking.update(state, added, [score for _, score in some])
            after(state, added)
    return state


def state_to_plain(state: State) -> dict[str, Any]:
    """A state as text and a tensor, which `torch.load(weights_only=True)` reads back."""
    return {"scored": _ROWS.dump_json(state.rows).decode(), "probabilities": state.probabilities}


def state_from_plain(plain: dict[str, Any]) -> State:
    """Inverse of `state_to_plain`."""
    return State(_ROWS.validate_json(plain["scored"]), plain["probabilities"])


_ROWS = TypeAdapter(tuple[Row, ...], config=ConfigDict(ser_json_inf_nan="constants"))
