"""The Pareto front against its definition."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.scoring import pareto_front

VALUES = st.one_of(st.integers(0, 4).map(float), st.sampled_from([math.inf, -math.inf, math.nan]))


def slow_front(scores: Sequence[float], costs: Sequence[float]) -> set[int]:
    def dominates(i: int, j: int) -> bool:
        no_worse = scores[i] <= scores[j] and costs[i] <= costs[j]
        return no_worse and (scores[i] < scores[j] or costs[i] < costs[j])

    points = [i for i in range(len(scores)) if scores[i] == scores[i] and costs[i] == costs[i]]
    return {j for j in points if not any(dominates(i, j) for i in points)}


@given(points=st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_the_front_is_undominated(points: list[tuple[float, float]]) -> None:
    scores, costs = [score for score, _ in points], [cost for _, cost in points]
    front = pareto_front(scores, costs)
    assert len(front) == len(set(front))
    assert set(front) == slow_front(scores, costs)
    assert [costs[i] for i in front] == sorted(costs[i] for i in front)


def test_equal_points_are_both_on_the_front() -> None:
    assert pareto_front([2, 1, 1, 3], [5, 7, 7, 6]) == [0, 1, 2]


def test_both_need_a_value_for_each_point() -> None:
    with pytest.raises(ValueError, match="zip"):
        pareto_front([1.0], [1.0, 2.0])
