"""The Pareto front against its definition."""

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smash_lightning.report.figures import on_front

VALUES = st.one_of(st.integers(0, 4).map(float), st.sampled_from([math.inf, -math.inf, math.nan]))


def slow_front(scores: Sequence[float], costs: Sequence[float]) -> set[int]:
    def dominates(i: int, j: int) -> bool:
        no_worse = scores[i] <= scores[j] and costs[i] <= costs[j]
        return no_worse and (scores[i] < scores[j] or costs[i] < costs[j])

    points = [i for i in range(len(scores)) if scores[i] == scores[i] and costs[i] == costs[i]]
    return {j for j in points if not any(dominates(i, j) for i in points)}


@given(points=st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_the_front_is_undominated(points: list[tuple[float, float]]) -> None:
    scores, costs = np.array(points, dtype=float).reshape(-1, 2).T
    assert set(np.flatnonzero(on_front(scores, costs))) == slow_front(scores.tolist(), costs.tolist())


def test_equal_points_are_both_on_the_front() -> None:
    front = on_front(np.array([2.0, 1.0, 1.0, 3.0]), np.array([5.0, 7.0, 7.0, 6.0]))
    assert np.flatnonzero(front).tolist() == [0, 1, 2]
