"""Keys against slow versions, and rankings that follow them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.architecture import cost
from smash_lightning.scoring import (
    CandidateMetrics,
    LossPlusSizeRank,
    SmashScore,
    ValidationError,
    ValidationLoss,
)
from smash_lightning.strategies import Markov, Perturb, Random, Ranking, State
from tests.cases import V1
from tests.strategies.synthetic import Separable, complete, ranking

KEYS: dict[str, SmashScore] = {
    "loss": ValidationLoss(),
    "error": ValidationError(),
    "loss and size": LossPlusSizeRank(),
    "loss and half of size": LossPlusSizeRank(0.5),
}
every_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
# Few different values, so that ties occur.
losses = st.one_of(st.sampled_from([0.5, 0.75, 1.0, 2.0]), st.floats(0.1, 4))
sizes = st.one_of(st.sampled_from([1000, 1500, 4000]), st.integers(500, 9000))
tables = st.lists(
    st.builds(CandidateMetrics, error=st.integers(0, 20).map(lambda n: 5.0 * n), loss=losses, params=sizes)
)
unknown = st.sampled_from([math.nan, math.inf])


def order(keys: Sequence[float]) -> list[int]:
    return sorted(range(len(keys)), key=lambda place: keys[place])


def share(value: float, among: Sequence[float]) -> float:
    """The share of `among` that is below `value`, of equals half."""
    below, equal = sum(other < value for other in among), sum(other == value for other in among)
    return (below + equal / 2) / len(among)


@given(table=tables)
def test_loss_and_error_are_what_they_say(table: list[CandidateMetrics]) -> None:
    assert ValidationLoss()(table) == [figures.loss for figures in table]
    assert ValidationError()(table) == [figures.error for figures in table]


@given(table=tables, weight=st.floats(0, 3))
def test_with_size_adds_two_ranks(table: list[CandidateMetrics], weight: float) -> None:
    expected = [
        share(one.loss, [other.loss for other in table])
        + weight * share(-one.params, [-other.params for other in table])
        for one in table
    ]
    assert LossPlusSizeRank(weight)(table) == pytest.approx(expected)
    assert all(0 < key < 1 + weight or weight == 0 for key in LossPlusSizeRank(weight)(table))


@given(table=tables)
def test_without_weight_size_does_not_matter(table: list[CandidateMetrics]) -> None:
    assert order(LossPlusSizeRank(0)(table)) == order(ValidationLoss()(table))


@given(table=tables)
def test_of_two_equal_losses_the_larger_is_better(table: list[CandidateMetrics]) -> None:
    keys = LossPlusSizeRank()(table)
    for one, key in zip(table, keys, strict=True):
        for other, its in zip(table, keys, strict=True):
            if one.loss == other.loss and one.params > other.params:
                assert key < its


@every_key
@given(table=tables)
def test_keys_follow_the_table(key: SmashScore, table: list[CandidateMetrics]) -> None:
    """Another order of the rows is another order of the keys."""
    assert key(table[::-1]) == pytest.approx(key(table)[::-1], abs=1e-9)


@pytest.mark.parametrize("key", [key for key in KEYS.values() if not isinstance(key, ValidationError)], ids=str)
@given(
    table=st.lists(st.builds(CandidateMetrics, error=st.just(50.0), loss=losses, params=sizes), max_size=9),
    data=st.data(),
)
def test_what_has_no_loss_ranks_last(key: SmashScore, table: list[CandidateMetrics], data: st.DataObject) -> None:
    # The largest of all, and the smallest: size must not make up for it.
    lost = [CandidateMetrics(50.0, data.draw(unknown), size) for size in (10, 10**9)]
    keys = [math.inf if math.isnan(k) else k for k in key([*table, *lost])]
    assert keys[len(table) :] == [math.inf] * 2
    assert all(math.isfinite(k) for k in keys[: len(table)])


# --- rankings that follow a key ---

LOSS = Separable.over(V1)
PROPOSALS = (Random(8), Perturb(5, 0.3), Markov(5, 0.3))


def keyed(key: SmashScore) -> Ranking:
    return replace(ranking(V1, PROPOSALS, LOSS), smash_score=key)


def figures(state: State, count: int) -> list[CandidateMetrics]:
    rows = state.rows[:count]
    return [
        CandidateMetrics(row.error, row.loss, cost(row.candidate.architecture, V1.image_spec).params) for row in rows
    ]


@every_key
def test_strategies_begin_with_the_best_by_the_key(key: SmashScore) -> None:
    state = complete(keyed(key), LOSS)
    names = [row.candidate.architecture.fingerprint for row in state.rows]
    perturbed = names[order(key(figures(state, 8)))[0]]
    assert [row.candidate.parent for row in state.rows[8:13]] == [perturbed] * 5
    for place in range(13, 18):
        assert state.rows[place].candidate.parent == names[order(key(figures(state, place)))[0]]


def test_keys_choose_other_parents() -> None:
    """Else the test above would say nothing."""
    parents = {name: complete(keyed(key), LOSS).rows[8].candidate.parent for name, key in KEYS.items()}
    assert len(set(parents.values())) >= 3, parents


@every_key
@given(most=st.integers(2, 9))
def test_rows_do_not_depend_on_how_many_are_scored_side_by_side(key: SmashScore, most: int) -> None:
    """Though a key of ranks changes with each row that is added."""
    assert complete(keyed(key), LOSS, most).rows == complete(keyed(key), LOSS).rows


@every_key
def test_all_rows_have_their_key(key: SmashScore) -> None:
    state = complete(keyed(key), LOSS)
    assert keyed(key).smash_scores(state.rows) == key(figures(state, 18))
    assert keyed(key).smash_scores(()) == []


@dataclass(frozen=True)
class Forgetful(SmashScore):
    """Has nothing to say of the first."""

    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        return [figures.loss for figures in scored[1:]]


def test_a_key_that_leaves_one_out_is_named() -> None:
    with pytest.raises(ValueError, match=r"ranking\.smash_score: Forgetful gave 7 numbers for 8 architectures"):
        complete(keyed(Forgetful()), LOSS)


def test_a_key_that_is_not_a_number_ranks_last() -> None:
    state = complete(ranking(V1, (Random(3),), LOSS), LOSS)
    broken = replace(state, rows=(replace(state.rows[0], loss=math.nan), *state.rows[1:]))
    assert keyed(ValidationLoss()).smash_scores(broken.rows) == [math.inf, state.rows[1].loss, state.rows[2].loss]
