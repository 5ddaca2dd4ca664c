"""A ranking step by step, with a score that is a pure function of the architecture."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture, ImageSpec, cost
from smash_lightning.random_streams import generator
from smash_lightning.scoring import Score
from smash_lightning.strategies import Markov, Perturb, Random, Ranking, State, rank
from tests.cases import V1

LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])
STRATEGIES = (Random(7), Perturb(5, 0.3), Markov(6, 0.3))


def score(architecture: Architecture, image_spec: ImageSpec = V1.image_spec) -> Score:
    """Nearer to 2000 parameters is better; predictions come from a random stream for this architecture."""
    loss = abs(math.log(cost(architecture, image_spec).params / 2000))
    logits = torch.randn(len(LABELS), 5, generator=generator("score", architecture.fingerprint))
    error = 100 * (logits.argmax(1) != LABELS).double().mean().item()
    return Score(error, loss, (loss,), logits.softmax(1))


def scores(architectures: Sequence[Architecture]) -> list[Score]:
    return [score(architecture) for architecture in architectures]


def ranking(drawn: frozenset[str] = frozenset(), seed: int = 0, strategies=STRATEGIES) -> Ranking:
    return Ranking(V1, strategies, seed, drawn, LABELS)


def complete(ranking: Ranking, limit: int, state: State | None = None) -> State:
    return rank(ranking, state or ranking.init(), scores, lambda state, candidates: None, limit)


WHOLE = complete(ranking(), 1)


def test_every_strategy_has_its_rows() -> None:
    assert ranking().total == len(WHOLE.rows) == 18
    assert [row.candidate.strategy for row in WHOLE.rows] == ["random"] * 7 + ["perturb"] * 5 + ["markov"] * 6
    assert ranking().propose(WHOLE, 4) == []


@settings(max_examples=10)
@given(limit=st.integers(2, 20))
def test_rows_do_not_depend_on_how_many_are_scored_concurrently(limit: int) -> None:
    state = complete(ranking(), limit)
    assert state.rows == WHOLE.rows
    assert torch.equal(state.probabilities, WHOLE.probabilities)
    first = ranking().propose(State(), 20)
    assert ranking().propose(State(), limit) == first[:limit] == [row.candidate for row in WHOLE.rows][: min(limit, 7)]


def test_after_is_called_with_what_was_added() -> None:
    seen: list[tuple[int, int]] = []
    rank(ranking(), State(), scores, lambda state, new: seen.append((len(state.rows), len(new))), 4)
    assert seen == [(4, 4), (7, 3), (11, 4), (12, 1), *((n, 1) for n in range(13, 19))]


@pytest.mark.parametrize("seed", range(5))
def test_perturbations_are_of_the_best_before_them(seed: int) -> None:
    rows = complete(ranking(seed=seed), 3).rows
    best = min(rows[:7], key=lambda row: row.val_loss).candidate.architecture.fingerprint
    assert {row.candidate.parent for row in rows[7:12]} == {best}


@pytest.mark.parametrize("seed", range(5))
def test_markov_moves_downhill_only(seed: int) -> None:
    rows = complete(ranking(seed=seed), 3).rows
    loss = {row.candidate.architecture.fingerprint: row.val_loss for row in rows}
    for i in range(12, 18):
        assert loss[rows[i].candidate.parent] == min(row.val_loss for row in rows[:i])
    parents = [loss[row.candidate.parent] for row in rows[12:]]
    assert parents == sorted(parents, reverse=True)


def test_ensemble_error_is_that_of_the_mean_prediction() -> None:
    for i, row in enumerate(WHOLE.rows):
        so_far = [score(r.candidate.architecture).probabilities.double() for r in WHOLE.rows[: i + 1]]
        predictions = [max(range(5), key=lambda c: sum(p[n, c].item() for p in so_far)) for n in range(len(LABELS))]
        errors = sum(p != label for p, label in zip(predictions, LABELS.tolist(), strict=True))
        assert row.ensemble_error == pytest.approx(100 * errors / len(LABELS))
        ours = score(row.candidate.architecture)
        assert (row.val_error, row.val_loss, row.val_losses) == (ours.val_error, ours.val_loss, ours.val_losses)
