"""Regularized evolution against a queue."""

from collections import deque

import pytest

from smash_lightning.random_streams import rng
from smash_lightning.strategies import Evolution, History, Random, ScoredCandidate, State
from tests.cases import V1
from tests.strategies.synthetic import Separable, complete, ranking


def candidates(losses: list[float], name: str) -> list[ScoredCandidate]:
    found = (V1.sample(rng("evolution", name, position)) for position in range(len(losses)))
    return [ScoredCandidate(architecture, "random", "", loss) for architecture, loss in zip(found, losses, strict=True)]


def test_the_oldest_member_is_replaced() -> None:
    evolution = Evolution(9, population=3, sample=1, probability=0.1)
    before, own = candidates([5.0, 0.0, 4.0, 9.0, 1.0], "before"), candidates([7.0, 8.0, 6.0, 9.0], "own")
    members = [
        [candidate.smash_score for candidate in evolution.members(History(before, own[:born]))] for born in range(5)
    ]
    assert members == [[0, 4, 1], [4, 1, 7], [1, 7, 8], [7, 8, 6], [8, 6, 9]]


def test_a_population_larger_than_what_was_scored_is_all_of_it() -> None:
    before = candidates([5.0, 0.0], "before")
    evolution = Evolution(9, population=4, sample=1, probability=0.1)
    assert evolution.members(History(before)) == before
    own = candidates([1.0, 2.0, 3.0], "own")
    assert evolution.members(History(before, own)) == [before[1], *own]


@pytest.mark.parametrize(("seed", "concurrent"), [(0, 1), (1, 1), (2, 1), (0, 4), (1, 30)])
def test_parents_are_members_before_all_that_are_scored_with_them(seed: int, concurrent: int) -> None:
    loss = Separable.over(V1, seed)
    search = ranking(V1, (Random(12), Evolution(25, 6, 3, 0.2, concurrent)), loss, seed)
    rows = complete(search, loss).rows
    assert len(search.propose(State(rows[:12]), 100)) == min(concurrent, 25)
    assert complete(search, loss, limit=3).rows == rows, "of an interrupted ranking"
    founders = sorted(sorted(range(12), key=lambda position: rows[position].val_loss)[:6])
    members = deque((rows[position].candidate.architecture.fingerprint for position in founders), maxlen=6)
    parents = set()
    for first in range(12, 37, concurrent):
        children = [row.candidate for row in rows[first : first + concurrent]]
        assert {child.parent for child in children} <= {*members}
        members.extend(child.architecture.fingerprint for child in children)
        parents |= {child.parent for child in children}
    assert len(parents) > 3


def test_larger_tournaments_choose_better_parents() -> None:
    before = candidates([float(position) for position in range(20)], "before")
    loss = {one.architecture.fingerprint: one.smash_score for one in before}
    means = []
    for sample in (1, 3, 9):
        evolution = Evolution(1, 20, sample, 0.3)
        parents = [evolution.propose(V1, History(before), rng("tournament", sample, i))[1] for i in range(200)]
        means.append(sum(loss[parent] for parent in parents) / 200)
    # The lowest of k draws from 0 to 19: 9.5, 4.5 and 1.5, give or take .4.
    assert means == pytest.approx([9.5, 4.5, 1.5], abs=1.3)
