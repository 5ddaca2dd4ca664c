"""Laws of every strategy over every space."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smash_lightning.architecture import Architecture
from smash_lightning.scoring import LossPlusSizeRank
from smash_lightning.strategies import Random, State, Strategy, state_from_plain, state_to_plain
from smash_lightning.strategies.predictor import describe
from smash_lightning.strategies.recurrent import fitted, fitted_to_samples
from smash_lightning.strategies.sampler import decisions
from tests.cases import CASES, V1, small
from tests.strategies.synthetic import STRATEGIES, Separable, complete, ranking, score

every_strategy = pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())
Make = Callable[[int], Strategy]


def names(state: State) -> list[str]:
    return [row.candidate.architecture.fingerprint for row in state.rows]


@every_strategy
@pytest.mark.parametrize("name", CASES)
def test_candidates_are_new_in_the_space_and_the_same_again(name: str, make: Make) -> None:
    space = CASES[name].space
    loss, strategies = Separable.over(space), (Random(6), make(4))
    # Training has sampled half of what would be proposed otherwise.
    drawn = frozenset(names(complete(ranking(space, strategies, loss), loss))[::2])
    state = complete(ranking(space, strategies, loss, drawn=drawn), loss, limit=3)
    assert all(space.contains(row.candidate.architecture) for row in state.rows)
    assert [row.candidate.strategy for row in state.rows] == ["random"] * 6 + [make(1).name] * 4
    assert len(set(names(state))) == 10
    assert not drawn & set(names(state))
    again = complete(ranking(space, strategies, loss, drawn=drawn), loss, limit=3)
    assert again.rows == state.rows
    other = complete(ranking(space, strategies, loss, seed=1, drawn=drawn), loss, limit=3)
    assert other.rows != state.rows


@every_strategy
@settings(max_examples=8)
@given(rows=st.integers(0, 14), limit=st.integers(2, 6))
def test_a_resumed_ranking_is_an_uninterrupted_one(make: Make, rows: int, limit: int) -> None:
    loss, strategies = Separable.over(V1), (Random(6), make(5), Random(3))
    whole = complete(ranking(V1, strategies, loss), loss)
    for cached in (describe, decisions, fitted, fitted_to_samples):
        cached.cache_clear()  # nothing but the rows may remain
    state = State()
    while len(state.rows) < rows:
        step = ranking(V1, strategies, loss)
        candidates = step.propose(state, 1)
        state = step.update(state, candidates, [score(c.architecture, loss) for c in candidates])
    finished = complete(ranking(V1, strategies, loss), loss, limit, state_from_plain(state_to_plain(state)))
    assert finished.rows == whole.rows


@every_strategy
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_a_smash_score_of_all_rows_ignores_those_that_are_scored_concurrently(make: Make, weight: float) -> None:
    loss = Separable.over(V1)
    begun = replace(ranking(V1, (Random(9), make(5)), loss), smash_score=LossPlusSizeRank(weight))
    assert complete(begun, loss, limit=5).rows == complete(begun, loss).rows


@every_strategy
def test_an_exhausted_space_is_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smash_lightning.strategies.ranking.ATTEMPTS", 100)
    tiny = small(V1.image_spec, V1.body, inputs=(4,), memory=(4,), max_units=1, max_ops=1)
    loss = Separable.over(tiny)
    message = f"{make(2).name}: no new architecture in 100 attempts after 3 were scored; lower the counts"
    with pytest.raises(ValueError, match=message):
        complete(ranking(tiny, (Random(2), make(2)), loss), loss)


@every_strategy
def test_losses_that_are_not_numbers_rank_last(make: Make) -> None:
    loss = Separable.over(V1)
    first = complete(ranking(V1, (Random(1),), loss), loss).rows[0].candidate.architecture

    def broken(architecture: Architecture) -> float:
        value = loss(architecture)
        return math.nan if architecture == first or round(value * 1000) % 3 == 0 else value

    state = complete(ranking(V1, (Random(9), make(6)), loss), broken)
    assert len(set(names(state))) == 15
    assert math.isnan(state.rows[0].val_loss)
    assert repr(state_from_plain(state_to_plain(state)).rows) == repr(state.rows)
    best = min((row for row in state.rows[:9] if not math.isnan(row.val_loss)), key=lambda row: row.val_loss)
    if make(6).name in ("perturb", "markov"):
        assert state.rows[9].candidate.parent == best.candidate.architecture.fingerprint
