"""SMASH scores against slow versions, and rankings by them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.scoring import CandidateMetrics, LossPlusSizeRank, SmashScore, ValidationError, ValidationLoss
from smash_lightning.strategies import Markov, Perturb, Random, Ranking, State
from tests.cases import V1
from tests.strategies.synthetic import Separable, complete, ranking

# Few different values, so that ties occur.
losses = st.one_of(st.sampled_from([0.5, 0.75, 1.0, 2.0]), st.floats(0.1, 4))
sizes = st.one_of(st.sampled_from([1000, 1500, 4000]), st.integers(500, 9000))
errors = st.integers(0, 20).map(lambda n: 5.0 * n)
tables = st.lists(st.builds(CandidateMetrics, val_error=errors, val_loss=losses, params=sizes))


def order(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda position: scores[position])


def share(value: float, among: Sequence[float]) -> float:
    """The share of `among` that is below `value`, of equals half."""
    below, equal = sum(other < value for other in among), sum(other == value for other in among)
    return (below + equal / 2) / len(among)


@given(table=tables)
def test_loss_and_error_are_themselves(table: list[CandidateMetrics]) -> None:
    assert ValidationLoss()(table) == [metrics.val_loss for metrics in table]
    assert ValidationError()(table) == [metrics.val_error for metrics in table]


@given(table=tables, weight=st.floats(0, 3))
def test_loss_plus_size_rank_adds_two_ranks(table: list[CandidateMetrics], weight: float) -> None:
    expected = [
        share(one.val_loss, [other.val_loss for other in table])
        + weight * share(-one.params, [-other.params for other in table])
        for one in table
    ]
    found = LossPlusSizeRank(weight)(table)
    assert found == pytest.approx(expected)
    assert all(0 < score < 1 + weight or weight == 0 for score in found)
    assert LossPlusSizeRank(weight)(table[::-1]) == pytest.approx(found[::-1], abs=1e-9)
    assert order(LossPlusSizeRank(0)(table)) == order(ValidationLoss()(table))


@pytest.mark.parametrize("smash_score", [ValidationLoss(), LossPlusSizeRank(), LossPlusSizeRank(0.5)], ids=str)
@pytest.mark.parametrize("missing", [math.nan, math.inf])
@given(table=tables)
def test_a_candidate_without_a_loss_ranks_last(
    smash_score: SmashScore, missing: float, table: list[CandidateMetrics]
) -> None:
    # The largest of all, and the smallest: size must not make up for it.
    lost = [CandidateMetrics(50.0, missing, size) for size in (10, 10**9)]
    scores = [math.inf if math.isnan(score) else score for score in smash_score([*table, *lost])]
    assert scores[len(table) :] == [math.inf] * 2
    assert all(math.isfinite(score) for score in scores[: len(table)])


# --- rankings by a SMASH score ---

LOSS = Separable.over(V1)
STRATEGIES = (Random(8), Perturb(5, 0.3), Markov(5, 0.3))


def ranked_by(smash_score: SmashScore) -> Ranking:
    return replace(ranking(V1, STRATEGIES, LOSS), smash_score=smash_score)


def metrics(state: State, count: int) -> list[CandidateMetrics]:
    rows = state.rows[:count]
    return [CandidateMetrics(row.val_error, row.val_loss, ranked_by(ValidationLoss()).params(row)) for row in rows]


def test_strategies_start_from_the_best_by_the_smash_score() -> None:
    parents = set()
    for smash_score in (ValidationLoss(), ValidationError(), LossPlusSizeRank()):
        state = complete(ranked_by(smash_score), LOSS)
        names = [row.candidate.architecture.fingerprint for row in state.rows]
        for position in range(8, 18):
            scored = metrics(state, position if position > 12 else 8)  # all perturbations are of one parent
            assert state.rows[position].candidate.parent == names[order(smash_score(scored))[0]]
        assert ranked_by(smash_score).smash_scores(state.rows) == smash_score(metrics(state, 18))
        assert ranked_by(smash_score).smash_scores(()) == []
        parents.add(state.rows[8].candidate.parent)
    assert len(parents) >= 2, "otherwise every score would be the same"


@dataclass(frozen=True)
class Incomplete(SmashScore):
    """Without a score of the first candidate."""

    def __call__(self, scored: Sequence[CandidateMetrics]) -> list[float]:
        return [metrics.val_loss for metrics in scored[1:]]


def test_a_missing_smash_score_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"ranking\.smash_score: Incomplete gave 7 numbers for 8 architectures"):
        complete(ranked_by(Incomplete()), LOSS)


def test_a_smash_score_that_is_not_a_number_ranks_last() -> None:
    state = complete(ranking(V1, (Random(3),), LOSS), LOSS)
    broken = replace(state, rows=(replace(state.rows[0], val_loss=math.nan), *state.rows[1:]))
    expected = [math.inf, *(row.val_loss for row in state.rows[1:])]
    assert ranked_by(ValidationLoss()).smash_scores(broken.rows) == expected
